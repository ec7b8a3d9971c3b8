"""What a rule is: one row of a table in which the first row that holds decides."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.planning.facts import Facts


@dataclass(frozen=True)
class Rule:
    """One row of a table.

    Attributes
    ----------
    id : str
        Unique among all rules.
    when : callable
        Whether the row holds for the facts; asked only when no row above it holds.
    value : Any
        What is then chosen: a constant, or a function of the facts.
    reason : str
        One sentence; may refer to `{facts}` and `{value}`.
    override : str
        The spec key that would change it.
    evidence : tuple of str
        The facts (attributes of `Facts`) that made the row apply. None named: the spec's own word did.
    """

    id: str
    when: Callable[[Facts], bool]
    value: Any
    reason: str
    override: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleTable:
    """All rows about one decision, the most specific first; the last one always holds."""

    decision: str
    rules: tuple[Rule, ...]

    def rule(self, facts: Facts) -> Rule:
        """The first row that holds."""
        return next(rule for rule in self.rules if rule.when(facts))

    def value(self, facts: Facts) -> Any:
        """What is chosen for these facts."""
        return _value(self.rule(facts), facts)

    def decide(self, facts: Facts) -> Decision:
        """The choice for these facts, written down."""
        rule = self.rule(facts)
        value = _value(rule, facts)
        evidence = {name: getattr(facts, name) for name in rule.evidence} or {rule.override: value}
        return Decision(
            decision=self.decision,
            value=value,
            rule=rule.id,
            reason=rule.reason.format(facts=facts, value=value),
            evidence=evidence,
            override=rule.override,
        )


def _value(rule: Rule, facts: Facts) -> Any:
    value = rule.value(facts) if callable(rule.value) else rule.value
    return list(value) if isinstance(value, tuple) else value


def always(facts: Facts) -> bool:
    """The condition of a last row."""
    return True


def asked(id: str, attribute: str, override: str) -> Rule:
    """The row for what the spec asks for by name; `auto` and silence ask for nothing."""
    read = attrgetter(f"spec.{attribute}")
    return Rule(
        id=id,
        when=lambda facts: read(facts) not in (None, "auto"),
        value=read,
        reason="The spec asks for it.",
        override=override,
    )
