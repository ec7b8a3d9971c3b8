"""What people get of a model's predictions: calibrated probabilities, and labels by a threshold.

What belongs here: what a delivery is, and what the folds would have got of it. What does not: how it is chosen
(`delivery_choice`), the maps (`calibration`), and which threshold is best (`goal`).

Everything is judged crosswise: a map or threshold is found on all parts of the rows but one and looked at on that one.
The parts are the folds; of a single fold, of repeated ones and of very many they are drawn anew, at random.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mt_assets.trainer.evaluation.calibration import Calibration, Method, fit_calibration
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import Terms
from mt_assets.trainer.evaluation.predictions import FoldPrediction, pooled
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store.record import Record

PARTS, MOST_PARTS = 5, 20
"""Random parts where the folds cannot be the parts, and up to how many folds they can."""


class Delivery(Record):
    """How a model's scores become what people get.

    Attributes
    ----------
    threshold : float or None
        Probability of the positive class from which a row is labelled as it; None for more classes and for regression.
    tuned : bool
        Whether the threshold was found on out-of-fold predictions.
    calibration : Calibration or None
        Applied to the probabilities, before the threshold.
    decisions : tuple of Decision
    warnings : tuple of str
        Constraints that cannot be kept, and the like.
    suggestions : tuple of str
        What a person can do about the warnings.
    """

    threshold: float | None = None
    tuned: bool = False
    calibration: Calibration | None = None
    decisions: tuple[Decision, ...] = ()
    warnings: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()

    @property
    def label_threshold(self) -> float:
        """The threshold, or what stands in its place where there is none."""
        return 0.5 if self.threshold is None else self.threshold


@dataclass(frozen=True)
class Delivered:
    """What would have been delivered for the validation rows of a fold, by what was found on other rows.

    Attributes
    ----------
    fold : FoldPrediction
        With calibrated probabilities.
    terms : Terms
        With the threshold of each row.
    """

    fold: FoldPrediction
    terms: Terms


@dataclass(frozen=True)
class Pool:
    """Out-of-fold predictions of all rows, each once, cut into parts.

    Attributes
    ----------
    positions : ndarray [n], int64
        Ascending.
    y : ndarray [n]
        Class codes or values.
    prediction : ndarray [n, k] or [n]
        As the candidate made them.
    part : ndarray [n], int64
        Number of each row's part, from 0.
    """

    positions: npt.NDArray[np.int64]
    y: npt.NDArray
    prediction: npt.NDArray
    part: npt.NDArray[np.int64]

    @classmethod
    def of(cls, folds: tuple[FoldPrediction, ...], truth: "pd.Series[Any]", seed: int) -> "Pool":
        """Put the folds together; `truth` is by position, and `seed` draws parts where folds cannot be the parts."""
        together = pooled(folds)
        positions = together.positions
        if 2 <= len(folds) <= MOST_PARTS and sum(len(fold.positions) for fold in folds) == len(positions):
            part = np.empty(len(positions), dtype=np.int64)
            for number, fold in enumerate(folds):
                part[np.searchsorted(positions, fold.positions)] = number
        else:
            part = np.random.default_rng(seed).permutation(len(positions)) % min(PARTS, len(positions))
        return cls(positions, truth.loc[pd.Index(positions)].to_numpy(), together.prediction, part)

    @property
    def parts(self) -> range:
        return range(int(self.part.max()) + 1)

    def calibrations(self, method: Method | None, positive: int | None) -> list[Calibration | None]:
        """For each part the map that was fitted on the others."""
        if method is None:
            return [None for _ in self.parts]
        others = [self.part != part for part in self.parts]
        return [fit_calibration(method, self.y[rows], self.prediction[rows], positive) for rows in others]

    def thresholds(self, goal: Goal, prediction: npt.NDArray) -> npt.NDArray[np.float64]:
        """For each row the threshold that was found on the other parts of these predictions."""
        others = [self.part != part for part in self.parts]
        found = [goal.best(self.y[rows], prediction[rows]).threshold for rows in others]
        return np.array(found)[self.part]


def calibrated(
    prediction: npt.NDArray, part: npt.NDArray[np.int64], calibrations: list[Calibration | None]
) -> npt.NDArray:
    """Each row through the map of its part."""
    changed = np.array(prediction, dtype=np.float64)
    for number, calibration in enumerate(calibrations):
        rows = part == number
        if calibration is not None and rows.any():
            changed[rows] = calibration.apply(prediction[rows])
    return changed


def cross_fitted(
    goal: Goal,
    delivery: Delivery,
    folds: tuple[FoldPrediction, ...],
    truth: "pd.Series[Any]",
    seed: int,
) -> tuple[Delivered, ...]:
    """What each fold would have got of the delivery, by maps and thresholds found on the other parts.

    Parameters
    ----------
    goal : Goal
    delivery : Delivery
    folds : tuple of FoldPrediction
        As the candidate predicted them.
    truth : pandas.Series
        Class codes or values by position.
    seed : int
        The plan's.
    """
    pool = Pool.of(folds, truth, seed)
    fixed = goal.terms.at(goal.terms.threshold if delivery.threshold is None else delivery.threshold)
    if delivery.calibration is None and not delivery.tuned:
        return tuple(Delivered(fold, fixed) for fold in folds)
    method = None if delivery.calibration is None else delivery.calibration.method
    calibrations = pool.calibrations(method, goal.positive)
    thresholds = np.full(len(pool.y), fixed.threshold)
    if delivery.tuned:
        thresholds = pool.thresholds(goal, calibrated(pool.prediction, pool.part, calibrations))
    delivered = []
    for fold in folds:
        rows = np.searchsorted(pool.positions, fold.positions)
        prediction = calibrated(fold.prediction, pool.part[rows], calibrations)
        changed = FoldPrediction(fold.fold, fold.positions, prediction)
        delivered.append(Delivered(changed, fixed.at(thresholds[rows])))
    return tuple(delivered)


def pooled_delivery(delivered: tuple[Delivered, ...]) -> Delivered:
    """All folds as one, as `predictions.pooled` does it; a repeated row gets the mean of its thresholds."""
    first = delivered[0].terms
    thresholds = tuple(
        FoldPrediction(
            each.fold.fold, each.fold.positions, np.broadcast_to(each.terms.threshold, len(each.fold.positions))
        )
        for each in delivered
    )
    return Delivered(
        pooled(tuple(each.fold for each in delivered)), first.at(pooled(thresholds).prediction.astype(np.float64))
    )
