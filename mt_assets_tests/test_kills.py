"""Trainings that are killed at any moment, again and again, and then go on to what an undisturbed one gives.

Real processes, killed at random moments of their whole life. Slow; see `test_crash` for the quick proofs.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import psutil
import pytest

from mt_assets.console import PHASES
from mt_assets.resources.mlflow_store import connected
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.scoring import predict
from mt_assets.trainer.search.result import BestParams, StudyResult
from mt_assets.trainer.search.storage import open_storage
from mt_assets.trainer.store.model_store import ModelStore

pytestmark = pytest.mark.slow

KILLS = 7
"""Of the whole training, and of its main process alone; at least."""

PHASE_KILLS = 50
"""Over all phases of the graph; at least."""

MOST_TRAININGS = 8
"""Enough to hit also phases of some milliseconds."""

START = "the start"
"""Before the first phase: imports, the Dagster instance, the lock."""

ASKED = {
    "algorithm": ["logistic_regression", "lightgbm", "extra_trees"],
    "hyperparameterSearch": {"nTrials": 12, "searchSpace": {"extra_trees": {"n_estimators": 40}}},
    "validationStrategy": {"type": "stratified_kfold", "folds": 4},
    "experimentTracking": {"enabled": False},
}


def start(spec: Path, told: Path) -> "subprocess.Popen[bytes]":
    """`mt-assets train`, in a process group of its own."""
    command = [sys.executable, "-m", "mt_assets.cli", "train", str(spec)]
    with told.open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def processes_of(home: Path) -> dict[int, str]:
    """All living processes with this home, and what they are."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            here = process.environ().get("MT_ASSETS_HOME") == str(home) and process.pid != os.getpid()
            if here and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline())
    return found


