"""Intervals around forecasts, from how far forecasts were off at the origins (split conformal prediction).

Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005), with signed errors, each divided by the scale of
its series, of each step ahead for itself: what comes next month is known better than what comes next year.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVEL: Final = 0.9
"""Share of values that the interval is to hold."""

QUANTILES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Of the forecast distribution: deciles, by which it is judged, and both ends of the interval."""

LEAST_ERRORS: Final = 40
"""Errors behind the quantiles of a step. Where a step has fewer, those of its neighbours count with it, the nearest
first: with 40 the 5 % quantile is the second smallest."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """Quantiles of the errors of each step.

    Attributes
    ----------
    offsets : ndarray [horizon, len(QUANTILES)]
        Of value minus forecast, in scales of the series.
    errors : int
        How many stand behind those of a step, at least.
    """

    offsets: NDArray[np.float64]
    errors: int

    @classmethod
    def learn(cls, errors: NDArray[np.float64], steps: NDArray[np.int64], horizon: int) -> Intervals:
        """From scaled errors [n] for rows that the forecaster did not know, and the step (from 0) of each."""
        offsets, least = np.empty((horizon, len(QUANTILES))), len(errors)
        for step in range(horizon):
            near = _near(errors, steps, step)
            offsets[step] = conformal_quantiles(near)
            least = min(least, len(near))
        return cls(offsets, least)

    def quantiles(self, forecasts: NDArray[np.float64], scales: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantiles [s, horizon, len(QUANTILES)] around forecasts [s, horizon] of series with these scales [s].

        The interval holds the forecast itself, also where all errors leaned one way.
        """
        offsets = self.offsets.copy()
        offsets[:, 0], offsets[:, -1] = np.minimum(offsets[:, 0], 0.0), np.maximum(offsets[:, -1], 0.0)
        found: NDArray[np.float64] = forecasts[:, :, None] + offsets[None] * scales[:, None, None]
        return found


def _near(errors: NDArray[np.float64], steps: NDArray[np.int64], step: int) -> NDArray[np.float64]:
    """Errors of a step and of as many neighbours as are needed."""
    distance = np.abs(steps - step)
    for reach in range(int(distance.max(initial=0)) + 1):
        inside = errors[distance <= reach]
        if len(inside) >= LEAST_ERRORS:
            return inside
    return errors


def conformal_quantiles(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles that a new error, exchangeable with these, lies below with at least (above one half) or at most that
    probability: the k-th smallest with k = ceil((n + 1) q), or floor below one half; the extremes where n is too small.
    """
    ordered, n = np.sort(errors), len(errors)
    if not n:
        return np.zeros(len(QUANTILES))
    ranks = [np.ceil((n + 1) * q) if q > 0.5 else np.floor((n + 1) * q) for q in QUANTILES]
    chosen: NDArray[np.float64] = ordered[np.clip(np.array(ranks, dtype=np.int64), 1, n) - 1]
    chosen[QUANTILES.index(0.5)] = np.median(ordered)
    return chosen


def weighted_quantile_loss(values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> float | None:
    """Mean over the deciles of 2 * sum of pinball losses / sum of |values| (the definition of GluonTS).

    Parameters
    ----------
    values : ndarray [n]
    quantiles : ndarray [n, len(QUANTILES)]

    Returns
    -------
    float or None
        None where all values are 0.
    """
    total = float(np.abs(values).sum())
    if not total:
        return None
    losses = []
    for at, q in enumerate(QUANTILES):
        if q in (QUANTILES[0], QUANTILES[-1]):
            continue
        off = values - quantiles[:, at]
        losses.append(2 * float(np.maximum(q * off, (q - 1) * off).sum()) / total)
    return float(np.mean(losses))


def coverage(values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> float | None:
    """Share of the values that lie in the interval; None of none."""
    if not len(values):
        return None
    return float(np.mean((values >= quantiles[:, 0]) & (values <= quantiles[:, -1])))
