"""Categories of many levels as what the target was with each, learned without showing a row its own target."""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from mt_assets.trainer.features.columns import label_matrix

MAX_CLASSES: Final = 10
"""Classes up to which one column each is made; of more, columns would outnumber what they tell."""

PARTS: Final = 5
"""Parts in which the training rows are encoded by each other's targets (scikit-learn's default)."""


def can_tell(y: np.ndarray) -> bool:
    """Whether the target is one that levels can be told by: values, or 2 to 10 classes."""
    return np.issubdtype(np.asarray(y).dtype, np.floating) or 2 <= len(_classes(y)) <= MAX_CLASSES


def _classes(y: Any) -> np.ndarray:
    """The class codes, ascending; none where the target is a value."""
    return np.unique(y) if np.issubdtype(np.asarray(y).dtype, np.integer) else np.empty(0, dtype=np.int64)


class TargetBlock(BaseEstimator):
    """Each level as the mean of the target with it, shrunk towards the mean of all (scikit-learn's TargetEncoder).

    Training rows are encoded by the targets of other training rows, new rows by those of all of them. What is missing
    is a level; unseen levels are the mean of all. Of more than two classes there is a column a class.

    Parameters
    ----------
    columns : list of str
    seed : int
        Of the parts.
    """

    def __init__(self, columns: list[str], seed: int) -> None:
        self.columns = columns
        self.seed = seed

    def fit_transform(self, frame: pd.DataFrame, y: np.ndarray | None) -> np.ndarray:
        """Learn from rows and their targets, and return them encoded by each other, float64 [n, features].

        Parameters
        ----------
        frame : pandas.DataFrame
        y : numpy.ndarray
            Class codes (integers) or values (floats); not needed without columns.
        """
        self.names_: list[str] = []
        self.sources_: list[str] = []
        self.encoder_: TargetEncoder | None = None
        if not self.columns:
            return np.empty((len(frame), 0))
        classes = _classes(y)
        # Named outright: prices that happen to be whole would be taken for classes.
        kind = "continuous" if not len(classes) else "binary" if len(classes) == 2 else "multiclass"
        # A splitter with a seed, since the default draws others in each fit.
        parts = KFold(min(PARTS, len(frame)), shuffle=True, random_state=self.seed)
        self.encoder_ = TargetEncoder(target_type=kind, cv=parts)
        encoded = self.encoder_.fit_transform(label_matrix(frame, self.columns), y)
        ends = [f"target_{code}" for code in classes] if len(classes) > 2 else ["target"]
        self.names_ = [f"{column}_{end}" for column in self.columns for end in ends]
        self.sources_ = [column for column in self.columns for _ in ends]
        return np.asarray(encoded, dtype=np.float64)

    def fit(self, frame: pd.DataFrame, y: Any = None) -> Self:
        self.fit_transform(frame, y)
        return self

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        if self.encoder_ is None:
            return np.empty((len(frame), 0))
        return np.asarray(self.encoder_.transform(label_matrix(frame, self.columns)), dtype=np.float64)
