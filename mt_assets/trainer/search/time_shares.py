"""How a limited time is dealt out: folds of a trial, and seconds of a fit.

Nothing here plays a part where trials are counted and not timed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from mt_assets.trainer.evaluation.goal import Goal, Standing
from mt_assets.trainer.search.candidate import CandidateResult

WANTED_CANDIDATES: Final = 12
"""So many candidates should fit into the time, before each of them is held to every fold: a dozen start configurations
of several kinds gain more, together, than more folds for fewer of them."""

COST_FACTOR: Final = 1.5
"""A candidate costs so many times the fit that is measured, a booster with the library's defaults: slow learning rates
and deep trees cost more, linear models less."""

PILOT_SHARE: Final = 0.1
"""Of the time, after which the fit that is measured is stopped: it is then known to be slower."""

GRADUAL_SHARE, WHOLE_SHARE = 0.25, 0.1
"""Of all workers' time, that one trial may take at most: no candidate is worth all others. One that is of no use before
it is finished may take less."""

LEAST_SECONDS: Final = 0.5
"""No fit is told to be over sooner: a booster has a few rounds by then."""

QUICK_FIT: Final = 1.0
"""Seconds of a final fit that what comes after the search has room for."""

SPEED_UP: Final = 1.5
"""Of a booster by its second thread, at least."""

FINAL_SHARE: Final = 0.3
"""Of the time, that is kept for the final fit at most."""


@dataclass
class TimeShares:
    """Deals out the time of a search.

    Attributes
    ----------
    began, limit : float
        When it began, and when it has to be over, by `time.monotonic()`.
    workers, threads : int
        Fits at once in the search, and threads of the final fit.
    """

    began: float
    limit: float
    workers: int
    threads: int
    _best: Standing | None = None
    _best_seconds: float = 0.0

    def affordable_folds(self, seconds: float, folds: int) -> int:
        """How many folds each trial can run on, when a fit takes so long: at least one."""
        fits = (self.limit - self.began) * self.workers / max(seconds * COST_FACTOR, 1e-3)
        return max(1, min(folds, math.floor(fits / WANTED_CANDIDATES)))

    def pilot_deadline(self) -> float:
        """When the fit that is measured stops."""
        return self.began + max(LEAST_SECONDS, PILOT_SHARE * (self.limit - self.began))

    def note(self, outcome: CandidateResult, goal: Goal) -> None:
        """Remember how long a fit of the best candidate takes: it will be fitted once more, on all rows."""
        standing = Standing(outcome.score, outcome.violation, goal.terms.threshold)
        if not outcome.pruned and (self._best is None or goal.better(standing, self._best)):
            self._best = standing
            self._best_seconds = sum(fold.seconds for fold in outcome.folds) / len(outcome.folds)

    def search_ends(self, folds: int) -> float:
        """When trials have to be over, so that the best candidate's final fit has time as well.

        A fit on a fold has `1 - 1/folds` of the rows, and one thread; the final fit has all of both.
        """
        alone = self._best_seconds * folds / max(folds - 1, 1)
        longer = alone / (SPEED_UP if self.threads > 1 else 1.0) - QUICK_FIT
        return self.limit - min(max(longer, 0.0), FINAL_SHARE * (self.limit - self.began))

    def deadline(self, now: float, folds_left: int, folds: int, *, gradual: bool) -> float:
        """When a fit has to be over, so that its trial ends in time with no more than its share.

        Parameters
        ----------
        now : float
        folds_left : int
            Of its trial, this one among them.
        folds : int
            Of a whole trial.
        gradual : bool
            See `Algorithm.gradual`.
        """
        share = (GRADUAL_SHARE if gradual else WHOLE_SHARE) * (self.limit - self.began) * self.workers / folds
        rounds = math.ceil(folds_left / self.workers)
        left = (self.limit - now) / rounds
        return now + max(LEAST_SECONDS, min(share, left))