def kill(processes: list[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def kill_everything(home: Path, process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.killpg(process.pid, signal.SIGKILL)
    kill(list(processes_of(home)))


def kill_main_process(_: Path, process: "subprocess.Popen[bytes]") -> None:
    process.kill()


def at_work(home: Path) -> str:
    """The phase that the last run had begun."""
    if not (home / "dagster").is_dir():
        return START
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs(limit=1)
        steps = instance.all_logs(runs[0].run_id, of_type=dg.DagsterEventType.STEP_START) if runs else []
        return (steps[-1].step_key or "").rpartition("__")[2] if steps else START


def stamps(store: ModelStore) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (store.folder / "folds").glob("*.npz")}


@dataclass(frozen=True)
class Learned:
    """What a training gave, but for times and places."""

    trials: list[dict[str, Any]]
    best_number: int
    best: BestParams
    metrics: dict[str, Any]
    importance: dict[str, float]
    fold_results: set[str]
    predictions: pd.DataFrame


def learned(home: Path, data: Path) -> Learned:
    store = ModelStore(home, "churn")

    def value(asset: str) -> Any:
        made = store.current(asset)
        assert made is not None, asset
        return store.get(made.address)

    study: StudyResult = value("optuna_study")
    result = value("training_result")
    best: BestParams = value("best_params")
    predict("churn", str(data), home / "scored.parquet")
    return Learned(
        trials=[trial.model_dump(exclude={"seconds"}) for trial in study.trials],
        best_number=study.best_number,
        best=best.model_copy(update={"leaderboard": tuple({**each, "seconds": 0} for each in best.leaderboard)}),
        metrics=result.metrics.model_dump(),
        importance=result.feature_importance,
        fold_results=set(stamps(store)),
        predictions=pd.read_parquet(home / "scored.parquet"),
    )


def assert_same(one: Learned, other: Learned) -> None:
    assert one.trials == other.trials
    assert (one.best_number, one.best) == (other.best_number, other.best)
    assert one.metrics == other.metrics
    assert one.importance == other.importance
    assert one.fold_results == other.fold_results
    pd.testing.assert_frame_equal(one.predictions, other.predictions, check_exact=True)


def assert_nothing_left(home: Path) -> None:
    """No process, no half-written file, nothing at work that nobody works on."""
    until = time.monotonic() + 10
    while processes_of(home) and time.monotonic() < until:
        time.sleep(0.2)
    assert processes_of(home) == {}
    store = ModelStore(home, "churn")
    assert not [path for path in home.rglob("*") if "unfinished" in path.name]
    assert not list((store.folder / "runs").iterdir())
    with dg.DagsterInstance.get() as instance:
        assert {run.status for run in instance.get_runs()} <= {
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
        }
    import optuna

    storage, _ = open_storage(None, store.folder)
    for name in optuna.get_all_study_names(storage):
        states = Counter(trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials)
        assert set(states) <= {"COMPLETE", "PRUNED", "FAIL"}, states


@dataclass(frozen=True)
class Undisturbed:
    """The spec, its data, what it gives, and how long that takes."""

    spec: Path
    data: Path
    learned: Learned
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, write_spec: Any, customers: Any, at_home: Callable[[Path], Any]
) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    spec = write_spec(folder / "churn", customers(300), **ASKED)
    with at_home(folder / "home") as home:
        began = time.monotonic()
        with start(spec, folder / "told.txt") as process:
            assert process.wait() == 0, (folder / "told.txt").read_text()
        seconds = time.monotonic() - began
        print(f"\nundisturbed: {seconds:.1f} s")
        assert_nothing_left(home)
        return Undisturbed(spec, spec.parent / "train.csv", learned(home, spec.parent / "train.csv"), seconds)


@pytest.mark.parametrize("kill_training", [kill_everything, kill_main_process])
def test_what_is_killed_at_any_moment_gives_what_is_not(
    kill_training: Callable[..., None], tmp_path: Path, undisturbed: Undisturbed, at_home: Callable[[Path], Any]
) -> None:
    rng = random.Random(kill_training.__name__)
    kills, training = 0, 0
    while kills < KILLS:
        training += 1
        with at_home(tmp_path / str(training)) as home:
            store, ended, in_this = ModelStore(home, "churn"), False, 0
            while not ended:
                finished = stamps(store)
                with start(undisturbed.spec, tmp_path / "told.txt") as process:
                    if in_this < KILLS // 2:
                        with suppress(subprocess.TimeoutExpired):
                            process.wait(rng.uniform(0.15, 1.0) * undisturbed.seconds)
                        if process.poll() is None:
                            kill_training(home, process)
                            kills, in_this = kills + 1, in_this + 1
                            print(f"training {training}, kill {in_this}: in {at_work(home)}")
                    ended = process.wait() == 0
                assert ended or process.returncode == -signal.SIGKILL, (tmp_path / "told.txt").read_text()
                assert finished.items() <= stamps(store).items(), "a finished fold was fitted again"
            assert_nothing_left(home)
            assert_same(learned(home, undisturbed.data), undisturbed.learned)


def test_a_training_whose_workers_are_killed_again_and_again_gives_the_same(
    tmp_path: Path, undisturbed: Undisturbed, at_home: Callable[[Path], Any]
) -> None:
    """A fit whose process is killed twice counts as one that cannot be done; each is given its second try."""
    rng, hit = random.Random(4), Counter[str]()
    with at_home(tmp_path / "home") as home:
        store, finished = ModelStore(home, "churn"), dict[str, int]()
        with start(undisturbed.spec, tmp_path / "told.txt") as process:
            while process.poll() is None:
                now = stamps(store)
                if len(now) < len(finished) + rng.randint(3, 5) and process.poll() is None:
                    time.sleep(rng.uniform(0, 0.05))
                    continue
                assert finished.items() <= now.items()
                finished = now
                ours = [each for each, command in processes_of(home).items() if "worker_host" in command]
                try:
                    workers = [each for each in ours if psutil.Process(each).ppid() in ours]
                except psutil.NoSuchProcess:  # the search has just ended
                    continue
                victims = workers if rng.random() < 0.7 else [each for each in ours if each not in workers]
                if victims:
                    kill([rng.choice(victims)])
                    hit["a worker" if victims == workers else "the host"] += 1
        assert process.returncode == 0, (tmp_path / "told.txt").read_text()
        print(f"killed: {dict(hit)}")
        assert min(hit["a worker"], hit["the host"]) >= 2
        assert finished.items() <= stamps(store).items(), "a finished fold was fitted again"
        assert_nothing_left(home)
        assert_same(learned(home, undisturbed.data), undisturbed.learned)


def kill_in(phase: str, seconds: float, spec: Path, home: Path, told: Path) -> str | None:
    """Start a training, kill it so many seconds after a phase has begun, and say what it was at; None: it was over."""
    told.write_bytes(b"")
    began = f"{PHASES[phase]} ..." if phase in PHASES else ""
    with start(spec, told) as process:
        while began not in told.read_text() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(seconds)
        killed = process.poll() is None
        kill_everything(home, process)
    return at_work(home) if killed else None


EVERYTHING = {
    **ASKED,
    "experimentTracking": {"enabled": True},
    "sensitiveColumns": ["category"],
    "promotion": {"minSegment": 10},
    "outputs": ["model_card"],
}
"""With every asset that a training can have."""


def test_a_training_that_is_killed_in_every_phase_gives_the_same(
    tmp_path: Path, undisturbed: Undisturbed, write_spec: Any, customers: Any, at_home: Callable[[Path], Any]
) -> None:
    """Fifty kills over the whole graph, in several trainings, until each phase was hit at least once."""
    rng, told = random.Random(5), tmp_path / "told.txt"
    spec = write_spec(tmp_path / "churn", customers(300), **EVERYTHING)
    hits, training, lengths = Counter[str](), 0, dict.fromkeys(PHASES, 0.3)
    while hits.total() < PHASE_KILLS or not set(PHASES) <= set(hits):
        training += 1
        assert training <= MOST_TRAININGS, f"never hit: {set(PHASES) - set(hits)}"
        with at_home(tmp_path / str(training)) as home:
            store = ModelStore(home, "churn")
            order = [START, *PHASES]
            for phase in rng.sample(order, len(order)):
                finished = stamps(store)
                hit = kill_in(phase, rng.uniform(0, lengths.get(phase, 2.0)), spec, home, told)
                assert finished.items() <= stamps(store).items(), "a finished fold was fitted again"
                if hit is not None:
                    hits[hit] += 1
                print(f"training {training}, kill {hits.total()}: aimed at {phase}, was at {hit}", flush=True)
            with start(spec, told) as process:
                assert process.wait() == 0, told.read_text()
            assert_nothing_left(home)
            assert_same(learned(home, undisturbed.data), undisturbed.learned)
            assert_told_once(store)
            # Short phases are hit where the kill comes as soon as they begin.
            made = {name: store.current(name) for name in PHASES}
            lengths = {name: version.seconds for name, version in made.items() if version}
    print(f"{hits.total()} kills in {training} trainings: {dict(hits)}; nothing lost")


def assert_told_once(store: ModelStore) -> None:
    """The tracker knows each judged training at most once, and all that it knows is whole."""
    assert store.pending() == []
    judged = [version.number for version in store.versions()]
    assert judged == list(range(1, len(judged) + 1))
    with connected(MlflowTracking().tracker()) as client:
        versions = client.search_model_versions("name='churn'")
        runs = [client.get_run(version.run_id) for version in versions]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({version.run_id for version in versions}) == len(versions) <= len(judged)
