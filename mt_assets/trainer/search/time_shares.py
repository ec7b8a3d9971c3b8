"""How a limited time is dealt out: folds of a trial, seconds of a fit, and what is kept for the final model.

Nothing here plays a part where trials are counted and not timed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from mt_assets.trainer.clock import QUICK_FINAL
from mt_assets.trainer.evaluation.goal import Goal, Standing
from mt_assets.trainer.search.candidate import CandidateResult
from mt_assets.trainer.search.final_cost import FinalCost

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

FINAL_SHARE: Final = 0.3
"""Of the time, that is kept for the final model at most."""

ENSEMBLE_SHARE: Final = 0.05
"""Of the time, that is kept for an ensemble at most, where one candidate does not need more: the last twentieth of a
search gains less than the members that it would cost."""

USUAL_MEMBERS: Final = 10
"""Of an ensemble."""


@dataclass
class TimeShares:
    """Deals out the time of a search.

    Attributes
    ----------
    began, limit : float
        When it began, and when it has to be over, by `time.monotonic()`.
    workers : int
        Fits at once.
    final : FinalCost
    ensemble : bool
        Whether the final model may be one.
    """

    began: float
    limit: float
    workers: int
    final: FinalCost
    ensemble: bool
    _best: Standing | None = None
    _best_cost: float = 0.0
    _costs: list[float] = field(default_factory=list)

    def affordable_folds(self, seconds: float, folds: int) -> int:
        """How many folds each trial can run on, when a fit takes so long: at least one."""
        fits = (self.limit - self.began) * self.workers / max(seconds * COST_FACTOR, 1e-3)
        return max(1, min(folds, math.floor(fits / WANTED_CANDIDATES)))

    def pilot_deadline(self) -> float:
        """When the fit that is measured stops."""
        return self.began + max(LEAST_SECONDS, PILOT_SHARE * (self.limit - self.began))

    def note(self, outcome: CandidateResult, goal: Goal) -> None:
        """Remember what a candidate costs after the search: alone where it is the best, and in an ensemble."""
        if outcome.pruned:
            return
        self._costs.append(self.final.member(outcome.folds))
        standing = Standing(outcome.score, outcome.violation, goal.terms.threshold)
        if self._best is None or goal.better(standing, self._best):
            self._best = standing
            self._best_cost = self.final.single(outcome.folds)

    def search_ends(self) -> float:
        """When trials have to be over, so that the final model has time as well: one candidate, or several."""
        time = self.limit - self.began
        kept = min(self._best_cost, FINAL_SHARE * time)
        if self.ensemble and self._costs:
            together = USUAL_MEMBERS * sum(self._costs) / len(self._costs)
            kept = max(kept, min(together, ENSEMBLE_SHARE * time))
        return self.limit - max(kept - QUICK_FINAL, 0.0)

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
