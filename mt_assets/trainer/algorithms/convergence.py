"""Fits by iteration that may end before they have converged: one more try, and then a note instead of a warning."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mt_assets.trainer.algorithms.algorithm import FitReport


def fit_until_converged(
    name: str, estimator: Any, X: np.ndarray, y: np.ndarray, *, more_iterations: int | None = None, **weights: Any
) -> FitReport:
    """Fit, once more with more iterations if the first did not converge, and note it if that did not either.

    Parameters
    ----------
    name : str
        Of the algorithm, for the note.
    estimator : estimator
        With `max_iter`, where `more_iterations` is given.
    X, y : arrays [n, p], [n]
    more_iterations : int, optional
        `max_iter` of the second try; without it there is none.
    **weights
        Passed to `fit`.
    """
    if _converges(estimator, X, y, weights):
        return FitReport()
    if more_iterations is None:
        return FitReport(notes=(f"{name} was stopped before it had converged",))
    usual = estimator.max_iter
    estimator.set_params(max_iter=more_iterations)
    if _converges(estimator, X, y, weights):
        return FitReport(notes=(f"{name} needed more than {usual} iterations",))
    return FitReport(notes=(f"{name} did not converge in {more_iterations} iterations",))


def _converges(estimator: Any, X: np.ndarray, y: np.ndarray, weights: dict[str, Any]) -> bool:
    """Fit; whether it converged. Warnings about anything else are passed on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(X, y, **weights)
    others = [each for each in caught if not issubclass(each.category, ConvergenceWarning)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return len(others) == len(caught)
