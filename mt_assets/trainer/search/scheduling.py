"""Which fit comes next, and what follows from each: trials at work, their folds, and the verdicts on them.

What belongs here: the order of work, which is the same for any number of workers as far as trials and their outcomes
go. What does not: processes (`workers`), and what is kept of a trial (`ledger`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from optuna.trial import Trial

from mt_assets.trainer.algorithms.progress import is_lost
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import score
from mt_assets.trainer.search.candidate import Candidate, CandidateResult, FoldResult
from mt_assets.trainer.search.fits import Fits
from mt_assets.trainer.search.ladder import Climb
from mt_assets.trainer.search.pruning import Pruning, Verdicts
from mt_assets.trainer.search.tasks import Failure, Task


@dataclass(eq=False)
class OpenTrial:
    """A trial at work.

    Attributes
    ----------
    number : int
    trial : optuna.trial.Trial
    candidate : Candidate
    verdicts : Verdicts
    climb : Climb
    bar : float or None
        See `Pruning.bar`.
    answers : dict
        What came back of rungs and folds, also of ones whose turn has not come.
    judged : list of FoldResult
        Folds in their order, as far as they were judged.
    scores : list of float
        One for each of them.
    rungs : list of float
        One score for each rung that was reached.
    given : set of int
        Rungs and folds that were given to workers.
    """

    number: int
    trial: Trial
    candidate: Candidate
    verdicts: Verdicts
    climb: Climb
    bar: float | None = None
    answers: dict[int, FoldResult | Failure] = field(default_factory=dict)
    judged: list[FoldResult] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rungs: list[float] = field(default_factory=list)
    given: set[int] = field(default_factory=set)

    @property
    def lost(self) -> bool:
        """Whether it was given up on its first fold, while it boosted, because it could not reach the bar."""
        return self.bar is not None and bool(self.judged) and is_lost(self.judged[0].curve, self.bar)

    @property
    def rungs_to_climb(self) -> int:
        """Rungs of the whole ladder."""
        return len(self.climb.scores)

    def next_fold(self, folds: int, *, ahead: bool) -> int | None:
        """The next rung, or fold, to fit; before those given are judged only where none of them can end the trial, or
        ahead: never from a rung on, whose next step is four times as much work."""
        climbing = len(self.rungs) < self.rungs_to_climb
        waiting = len(self.given) > len(self.rungs) + len(self.judged)
        left = [fold for fold in range(-self.rungs_to_climb, folds) if fold not in self.given]
        if not left or (waiting and (climbing or not (self.verdicts.spared or ahead))):
            return None
        return left[0]


def next_task(opened: list[OpenTrial], folds: int, *, ahead: bool = False) -> Task | None:
    """The first fold of the earliest trial that can be fitted now.

    Parameters
    ----------
    opened : list of OpenTrial
        In the order of their numbers.
    folds : int
        Of an unpruned trial.
    ahead : bool
        Whether folds may be fitted that a verdict may make useless: better than that a worker idles.
    """
    for each in opened:
        fold = each.next_fold(folds, ahead=ahead)
        if fold is not None:
            each.given.add(fold)
            return Task(each.number, each.candidate, fold, bar=each.bar if fold == 0 else None)
    return None


class Judge:
    """Judges trials by their folds.

    Parameters
    ----------
    fits : Fits
    goal : Goal
    objectives : tuple of str
    together : bool
        Whether the predictions of all folds are scored together: folds of one row tell most metrics nothing.
    pruning : Pruning
    """

    def __init__(
        self, fits: Fits, goal: Goal, objectives: tuple[str, ...], pruning: Pruning, *, together: bool
    ) -> None:
        self.fits = fits
        self.goal = goal
        self.objectives = objectives
        self.pruning = pruning
        self.together = together

    @property
    def by_loss(self) -> bool:
        """Whether the loss that boosters stop on may speak for the goal."""
        return len(self.objectives) == 1 and not self.together and not self.goal.constraints

    def outcome(self, each: OpenTrial, report: Callable[[float, int], None]) -> CandidateResult | Failure | None:
        """What has become of a trial, judged fold by fold in their order; None while folds are to come.

        Parameters
        ----------
        each : OpenTrial
        report : callable
            Is told the value to report, and how many folds are done.
        """
        folds, rungs = len(self.fits.folds), each.rungs_to_climb
        while len(each.rungs) < rungs:
            rung = len(each.rungs)
            answer = each.answers.get(rung - rungs)
            if answer is None or isinstance(answer, Failure):
                return answer
            standing = self.goal.judge(self.fits.y_valid(rung - rungs), answer.prediction)
            each.rungs.append(standing.score)
            if each.climb.held_back(rung, standing.score):
                return CandidateResult(each.candidate, (), (), standing.score, standing.violation, (), pruned=True)
        while len(each.judged) in each.answers:
            answer = each.answers[len(each.judged)]
            if isinstance(answer, Failure):
                return answer
            each.judged.append(answer)
            each.scores.append(self.goal.judge(self.fits.y_valid(answer.fold), answer.prediction).score)
            so_far, violation = self._standing(each)
            if each.lost:  # no report: how good it was when it was given up says nothing of how good it is
                return self._result(each, so_far, violation, pruned=True)
            if len(self.objectives) == 1:  # Optuna takes no report and gives no verdict on several
                done, value = len(each.judged), self.pruning.reported(each.scores[-1], so_far)
                report(value, done)
                # Who keeps the constraints is not given up for a metric that others reach without keeping them.
                kept = bool(self.goal.constraints) and not violation
                if each.verdicts.hopeless(value, done) and not kept and done < folds:
                    return self._result(each, so_far, violation, pruned=True)
        if len(each.judged) < folds:
            return None
        return self._result(each, *self._standing(each), pruned=False)

    def _result(self, each: OpenTrial, so_far: float, violation: float, *, pruned: bool) -> CandidateResult:
        values = () if pruned else (so_far, *(self._mean(name, each.judged) for name in self.objectives[1:]))
        return CandidateResult(
            each.candidate, tuple(each.judged), tuple(each.scores), so_far, violation, values, pruned=pruned
        )

    def _mean(self, metric: str, folds: list[FoldResult]) -> float:
        """A further objective over the folds."""
        parts = [(self.fits.y_valid(each.fold), each.prediction) for each in folds]
        if self.together:
            parts = [(np.concatenate([y for y, _ in parts]), np.concatenate([each for _, each in parts]))]
        scores = [score(metric, y, prediction, self.goal.positive, self.goal.terms) for y, prediction in parts]
        return float(np.mean(scores))

    def _standing(self, each: OpenTrial) -> tuple[float, float]:
        """The candidate's score, and by how much all its predictions together violate the constraints."""
        if not self.together and not self.goal.constraints:
            return float(np.mean(each.scores)), 0.0
        y = np.concatenate([self.fits.y_valid(result.fold) for result in each.judged])
        standing = self.goal.judge(y, np.concatenate([result.prediction for result in each.judged]))
        return standing.score if self.together else float(np.mean(each.scores)), standing.violation
