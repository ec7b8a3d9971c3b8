"""The search's Optuna study as its ledger: what was begun, what is finished, and what each trial was.

Everything is durable the moment it exists. Trials are counted by their place in the search: a study also holds trials
that do not count any more, or that took the place of one that was cut off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from mt_assets.trainer.search.candidate import CandidateResult, FoldResult
from mt_assets.trainer.search.ladder import RUNGS
from mt_assets.trainer.search.pruning import loss_name
from mt_assets.trainer.search.result import TrialRecord
from mt_assets.trainer.search.scheduling import OpenTrial
from mt_assets.trainer.search.space import SearchSpace
from mt_assets.trainer.search.storage import damaged_journals, open_storage, owner

_TOLD: Final = "record"
"""Trial attribute with what Optuna has no place for."""

OWNER: Final = "owner"
"""Study attribute: whose it is, see `storage.owner`."""

_CONTENT: Final = "content"
"""Study attribute: digest of what is learned from."""

OTHER_DATA: Final = (
    "An earlier study of this model was made of other rows or columns; it is kept, and nothing of it is used."
)

JOURNAL_ASIDE: Final = (
    "The journal of earlier studies cannot be read, and was put aside as {path}; finished fits are used."
)

_ELAPSED: Final = "elapsed"
"""Study attribute: seconds that the search was at work, in all runs together."""

_MEASURED: Final = "measured"
"""Study attribute: what was measured once, and is read again by runs that go on."""

_ABANDONED: Final = "abandoned"
"""Trial attribute: ended because another study of the same model began. For this search it does not exist."""

_IN_VAIN: Final = "in_vain"
"""Study attribute: how many trials do not count, since they all failed; what they failed by may be gone meanwhile."""

_CUT: Final = "cut"
"""Trial attribute: ended because time was up. The next run tries it again, with all folds that it had finished."""

_REPEATS: Final = "repeats"
"""Trial attribute: which trial of the study it takes the place of."""

_CONSTRAINTS: Final = "constraints"
"""What the sampler is told of them: their violation, 0 where all are kept."""

_UNTOLD: Final[dict[str, Any]] = {
    "score": None,
    "fold_scores": [],
    "violation": 0.0,
    "best_iterations": [],
    "seconds": 0.0,
    "fold_keys": [],
    "rows": [],
    "notes": [],
    "error": "ended from outside",
}
"""Of a trial that somebody ended by hand, in the study's dashboard for example."""

