"""Greedy ensemble selection with replacement (Caruana et al., Ensemble Selection from Libraries of Models, ICML 2004).

What belongs here: the selection on predictions for rows that the candidates were not fitted on, whatever they are. What
does not: where predictions come from, and what becomes of the members (`choice`).

A round adds the candidate with which the mean of all that were added so far is best; the first best prefix counts. The
refinements are AutoGluon's: losses are rounded, and of equal ones a candidate that is in already is added again, so
that members stay few. Weights are chosen on the rows on which they look best, so a fair score has them chosen on the
other parts (`cross_fitted`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mt_assets.trainer.evaluation.goal import Goal, Standing
from mt_assets.trainer.evaluation.metrics import EPSILON, METRICS

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

DECIMALS: Final = 6
"""Losses that agree so far are equal: what is beyond is noise, and would bring in members for nothing (AutoGluon)."""

PARTS: Final = 5
"""Into so many parts the folds (or the rows of a single fold) are put for the cross-fitted score."""


@dataclass(frozen=True)
class _Linear:
    """A metric of one number a row that is averaged like the predictions, so that many blends are judged at once.

    Attributes
    ----------
    numbers : callable
        Target and prediction of a candidate to these numbers, [n].
    scores : callable
        Numbers of many blends, [m, n], and the target to their scores, [m].
    """

    numbers: Callable[[npt.NDArray, npt.NDArray, int], npt.NDArray]
    scores: Callable[[Floats, npt.NDArray, int], Floats]


def _of_positive(y: npt.NDArray, prediction: npt.NDArray, positive: int) -> npt.NDArray:
    return prediction[:, positive]


def _of_true_class(y: npt.NDArray, prediction: npt.NDArray, positive: int) -> npt.NDArray:
    return prediction[np.arange(len(y)), y.astype(np.int64)]


def _errors(y: npt.NDArray, prediction: npt.NDArray, positive: int) -> npt.NDArray:
    return prediction - (y if y.ndim == 1 else y[:, 0])


def _scaled_errors(y: npt.NDArray, prediction: npt.NDArray, positive: int) -> npt.NDArray:
    return (prediction - y[:, 0]) * y[:, 1]


def _areas(numbers: Floats, y: npt.NDArray, positive: int) -> Floats:
    hit = y == positive
    if hit.all() or not hit.any():
        return np.full(len(numbers), METRICS["roc_auc"].undefined)
    up, down = np.sort(numbers[:, hit], axis=1), np.sort(numbers[:, ~hit], axis=1)
    pairs = 2 * up.shape[1] * down.shape[1]
    return np.array(
        [
            (np.searchsorted(low, high, "left").sum() + np.searchsorted(low, high, "right").sum()) / pairs
            for low, high in zip(down, up, strict=True)
        ]
    )


def _mean(rows: Floats) -> Floats:
    mean: Floats = rows.mean(axis=1, dtype=np.float64)
    return mean


_LINEAR: Final[dict[str, _Linear]] = {
    "roc_auc": _Linear(_of_positive, _areas),
    "log_loss": _Linear(_of_true_class, lambda p, y, _: -_mean(np.log(np.clip(p, EPSILON, 1.0)))),
    "brier": _Linear(_of_positive, lambda p, y, positive: _mean((p - (y == positive)) ** 2)),
    "rmse": _Linear(_errors, lambda e, y, _: np.sqrt(_mean(e**2))),
    "mase": _Linear(_scaled_errors, lambda e, y, _: _mean(np.abs(e))),
    "mae": _Linear(_errors, lambda e, y, _: _mean(np.abs(e))),
}
"""Of the metrics that plans choose by themselves, and those that are as simple; others are computed blend by blend."""


MOST: Final = 100
"""Candidates that are looked at; those far behind the best are never selected."""

_NUMBERS: Final = {"roc_auc": 1_000_000}
_USUAL_NUMBERS, _SINGLE_NUMBERS, _LEAST = 2_000_000, 400_000, 8
"""Numbers (rows times candidates, and times classes where blends are judged one by one) up to which the selection and
its cross-fitted score take 2 to 5 s on one core; fewer candidates are looked at on more rows, but never less than 8."""

_SCANNED, _SCANNED_ROUNDS = 8, 10
"""Candidates and rounds where each blend has a threshold to be found, which takes 4 ms for each fold."""


def affordable(goal: Goal, shape: tuple[int, ...], rounds: int) -> tuple[int, int]:
    """How many candidates to look at, and in how many rounds, for predictions of this shape ([n, k] or [n])."""
    if _is_linear(goal, shape):
        return int(np.clip(_NUMBERS.get(goal.metric, _USUAL_NUMBERS) // shape[0], _LEAST, MOST)), rounds
    if goal.free:
        return _SCANNED, min(rounds, _SCANNED_ROUNDS)
    return int(np.clip(_SINGLE_NUMBERS // int(np.prod(shape)), _LEAST, MOST // 2)), rounds


def _is_linear(goal: Goal, shape: tuple[int, ...]) -> bool:
    return goal.metric in _LINEAR and not goal.constraints and (goal.metric != "roc_auc" or shape[1] == 2)


class Judge:
    """How blends of some candidates stand before the goal.

    Parameters
    ----------
    y : ndarray [n]
        Class codes or values.
    predictions : sequence of ndarray [n, k] or [n]
        One for each candidate, the best candidate first.
    goal : Goal
    parts : sequence of ndarray
        Rows (from 0) of each fold: the score is the mean over them, as in the search.
    """

    def __init__(
        self, y: npt.NDArray, predictions: Sequence[npt.NDArray], goal: Goal, parts: Sequence[Rows] | None = None
    ) -> None:
        self.y, self.goal = y, goal
        self.parts = [np.arange(len(y))] if parts is None else list(parts)
        self.shape = predictions[0].shape
        self._positive = 1 if goal.positive is None else goal.positive
        self._linear = _LINEAR[goal.metric] if _is_linear(goal, self.shape) else None
        numbers = [
            self._linear.numbers(y, each, self._positive) if self._linear else each.reshape(-1) for each in predictions
        ]
        self._numbers = np.array(numbers, dtype=np.float32 if self._linear else np.float64)
        self._added: dict[bytes, Floats] = {}
        alone = self._scores(self._numbers[:1], range(len(self.parts))).mean()
        # What is measured in the unit of the target is rounded relatively.
        self._unit = (abs(alone) or 1.0) if METRICS[goal.metric].needs == "values" else 1.0

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, weights: Floats, only: Sequence[int]) -> tuple[float, float]:
        """Violation and loss of one blend on some of the parts, rounded; smaller is better."""
        blended = (weights.astype(self._numbers.dtype) @ self._numbers)[None]
        return self._keys(blended, self._scores(blended, only), only)[0]

    def with_each(self, counts: npt.NDArray[np.int64], only: Sequence[int]) -> list[tuple[float, float]]:
        """The same for each blend that one more candidate makes of these (how often each is in)."""
        known = self._added.setdefault(counts.tobytes(), np.full((len(counts), len(self.parts)), np.nan))
        new = [part for part in only if np.isnan(known[0, part])]
        blends = np.empty((0, 0))
        if new or self.goal.constraints:
            blends = (counts.astype(self._numbers.dtype) @ self._numbers + self._numbers) / (int(counts.sum()) + 1)
            known[:, new] = self._scores(blends, new)
        return self._keys(blends, known[:, list(only)], only)

    def _scores(self, blends: npt.NDArray, only: Sequence[int]) -> Floats:
        """Scores of blends on each of these parts, [m, parts]."""
        found = np.empty((len(blends), len(only)))
        for at, part in enumerate(only):
            rows = self.parts[part]
            if self._linear:
                found[:, at] = self._linear.scores(blends[:, rows], self.y[rows], self._positive)
            else:
                found[:, at] = [self.goal.judge(self.y[rows], each[rows]).score for each in map(self._shaped, blends)]
        return found

    def _keys(self, blends: npt.NDArray, scores: Floats, only: Sequence[int]) -> list[tuple[float, float]]:
        sign = -1.0 if METRICS[self.goal.metric].greater_is_better else 1.0
        losses = np.round(sign * scores.mean(axis=1) / self._unit, DECIMALS)
        violations = np.zeros(len(losses))
        if self.goal.constraints:
            rows = np.concatenate([self.parts[part] for part in only])
            violations = np.array(
                [self.goal.judge(self.y[rows], each[rows]).violation for each in map(self._shaped, blends)]
            ).round(DECIMALS)
        return list(zip(violations.tolist(), losses.tolist(), strict=True))

    def _shaped(self, numbers: npt.NDArray) -> npt.NDArray:
        return numbers.reshape(self.shape)


def select(judge: Judge, rounds: int, only: Sequence[int] | None = None) -> Floats:
    """Weights of the candidates, [c], that sum to 1; most are 0.

    Members without which the rest is as good are left out, the lightest first. On the parts that are looked at the
    blend is never worse than the best of the candidates alone.

    Parameters
    ----------
    judge : Judge
    rounds : int
    only : sequence of int, optional
        The parts to look at; all by default.
    """
    looked_at = range(len(judge.parts)) if only is None else only
    counts = np.zeros(len(judge), dtype=np.int64)
    prefixes: list[tuple[tuple[float, float], npt.NDArray[np.int64]]] = []
    for _ in range(rounds):
        keys = judge.with_each(counts, looked_at)
        chosen = min(range(len(keys)), key=lambda at: (keys[at], counts[at] == 0, at))
        counts = counts + (np.arange(len(counts)) == chosen)
        prefixes.append((keys[chosen], counts))
    key, counts = min(prefixes, key=lambda prefix: prefix[0])
    weights = counts / counts.sum()
    for member in sorted(np.flatnonzero(weights), key=lambda at: (weights[at], -at)):
        rest = np.where(np.arange(len(weights)) == member, 0.0, weights)
        if rest.any() and judge.of(rest / rest.sum(), looked_at) <= key:
            weights = rest / rest.sum()
            key = judge.of(weights, looked_at)
    return weights


def within(weights: Floats, costs: Floats, most: float | None) -> Floats:
    """The weights, without the members that weigh least for what they cost, until all together cost no more; one stays.

    Parameters
    ----------
    weights, costs : ndarray [c]
    most : float or None
        None without a limit.
    """
    worth = weights / np.maximum(costs, 1e-9)
    members = [int(at) for at in np.argsort(worth, kind="stable") if weights[at]]
    while most is not None and len(members) > 1 and costs[members].sum() > most:
        weights = np.where(np.arange(len(weights)) == members.pop(0), 0.0, weights)
        weights = weights / weights.sum()
    return weights


def cross_fitted(judge: Judge, predictions: Sequence[npt.NDArray], rounds: int, seed: int) -> Floats:
    """What the ensemble would have predicted for each row, by weights that were selected on the other parts.

    The parts are the folds, several of many in one; of a single fold they are drawn at random.

    Returns
    -------
    ndarray [n, k] or [n]
    """
    blended = np.empty(judge.shape)
    if len(judge.parts) > 1:
        for group in range(min(PARTS, len(judge.parts))):
            own = range(group, len(judge.parts), PARTS)
            weights = select(judge, rounds, [part for part in range(len(judge.parts)) if part not in own])
            rows = np.concatenate([judge.parts[part] for part in own])
            blended[rows] = blend([each[rows] for each in predictions], weights)
        return blended
    order = np.random.default_rng(seed).permutation(len(judge.y))
    for rows in np.array_split(order, min(PARTS, len(order))):
        others = np.setdiff1d(order, rows)
        if not len(others):
            return blend(predictions, select(judge, rounds))
        seen = Judge(judge.y[others], [each[others] for each in predictions], judge.goal)
        blended[rows] = blend([each[rows] for each in predictions], select(seen, rounds))
    return blended


def blend(predictions: Sequence[npt.NDArray], weights: Floats) -> Floats:
    """The weighted mean, [n, k] or [n]."""
    members = zip(weights, predictions, strict=True)
    total: Floats = sum((weight * each.astype(np.float64) for weight, each in members if weight), start=np.zeros(()))
    return total


def standing(goal: Goal, y: npt.NDArray, prediction: npt.NDArray, parts: Sequence[Rows]) -> tuple[Standing, Floats]:
    """How predictions stand before the goal as the search judges them, and their score on each part."""
    scores = np.array([goal.judge(y[rows], prediction[rows]).score for rows in parts])
    violation = goal.judge(y, prediction).violation if goal.constraints else 0.0
    return Standing(float(scores.mean()), violation, goal.terms.threshold), scores
