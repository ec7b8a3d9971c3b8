"""Runs that are killed, and runs that meet: nothing blocks, nothing finished is lost, nothing is done twice at once.

Real processes, really killed.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from mt_assets.assembly import build_definitions
from mt_assets.resources.model_runs import MODEL_TAG, PROCESS_TAG, this_process
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.search.result import StudyResult
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import ensure_instance, train

LONG = {
    "hyperparameterSearch": {"nTrials": 10},
    "algorithm": "lightgbm",
    "validationStrategy": {"type": "stratified_kfold", "folds": 3},
}
"""A search of some seconds, which can be caught in the middle."""


@contextmanager
def started(spec: Path) -> "Iterator[subprocess.Popen[str]]":
    """`mt-assets train` in a process of its own; killed in the end, if it still runs."""
    command = [sys.executable, "-m", "mt_assets.cli", "train", str(spec)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(happened: Callable[[], Any], process: "subprocess.Popen[str]") -> None:
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def test_a_search_that_was_killed_goes_on_to_the_same_model(
    tmp_path: Path, write_spec: Any, customers: Any, at_home: Callable[[Path], Any]
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), **LONG)
    with at_home(tmp_path / "home") as home:
        store = ModelStore(home, "churn")
        with started(spec) as process:
            wait_until(lambda: len(list((store.folder / "folds").glob("*.npz"))) >= 7, process)
            process.kill()
        assert store.current("optuna_study") is None
        with dg.DagsterInstance.get() as instance:
            [killed] = instance.get_runs()
            assert killed.status == dg.DagsterRunStatus.STARTED

        finished = {path.name: path.stat().st_mtime_ns for path in (store.folder / "folds").glob("*.npz")}
        resumed = train(load_spec(spec))
        assert resumed.exit_code == 0
        assert (
            finished.items()
            <= {path.name: path.stat().st_mtime_ns for path in (store.folder / "folds").glob("*.npz")}.items()
        )
        made = store.current("optuna_study")
        assert made is not None
        study = store.get(made.address)
        assert isinstance(study, StudyResult)
        assert 0 < study.resumed_trials < 10
        assert not list((store.folder / "runs").iterdir())
        assert not list(store.folder.rglob(".unfinished-*"))
        with dg.DagsterInstance.get() as instance:
            reported = instance.get_run_by_id(killed.run_id)
            assert reported is not None
            assert reported.status == dg.DagsterRunStatus.FAILURE

    with at_home(tmp_path / "elsewhere"):
        undisturbed = train(load_spec(spec)).result
    assert resumed.result.best_params == undisturbed.best_params
    assert resumed.result.metrics == undisturbed.metrics
    assert resumed.result.feature_importance == undisturbed.feature_importance
    assert resumed.result.metadata.best_trial_number == undisturbed.metadata.best_trial_number


def test_two_command_lines_at_once_train_one_after_the_other(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers())
    with started(spec) as one, started(spec) as other:
        told = [one.communicate(timeout=200)[0], other.communicate(timeout=200)[0]]
        assert (one.returncode, other.returncode) == (0, 0), told
    assert sum("Another run is training churn (run " in text for text in told) == 1
    store = ModelStore(home, "churn")
    assert [version.number for version in store.versions()] == [1, 2]
    with dg.DagsterInstance.get() as instance:
        statuses = [record.dagster_run.status for record in instance.get_run_records()]
        times = sorted((record.start_time, record.end_time) for record in instance.get_run_records())
    assert statuses == [dg.DagsterRunStatus.SUCCESS] * 2
    assert times[1][1] is not None


def test_a_command_line_that_was_killed_before_it_took_the_lock_is_reported_by_the_next(
    tmp_path: Path, write_spec: Any, customers: Any, home: Path
) -> None:
    spec = load_spec(write_spec(tmp_path / "churn", customers()))
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        began = psutil.Process(process.pid).create_time()
    gone = f"{socket.gethostname()}/{process.pid}/{began:.2f}"
    ensure_instance()
    with dg.DagsterInstance.get() as instance:
        job = build_definitions([spec]).resolve_job_def("churn_training")
        dead = instance.create_run_for_job(job, tags={**job.tags, PROCESS_TAG: gone})
        alive = instance.create_run_for_job(job, tags={**job.tags, PROCESS_TAG: this_process()})
        outcome = train(spec)
        assert outcome.exit_code == 0
        status = {run.run_id: run.status for run in instance.get_runs()}
        assert status == {
            dead.run_id: dg.DagsterRunStatus.FAILURE,
            alive.run_id: dg.DagsterRunStatus.NOT_STARTED,
            outcome.run_id: dg.DagsterRunStatus.SUCCESS,
        }
        of_this = instance.get_run_by_id(outcome.run_id)
        assert of_this is not None
        assert of_this.tags[PROCESS_TAG] == this_process()
        assert of_this.tags[MODEL_TAG] == "churn"
