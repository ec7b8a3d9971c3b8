"""The run at work: it holds the locks of its models and keeps to one version of everything it reads."""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import dagster as dg
import psutil
from pydantic import Field, PrivateAttr

from mt_assets.resources.narrator import Narrator, began, narrator
from mt_assets.trainer.clock import START_SECONDS, RunClock
from mt_assets.trainer.store import lock
from mt_assets.trainer.store.home import home_folder
from mt_assets.trainer.store.model_store import ModelStore, RunStore


class ModelRuns(dg.ConfigurableResource):
    """What every asset of this package works with: the store of its model, pinned, and the model's lock.

    The locks of all models that a run touches are taken when the run starts, in the order of their names (so that two
    runs never wait for each other), and released when it ends; the operating system releases them if it is killed.
    Whoever takes a lock reports the runs that were killed while they held it.
    """

    home: str = Field(default="", description="Folder of all state; MT_ASSETS_HOME or .mt_assets where it is empty.")

    models: list[str] = Field(default=[], description="Names of the models of this code location.")

    _sessions: dict[str, RunStore] = PrivateAttr(default_factory=dict)
    _run_id: str = PrivateAttr(default="")
    _started: float = PrivateAttr(default=0.0)
    _start: float = PrivateAttr(default=START_SECONDS)
    _narrator: Narrator = PrivateAttr(default_factory=Narrator)

    @property
    def folder(self) -> Path:
        return Path(self.home) if self.home else home_folder()

    def store(self, name: str) -> ModelStore:
        """Return the state of a model, for reading outside a run."""
        return ModelStore(self.folder, name)

    def session(self, name: str) -> RunStore:
        """Return the running run's view of a model's state.

        A run that makes none of the model's assets, but reads some for an asset of its own, holds no lock.
        """
        if name not in self._sessions:
            self._sessions[name] = RunStore(self.store(name), self._run_id)
        return self._sessions[name]

    @property
    def narrator(self) -> Narrator:
        return self._narrator

    def clock(self, budget: float | None) -> RunClock:
        """Return the clock of the running run, for a budget in seconds."""
        return RunClock(self._started, budget, self._start)

    def note_search(self) -> None:
        """Note that the search begins: how long it took to come there tells how fast the machine is now."""
        self._start = time.monotonic() - self._started

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["ModelRuns"]:
        run = context.run
        if run is None:
            yield self
            return
        self._run_id = run.run_id
        self._narrator = narrator.get() or self._narrator
        with ExitStack() as locks:
            for name in self._models_of(run):
                store = self.store(name)
                waiting = partial(self._narrator.waiting, context.log)
                locks.enter_context(lock.hold(store.folder, run.run_id, waiting))
                report_killed_runs(store, context.instance)
                store.sweep()
                self._sessions[name] = RunStore(store, run.run_id)
            self._started = began.get() or time.monotonic()
            yield self

    def _models_of(self, run: dg.DagsterRun) -> list[str]:
        """Return the sorted names of the models whose assets a run touches."""
        if run.asset_selection:
            return sorted({key.path[0] for key in run.asset_selection} & set(self.models))
        return [run.tags[MODEL_TAG]] if MODEL_TAG in run.tags else []


MODEL_TAG = "mt_assets/model"
"""Tag of the jobs' runs: the model that they train."""

ROUND_TAG = "mt_assets/further_round"
"""Tag of a run that searches further because a quality gate was missed: which round it is, from 1."""

ATTENDED_TAG = "mt_assets/attended"
"""Tag of a run whose caller asks for further rounds by itself, so that the sensor must not."""

PROCESS_TAG = "mt_assets/process"
"""Tag of a run that a command line executes itself: host, number and start of its process."""

BEGUN = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
"""States of a run that somebody is about to execute, or executes."""


def further_rounds(tags: Mapping[str, str]) -> int:
    """How many rounds a run adds to the first search."""
    return int(tags.get(ROUND_TAG, 0))


def this_process() -> str:
    """The value of `PROCESS_TAG` for this process."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


def _is_gone(process: str) -> bool:
    """Whether a process of this host has ended; those of other hosts are not known."""
    host, number, began = process.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(number)).create_time():.2f}" != began
    except psutil.NoSuchProcess:
        return True


def report_killed_runs(store: ModelStore, instance: dg.DagsterInstance | None) -> list[str]:
    """Report every run of a model that was killed as failed, and forget it. Returns their ids."""
    killed = lock.killed_runs(store.folder)
    if instance:  # those of a command line that was killed before they took the lock
        begun = instance.get_runs(dg.RunsFilter(tags={MODEL_TAG: store.name}, statuses=BEGUN))
        known = [run for run in begun if PROCESS_TAG in run.tags and run.run_id not in killed]
        killed += [run.run_id for run in known if _is_gone(run.tags[PROCESS_TAG])]
    for run_id in killed:
        run = instance.get_run_by_id(run_id) if instance else None
        if instance and run and not run.is_finished:
            message = "The run's process was killed; the next run goes on with what it had finished."
            instance.report_run_failed(run, message)
        lock.forget_run(store.folder, run_id)
    return killed
