"""Sensitive columns: whether the model learns from them, for the record. They are never left out silently."""

from collections.abc import Mapping
from typing import Protocol

from mt_assets.trainer.data.roles import FEATURE_ROLES
from mt_assets.trainer.planning.decision import Decision


class Described(Protocol):
    """What is asked of a column here; `profile.ColumnProfile` has it."""

    @property
    def role(self) -> str: ...
    @property
    def reason(self) -> str: ...


def sensitive_decisions(sensitive: tuple[str, ...], columns: Mapping[str, Described]) -> tuple[Decision, ...]:
    """Say of each sensitive column whether it is a feature, and by which key that is changed."""
    return tuple(_decision(name, columns[name]) for name in sensitive)


def _decision(name: str, column: Described) -> Decision:
    learned = column.role in FEATURE_ROLES
    reason = (
        f"The model learns from '{name}' ({column.reason}). `featureTypes: {{{name}: drop}}` keeps it from the model; "
        "fairness is reported either way."
        if learned
        else f"The model does not see '{name}' ({column.reason}); other columns may still tell of it. Fairness is "
        "reported all the same."
    )
    return Decision(
        decision=f"sensitive column {name}",
        value="feature" if learned else "not a feature",
        rule="sensitive.feature" if learned else "sensitive.left_out",
        reason=reason,
        evidence={"role": column.role},
        override="featureTypes",
    )
