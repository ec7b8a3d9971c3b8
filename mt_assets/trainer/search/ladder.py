"""The sample-size ladder of large tables: a candidate is fitted on few rows, and on all of them where it did well.

A rung is a fold with a sample of the training rows of the canonical fold, and of its validation rows. Rungs are
numbered from below, so that the last is -1 and folds go on from 0; they say who climbs on and are no part of a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

import numpy as np
from optuna.trial import FrozenTrial

from mt_assets.trainer.data.assignment import Fold
from mt_assets.trainer.search.proposals import WINDOW

JUDGED_ROWS: Final = 20_000
"""Validation rows of a rung at most: predicting more of them would cost more than the fit."""

LEAST_TRIALS: Final = 4
"""Trials that have to have reached a rung before one is held back there."""

RUNGS: Final = "rungs"
"""Trial attribute: its scores on the rungs, from below."""


def rungs_of(fold: Fold, sizes: Sequence[int], seed: int) -> tuple[Fold, ...]:
    """The rungs with so many training rows each; of two the smaller lies in the larger.

    Parameters
    ----------
    fold : Fold
        The canonical one.
    sizes : sequence of int
        Ascending.
    seed : int
    """
    if not sizes:
        return ()
    rng = np.random.default_rng([seed, len(fold.train)])
    train, validation = rng.permutation(fold.train), rng.permutation(fold.validation)
    judged = np.sort(validation[:JUDGED_ROWS])
    return tuple(Fold(np.sort(train[:size]), judged) for size in sizes)


@dataclass(frozen=True)
class Climb:
    """What a trial is held against on its way up, known when it begins.

    Attributes
    ----------
    scores : tuple of (tuple of float)
        By rung, those of the trials that it may know.
    direction : {"maximize", "minimize"}
    """

    scores: tuple[tuple[float, ...], ...]
    direction: Literal["maximize", "minimize"]

    @classmethod
    def of(
        cls, number: int, before: Sequence[FrozenTrial], rungs: int, direction: Literal["maximize", "minimize"]
    ) -> Climb:
        """Of a trial, by those up to number - `WINDOW` alone, like everything that a trial depends on."""
        reached = [trial.user_attrs.get(RUNGS, []) for trial in before[: max(0, number - WINDOW + 1)]]
        return cls(tuple(tuple(each[at] for each in reached if len(each) > at) for at in range(rungs)), direction)

    def held_back(self, rung: int, score: float) -> bool:
        """Whether the trial is worse than half of those that reached the rung, which counts from 0 here.

        On few rows all candidates are alike slow to start; half of them are kept, rather than the quarter that the rows
        grow by (asynchronous successive halving, Li et al. 2020), since who is best on few rows need not be on all.
        """
        known = self.scores[rung]
        if len(known) < LEAST_TRIALS:
            return False
        middle = median(known)
        return score < middle if self.direction == "maximize" else score > middle
