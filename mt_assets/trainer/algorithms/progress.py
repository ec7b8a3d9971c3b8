"""How far a booster has come, and whether it can still come far enough.

Its progress is rounds times learning rate, so that slow and fast learners are held against each other where they have
learned equally much. What is noted are the best losses at rungs of it; the losses of fits that stop early flatten from
rung to rung, so that one which would not reach a bar even if it gained as much again as in the last doubling is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

FIRST_RUNG: Final = 2.0
"""Progress at which the first loss is noted. Verdicts begin at the double of it: before that losses fall alike for all,
and the less the faster they will fall later."""

PER_DOUBLING: Final = 2
"""Rungs from a progress to the double of it."""


class Progress:
    """The losses of a fit on the rows that it stops on, round by round.

    Parameters
    ----------
    rate : float
        Learning rate.
    bar : float, optional
        Loss that the fit has to be able to reach.

    Attributes
    ----------
    losses : list of float
        May be filled before the fit goes on, by one that goes on from a checkpoint.
    lost : bool
        Whether the bar was found out of reach.
    """

    def __init__(self, rate: float, bar: float | None = None) -> None:
        self.losses: list[float] = []
        self.lost = False
        self._rate = rate
        self._bar = bar

    def add(self, loss: float) -> bool:
        """Note the loss after another round; whether to give up."""
        self.losses.append(loss)
        if self._bar is not None and self._reached(len(self.losses)):
            self.lost = is_lost(self.curve, self._bar)
        return self.lost

    @property
    def loss(self) -> float | None:
        """The best one so far."""
        return min(self.losses, default=None)

    @property
    def curve(self) -> tuple[float, ...]:
        """The best loss at each rung that was reached."""
        rungs, best = [], math.inf
        for rounds, loss in enumerate(self.losses, start=1):
            best = min(best, loss)
            rungs += [best] * self._reached(rounds)
        return tuple(rungs)

    def _reached(self, rounds: int) -> int:
        """How many rungs are reached with this very round; large rates reach several at once."""
        return self._passed(rounds) - self._passed(rounds - 1)

    def _passed(self, rounds: int) -> int:
        progress = rounds * self._rate / FIRST_RUNG
        return 0 if progress < 1 else 1 + math.floor(PER_DOUBLING * math.log2(progress) + 1e-9)


def is_lost(curve: Sequence[float], bar: float) -> bool:
    """Whether some rung said that the bar is out of reach.

    Parameters
    ----------
    curve : sequence of float
        See `Progress.curve`.
    bar : float
    """
    doubled = zip(curve[:-PER_DOUBLING], curve[PER_DOUBLING:], strict=True)
    return any(now - (before - now) > bar for before, now in doubled)
