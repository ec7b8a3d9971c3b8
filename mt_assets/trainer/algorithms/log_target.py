"""A regression on the logarithm of its target."""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone

MARGIN: Final = 0.1
"""How far predictions may lie beyond the logarithms of the training target, as a share of their range: one that strays
would be a value of any size when it is turned back."""


class LogTarget(RegressorMixin, BaseEstimator):
    """Predict `expm1` of what a regressor has learned of `log1p` of the target.

    Parameters
    ----------
    estimator : estimator
        Of the logarithms. It may be fitted already, see `around`.

    Attributes
    ----------
    estimator_ : estimator
        Fitted.
    bounds_ : tuple of float
        Least and greatest logarithm that is predicted.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    @classmethod
    def around(cls, fitted: Any, y: np.ndarray) -> Self:
        """One whose estimator was fitted on the logarithms of `y` already."""
        made = cls(fitted)
        made._keep(fitted, log_values(y))
        return made

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Fit a clone on the logarithms of a target [n] that is nowhere negative."""
        logs = log_values(y)
        self._keep(clone(self.estimator).fit(X, logs), logs)
        return self

    def _keep(self, fitted: Any, logs: np.ndarray) -> None:
        low, high = float(logs.min()), float(logs.max())
        reach = MARGIN * (high - low)
        self.estimator_ = fitted
        self.bounds_ = (low - reach, high + reach)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Values float64 [n], on the scale of the target."""
        logs = np.asarray(self.estimator_.predict(X), dtype=np.float64).reshape(len(X))
        # What is not a number stays none, for the caller to see.
        return np.maximum(np.expm1(np.clip(logs, *self.bounds_)), 0.0)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Those of the estimator, where it has any."""
        return np.asarray(self.estimator_.feature_importances_)

    @property
    def coef_(self) -> np.ndarray:
        """Those of the estimator, where it has any: changes of the logarithm."""
        return np.asarray(self.estimator_.coef_)


def log_values(y: np.ndarray) -> np.ndarray:
    """`log1p` of values; below 0, which the rows that the choice was made on never were, counts as 0."""
    return np.log1p(np.maximum(np.asarray(y, dtype=np.float64), 0.0))