_STATES: Final[dict[TrialState, Literal["complete", "pruned", "failed"]]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Ledger:
    """The study of one search, new or begun.

    Attributes
    ----------
    notes : tuple of str
        What a person should know about it.

    Parameters
    ----------
    name : str
        Of the study: a digest of everything that the search depends on.
    content : str
        Digest of what is learned from, a part of all that.
    directions : sequence of {"maximize", "minimize"}
    space : SearchSpace
    total : int
        Trials that count.
    folder : pathlib.Path
        Of the search; the caller holds the model's lock.
    storage_url : str or None
        See `storage.open_storage`.
    """

    def __init__(
        self,
        name: str,
        content: str,
        directions: tuple[Literal["maximize", "minimize"], ...],
        space: SearchSpace,
        total: int,
        folder: Path,
        storage_url: str | None,
    ) -> None:
        self.total = total
        self._space = space
        self._several = len(directions) > 1
        damaged = damaged_journals(folder)
        storage, self.storage_name = open_storage(storage_url, folder)
        aside = [JOURNAL_ASIDE.format(path=path) for path in sorted(damaged_journals(folder) - damaged)]
        self.study = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=optuna.samplers.RandomSampler(seed=0),  # never asked: every trial's parameters are given
            directions=list(directions),
            load_if_exists=True,
        )
        self._in_vain: int = self.study.user_attrs.get(_IN_VAIN, 0)
        self.study.set_user_attr(OWNER, owner(folder))
        self.study.set_user_attr(_CONTENT, content)
        owned = [
            each
            for each in optuna.get_all_study_summaries(storage, include_best_trial=False)
            if each.user_attrs.get(OWNER) == owner(folder)
        ]
        _end_abandoned(self.study, storage, [each.study_name for each in owned])
        earlier = [each for each in owned if each._study_id < self.study._study_id]
        other = any(each.user_attrs.get(_CONTENT, content) != content for each in earlier)
        self.notes = (*aside, *([OTHER_DATA] if other else []))
        self._reopen()
        self.resumed = sum(trial.state != TrialState.WAITING for trial in self.trials())
        self._elapsed: float = self.study.user_attrs.get(_ELAPSED, 0.0)

    @property
    def name(self) -> str:
        return self.study.study_name

    @property
    def elapsed(self) -> float:
        """Seconds of earlier runs, and of this one as far as they were noted."""
        return self._elapsed

    def note_elapsed(self, seconds: float) -> None:
        """Note how long the search has been at work in all."""
        self._elapsed = seconds
        self.study.set_user_attr(_ELAPSED, seconds)

    @property
    def measured(self) -> dict[str, Any] | None:
        """What `measure` noted, in whichever run that was."""
        found: dict[str, Any] | None = self.study.user_attrs.get(_MEASURED)
        return found

    def measure(self, facts: dict[str, Any]) -> None:
        """Note what was measured; JSON values."""
        self.study.set_user_attr(_MEASURED, facts)

    def forget(self) -> None:
        """Let no trial so far count: the next run tries anew."""
        self.study.set_user_attr(_IN_VAIN, len(self.study.get_trials(deepcopy=False)))

    def trials(self) -> list[FrozenTrial]:
        """The trials that count, each at its place."""
        by_number: dict[int, FrozenTrial] = {}
        place: dict[int, int] = {}
        for trial in self.study.get_trials(deepcopy=False)[self._in_vain :]:
            if _ABANDONED in trial.user_attrs:
                continue
            first = place.get(trial.user_attrs.get(_REPEATS, -1), trial.number)
            place[trial.number] = first
            by_number[first] = trial
        return [by_number[first] for first in sorted(by_number)][: self.total]

    def begin(self, params: dict[str, Any]) -> Trial:
        """The next trial, with these parameters under the study's names."""
        self.study.enqueue_trial(params)
        return self.study.ask()

    def resume(self, trial: FrozenTrial) -> Trial:
        """The trial that a killed process left at work."""
        return Trial(self.study, trial._trial_id)

    def reported(self, trial: Trial) -> dict[int, float]:
        """What the storage has of a trial's reports, also from a process that was killed."""
        return self._stored(trial).intermediate_values

    def finish(self, each: OpenTrial, outcome: CandidateResult, *, constrained: bool) -> None:
        """End a trial that ran, or that was given up."""
        self._tell(each, outcome)
        trial = each.trial
        if constrained and not self._stored(trial).constraints:
            trial.set_constraint(_CONSTRAINTS, outcome.violation)
        if outcome.pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, list(outcome.values))

    def fail(self, each: OpenTrial, error: str) -> None:
        """End a trial of which a fold could not be fitted."""
        self._tell(each, None, error)
        self.study.tell(each.trial, state=TrialState.FAIL)

    def cut(self, trial: Trial) -> None:
        """End a trial because time is up: nothing stays at work that nobody works on."""
        trial.set_user_attr(_CUT, True)
        self.study.tell(trial, state=TrialState.FAIL)

    def records(self) -> tuple[TrialRecord, ...]:
        """The finished trials by their place."""
        return tuple(
            self._record(number, trial)
            for number, trial in enumerate(self.trials())
            if trial.state.is_finished() and _CUT not in trial.user_attrs
        )

    def fold_rows(self) -> list[tuple[int, str, str, str]]:
        """Fold, and `rows_digest` of the rows that were encoded, fitted and looked at, of each fit of each trial."""
        told = [_told(trial) for trial in self.trials() if trial.state.is_finished()]
        return [(fold, *rows) for each in told for fold, rows in enumerate(each["rows"])]

    def _stored(self, trial: Trial) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _reopen(self) -> None:
        """Begin trials again that were cut off."""
        trials = self.study.get_trials(deepcopy=False)
        repeated = {trial.user_attrs.get(_REPEATS) for trial in trials}
        for trial in trials:
            if _CUT in trial.user_attrs and trial.number not in repeated:
                self.study.enqueue_trial(trial.params, user_attrs={_REPEATS: trial.number})
        for _ in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._space.suggest(self.study.ask())

    def _tell(self, each: OpenTrial, outcome: CandidateResult | None, error: str | None = None) -> None:
        folds, climbed = each.judged, [each.answers[rung - each.rungs_to_climb] for rung in range(len(each.rungs))]
        samples = [fit for fit in climbed if isinstance(fit, FoldResult)]
        notes = {note for fit in folds for note in fit.notes}
        if climbed and not folds and error is None:
            notes.add(f"held back after a sample of the rows, on step {len(each.rungs)} of the ladder")
        if each.lost:
            notes.add(f"given up on the first fold at a loss of {folds[0].loss:.4g}, {each.bar:.4g} being out of reach")
        if folds and folds[0].loss is not None:
            each.trial.set_user_attr(loss_name(each.candidate), folds[0].loss)
        if each.rungs:
            each.trial.set_user_attr(RUNGS, each.rungs)
        each.trial.set_user_attr(
            _TOLD,
            {
                "score": outcome.score if outcome else None,
                "fold_scores": list(outcome.scores) if outcome else [],
                "violation": outcome.violation if outcome else 0.0,
                "best_iterations": [fit.best_iteration for fit in folds if fit.best_iteration is not None],
                "seconds": sum(fit.seconds for fit in [*samples, *folds]),
                "fold_keys": [fit.key for fit in folds],
                "rows": [[fit.encoded, fit.fitted, fit.stopped] for fit in folds],
                "notes": sorted(notes),
                "error": error,
            },
        )

    def _record(self, number: int, trial: FrozenTrial) -> TrialRecord:
        told = _told(trial)
        name, params = self._space.read(trial)
        scores = tuple(told["fold_scores"])
        state = _STATES[trial.state]
        return TrialRecord(
            number=number,
            state=state,
            algorithm=name,
            params=params,
            score=told["score"],
            score_std=float(np.std(scores)) if len(scores) > 1 else None,
            fold_scores=scores,
            violation=told["violation"],
            best_iterations=tuple(told["best_iterations"]),
            seconds=told["seconds"],
            values=tuple(trial.values) if state == "complete" and self._several else (),
            start_configuration=number < len(self._space.starts),
            fold_keys=tuple(told["fold_keys"]),
            notes=tuple(told["notes"]),
            error=told["error"],
        )


def _end_abandoned(study: optuna.Study, storage: BaseStorage, owned: list[str]) -> None:
    """End what runs in the owner's other studies, which were left when data or plan changed: nobody works there."""
    for name in owned:
        left = optuna.load_study(study_name=name, storage=storage)
        for trial in left.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if name != study.study_name or _ABANDONED in trial.user_attrs:
                Trial(left, trial._trial_id).set_user_attr(_ABANDONED, True)
                left.tell(trial.number, state=TrialState.FAIL)


def _told(trial: FrozenTrial) -> dict[str, Any]:
    told: dict[str, Any] = trial.user_attrs.get(_TOLD, _UNTOLD)
    return told
