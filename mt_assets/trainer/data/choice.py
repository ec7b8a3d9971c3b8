"""Choices about data as tables of rows with ids, of which the first that holds decides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mt_assets.trainer.planning.decision import Decision

F = TypeVar("F")


@dataclass(frozen=True)
class Choice(Generic[F]):
    """One row of such a table.

    Attributes
    ----------
    id : str
        Id of the rule, as it stands in the record.
    value : Any
        What is then chosen.
    when : callable
        Whether the row holds for the facts.
    reason : str
        One sentence; `{facts.…}` is filled in.
    evidence : tuple of str
        Names of the facts that made the row hold.
    """

    id: str
    value: Any
    when: Callable[[F], bool]
    reason: str
    evidence: tuple[str, ...] = ()


def choose(decision: str, table: Sequence[Choice[F]], facts: F, override: str) -> Decision:
    """The first row that holds, as a decision. The last row of every table always holds."""
    row = next(row for row in table if row.when(facts))
    return Decision(
        decision=decision,
        value=row.value,
        rule=row.id,
        reason=row.reason.format(facts=facts),
        evidence={name: getattr(facts, name) for name in row.evidence},
        override=override,
    )
