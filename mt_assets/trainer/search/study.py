"""The search: trials proposed one after another by Optuna, each a candidate run on the folds.

What is decided here: which trial comes next, when a trial is pruned, and when the search ends. Fitting lies in
`fold_fits`, proposing in `proposals`, giving up in `pruning`, keeping in `candidate` (fold results) and `storage` (the
study), choosing in `selection`.

Everything is durable the moment it exists, and trial n depends on the finished trials before it alone. So a search that
was killed and started again gives the trials of one that was not, and fits no finished fold again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from threadpoolctl import threadpool_limits

from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import DIRECTION, score
from mt_assets.trainer.features.preprocessor import TablePreprocessor
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.planning.search_space import search_space
from mt_assets.trainer.search.candidate import Candidate, CandidateResult, FoldCache, FoldResult, content_key
from mt_assets.trainer.search.fold_fits import FoldFits
from mt_assets.trainer.search.pareto import pareto_front
from mt_assets.trainer.search.proposals import Proposals, parameter_importance
from mt_assets.trainer.search.pruning import Pruning
from mt_assets.trainer.search.result import BestParams, FoldRows, SearchProgress, StoppedBy, StudyResult, TrialRecord
from mt_assets.trainer.search.selection import (
    FOLDS_FOLDER,
    fold_predictions,
    front_table,
    leaderboard,
    ranked,
    select_best,
)
from mt_assets.trainer.search.space import SearchSpace
from mt_assets.trainer.search.storage import open_storage, owner

__all__ = [
    "BestParams", "FoldRows", "SearchProgress", "StudyResult", "TrialRecord",
    "fold_predictions", "front_table", "leaderboard", "run_search", "select_best",
]  # fmt: skip

_TOLD: Final = "record"
"""Trial attribute with what Optuna has no place for."""

_OWNER: Final = "owner"
"""Study attribute: whose it is, see `storage.owner`."""

_ABANDONED: Final = "abandoned"
"""Trial attribute: ended because another study of the same model began. For this search it does not exist."""

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


def run_search(
    plan: TrainingPlan,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor,
    *,
    folder: Path,
    storage_url: str | None = None,
    deadline: float | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
    seed: int | None = None,
) -> StudyResult:
    """Search the best candidate, or go on with the search of the same work where it stopped.

    Parameters
    ----------
    plan, table, profile, splits
        Of the same run. Only learning rows are read.
    preprocessor : TablePreprocessor
        Cloned unfitted into every fold; its encoding is replaced by what each algorithm wants.
    folder : pathlib.Path
        For fold results and, without `storage_url`, for the study. The caller holds the model's lock.
    storage_url : str, optional
        See `storage.open_storage`.
    deadline : float, optional
        In `time.monotonic()` seconds. No fold is begun after it, or after the plan's timeout, once a trial is complete;
        a trial cut off so stays open, and its folds are kept for the next run.
    progress : callable, optional
        Told after every trial.
    seed : int, optional
        Of the proposals; the plan's by default.

    Returns
    -------
    StudyResult

    Raises
    ------
    TrainingError
        When every trial failed.
    """
    # The limit holds for BLAS, whose threads no estimator parameter reaches; boosters and forests are told theirs.
    with _quiet_optuna(), threadpool_limits(limits=plan.threads):
        fits = FoldFits(plan, table, profile, splits, preprocessor, FoldCache(folder / FOLDS_FOLDER))
        search = _Search(plan, splits, fits, plan.seed if seed is None else seed, progress)
        search.open(folder, storage_url)
        stopped_by = search.run(deadline)
        return search.result(stopped_by)


class _Search:
    """One search at work."""

    def __init__(
        self,
        plan: TrainingPlan,
        splits: Splits,
        fits: FoldFits,
        seed: int,
        progress: Callable[[SearchProgress], None] | None,
    ) -> None:
        spaces = {
            name: search_space(algorithm(name), fits.setting, plan.search_space.get(name, {}))
            for name in plan.algorithms
        }
        self.plan = plan
        self.fits = fits
        self.seed = seed
        self.progress = progress
        self.space = SearchSpace(
            {name: space for name, (space, _) in spaces.items()}, {name: starts for name, (_, starts) in spaces.items()}
        )
        self.objectives = plan.objectives or (plan.metric,)
        self.directions = tuple(DIRECTION[name] for name in self.objectives)
        self.direction = self.directions[0]
        # Folds of one row tell most metrics nothing; there the predictions of all folds are scored together.
        self.together = splits.strategy == "leave_one_out"
        self.goal = Goal.of(plan, fits.profile.target.positive)
        wanted = plan.n_trials if plan.search_enabled else len(plan.algorithms)
        self.proposals = Proposals(plan.sampler, seed, self.space, self.directions, wanted)
        self.total = int(min(wanted, self.proposals.most))
        self.exhausted = self.total < wanted

    def open(self, folder: Path, storage_url: str | None) -> None:
        """Open the study of this very work, new or begun."""
        storage, self.storage_name = open_storage(storage_url, folder)
        name = content_key(
            data=self.fits.data_key,
            algorithms=self.plan.algorithms,
            objectives=self.objectives,
            goal=[self.plan.constraints, self.plan.threshold, self.plan.beta, self.plan.costs],
            sampler=self.plan.sampler,
            pruner=self.plan.pruner,
            seed=self.seed,
            space={
                each: {name: repr(own) for name, own in ranges.items()} for each, ranges in self.space.spaces.items()
            },
            made_for=self.proposals.made_for,
        )[:32]
        self.study = optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=optuna.samplers.RandomSampler(seed=0),  # never asked: every trial's parameters are given
            directions=list(self.directions),
            load_if_exists=True,
        )
        self.study.set_user_attr(_OWNER, owner(folder))
        _end_abandoned(self.study, storage, owner(folder))
        self.pruning = Pruning(self.plan.pruner, len(self.fits.folds), self.direction, len(self.space.starts), name)
        self.resumed = sum(trial.state != TrialState.WAITING for trial in self._trials())

    def _trials(self) -> list[FrozenTrial]:
        """The study's trials as far as this search counts, in their order; a trial's number is its place in it."""
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if _ABANDONED not in trial.user_attrs][: self.total]

    def _stored(self, trial: Trial) -> FrozenTrial:
        """What the storage has of a trial, also from a process that was killed."""
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _finished(self) -> list[FrozenTrial]:
        return [trial for trial in self._trials() if trial.state.is_finished()]

    def run(self, deadline: float | None) -> StoppedBy:
        """Run trials until all are done or time is up; say which."""
        finished = self._finished()
        limit = float("inf") if deadline is None else deadline
        if self.plan.timeout is not None:
            spent = sum(_told(trial)["seconds"] for trial in finished)
            limit = min(limit, time.monotonic() + self.plan.timeout - spent)
        done = len(finished)
        self.complete = any(trial.state == TrialState.COMPLETE for trial in finished)
        while done < self.total:
            if self.complete and time.monotonic() > limit:
                return "timeout"
            if not self._run_trial(self._next_trial(), limit):
                return "timeout"
            done += 1
            self._tell_progress(done, limit)
        if not self.plan.search_enabled:
            return "disabled"
        return "exhausted" if self.exhausted else "trials"

    def _next_trial(self) -> Trial:
        """The trial that a killed process left open, or a new one."""
        trials = self._trials()
        before = [trial for trial in trials if trial.state.is_finished()]
        if len(self.objectives) == 1:
            self.pruning.begin(before)
        if len(trials) == len(before):
            self.study.enqueue_trial(self.proposals.propose(len(before), before))
        elif trials[-1].state == TrialState.RUNNING:
            return Trial(self.study, trials[-1]._trial_id)
        return self.study.ask()

    def _run_trial(self, trial: Trial, limit: float) -> bool:
        """Run a trial to its end; False where time was up before."""
        folds: list[FoldResult] = []
        try:
            name, params = self.space.suggest(trial)
            outcome = self._run_folds(trial, Candidate(name, params), folds, limit)
        except Exception as error:
            # One candidate that cannot be fitted must not end a search; `result` raises where none can.
            self._record(trial, folds, None, error=f"{type(error).__name__}: {error}")
            self.study.tell(trial, state=TrialState.FAIL)
            return True
        if outcome is None:
            return False
        self._record(trial, folds, outcome)
        if self.plan.constraints and not self._stored(trial).constraints:
            trial.set_constraint(_CONSTRAINTS, outcome.violation)
        if outcome.pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, list(outcome.values))
            self.complete = True
        return True

    def _run_folds(
        self, trial: Trial, candidate: Candidate, folds: list[FoldResult], limit: float
    ) -> CandidateResult | None:
        """The candidate on the folds, into `folds`, until it is pruned; None where time was up."""
        reported = self._stored(trial).intermediate_values
        scores: list[float] = []
        for fold in range(len(self.fits.folds)):
            if self.complete and time.monotonic() > limit:
                return None
            folds.append(self.fits.run(candidate, fold))
            scores.append(self.goal.judge(self.fits.y_valid(fold), folds[-1].prediction).score)
            so_far, violation = self._judge(folds, scores)
            if len(self.objectives) > 1:
                continue  # Optuna takes no report and gives no verdict on several
            done, value = fold + 1, self.pruning.reported(scores[-1], so_far)
            if done not in reported:
                trial.report(value, done)
            # Who keeps the constraints is not given up for a metric that others reach without keeping them.
            spared = bool(self.plan.constraints) and not violation
            if self.pruning.hopeless(value, done) and not spared and done < len(self.fits.folds):
                return CandidateResult(candidate, tuple(folds), tuple(scores), so_far, violation, pruned=True)
        values = (so_far, *(self._mean(name, folds) for name in self.objectives[1:]))
        return CandidateResult(candidate, tuple(folds), tuple(scores), so_far, violation, values)

    def _mean(self, metric: str, folds: list[FoldResult]) -> float:
        """A further objective over the folds."""
        parts = [(self.fits.y_valid(each.fold), each.prediction) for each in folds]
        if self.together:
            parts = [(np.concatenate([y for y, _ in parts]), np.concatenate([each for _, each in parts]))]
        scores = [score(metric, y, prediction, self.goal.positive, self.goal.terms) for y, prediction in parts]
        return float(np.mean(scores))

    def _judge(self, folds: list[FoldResult], scores: list[float]) -> tuple[float, float]:
        """The candidate's score, and by how much all its predictions together violate the constraints."""
        if not self.together and not self.plan.constraints:
            return float(np.mean(scores)), 0.0
        y = np.concatenate([self.fits.y_valid(result.fold) for result in folds])
        standing = self.goal.judge(y, np.concatenate([result.prediction for result in folds]))
        return standing.score if self.together else float(np.mean(scores)), standing.violation

    def _record(
        self, trial: Trial, folds: list[FoldResult], outcome: CandidateResult | None, error: str | None = None
    ) -> None:
        trial.set_user_attr(
            _TOLD,
            {
                "score": outcome.score if outcome else None,
                "fold_scores": list(outcome.scores) if outcome else [],
                "violation": outcome.violation if outcome else 0.0,
                "best_iterations": [each.best_iteration for each in folds if each.best_iteration is not None],
                "seconds": sum(each.seconds for each in folds),
                "fold_keys": [each.key for each in folds],
                "rows": [[each.encoded, each.fitted, each.stopped] for each in folds],
                "notes": sorted({note for each in folds for note in each.notes}),
                "error": error,
            },
        )

    def _tell_progress(self, done: int, limit: float) -> None:
        if self.progress is None:
            return
        records = self._records()
        complete = [record for record in records if record.state == "complete"]
        best = ranked(complete, (self.direction,))[0].score if complete else None
        estimate = sum(record.seconds for record in records) / len(records) * (self.total - done)
        self.progress(
            SearchProgress(
                done=done,
                total=self.total,
                best=best,
                metric=self.plan.metric,
                algorithm=records[-1].algorithm,
                seconds_left=max(0.0, min(estimate, limit - time.monotonic())),
                state=records[-1].state,
                score=records[-1].score,
            )
        )

    def _records(self) -> tuple[TrialRecord, ...]:
        return tuple(self._trial_record(number, trial) for number, trial in enumerate(self._finished()))

    def _trial_record(self, number: int, trial: FrozenTrial) -> TrialRecord:
        told = _told(trial)
        name, params = self.space.read(trial)
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
            values=tuple(trial.values) if state == "complete" and len(self.objectives) > 1 else (),
            start_configuration=number < len(self.space.starts),
            fold_keys=tuple(told["fold_keys"]),
            notes=tuple(told["notes"]),
            error=told["error"],
        )

    def result(self, stopped_by: StoppedBy) -> StudyResult:
        """What came out.

        Raises
        ------
        TrainingError
            When no trial is complete.
        """
        finished = self._finished()
        records = self._records()
        complete = [record for record in records if record.state == "complete"]
        if not complete:
            raise _all_failed(records)
        best = ranked(complete, self.directions)[0]
        several = len(self.objectives) > 1
        seen = Counter((fold, *rows) for trial in finished for fold, rows in enumerate(_told(trial)["rows"]))
        return StudyResult(
            study_name=self.study.study_name,
            storage=self.storage_name,
            metric=self.plan.metric,
            direction=self.direction,
            objectives=self.objectives if several else (),
            directions=self.directions if several else (),
            front=pareto_front(complete, self.directions) if several else (),
            trials=records,
            best_number=best.number,
            seconds=sum(record.seconds for record in records),
            resumed_trials=self.resumed,
            stopped_by=stopped_by,
            parameter_importance=parameter_importance(
                [(each.params, self.space.spaces[best.algorithm], each.score) for each in complete
                 if each.algorithm == best.algorithm and each.score is not None],
                self.direction,
            ),
            folds_key=self.fits.folds_key,
            fold_rows=tuple(
                FoldRows(fold=fold, encoded=encoded, fitted=fitted, stopped=stopped, fits=fits)
                for (fold, encoded, fitted, stopped), fits in sorted(seen.items())
            ),
        )  # fmt: skip


