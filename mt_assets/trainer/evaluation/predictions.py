"""Predictions together with the rows that they are for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mt_assets.trainer.data.assignment import Splits
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.data.target import encode_target


@dataclass(frozen=True)
class FoldPrediction:
    """What a candidate predicted for the validation rows of one fold, having been fitted on the others.

    Attributes
    ----------
    fold : int
        Number of the fold in `Splits.folds`; 0 is the canonical one.
    positions : ndarray [n], int64
        The rows, as numbers in the raw table.
    prediction : ndarray [n, k] or [n]
        Probabilities in the order of the target's class codes, or predicted values.
    """

    fold: int
    positions: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.floating]


def pooled(folds: tuple[FoldPrediction, ...]) -> FoldPrediction:
    """All folds as one: each row once, in ascending order; where folds repeat a row, the mean of its predictions."""
    everything = np.concatenate([fold.positions for fold in folds])
    positions, row = np.unique(everything, return_inverse=True)
    prediction = np.concatenate([fold.prediction for fold in folds]).astype(np.float64)
    total = np.zeros((len(positions), *prediction.shape[1:]))
    np.add.at(total, row, prediction)
    times = np.bincount(row).reshape(-1, *[1] * (prediction.ndim - 1))
    return FoldPrediction(fold=0, positions=positions, prediction=total / times)


def targets(table: Table, profile: DataProfile, positions: npt.NDArray[np.int64]) -> "pd.Series[Any]":
    """Class codes or values of rows, by position."""
    column = table.take(positions).frame([profile.target.column])
    return pd.Series(encode_target(column[profile.target.column], profile.target), index=column.index)


def fold_truth(table: Table, profile: DataProfile, splits: Splits, folds: int) -> list[npt.NDArray]:
    """What predictions for the validation rows (ascending) of the first folds are held against.

    Class codes or values [n]; of series values and what errors are multiplied by, see `SeriesData.truth`.
    """
    if profile.series is not None:
        from mt_assets.trainer.forecasting.series_data import SeriesData

        data = SeriesData(table, profile.series, splits)
        return [data.truth(window) for window in range(folds)]
    positions = [np.sort(fold.validation) for fold in splits.folds[:folds]]
    known = targets(table, profile, np.unique(np.concatenate(positions)))
    return [known.loc[rows].to_numpy() for rows in positions]


def with_absent_classes(probabilities: npt.NDArray, known: Sequence[int], n_classes: int) -> npt.NDArray:
    """Probabilities [n, n_classes] of an estimator that knows these class codes alone; the others have 0."""
    if len(known) == n_classes:
        return probabilities
    everything = np.zeros((len(probabilities), n_classes))
    everything[:, list(known)] = probabilities
    return everything
