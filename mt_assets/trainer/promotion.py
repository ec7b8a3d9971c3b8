"""Whether the new model takes over: quality gates, and a paired comparison with the champion on the same test rows.

What belongs here: the decision and its reason. What does not: how predictions are made, and the registry in which the
decision is carried out.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from mt_assets.spec import TrainingSpec
from mt_assets.spec_values import Gate
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.evaluation.metrics import METRICS, USUAL, Terms, score
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:  # both bring estimator libraries along, and the decision is read where those are not wanted
    from mt_assets.trainer.evaluation.evaluate import Evaluation
    from mt_assets.trainer.planning.plan import TrainingPlan

RESAMPLES, FEWER_RESAMPLES, MANY_ROWS = 1_000, 200, 50_000
"""Resamples of the paired bootstrap, and how many above that many test rows, where the interval is narrow anyway. One
thread takes 0.15 s for ROC AUC on 1,400 rows and 6 s on 50,000 and on 200,000."""

MARGIN = 0.01
"""How much worse a challenger may be where the spec does not say: 0.01 of a metric that ends at 1, otherwise 1 % of the
champion's. Measured on `telco_churn` with pairs of LightGBM models from nine tenths of the same rows and 1,400 test
rows: the lower bound of ROC AUC lies 0.003 below the difference, so that of 20 such pairs a margin of 0 promotes none,
0.005 three in four and 0.01 all."""


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


class Comparison(Record):
    """Challenger against champion on the same rows, by a paired bootstrap.

    Attributes
    ----------
    metric : str
    challenger, champion : float
        The metric of each on all rows, in its own direction.
    difference : float
        How much better the challenger is; negative where it is worse, whatever the metric's direction.
    lower, upper : float
        One-sided bounds of the difference, each at `confidence`.
    margin : float
        The challenger is not worse when `lower` is at least minus this.
    confidence : float
    resamples, rows : int
    not_worse : bool
    """

    metric: str
    challenger: float
    champion: float
    difference: float
    lower: float
    upper: float
    margin: float
    confidence: float
    resamples: int
    rows: int
    not_worse: bool


@dataclass(frozen=True, eq=False)
class ChampionView:
    """What the decision needs to know of the present champion.

    Attributes
    ----------
    version : int
    prediction : ndarray [n, k] or [n]
        Its predictions for the test rows, in the order and with the class codes of the challenger's.
    trained_on_test_rows : int
        How many of those rows it was trained on. The caller leaves such rows out for both models, so it must be 0.
    obstacle : str
        Why it cannot predict for data of this form; empty where it can.
    threshold : float
        By which it labels rows of two classes.
    """

    version: int
    prediction: npt.NDArray[np.floating]
    trained_on_test_rows: int = 0
    obstacle: str = ""
    threshold: float = 0.5


Verdict = Literal["promoted", "kept_challenger", "first", "rejected_gates"]


class PromotionDecision(Record):
    """The verdict about a new model, with everything that it rests on.

    Attributes
    ----------
    verdict : {"promoted", "kept_challenger", "first", "rejected_gates"}
        `promoted` and `first` make the new model the champion.
    reason : str
        One sentence.
    gates : tuple of GateVerdict
    comparison : Comparison or None
        None where none was possible or needed.
    challenger_version : int
    champion_version : int or None
        The champion that it was compared with.
    margin, confidence : float or None
        None where nothing was compared.
    test_rows : int
    test_digest : str
        Identity of the set of test rows.
    times_test_rows_used : int
        How many decisions in a row, this one included, rest on the same test rows. The more often, the more the
        winner owes to luck.
    """

    filename: ClassVar[str] = "promotion_decision.json"

    verdict: Verdict
    reason: str
    gates: tuple[GateVerdict, ...]
    comparison: Comparison | None
    challenger_version: int
    champion_version: int | None
    margin: float | None
    confidence: float | None
    test_rows: int
    test_digest: str
    times_test_rows_used: int

    @property
    def takes_over(self) -> bool:
        """Whether the new model becomes the champion."""
        return self.verdict in ("promoted", "first")


def rows_digest(identities: npt.NDArray[np.uint64]) -> str:
    """Identity of a set of rows, whatever their order; of no rows it is empty."""
    return sha256(np.sort(identities).astype("<u8").tobytes()).hexdigest() if len(identities) else ""


def evaluate_gates(gates: Iterable[Gate], evaluation: "Evaluation") -> tuple[GateVerdict, ...]:
    """Hold the evaluation against each gate; a figure that is unknown or undefined does not pass."""
    figures = _figures(evaluation)
    return tuple(_verdict(gate, figures) for gate in gates)


def _figures(evaluation: "Evaluation") -> dict[str, float | None]:
    parts = {"test": evaluation.test, "validation": evaluation.validation, "cv": evaluation.cross_validation}
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


def compare(
    challenger: npt.NDArray[np.floating],
    champion: npt.NDArray[np.floating],
    y: npt.NDArray,
    metric: str,
    positive: int | None,
    *,
    margin: float | None,
    confidence: float,
    seed: int,
    terms: tuple[Terms, Terms] = (USUAL, USUAL),
) -> Comparison:
    """Compare two models on the same rows: is the first not worse than the second by more than the margin?

    Rows are drawn with replacement, the same ones for both models and, for classes, as many of each class as there
    are. The bounds are percentiles of the differences (Efron & Tibshirani, An Introduction to the Bootstrap, ch. 13).

    Parameters
    ----------
    challenger, champion : ndarray [n, k] or [n]
        Predictions for the same rows: probabilities in the order of the class codes, or values.
    y : ndarray [n]
        Class codes, or target values.
    metric : str
    positive : int or None
        Code of the positive class where there are two.
    margin : float or None
        In units of the metric; None chooses `MARGIN`.
    confidence : float
        Of each one-sided bound, for example 0.95.
    seed : int
    terms : (Terms, Terms)
        By which the challenger and the champion are judged, each with its own threshold.

    Raises
    ------
    TrainingError
        The metric has no value on these rows.
    """
    gain = METRICS[metric].gain
    both = tuple(zip((challenger, champion), terms, strict=True))
    scores = [score(metric, y, each, positive, own) for each, own in both]
    rng = np.random.default_rng(seed)
    strata = [np.flatnonzero(y == code) for code in np.unique(y)] if challenger.ndim == 2 else [np.arange(len(y))]
    differences = np.empty(RESAMPLES if len(y) <= MANY_ROWS else FEWER_RESAMPLES)
    for at in range(len(differences)):
        drawn = np.concatenate([rows[rng.integers(0, len(rows), len(rows))] for rows in strata])
        again = (score(metric, y[drawn], each[drawn], positive, own) for each, own in both)
        differences[at] = gain(*again)
    lower, upper = (float(bound) for bound in np.quantile(differences, (1 - confidence, confidence)))
    allowed = default_margin(metric, scores[1]) if margin is None else margin
    return Comparison(
        metric=metric,
        challenger=scores[0],
        champion=scores[1],
        difference=gain(*scores),
        lower=lower,
        upper=upper,
        margin=allowed,
        confidence=confidence,
        resamples=len(differences),
        rows=len(y),
        not_worse=lower >= -allowed,
    )


def default_margin(metric: str, champion: float) -> float:
    """How much worse a challenger may be where the spec does not say, in units of the metric."""
    return MARGIN if METRICS[metric].greater_is_better else MARGIN * abs(champion)


def decide_promotion(
    *,
    plan: "TrainingPlan",
    spec: TrainingSpec,
    gates: tuple[GateVerdict, ...],
    y_test: npt.NDArray,
    challenger_prediction: npt.NDArray[np.floating],
    positive: int | None,
    challenger_version: int,
    champion: ChampionView | None,
    threshold: float = 0.5,
    test_digest: str = "",
    previous: PromotionDecision | None = None,
) -> PromotionDecision:
    """Decide whether the new model becomes the champion.

    A model that misses a gate never does. The first that passes all does. Every other has to be not worse than the
    champion by more than the margin, on the same test rows.

    Parameters
    ----------
    plan : TrainingPlan
    spec : TrainingSpec
    gates : tuple of GateVerdict
        From `evaluate_gates`.
    y_test : ndarray [n]
        Class codes or values of the test rows; may be empty.
    challenger_prediction : ndarray [n, k] or [n]
    positive : int or None
        Code of the positive class where there are two.
    challenger_version : int
    champion : ChampionView or None
        None where there is no champion yet.
    threshold : float
        By which the new model labels rows of two classes.
    test_digest : str
        Identity of the test rows, see `rows_digest`.
    previous : PromotionDecision or None
        The decision before this one, to count how often the same test rows have decided.

    Raises
    ------
    ValueError
        The champion was trained on some of the test rows.
    """
    if champion is not None and champion.trained_on_test_rows:
        raise ValueError(f"champion {champion.version} was trained on {champion.trained_on_test_rows} of the test rows")
    comparison, obstacle = None, None
    if champion is not None:
        comparison, obstacle = _compare(plan, spec, y_test, challenger_prediction, positive, champion, threshold)
    verdict, reason = _settle(gates, champion, comparison, obstacle)
    reused = previous is not None and test_digest and previous.test_digest == test_digest
    return PromotionDecision(
        verdict=verdict,
        reason=reason,
        gates=gates,
        comparison=comparison,
        challenger_version=challenger_version,
        champion_version=champion.version if champion else None,
        margin=comparison.margin if comparison else None,
        confidence=comparison.confidence if comparison else None,
        test_rows=len(y_test),
        test_digest=test_digest,
        times_test_rows_used=previous.times_test_rows_used + 1 if previous and reused else 1,
    )


def _compare(
    plan: "TrainingPlan",
    spec: TrainingSpec,
    y_test: npt.NDArray,
    challenger_prediction: npt.NDArray[np.floating],
    positive: int | None,
    champion: ChampionView,
    threshold: float,
) -> tuple[Comparison | None, str | None]:
    """The comparison, or why there can be none."""
    if not len(y_test):
        return None, "there are no test rows to compare them on (`testSize` is 0)"
    if champion.obstacle:
        return None, champion.obstacle
    if champion.prediction.shape != challenger_prediction.shape:
        return None, "its predictions do not match the new model's (other classes or rows)"
    if challenger_prediction.ndim == 2 and len(np.unique(y_test)) < 2:
        return None, "the test rows hold one class alone"
    terms = Terms(beta=plan.beta, costs=plan.costs)
    try:
        comparison = compare(
            challenger_prediction,
            champion.prediction,
            y_test,
            spec.promotion.metric or plan.metric,
            positive,
            margin=spec.promotion.margin,
            confidence=spec.promotion.confidence,
            seed=plan.seed,
            terms=(terms.at(threshold), terms.at(champion.threshold)),
        )
    except TrainingError as error:
        return None, f"the comparison failed: {error.message}"
    return comparison, None


def _settle(
    gates: tuple[GateVerdict, ...], champion: ChampionView | None, comparison: Comparison | None, obstacle: str | None
) -> tuple[Verdict, str]:
    missed = [gate for gate in gates if not gate.passed]
    if missed:
        named = "; ".join(f"{gate.gate}: {gate.reason}" for gate in missed)
        return "rejected_gates", f"{len(missed)} of {len(gates)} quality gates missed. {named}"
    if champion is None:
        passed = "and passes every quality gate" if gates else "and no quality gate is set"
        return "first", f"It is the first model of this name {passed}, so it becomes the champion."
    if comparison is None:
        return "kept_challenger", f"It cannot be compared with champion {champion.version}: {obstacle}."
    word = "better" if comparison.difference >= 0 else "worse"
    found = (
        f"On {comparison.rows:,} test rows its {comparison.metric} is {comparison.challenger:.4g} against "
        f"{comparison.champion:.4g} of champion {champion.version}: {word} by {abs(comparison.difference):.4g}, and "
        f"with {comparison.confidence:.0%} confidence"
    )
    worst = f"{max(0.0, -comparison.lower):.4g}"
    if comparison.not_worse:
        return "promoted", f"{found} worse by no more than {worst} (margin {comparison.margin:.4g})."
    return "kept_challenger", (
        f"{found} it could be worse by {worst}, which is more than the margin of {comparison.margin:.4g}."
    )
