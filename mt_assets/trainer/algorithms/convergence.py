"""Fits that may end before they have converged: what is tried against it, and the notes that say so.

What belongs here: linear models, which are given more iterations and then a stronger penalty. What does not: networks,
whose remedy is a gentler learning rate (`neural_network`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mt_assets.trainer.algorithms.algorithm import FitReport

_ALONE: Final = Lock()


@dataclass(frozen=True)
class Remedy:
    """What is changed of an estimator that does not converge.

    Attributes
    ----------
    more_iterations : int
        `max_iter` of the second try.
    stronger : dict
        Parameters of the third: a stronger penalty.
    told : str
        The stronger penalty, as a person knows it.
    """

    more_iterations: int
    stronger: dict[str, Any]
    told: str


def fit_until_converged(
    name: str, estimator: Any, X: np.ndarray, y: np.ndarray, *, remedy: Remedy | None = None, **weights: Any
) -> FitReport:
    """Fit; where that does not converge with more iterations, and then with a stronger penalty as well. Note it.

    Parameters
    ----------
    name : str
        Of the algorithm, for the note.
    estimator : estimator
        With `max_iter`, where there is a remedy.
    X, y : arrays [n, p], [n]
    remedy : Remedy, optional
    **weights
        Passed to `fit`.
    """
    if _converges(estimator, X, y, weights):
        return FitReport()
    if remedy is None:
        return FitReport(notes=(f"{name} was stopped before it had converged",))
    usual, more = estimator.max_iter, remedy.more_iterations
    estimator.set_params(max_iter=more)
    if _converges(estimator, X, y, weights):
        return FitReport(notes=(f"{name} did not converge in {usual:,} iterations; {more:,} were enough",))
    estimator.set_params(**remedy.stronger)
    helped = _converges(estimator, X, y, weights)
    end = f"it was fitted with {remedy.told} instead" if helped else f"nor with {remedy.told}"
    return FitReport(notes=(f"{name} did not converge in {more:,} iterations{';' if helped else ','} {end}",))


def _converges(estimator: Any, X: np.ndarray, y: np.ndarray, weights: dict[str, Any]) -> bool:
    """Fit; whether it converged. Warnings about anything else are passed on."""
    # What catches warnings does so for all threads of the process.
    with _ALONE, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(X, y, **weights)
    others = [each for each in caught if not issubclass(each.category, ConvergenceWarning)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return len(others) == len(caught)
