"""The clock of a run with a time budget: what is left of it, and when each part has to be over.

What comes after the search costs about the same on any data: measured on a quiet machine it is written down below. How
much slower this machine is now is told by what came before the search, which costs about the same on any data too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

START_SECONDS: Final = 7.0
"""From the start of the process to the search, on two quiet cores: imports, opening the Dagster instance, reading,
describing, splitting and planning a table of some thousand rows."""

MOST_SLOWNESS: Final = 4.0
"""A start that took longer than four times as long says more about the data than about the machine."""

AFTER_SEARCH: Final = 11.0
AFTER_FIT: Final = 7.5
AFTER_IMPORTANCE: Final = 6.0
"""Seconds from the end of the search, of the learning curve and of the importance to the end of the process, on two
quiet cores, with an ensemble of some boosters on some thousand rows."""

ENDING_SEARCH: Final = 1.5
"""Of the seconds after the search, those until the final fit begins: last answers of fits, plots of the search."""

QUICK_FINAL: Final = 1.0
"""Of the seconds after the search, those for the final fit and for predicting with the model: one that needs more gets
them from the search, see `search.final_cost`."""


@dataclass(frozen=True)
class RunClock:
    """Says when the parts of a run have to be over.

    Attributes
    ----------
    began : float
        By `time.monotonic()`.
    budget : float or None
        Seconds for the whole run; None without a limit.
    start : float
        Seconds that it took to come to the search.
    """

    began: float
    budget: float | None
    start: float = START_SECONDS

    @property
    def slowness(self) -> float:
        """How many times slower than a quiet machine this one is: at least 1."""
        return min(MOST_SLOWNESS, max(1.0, self.start / START_SECONDS))

    def search_ends(self) -> float | None:
        """When the search has to be over; None without a limit."""
        return self._leaving(AFTER_SEARCH)

    def final_ends(self) -> float | None:
        """Until when there is time for the final fit and for predicting with the model, once the search is over."""
        return self._leaving(AFTER_SEARCH - ENDING_SEARCH - QUICK_FINAL)

    def curve_ends(self, besides: float = 0.0) -> float | None:
        """After when no further point of the learning curve is fitted, where what comes later takes so many seconds
        more for this model."""
        return self._leaving(AFTER_FIT, besides)

    def importance_ends(self, besides: float = 0.0) -> float | None:
        """When the importance of columns has to be known, where what comes later takes so many seconds more for this
        model."""
        return self._leaving(AFTER_IMPORTANCE, besides)

    def spent(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def left(self) -> float:
        """Seconds until the budget is spent; infinity without a limit."""
        return float("inf") if self.budget is None else self.budget - self.spent()

    def _leaving(self, seconds: float, besides: float = 0.0) -> float | None:
        return None if self.budget is None else self.began + self.budget - seconds * self.slowness - besides
