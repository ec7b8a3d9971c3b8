"""Several objectives: which trials are compromises, and which one of them is chosen.

A trial is on the Pareto front when no other is at least as good in every objective and better in one. The choice among
them is compromise programming (Zeleny, Compromise programming, 1973): each objective is scaled to its range over the
front, and the trial nearest to the ideal point, which has the best value of every objective, is taken. Near is whose
largest shortfall is smallest (Chebyshev's distance): both ends of a front are then at distance 1 and everything between
them is nearer, where Euclid's distance takes an end of any front that is bent inwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from mt_assets.trainer.search.result import TrialRecord

SUM_WEIGHT = 1e-3
"""Of the sum of all shortfalls, added to the largest one (Steuer & Choo, An interactive weighted Tchebycheff procedure,
1983): of two trials with the same largest shortfall the one that falls less short in the others is nearer."""

Directions = Sequence[Literal["maximize", "minimize"]]


def pareto_front(trials: Sequence[TrialRecord], directions: Directions) -> tuple[int, ...]:
    """Numbers of the trials that no other dominates, ascending.

    Parameters
    ----------
    trials : sequence of TrialRecord
        Complete ones, with `values`.
    directions : sequence of {"maximize", "minimize"}
        One for each objective.
    """
    losses = _losses(trials, directions)
    return tuple(trial.number for trial, loss in zip(trials, losses, strict=True) if not _dominated(loss, losses))


def distances(trials: Sequence[TrialRecord], directions: Directions) -> npt.NDArray[np.float64]:
    """Distance of each trial to the ideal point.

    Returns
    -------
    ndarray [n]
        The largest shortfall, each objective in units of its range over the front, and `SUM_WEIGHT` of the sum of all;
        0 is ideal. The smallest is that of a trial on the front: a trial that dominates another is nearer.
    """
    losses = _losses(trials, directions)
    front = losses[[not _dominated(loss, losses) for loss in losses]]
    span = np.ptp(front, axis=0)
    scaled = (losses - front.min(axis=0)) / np.where(span > 0, span, 1.0)
    distance: npt.NDArray[np.float64] = scaled.max(axis=1) + SUM_WEIGHT * scaled.sum(axis=1)
    return distance


def _losses(trials: Sequence[TrialRecord], directions: Directions) -> npt.NDArray[np.float64]:
    """The values with every objective to be made small; [n, objectives]."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    return np.array([trial.values for trial in trials], dtype=np.float64).reshape(-1, len(signs)) * signs


def _dominated(loss: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]) -> bool:
    return bool(((losses <= loss).all(axis=1) & (losses < loss).any(axis=1)).any())