def _end_abandoned(study: optuna.Study, storage: BaseStorage, owner: str) -> None:
    """End what runs in the owner's other studies, which were left when data or plan changed: nobody works there."""
    for other in optuna.get_all_study_summaries(storage, include_best_trial=False):
        if other.user_attrs.get(_OWNER) != owner:
            continue
        left = optuna.load_study(study_name=other.study_name, storage=storage)
        for trial in left.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if other.study_name != study.study_name or _ABANDONED in trial.user_attrs:
                Trial(left, trial._trial_id).set_user_attr(_ABANDONED, True)
                left.tell(trial.number, state=TrialState.FAIL)


def _told(trial: FrozenTrial) -> dict[str, Any]:
    told: dict[str, Any] = trial.user_attrs.get(_TOLD, _UNTOLD)
    return told


def _all_failed(records: tuple[TrialRecord, ...]) -> TrainingError:
    (cause, times), *_ = Counter(record.error for record in records).most_common(1)
    names = ", ".join(dict.fromkeys(record.algorithm for record in records))
    return TrainingError(
        f"All {len(records)} trials of {names} failed, {times} of them with {cause}.",
        suggestions=("Try another `algorithm`.", "Look at the columns that the message names."),
    )


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna's lines about each study and trial out of the log; progress is told in our own."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
