"""The search: trials proposed by Optuna, each a candidate run on the folds, several at once in worker processes.

What is decided here: when a trial begins, and when the search ends. Fitting lies in `fold_fits`, processes in
`workers`, the order of work and verdicts in `scheduling`, proposing in `proposals`, giving up in `pruning`, keeping in
`candidate` (fold results) and `ledger` (the study), choosing in `selection`. What fits cost here tells the `pilot`.

Everything is durable the moment it exists, and trial n depends on the finished trials up to n - `WINDOW` alone. So a
search that was killed and started again gives the trials of one that was not, with any number of workers, and fits no
finished fold again.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from mt_assets.trainer.algorithms.checkpoint import SUFFIX
from mt_assets.trainer.algorithms.registry import learner, modules_of
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import DIRECTION
from mt_assets.trainer.features.preprocessor import TablePreprocessor
from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor
from mt_assets.trainer.memory import give_back
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.candidate import Candidate, CandidateResult, FoldCache, FoldResult, content_key
from mt_assets.trainer.search.failing import all_failed, failures_told, may_succeed_alone, stopped
from mt_assets.trainer.search.final_cost import FinalCost
from mt_assets.trainer.search.fits import Fits, fits_of
from mt_assets.trainer.search.fold_fits import scratch_folder
from mt_assets.trainer.search.ladder import Climb
from mt_assets.trainer.search.ledger import Ledger
from mt_assets.trainer.search.memory import Memory
from mt_assets.trainer.search.pareto import pareto_front
from mt_assets.trainer.search.pilot import fit_seconds, folds_used, pilot_of, ranking_rows
from mt_assets.trainer.search.proposals import WINDOW, Proposals, parameter_importance
from mt_assets.trainer.search.pruning import Pruning
from mt_assets.trainer.search.result import BestParams, FoldRows, SearchProgress, StoppedBy, StudyResult, TrialRecord
from mt_assets.trainer.search.scheduling import Judge, OpenTrial, next_task
from mt_assets.trainer.search.selection import (
    FOLDS_FOLDER,
    fold_predictions,
    front_table,
    leaderboard,
    ranked,
    select_best,
)
from mt_assets.trainer.search.space import SearchSpace
from mt_assets.trainer.search.tasks import Failure, Job, Task
from mt_assets.trainer.search.time_shares import TimeShares
from mt_assets.trainer.search.warm_start import WarmStart
from mt_assets.trainer.search.workers import Lost, WorkerPool
from mt_assets.trainer.store.atomic import sweep

__all__ = [
    "BestParams", "FoldRows", "SearchProgress", "StudyResult", "TrialRecord",
    "fold_predictions", "front_table", "leaderboard", "run_search", "select_best",
]  # fmt: skip

GRACE_SECONDS: Final = 1.0
"""After the deadline, for boosters that stop at it to tell what they have; then their processes are ended."""

STARTS_SHARE: Final = 2
"""Of the trials of any sampler but TPE, one in so many at most is a start configuration: who asks for a random search,
a grid or a population wants to see it. TPE learns from start configurations as from its own, and begins with all."""


def run_search(
    plan: TrainingPlan,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor | SeriesPreprocessor,
    *,
    folder: Path,
    storage_url: str | None = None,
    deadline: float | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
    meanwhile: Callable[[], None] | None = None,
    seed: int | None = None,
    warm: WarmStart | None = None,
) -> StudyResult:
    """Search the best candidate, or go on with the search of the same work where it stopped.

    Parameters
    ----------
    plan, table, profile, splits
        Of the same run. Only learning rows are read.
    preprocessor : TablePreprocessor or SeriesPreprocessor
        Cloned unfitted into every fold, see `FoldFits` and `WindowFits`.
    folder : pathlib.Path
        For fold results and, without `storage_url`, for the study. The caller holds the model's lock.
    storage_url : str, optional
        See `storage.open_storage`.
    deadline : float, optional
        In `time.monotonic()` seconds. Nothing is fitted after it, or after the plan's timeout, once a trial is
        complete; a trial cut off so is tried again by the next run, with the folds that it had finished.
    progress : callable, optional
        Told after every trial.
    meanwhile : callable, optional
        Called once, when the first fits are at work: this process has little to do then.
    seed : int, optional
        Of the proposals; the plan's by default.
    warm : WarmStart, optional
        What earlier data found best.

    Returns
    -------
    StudyResult

    Raises
    ------
    TrainingError
        When every trial failed.
    """
    with _quiet_optuna(), scratch_folder(folder) as scratch:
        cache = FoldCache(folder / FOLDS_FOLDER)
        sweep(cache.folder)
        job = Job(plan, table, profile, splits, preprocessor, cache.folder, scratch)
        fits = fits_of(job)
        give_back()  # all of the table was read for its digest
        judged = ranking_rows(table, profile, splits) if plan.folds_by_time else 1
        search = _Search(plan, splits, fits, plan.seed if seed is None else seed, progress, warm, judged)
        search.open(folder, storage_url, limited=deadline is not None or plan.timeout is not None)
        stopped_by: StoppedBy = search.ended
        if not search.done:
            job = replace(job, content=fits.content)
            try:
                with WorkerPool(job, plan.workers, modules=modules_of(plan.algorithms, plan.task)) as pool:
                    stopped_by = search.run(pool, deadline, meanwhile)
            finally:
                sweep(cache.folder)  # workers are ended in whatever they are writing
        else:
            search.mend(cache)
        if search.done:  # what is left are checkpoints of fits that nobody waits for any more
            for left in cache.folder.glob(f"*{SUFFIX}"):
                left.unlink(missing_ok=True)
        return search.result(stopped_by)


class _Search:
    """One search at work."""

    def __init__(
        self,
        plan: TrainingPlan,
        splits: Splits,
        fits: Fits,
        seed: int,
        progress: Callable[[SearchProgress], None] | None,
        warm: WarmStart | None,
        judged: int,
    ) -> None:
        spaces = {name: fits.space(name, plan.search_space.get(name, {})) for name in plan.algorithms}
        self.plan = plan
        self.fits = fits
        self.seed = seed
        self.progress = progress
        self.warm = warm
        self.judged = judged
        wanted = plan.n_trials if plan.search_enabled else len(plan.algorithms)
        self.space = SearchSpace(
            {name: space for name, (space, _) in spaces.items()},
            {name: starts for name, (_, starts) in spaces.items()},
            None if plan.sampler == "tpe" else max(len(plan.algorithms), wanted // STARTS_SHARE),
            warm.starts if warm else (),
        )
        self.objectives = plan.objectives or (plan.metric,)
        self.directions = tuple(DIRECTION[name] for name in self.objectives)
        self.direction = self.directions[0]
        self.final_cost = FinalCost.of(plan, splits)
        self.together = splits.strategy == "leave_one_out"
        self.goal = Goal.of(plan, fits.profile.target.positive)
        self.proposals = Proposals(plan.sampler, seed, self.space, self.directions, wanted)
        self.total = int(min(wanted, self.proposals.most))
        self.exhausted = self.total < wanted

    def open(self, folder: Path, storage_url: str | None, *, limited: bool) -> None:
        """Open the study of this very work, new or begun.

        What a deadline cut short, and what was proposed after it, is no part of a search without one: where time is
        limited, the study is another. Whole fold results serve both.
        """
        name = content_key(
            data=self.fits.data_key,
            algorithms=self.plan.algorithms,
            objectives=self.objectives,
            goal=[self.plan.constraints, self.plan.threshold, self.plan.beta, self.plan.costs],
            sampler=self.plan.sampler,
            pruner=self.plan.pruner,
            seed=self.seed,
            limited=limited,
            window=WINDOW,
            memory=self.plan.memory_limit,
            space={
                each: {name: repr(own) for name, own in ranges.items()} for each, ranges in self.space.spaces.items()
            },
            made_for=self.proposals.made_for,
            warm=self.warm.starts if self.warm else (),
        )[:32]
        self.ledger = Ledger(name, self.fits.content, self.directions, self.space, self.total, folder, storage_url)
        pruning = Pruning(self.plan.pruner, len(self.fits.folds), self.direction, len(self.space.starts), name)
        self.memory = Memory(self.fits, self.plan.memory_limit)
        self.judge = Judge(self.fits, self.goal, self.objectives, pruning, together=self.together)
        trials = self.ledger.trials()
        self.complete = any(trial.state == TrialState.COMPLETE for trial in trials)
        self.opened = [self._open(number) for number, trial in enumerate(trials) if not trial.state.is_finished()]
        self.shares: TimeShares | None = None
        self.folds_used: tuple[Decision, ...] = ()
        self.careful: list[Task] = []
        self.lost: set[tuple[int, int]] = set()

    @property
    def begun(self) -> int:
        return len(self.ledger.trials())

    @property
    def done(self) -> bool:
        """Whether no trial is at work or to come."""
        return not self.opened and self.begun >= self.total

    @property
    def ended(self) -> StoppedBy:
        """Why a search ends that is done."""
        if not self.plan.search_enabled:
            return "disabled"
        return "exhausted" if self.exhausted else "trials"

    def run(self, pool: WorkerPool, deadline: float | None, meanwhile: Callable[[], None] | None) -> StoppedBy:
        """Run trials until all are done or time is up; say which."""
        began, before = time.monotonic(), self.ledger.elapsed
        limit = rest_begins = float("inf") if deadline is None else deadline
        if self.plan.timeout is not None:
            limit = min(limit, began + self.plan.timeout - before)
        if limit < float("inf"):
            self.shares = TimeShares(
                began, limit, rest_begins, self.plan.workers, self.final_cost, self.plan.ensemble, len(self.fits.folds)
            )
            self._choose_folds(pool)
        while not self.done:
            if self.shares is not None:
                limit = self.shares.search_ends()
            if self.complete and time.monotonic() > limit:
                return self._cut(pool, limit)
            self._give(pool, limit)
            if meanwhile is not None:
                meanwhile()
                meanwhile = None
            until = limit if self.complete else float("inf")
            for task, answer in pool.answers(until):
                self._take(task, answer, limit)
            self.ledger.note_elapsed(before + time.monotonic() - began)
        return self.ended

    def _choose_folds(self, pool: WorkerPool) -> None:
        """Measure a fit, once, and run trials on as many folds as that leaves time for."""
        assert self.shares is not None
        measured = self.ledger.measured
        if measured is None and self.plan.folds_by_time and not self.complete:
            pilot = pilot_of(self.plan.algorithms, self.space)
            if isinstance(self.memory.verdict(pilot, ()), Failure):
                return  # each trial tells it
            first = Candidate(*self.space.starts[0])
            seconds = fit_seconds(pilot, first, pool, self.shares.pilot_deadline())
            folds = self.shares.affordable_folds(seconds, len(self.fits.folds), self.judged, self.total)
            measured = {"algorithm": pilot.algorithm, "seconds": seconds, "folds": folds}
            self.ledger.measure(measured)
        if measured is not None:
            self.folds_used = (folds_used(measured, len(self.fits.folds), self.plan.task),)
            self.fits.folds = self.fits.folds[: measured["folds"]]
            self.shares.folds = len(self.fits.folds)

    def mend(self, cache: FoldCache) -> None:
        """Fit again what finished trials predicted, where its file is gone or damaged: it comes out the same.

        Reads all of them, and so only where there is nothing else to do: a run that met a damaged one is started again.
        """
        for record in self.ledger.records():
            for fold, key in enumerate(record.fold_keys if record.state == "complete" else ()):
                if cache.get(key) is None:
                    self.fits.run(Candidate(record.algorithm, record.params), fold)

    def _in_time(self, task: Task) -> Task:
        """The task with the time that it has, where time is limited; until a trial is complete none is ended for it."""
        if self.shares is None:
            return task
        before = [each for each in self.opened if each.number <= task.trial]  # its own fits come after theirs
        fits = len(self.fits.rungs) + len(self.fits.folds)
        left = max(1, sum(fits - len(each.answers) for each in before))
        gradual = learner(task.candidate.algorithm, self.plan.task).gradual
        deadline = self.shares.deadline(time.monotonic(), left, len(self.fits.folds), gradual=gradual)
        return replace(task, deadline=deadline, must_end=self.complete)

    def _cut(self, pool: WorkerPool, limit: float) -> StoppedBy:
        """Time is up: what can be told within the grace still counts."""
        while pool.tasks and time.monotonic() < limit + GRACE_SECONDS:
            for task, answer in pool.answers(limit + GRACE_SECONDS):
                self._take(task, answer, limit)
        pool.end_tasks()
        for each in self.opened:
            self.ledger.cut(each.trial)
        return "timeout"

    def _give(self, pool: WorkerPool, limit: float) -> None:
        """Give every idle worker a task, as far as there is one."""
        if self.careful:
            if not pool.tasks:
                pool.submit(self._in_time(self.careful[0]))
            return
        while pool.idle:
            task = next_task(self.opened, len(self.fits.folds))
            if task is None and self.begun < self.total and self._in_window(self.begun):
                self.opened.append(self._open(self.begun))
                continue
            task = task or next_task(self.opened, len(self.fits.folds), ahead=True)
            if task is None:
                return
            verdict = self.memory.verdict(task.candidate, pool.tasks)
            if isinstance(verdict, Failure):
                self._take(task, verdict, limit)
            elif verdict == "alone":
                self.careful.append(task)
                return
            else:
                pool.submit(self._in_time(task))

    def _in_window(self, number: int) -> bool:
        """Whether the trials that this one depends on are finished."""
        return not self.opened or number - self.opened[0].number < WINDOW

    def _open(self, number: int) -> OpenTrial:
        """The trial of that number: the one that a killed process left at work, or a new one."""
        trials = self.ledger.trials()
        before = trials[:number]
        if number < len(trials):
            trial = self.ledger.resume(trials[number])
        else:
            trial = self.ledger.begin(self.proposals.propose(number, before))
        name, params = self.space.suggest(trial)
        verdicts = self.judge.pruning.verdicts(number, before)
        climb = Climb.of(number, before, len(self.fits.rungs), self.direction)
        candidate = Candidate(name, params)
        bar = self.judge.pruning.bar(number, before, candidate) if self.judge.by_loss else None
        return OpenTrial(number, trial, candidate, verdicts, climb, bar)

    def _take(self, task: Task, answer: FoldResult | Failure | Lost, limit: float) -> None:
        """Take what came back, and end its trial where that is decided."""
        each = next((each for each in self.opened if each.number == task.trial), None)
        self.careful = [other for other in self.careful if (other.trial, other.fold) != (task.trial, task.fold)]
        if each is None:
            return  # fitted ahead for a trial that was given up meanwhile
        if isinstance(answer, Failure) and answer.of_machine:
            raise stopped(answer)  # the trial stays at work, and the next run goes on with it
        if may_succeed_alone(answer) and (task.trial, task.fold) not in self.lost:
            # Once more, and alone: if it was memory that ran out, there is more of it now.
            self.lost.add((task.trial, task.fold))
            self.careful.append(task)
            return
        if isinstance(answer, Lost):
            again = "" if answer.late else ", for the second time"
            answer = Failure(f"{'TimeIsUp' if answer.late else 'WorkerLost'}: its process {answer.how}{again}.")
        each.answers[task.fold] = answer
        known = self.ledger.reported(each.trial)
        outcome = self.judge.outcome(
            each, lambda value, done: None if done in known else each.trial.report(value, done)
        )
        if outcome is not None:
            self._end(each, outcome, limit)

    def _end(self, each: OpenTrial, outcome: CandidateResult | Failure, limit: float) -> None:
        if isinstance(outcome, Failure):
            # One candidate that cannot be fitted must not end a search; `result` raises where none can.
            self.ledger.fail(each, outcome.error)
            self.careful = [task for task in self.careful if task.trial != each.number]
        else:
            self.ledger.finish(each, outcome, constrained=bool(self.plan.constraints))
            self.complete = self.complete or not outcome.pruned
            if self.shares is not None:
                self.shares.note(outcome, self.goal)
        self.opened.remove(each)
        if self.progress is not None:
            self._tell_progress(self.progress, each.number, limit)

    def _tell_progress(self, tell: Callable[[SearchProgress], None], number: int, limit: float) -> None:
        records = self.ledger.records()
        ended = next(record for record in records if record.number == number)
        complete = [record for record in records if record.state == "complete"]
        spent = sum(record.seconds for record in records) / len(records)
        estimate = spent * (self.total - len(records)) / self.plan.workers
        tell(
            SearchProgress(
                done=len(records),
                total=self.total,
                best=ranked(complete, (self.direction,))[0].score if complete else None,
                metric=self.plan.metric,
                algorithm=ended.algorithm,
                seconds_left=max(0.0, min(estimate, limit - time.monotonic())),
                state=ended.state,
                score=ended.score,
            )
        )

    def result(self, stopped_by: StoppedBy) -> StudyResult:
        """What came out.

        Raises
        ------
        TrainingError
            When no trial is complete.
        """
        records = self.ledger.records()
        complete = [record for record in records if record.state == "complete"]
        if not complete:
            self.ledger.forget()
            raise all_failed(records)
        best = ranked(complete, self.directions)[0]
        several = len(self.objectives) > 1
        seen = Counter(self.ledger.fold_rows())
        return StudyResult(
            study_name=self.ledger.name,
            storage=self.ledger.storage_name,
            metric=self.plan.metric,
            direction=self.direction,
            objectives=self.objectives if several else (),
            directions=self.directions if several else (),
            front=pareto_front(complete, self.directions) if several else (),
            trials=records,
            best_number=best.number,
            seconds=sum(record.seconds for record in records),
            resumed_trials=self.ledger.resumed,
            stopped_by=stopped_by,
            parameter_importance=parameter_importance(
                [(each.params, self.space.spaces[best.algorithm], each.score) for each in complete
                 if each.algorithm == best.algorithm and each.score is not None],
                self.direction,
            ),
            folds_key=self.fits.folds_key,
            notes=(*self.ledger.notes, *failures_told(records)),
            fold_rows=tuple(
                FoldRows(fold=fold, encoded=encoded, fitted=fitted, stopped=stopped, fits=fits)
                for (fold, encoded, fitted, stopped), fits in sorted(seen.items())
            ),
            decisions=(*(self.warm.decisions if self.warm else ()), *self.folds_used),
        )  # fmt: skip


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna's lines about each study and trial, and its warnings of what it calls experimental, out of the log;
    progress is told in our own."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
