"""The estimator that an ensemble becomes: the weighted mean of fitted models, from table to prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from mt_assets.trainer.evaluation.predictions import with_absent_classes
from mt_assets.trainer.features.preprocessor import TablePreprocessor


@dataclass
class Part:
    """One fitted estimator of a blend.

    Attributes
    ----------
    weight : float
        Those of all parts sum to 1.
    view : int
        Which of the blend's preprocessors encodes for it.
    estimator : estimator or None
        None where it knows one class alone.
    known : tuple of int
        Class codes that it knows; empty for regression.
    algorithm : str
    """

    weight: float
    view: int
    estimator: Any
    known: tuple[int, ...]
    algorithm: str


_MANY_ROWS: Final = 1_000
"""From so many rows on, it is worth it to let parts predict at the same time."""


@contextmanager
def _mapping(rows: int) -> Iterator[Callable[..., Iterable[np.ndarray]]]:
    """`map` for the predictions of parts, which leave Python's lock while they are at work: on all usable cores."""
    if rows < _MANY_ROWS:
        yield map
        return
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        yield pool.map


class _Blend(BaseEstimator):
    """Fitted parts behind shared preprocessors: rows are encoded once for all parts that want them encoded alike.

    Parameters
    ----------
    preprocessors : list of TablePreprocessor
        Fitted.
    parts : list of Part
    """

    def __init__(self, preprocessors: list[TablePreprocessor], parts: list[Part], n_classes: int = 0) -> None:
        self.preprocessors = preprocessors
        self.parts = parts
        self.n_classes = n_classes

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Refuse: a blend is put together of fitted models."""
        raise NotImplementedError("a blend is made of fitted models; train a new one with mt-assets train")

    def combined(self, encoded: list[np.ndarray]) -> np.ndarray:
        """Probabilities [n, k] by class codes, or values [n], of rows as each preprocessor encodes them."""
        return sum((self._of(at, matrix) for at, matrix in enumerate(encoded)), start=np.zeros(()))

    def _combined_of(self, frame: pd.DataFrame) -> np.ndarray:
        """The same with one encoded matrix in memory at a time."""
        parts = (self._of(at, each.transform(frame)) for at, each in enumerate(self.preprocessors))
        return sum(parts, start=np.zeros(()))

    def _of(self, view: int, matrix: np.ndarray) -> np.ndarray:
        """The weighted sum over the parts behind one preprocessor, in their order, however many predict at once."""
        total = np.zeros((len(matrix), self.n_classes) if self.n_classes else len(matrix))
        parts = [part for part in self.parts if part.view == view]
        with _mapping(len(matrix)) as mapping:
            for part, predicted in zip(parts, mapping(lambda part: self._predicted(part, matrix), parts), strict=True):
                total += part.weight * predicted
        return total

    def _predicted(self, part: Part, matrix: np.ndarray) -> np.ndarray:
        if not self.n_classes:
            return np.asarray(part.estimator.predict(matrix), dtype=np.float64).reshape(len(matrix))
        if part.estimator is None:
            probabilities = np.ones((len(matrix), 1))
        else:
            probabilities = np.asarray(part.estimator.predict_proba(matrix), dtype=np.float64)
        return with_absent_classes(probabilities, part.known, self.n_classes)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class BlendClassifier(ClassifierMixin, _Blend):
    """A blend of classifiers; its classes are the codes 0..k-1."""

    @property
    def classes_(self) -> np.ndarray:
        return np.arange(self.n_classes)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities of canonical rows, float64 [n, k] in the order of the class codes."""
        return self._combined_of(frame)

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """The likeliest class code of canonical rows, [n]."""
        codes: np.ndarray = self.predict_proba(frame).argmax(axis=1)
        return codes


class BlendRegressor(RegressorMixin, _Blend):
    """A blend of regressors."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Values of canonical rows, float64 [n]."""
        return self._combined_of(frame)
