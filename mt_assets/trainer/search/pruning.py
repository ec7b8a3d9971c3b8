"""When a trial is given up: after a fold, by what the trials before it did on their folds.

The resource that a trial uses up is folds: a trial reports after each of them, at the number of folds that are done.
As with proposals, the verdict on trial n hangs on exactly the trials up to n - `WINDOW`: each is judged in a study in
memory of its own, which holds those. So it is the same after a restart and for any number of workers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.trial import FrozenTrial, TrialState

from mt_assets.trainer.algorithms.pipeline import LOG_TARGET
from mt_assets.trainer.search.candidate import Candidate
from mt_assets.trainer.search.proposals import WINDOW

STARTUP_TRIALS: Final = 5
"""Finished trials before a median or percentile means something (Optuna's default)."""

LEAST_FOLDS: Final = 2
"""Folds before which no trial is given up: a single fold's score varies more between folds than between good
candidates."""

REDUCTION: Final = 2
"""Of trials that reach a rung, one in so many goes on to the next, at so many times the folds. Optuna's 4 (successive
halving) and 3 (hyperband) are meant for hundreds of steps; a trial has about five folds: rungs after 2, 4, 8."""

KEPT_PERCENT: Final = 25.0
"""A trial that the percentile pruner keeps is among the best so many per cent (the example of Optuna's manual)."""

WILCOXON_P: Final = 0.1
"""Optuna's default. A test on n folds says at least 2^-n, so that four folds are the first that can give a trial up."""

_PRUNERS: Final[dict[str, Callable[[int], BasePruner]]] = {
    "none": lambda _: NopPruner(),
    "median": lambda _: MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=LEAST_FOLDS),
    "percentile": lambda _: PercentilePruner(KEPT_PERCENT, n_startup_trials=STARTUP_TRIALS, n_warmup_steps=LEAST_FOLDS),
    "successive_halving": lambda _: SuccessiveHalvingPruner(min_resource=LEAST_FOLDS, reduction_factor=REDUCTION),
    "hyperband": lambda folds: HyperbandPruner(
        min_resource=LEAST_FOLDS, max_resource=max(folds, LEAST_FOLDS), reduction_factor=REDUCTION
    ),
    "wilcoxon": lambda _: WilcoxonPruner(p_threshold=WILCOXON_P, n_startup_steps=LEAST_FOLDS),
}
"""Pruners by the number of folds."""


LEAST_LOSSES: Final = 4
"""Trials of an algorithm whose losses have to be known before one is given up for its own."""


def loss_name(candidate: Candidate) -> str:
    """Trial attribute with the loss on the first fold; losses of the same name can be held against each other."""
    return f"loss of {candidate.algorithm}{' on logarithms' if candidate.params.get(LOG_TARGET) else ''}"


class Pruning:
    """Passes the verdicts of one search.

    Parameters
    ----------
    kind : {"median", "hyperband", "successive_halving", "percentile", "wilcoxon", "none"}
    folds : int
        Of an unpruned trial.
    direction : {"maximize", "minimize"}
    spared : int
        So many first trials are never given up: the start configurations.
    name : str
        Of the study; hyperband deals trials to brackets by it.
    """

    def __init__(
        self, kind: str, folds: int, direction: Literal["maximize", "minimize"], spared: int, name: str
    ) -> None:
        self._kind = kind
        self._folds = folds
        self._direction = direction
        self._spared = spared
        self._name = name
        self._seen: list[FrozenTrial] = []

    def reported(self, score: float, so_far: float) -> float:
        """What to report of a fold: its own score where the pruner compares trials fold by fold, else the score so
        far."""
        return score if self._kind == "wilcoxon" else so_far

    def verdicts(self, number: int, before: Sequence[FrozenTrial]) -> Verdicts:
        """What a trial is judged by.

        Parameters
        ----------
        number : int
        before : sequence of optuna.trial.FrozenTrial
            All trials with lower numbers, in their order; those up to number - `WINDOW` are finished.
        """
        known = max(0, number - WINDOW + 1)
        while len(self._seen) < known:
            self._see(before[len(self._seen)])
        return self._verdicts(number)

    def bar(self, number: int, before: Sequence[FrozenTrial], candidate: Candidate) -> float | None:
        """The loss that a booster has to be able to reach on its first fold, or it is given up while it boosts.

        It is that of the middle one of the trials of the same algorithm that this one may know. None for trials that
        are never given up, and while few are known.
        """
        if self._kind == "none" or number < self._spared:
            return None
        name = loss_name(candidate)
        seen = (trial.user_attrs.get(name) for trial in before[: max(0, number - WINDOW + 1)])
        known = [loss for loss in seen if loss is not None]
        return median(known) if len(known) >= LEAST_LOSSES else None

    def _verdicts(self, number: int) -> Verdicts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the Wilcoxon pruner is marked so
            pruner = _PRUNERS[self._kind](self._folds)
        study = optuna.create_study(
            study_name=self._name,
            direction=self._direction,
            pruner=pruner,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        if self._kind != "none":
            study.add_trials(self._seen[: max(0, number - WINDOW + 1)])
            while len(study.get_trials(deepcopy=False)) < number:
                study.ask()  # those at work, of which nothing is known: hyperband deals by the number
        return Verdicts(study, number < self._spared)

    def _see(self, trial: FrozenTrial) -> None:
        """Judge a finished trial again, for what pruners note on it: the rungs that it reached."""
        if self._kind == "none":
            self._seen.append(trial)
            return
        verdicts = self._verdicts(len(self._seen))
        for done, value in sorted(trial.intermediate_values.items()):
            verdicts.hopeless(value, done)
        self._seen.append(verdicts.ended(trial))


class Verdicts:
    """The verdicts on one trial.

    Parameters
    ----------
    study : optuna.Study
        In memory, with the trials that it is compared to.
    spared : bool
        Whether it is never given up.
    """

    def __init__(self, study: optuna.Study, spared: bool) -> None:
        self.spared = spared
        self._study = study
        self._trial = study.ask()

    def hopeless(self, value: float, done: int) -> bool:
        """Whether to give the trial up after `done` folds, the last of which was reported as `value`."""
        self._trial.report(value, done)
        # Asked in any case: rungs keep what the start configurations, which are never given up, had reached.
        verdict = self._trial.should_prune()
        return verdict and not self.spared

    def ended(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with what the pruner noted on it, ended like the real one."""
        for constraint, violation in trial.constraints.items():
            self._trial.set_constraint(constraint, violation)
        complete = trial.state == TrialState.COMPLETE
        return self._study.tell(self._trial, trial.value if complete else None, None if complete else trial.state)
