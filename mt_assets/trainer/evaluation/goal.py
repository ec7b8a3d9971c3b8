"""What counts as better: a metric, constraints on others, and the threshold at which labels are looked at.

What belongs here: how predictions are judged by the goal, and the threshold at which they serve it best. What does not:
the metrics themselves (`metrics`), and which threshold is delivered and why (`delivery`).

Where the threshold is free, a candidate is judged at the best one for the very rows that it is judged on: the question
is which candidate can serve the goal best, and not which happens to do so at 0.5, and a model whose probabilities are
shifted (by class weights, say) ranks rows as well as before. One number is fitted so for each fold, the same way for
every candidate, so that the comparison is fair; the scores of a search are a little too good by it, and those that are
reported are not: their thresholds come from other folds (`delivery.cross_fitted`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from mt_assets.spec_values import Gate
from mt_assets.trainer.evaluation.metrics import METRICS, USUAL, Answers, Floats, Terms, defined, score

if TYPE_CHECKING:
    from mt_assets.trainer.planning.plan import TrainingPlan

COARSE, FINE = 51, 19
"""Points of the scan between 0 and 1, and of the refinement between the neighbours of the best: as AutoGluon's."""

SLIGHTEST = 1e-9
"""Violation of a constraint such as `>0.5` that is missed by nothing at all."""


@dataclass(frozen=True)
class Standing:
    """How predictions stand before the goal.

    Attributes
    ----------
    score : float
        The metric, in its own direction.
    violation : float
        By how much the constraints are missed, each as a share of its bound (or in its own unit where that is 0),
        summed; 0 where all are kept.
    threshold : float or ndarray [n]
        At which both hold; without meaning for more than two classes and for regression.
    """

    score: float
    violation: float
    threshold: float | Floats


@dataclass(frozen=True)
class Goal:
    """What a training aims at.

    Attributes
    ----------
    metric : str
    constraints : tuple of Gate
        Bounds that other metrics have to keep, by plain names such as `precision`.
    free : bool
        Whether the threshold is still to be found; otherwise it is that of `terms`.
    positive : int or None
        Code of the positive class where there are two.
    terms : Terms
    """

    metric: str
    constraints: tuple[Gate, ...] = ()
    free: bool = False
    positive: int | None = None
    terms: Terms = USUAL

    @classmethod
    def of(cls, plan: "TrainingPlan", positive: int | None) -> Self:
        """The goal of a plan, for a target with this positive class."""
        fixed = plan.threshold if isinstance(plan.threshold, float) else None
        terms = Terms(beta=plan.beta, costs=plan.costs)
        return cls(
            metric=plan.metric,
            constraints=tuple(Gate.parse(name, bound) for name, bound in plan.constraints.items()),
            free=plan.threshold == "tuned",
            positive=positive,
            terms=terms if fixed is None else terms.at(fixed),
        )

    @property
    def figures(self) -> tuple[str, ...]:
        """Every metric that the goal looks at, each once."""
        return tuple(dict.fromkeys([self.metric, *(bound.metric for bound in self.constraints)]))

    def judge(self, y: npt.NDArray, prediction: npt.NDArray) -> Standing:
        """Judge predictions at the goal's threshold, or where it is free at the best one for these rows.

        Parameters
        ----------
        y : ndarray [n]
            Class codes, or target values.
        prediction : ndarray [n, k] or [n]

        Raises
        ------
        TrainingError
            The predictions hold NaN or infinity, or a figure has no finite value.
        """
        return self.best(y, prediction) if self.free else self.judge_at(y, prediction, self.terms.threshold)

    def judge_at(self, y: npt.NDArray, prediction: npt.NDArray, threshold: float | Floats) -> Standing:
        """Judge predictions at this threshold."""
        terms = self.terms.at(threshold)
        values = {name: score(name, y, prediction, self.positive, terms) for name in self.figures}
        return Standing(values[self.metric], self.violation(values), threshold)

    def violation(self, values: Mapping[str, float], allowed: Mapping[str, float] | None = None) -> float:
        """By how much these values miss the constraints, see `Standing`; a miss by what is allowed counts as none."""
        misses = {bound: abs(bound.bound - values[bound.metric]) for bound in self.constraints}
        return sum(
            max(SLIGHTEST, miss / (abs(bound.bound) or 1.0))
            for bound, miss in misses.items()
            if not bound.holds(values[bound.metric]) and miss > (allowed or {}).get(bound.metric, -1.0)
        )

    def better(self, one: Standing, other: Standing) -> bool:
        """Whether the first misses the constraints by less, or as little and has the better metric."""
        if one.violation != other.violation:
            return one.violation < other.violation
        return METRICS[self.metric].gain(one.score, other.score) > 0

    def best(self, y: npt.NDArray, prediction: npt.NDArray) -> Standing:
        """The threshold that serves the goal best on these rows of two classes, and how they stand there.

        The scan looks at evenly spaced points and, because rare classes have most probabilities near 0, at as many
        quantiles of the probabilities; then between the neighbours of the best. Of equal ones the nearest to 0.5 (with
        costs: to the point of indifference) is taken.
        """
        code = 1 if self.positive is None else self.positive
        constant = {
            name: score(name, y, prediction, self.positive, self.terms)
            for name in self.figures
            if METRICS[name].needs != "labels"
        }
        scores = np.asarray(prediction[:, code], dtype=np.float64)
        inner = np.linspace(0, 1, COARSE)[1:-1]
        thresholds = _rounded(np.concatenate([inner, np.quantile(scores, inner), [0.5, self.terms.indifference]]))
        coarse = self._at_each(y, scores, thresholds, constant)
        place = coarse.index(self._first(coarse))
        ends = thresholds[max(place - 1, 0)], thresholds[min(place + 1, len(thresholds) - 1)]
        between = _rounded(np.linspace(*ends, FINE + 2))
        return self._first([*coarse, *self._at_each(y, scores, between, constant)])

    def _at_each(
        self, y: npt.NDArray, scores: Floats, thresholds: Floats, constant: Mapping[str, float]
    ) -> list[Standing]:
        labels = [name for name in self.figures if name not in constant]
        found = label_scores(labels, y, scores, self.positive, thresholds, self.terms)
        standings = []
        for at, threshold in enumerate(thresholds.tolist()):
            values = {**constant, **{name: float(each[at]) for name, each in found.items()}}
            standings.append(Standing(values[self.metric], self.violation(values), threshold))
        return standings

    def _first(self, standings: list[Standing]) -> Standing:
        """The best one; of equal ones the nearest to the point of indifference."""
        sign = -1 if METRICS[self.metric].greater_is_better else 1
        middle = self.terms.indifference
        return min(
            standings,
            key=lambda each: (round(each.violation, 12), round(sign * each.score, 12), abs(each.threshold - middle)),
        )


