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

FEW_CANDIDATES, MANY_CANDIDATES = 12, 40
"""So many candidates should fit into the time, before each of them is held to more folds: a dozen start configurations
of several kinds gain more, together, than more folds for fewer of them. Where the folds have rows enough to rank
candidates, even forty do (60 s, 2 folds of 8 and not 8: RMSE diamonds 525.8 and 532.2, AUC adult .9317 and .9312)."""

ENOUGH_JUDGED: Final = 2_500
"""Validation rows that rank candidates: of so many AutoGluon makes its holdout."""

COST_FACTOR: Final = 2.5
"""A candidate costs so many times the fit that is measured, a booster with the library's defaults: CatBoost, networks,
slow learning rates and deep trees cost more, linear models less (1.5 to 2.9 times on nine of ten tables with 60 s, once
where there are 26 classes)."""

PILOT_SHARE: Final = 0.1
"""Of the time, after which the fit that is measured is stopped: it is then known to be slower."""

GRADUAL_SHARE, WHOLE_SHARE = 0.25, 0.1
"""Of all workers' time, that one trial may take at most: no candidate is worth all others. One that is of little use
before it is finished may take less. (A network that was held to the smaller share left letter at a log-loss of .0990 in
60 s and digits at .058; with the larger one they come to .0807 and .048.)"""

LEAST_SECONDS: Final = 0.5
"""No fit is told to be over sooner: a booster has a few rounds by then."""

FINAL_SHARE: Final = 0.35
"""Of the time, that is kept for the final model at most."""

LONGEST_FINAL_FIT: Final = 0.35
"""Of the time: a fit ends so early that one on all learning rows takes no longer, which leaves time to predict."""

ENSEMBLE_SHARE, REFIT_SHARE = 0.1, 0.35
"""Of the time, that is kept for an ensemble at most, where one candidate does not need more: the last tenth of a search
gains less than the members that it would cost, of which forests cost most. More where members have learned from a
part of the rows and are to be fitted on all of them."""

USUAL_MEMBERS: Final = 8
"""Of an ensemble: the best candidates, as a rule. Time for 5 of them left adult at an AUC of .9311 in 60 s, for 8 at
.9314."""

ANSWERING: Final = 0.25
"""Of what is left of the time, kept for predictions of a fit and for storing it: a thousand trees of 128 leaves grow in
2.6 s on `bike_hourly`, and take 0.8 s more (LightGBM)."""


@dataclass
class TimeShares:
    """Deals out the time of a search.

    Attributes
    ----------
    began, limit : float
        When it began, and when it has to be over, by `time.monotonic()`.
    rest_begins : float
        When what comes after the final fit has to begin; infinite where the search alone is limited.
    workers : int
        Fits at once.
    final : FinalCost
    ensemble : bool
        Whether the final model may be one.
    folds : int
        That each trial runs on.
    """

    began: float
    limit: float
    rest_begins: float
    workers: int
    final: FinalCost
    ensemble: bool
    folds: int
    _best: list[tuple[Standing, float, float]] = field(default_factory=list)

    def affordable_folds(self, seconds: float, folds: int, judged: int, trials: int) -> int:
        """How many folds each trial can run on, when a fit takes so long, a fold has so many validation rows, and there
        are no more than so many trials: at least one."""
        fits = (self.limit - self.began) * self.workers / max(seconds * COST_FACTOR, 1e-3)
        of_few, of_many = (math.floor(fits / min(most, trials)) for most in (FEW_CANDIDATES, MANY_CANDIDATES))
        return max(1, min(folds, max(of_many, min(of_few, math.ceil(ENOUGH_JUDGED / judged)))))

    def pilot_deadline(self) -> float:
        """When the fit that is measured stops."""
        return self.began + max(LEAST_SECONDS, PILOT_SHARE * (self.limit - self.began))

    def note(self, outcome: CandidateResult, goal: Goal) -> None:
        """Remember what a candidate costs after the search: alone where it is the best, and in an ensemble."""
        if outcome.pruned:
            return
        refitted = self.final.better_refitted(len(outcome.folds))
        member = self.final.refitted(outcome.folds) if refitted else self.final.member(outcome.folds)
        standing = Standing(outcome.score, outcome.violation, goal.terms.threshold)
        worse = (at for at, (other, _, _) in enumerate(self._best) if goal.better(standing, other))
        self._best.insert(next(worse, len(self._best)), (standing, self.final.single(outcome.folds), member))
        del self._best[USUAL_MEMBERS:]

    def search_ends(self) -> float:
        """When trials have to be over, so that the final model has time as well: one candidate, or several."""
        time = self.limit - self.began
        kept = min(self._best[0][1], FINAL_SHARE * time) if self._best else 0.0
        if self.ensemble:
            share = REFIT_SHARE if self.final.better_refitted(self.folds) else ENSEMBLE_SHARE
            together = sum(member for _, _, member in self._best) if self._best else time
            kept = max(kept, min(together, share * time))
        return min(self.limit, self.rest_begins - max(kept - QUICK_FINAL, 0.0))

    def deadline(self, now: float, folds_left: int, folds: int, *, gradual: bool) -> float:
        """When a fit has to be over, so that its trial ends in time with no more than its share.

        Parameters
        ----------
        now : float
        folds_left : int
            Of its trial and those before it, this one among them.
        folds : int
            Of a whole trial.
        gradual : bool
            See `Algorithm.gradual`.
        """
        time = self.limit - self.began
        share = (GRADUAL_SHARE if gradual else WHOLE_SHARE) * time * self.workers / folds
        share = min(share, LONGEST_FINAL_FIT * time / self.final.growth)
        rounds = math.ceil(folds_left / self.workers)
        left = (1 - ANSWERING) * (self.search_ends() - now) / rounds
        return now + max(LEAST_SECONDS, min(share, left))
