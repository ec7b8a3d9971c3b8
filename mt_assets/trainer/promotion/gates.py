"""Quality gates: the bounds of the spec, held against the figures of one model."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mt_assets.spec_values import Gate
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:  # it brings estimator libraries along, and verdicts are read where those are not wanted
    from mt_assets.trainer.evaluation.evaluate import Evaluation
    from mt_assets.trainer.evaluation.fairness import Fairness


class GateVerdict(Record):
    """Whether one quality gate was met.

    Attributes
    ----------
    gate : str
        The gate as written, for example `test.roc_auc >= 0.85`.
    value : float or None
        The model's; None where it is not known.
    passed : bool
    reason : str
        One sentence.
    suggestions : tuple of str
        What a person can do about a missed one, the likeliest remedy first.
    """

    gate: str
    value: float | None
    passed: bool
    reason: str
    suggestions: tuple[str, ...] = ()


def evaluate_gates(
    gates: Iterable[Gate], evaluation: "Evaluation", fairness: "Fairness | None" = None
) -> tuple[GateVerdict, ...]:
    """Hold the evaluation against each gate; a figure that is unknown or undefined does not pass."""
    figures = _figures(evaluation, fairness)
    return tuple(_verdict(gate, figures) for gate in gates)


def _figures(evaluation: "Evaluation", fairness: "Fairness | None") -> dict[str, float | None]:
    parts = {"test": evaluation.test, "validation": evaluation.validation, "cv": evaluation.cross_validation}
    parts |= {"fairness": fairness.worst} if fairness else {}
    figures = {f"{part}.{name}": value for part, metrics in parts.items() for name, value in metrics.items()}
    return figures | {"model.latency_ms": evaluation.latency_ms, "model.size_mb": evaluation.size_mb}


def _verdict(gate: Gate, figures: dict[str, float | None]) -> GateVerdict:
    if gate.metric not in figures:
        near = difflib.get_close_matches(gate.metric, figures, n=1, cutoff=0.0)
        return GateVerdict(
            gate=str(gate), value=None, passed=False, reason=f"There is no {gate.metric}; the nearest is {near[0]}."
        )
    value = figures[gate.metric]
    if value is None or not np.isfinite(value):
        reason = f"{gate.metric} is not defined on these rows, and what is unknown does not pass."
        return GateVerdict(gate=str(gate), value=None, passed=False, reason=reason)
    passed = gate.holds(value)
    reason = f"{gate.metric} is {value:.4g}, {'as' if passed else 'and'} {gate.operator} {gate.bound:g} is asked for."
    if not passed:
        reason = f"{reason[:-1]}: missed by {abs(gate.bound - value):.3g}."
    return GateVerdict(gate=str(gate), value=value, passed=passed, reason=reason)