def _rounded(thresholds: Floats) -> Floats:
    """Thresholds with four significant digits, each once and strictly between 0 and 1: what is told is what is used."""
    short = np.unique([float(f"{threshold:.4g}") for threshold in thresholds.tolist()])
    return short[(short > 0) & (short < 1)]


def label_scores(
    metrics: Sequence[str],
    y: npt.NDArray,
    scores: Floats,
    positive: int | None,
    thresholds: Floats,
    terms: Terms = USUAL,
) -> dict[str, Floats]:
    """Metrics that look at labels, at many thresholds of a binary prediction at once.

    Parameters
    ----------
    metrics : sequence of str
        Names whose `needs` is `labels`.
    y : ndarray [n]
        Class codes 0 and 1; at least one row.
    scores : ndarray [n]
        Probability of the positive class.
    positive : int or None
    thresholds : ndarray [m]
    terms : Terms
        Its threshold is not looked at.

    Returns
    -------
    dict
        Metric to its values, [m]; where the rows cannot tell it, its `undefined` value.
    """
    code = 1 if positive is None else positive
    hit = np.asarray(y) == code
    counts = np.empty((len(thresholds), 2, 2), dtype=np.int64)
    for true, rows in ((code, hit), (1 - code, ~hit)):
        below = np.searchsorted(np.sort(scores[rows]), thresholds, "left")
        counts[:, true, 1 - code], counts[:, true, code] = below, rows.sum() - below
    return {name: scores_of_counts(name, counts, code, terms) for name in metrics}


def scores_of_counts(metric: str, counts: npt.NDArray[np.int64], positive: int, terms: Terms = USUAL) -> Floats:
    """A metric that looks at labels, of many confusion matrices [m, k, k]."""
    nothing, rows = np.empty(0), np.empty(int(counts[0].sum()), dtype=np.int64)
    with np.errstate(all="ignore"):
        return np.array(
            [
                defined(
                    metric, METRICS[metric].function(Answers(rows, nothing, nothing, each, positive, terms)), len(rows)
                )
                for each in counts
            ]
        )
