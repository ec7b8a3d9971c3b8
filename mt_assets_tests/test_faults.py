"""Real faults around whole trainings: each has a name, ends as documented, and when it is gone nothing is lost.

What the trainer does below the graph stands in `trainer.test_faults`; kills -9 in `test_crash` and `test_kills`; a
tracker that is down from the start in `test_tracker_down`, one that breaks off in `resources.test_tracking_failures`.
"""

import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import psutil
import pytest

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import Outcome, train

Limited = Callable[[int, int, int], Any]
Essence = Callable[[Any], dict[str, Any]]


@pytest.fixture
def spec(tmp_path: Path, home: Path, write_spec: Any, customers: Any) -> Path:
    path: Path = write_spec(tmp_path / "churn", customers())
    return path


def error_of(outcome: Outcome) -> Any:
    error = outcome.result.error
    assert error is not None
    assert error.suggestions
    return error


# The store


def damage(store: ModelStore, asset: str, flip: Callable[..., None]) -> None:
    """Flip a bit in the largest file of the current version of an asset."""
    made = store.current(asset)
    assert made is not None
    folder = store.folder / "objects" / made.address
    flip(max(folder.iterdir(), key=lambda path: path.stat().st_size), where=0.5)


@pytest.mark.slow
def test_damaged_folds_are_named_and_what_is_suggested_mends_them(
    spec: Path, home: Path, flip: Callable[..., None], quick_essence: dict[str, Any], essence: Essence
) -> None:
    """Also a model, a table and a plan: those a training makes again by itself."""
    assert train(load_spec(spec)).exit_code == 0
    store = ModelStore(home, "churn")
    for asset in ("raw_data", "training_plan", "preprocessor", "trained_model"):
        damage(store, asset, flip)
    again = train(load_spec(spec))
    assert again.exit_code == 0, again.result.error
    assert essence(again.result) == quick_essence
    # The champion that cannot be read is not compared, and stays until a person says otherwise.
    champion = store.champion()
    assert champion is not None
    assert champion.number == 1
    assert "is not what was stored" in (again.result.promotion or {})["reason"]

    damage(store, "folds", flip)
    refused = train(load_spec(spec))
    assert refused.exit_code == 1
    error = error_of(refused)
    assert (error.type, error.cause, error.phase) == ("StoreError", "damaged_state", "splits")
    [command] = [text.partition(" (")[0].partition(": ")[2] for text in error.suggestions if ": rm " in text]
    subprocess.run(command, shell=True, check=True)
    mended = train(load_spec(spec))
    assert mended.exit_code == 0, mended.result.error
    assert essence(mended.result) == quick_essence


# Dagster's history


def history_files(home: Path) -> list[Path]:
    return sorted((home / "dagster").rglob("*.db"))


@pytest.mark.slow
def test_a_damaged_history_is_named_and_what_is_suggested_goes_on(
    spec: Path,
    home: Path,
    mt_assets: Callable[..., Any],
    quick_essence: dict[str, Any],
    essence: Essence,
    tmp_path: Path,
) -> None:
    assert train(load_spec(spec)).exit_code == 0
    for path in history_files(home):
        path.write_bytes(b"\x13" * 5000)
    answer = mt_assets("train", spec, "--output", tmp_path / "result.json")
    assert answer.code == 1
    assert "Traceback" not in answer.err + answer.out
    error = json.loads((tmp_path / "result.json").read_text())["error"]
    assert error["cause"] == "damaged_database"
    [command] = [text.partition(": ")[2] for text in error["suggestions"] if ": mv " in text]
    subprocess.run(command, shell=True, check=True)
    again = train(load_spec(spec))
    assert essence(again.result) == quick_essence
    assert [version.number for version in ModelStore(home, "churn").versions()] == [1, 2]


# Data


def test_data_that_is_rewritten_during_the_read_is_read_again_and_that_is_told(
    spec: Path, home: Path, quick_essence: dict[str, Any], essence: Essence
) -> None:
    """Its content stays the same, so the result does as well."""
    data, store = spec.parent / "train.csv", ModelStore(home, "churn")
    content, over = data.read_bytes(), threading.Event()

    def rewrite() -> None:
        while not (store.folder / "runs").is_dir() and not over.is_set():
            time.sleep(0.01)
        until = time.monotonic() + 2.5
        while time.monotonic() < until and not over.is_set():
            data.write_bytes(content)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        outcome = train(load_spec(spec))
    finally:
        over.set()
        writer.join()
    assert outcome.exit_code == 0, outcome.result.error
    assert essence(outcome.result) == quick_essence
    assert any("changed while it was read" in warning for warning in outcome.result.warnings)


def test_test_rows_change_nothing_that_is_fitted(
    tmp_path: Path, write_spec: Any, customers: Any, at_home: Callable[[Path], Any]
) -> None:
    """From end to end: other test rows, whatever they hold, and the same plan, preprocessor, trials and model."""
    learned, rng = [], np.random.default_rng(0)
    for number, change in enumerate(("none", "values", "labels")):
        folder = tmp_path / str(number)
        test = customers(60, seed=9)
        if change == "values":
            test["age"], test["income"] = rng.integers(0, 9_000, 60), rng.normal(0, 1e7, 60).round(2)
            test["category"] = rng.choice(["basic", "gold", "new"], 60)
        if change == "labels":
            test["target"] = rng.permutation(test["target"])
        spec = write_spec(folder / "churn", customers(), testDataPath="test.csv")
        test.to_csv(folder / "churn" / "test.csv", index=False)
        with at_home(folder / "home") as home:
            outcome = train(load_spec(spec))
            assert outcome.exit_code == 0, outcome.result.error
            store = ModelStore(home, "churn")
            current: dict[str, Any] = {
                name: made for name in ("training_plan", "preprocessor", "optuna_study", "trained_model")
                if (made := store.current(name))
            }  # fmt: skip
            study = store.get(current["optuna_study"].address)
            learned.append(
                {
                    "plan": current["training_plan"].address,
                    "preprocessor": current["preprocessor"].address,
                    "trials": [trial.model_dump(exclude={"seconds"}) for trial in study.trials],  # type: ignore[attr-defined]
                    "model": hashlib.sha256(Path(outcome.result.model_path or "").read_bytes()).hexdigest(),
                }
            )
    assert learned[1] == learned[0]
    assert learned[2] == learned[0]


# Signals


@contextmanager
def started(spec: Path, told: Path, *more: str) -> "Iterator[subprocess.Popen[bytes]]":
    """`mt-assets train`; what it says goes through a pipe, which is no file that a full disk could cut."""
    command = [sys.executable, "-m", "mt_assets.cli", "train", str(spec), *more]
    with told.open("wb") as log, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log) as pipe:
        assert pipe.stdin is not None
        with subprocess.Popen(command, stdout=pipe.stdin, stderr=pipe.stdin) as process:
            pipe.stdin.close()
            try:
                yield process
            finally:
                process.kill()


def wait_for(text: str, told: Path, process: "subprocess.Popen[bytes]") -> None:
    while text not in told.read_text():
        assert process.poll() is None, told.read_text()
        time.sleep(0.01)


STUCK = """
import hashlib, os, signal, sys, threading
from pathlib import Path
from mt_assets import ending
ending.GRACE_S = 0.3
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: None)  # as Dagster does, in other words
with ending.signals_noted(lambda number: Path(sys.argv[1]).write_text(str(number))):
    threading.Timer(0.2, os.kill, (os.getpid(), int(sys.argv[2]))).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # half an hour in C, which no handler interrupts
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_computes_in_a_library_ends_within_its_grace(tmp_path: Path, number: int) -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK, str(tmp_path / "told"), str(int(number))], timeout=60)
    assert ended.returncode == 128 + number
    assert (tmp_path / "told").read_text() == str(int(number))


def test_a_run_that_is_told_to_end_ends_as_documented_and_goes_on(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, at_home: Callable[[Path], Any], essence: Essence
) -> None:
    keys = {"hyperparameterSearch": {"nTrials": 60, "pruner": "none"}}
    spec, told = write_spec(tmp_path / "churn", customers(), **keys), tmp_path / "told.txt"
    with started(spec, told, "--output", str(tmp_path / "result.json")) as process:
        wait_for("\n  trial ", told, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM, told.read_text()
    error = json.loads((tmp_path / "result.json").read_text())["error"]
    assert (error["type"], error["cause"], error["phase"]) == ("Terminated", "terminated", "optuna_study")
    store = ModelStore(home, "churn")
    assert not list((store.folder / "runs").iterdir())
    assert not list(store.folder.rglob(".unfinished-*"))
    with dg.DagsterInstance.get() as instance:
        assert all(run.is_finished for run in instance.get_runs())
    resumed = train(load_spec(spec)).result
    with at_home(tmp_path / "elsewhere"):
        assert essence(resumed) == essence(train(load_spec(spec)).result)


# Processes of their own, slower

LONGER = {"hyperparameterSearch": {"nTrials": 12}, "algorithm": ["logistic_regression", "lightgbm"]}

slow = pytest.mark.slow


def family(process: "subprocess.Popen[bytes]") -> list[int]:
    with suppress(psutil.Error):
        return [process.pid, *(each.pid for each in psutil.Process(process.pid).children(recursive=True))]
    return []


@pytest.fixture(scope="module")
def longer(
    tmp_path_factory: pytest.TempPathFactory,
    write_spec: Any,
    customers: Any,
    at_home: Callable[[Path], Any],
    essence: Essence,
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("longer")
    with at_home(folder / "home"):
        return essence(train(load_spec(write_spec(folder / "churn", customers(300), **LONGER))).result)


@slow
@pytest.mark.parametrize("phase", ["Reading", "Deciding", "Searching", "Final fit", "Judging", "Writing the result"])
def test_a_disk_that_becomes_full_in_any_phase_ends_by_name_and_loses_nothing(
    phase: str,
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    customers: Any,
    limited: Limited,
    longer: dict[str, Any],
    essence: Essence,
) -> None:
    spec, told = write_spec(tmp_path / "churn", customers(300), **LONGER), tmp_path / "told.txt"
    with started(spec, told, "--output", str(tmp_path / "result.json")) as process:
        wait_for(phase, told, process)
        for each in family(process):
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(each, resource.RLIMIT_FSIZE)
                resource.prlimit(each, resource.RLIMIT_FSIZE, (1000, hard))
        code = process.wait(timeout=120)
    text = told.read_text()
    assert code == 1, text
    assert "Traceback" not in text
    assert any(word in text for word in ("disk is full", "disk I/O error", "File too large")), text
    assert "df -h" in text or "dagster.damaged" in text
    again = train(load_spec(spec))
    assert again.exit_code == 0, again.result.error
    assert essence(again.result) == longer
    assert not list(ModelStore(home, "churn").folder.rglob(".unfinished-*"))


@slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_in_every_phase_end_within_seconds_and_lose_nothing(
    number: int, tmp_path: Path, home: Path, write_spec: Any, customers: Any, longer: dict[str, Any], essence: Essence
) -> None:
    from mt_assets.console import PHASES

    spec, told = write_spec(tmp_path / "churn", customers(300), **LONGER), tmp_path / "told.txt"
    ended = []
    for text in [each for name, each in PHASES.items() if name not in ("fairness", "model_card")]:
        with started(spec, told) as process:
            wait_for(text, told, process)
            began = time.monotonic()
            process.send_signal(number)
            code = process.wait(timeout=60)
            ended.append(round(time.monotonic() - began, 1))
        # Where the last phase was over before the signal arrived, the process dies by it, or not at all.
        assert code in (128 + number, -number, 0), told.read_text()
        assert "Traceback" not in told.read_text()
        assert not list((ModelStore(home, "churn").folder / "runs").iterdir())
    print(f"signal {int(number)}: ended within {ended} s")
    again = train(load_spec(spec))
    assert essence(again.result) == longer
    with dg.DagsterInstance.get() as instance:
        assert all(run.is_finished for run in instance.get_runs())


class Server:
    """A real MLflow server that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", f"{self.folder}/files"]
        env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(1200):
            with suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=1):
                return
            time.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.kill()


@slow
@pytest.mark.parametrize("phase", ["Reading", "Searching", "Logging the run", "Registering the model", "after"])
def test_a_tracking_server_that_is_killed_costs_no_training_and_is_told_later(
    phase: str, server: Server, tmp_path: Path, home: Path, write_spec: Any, customers: Any, mlflow_client: Any
) -> None:
    tracking = {"experimentName": "killed", "trackingUri": server.address}
    spec = write_spec(tmp_path / "churn", customers(), experimentTracking=tracking)
    told = tmp_path / "told.txt"
    with started(spec, told, "--output", str(tmp_path / "result.json")) as process:
        if phase != "after":
            wait_for(phase, told, process)
            server.kill()
        assert process.wait(timeout=240) == 0, told.read_text()
    server.kill()
    result, store = json.loads((tmp_path / "result.json").read_text()), ModelStore(home, "churn")
    assert result["success"]
    pending = [training.number for training in store.pending()]
    assert pending == ([] if phase == "after" else [1]) or phase == "Registering the model"
    if pending:
        assert any(server.address in warning for warning in result["warnings"]), result["warnings"]
    server.start()
    synced = subprocess.run([sys.executable, "-m", "mt_assets.cli", "sync", str(spec)], capture_output=True, text=True)
    assert synced.returncode == 0, synced.stderr
    assert store.pending() == []
    client = mlflow_client(server.address)
    found = client.get_experiment_by_name("killed")
    assert [run.info.status for run in client.search_runs([found.experiment_id])] == ["FINISHED"]
    assert [version.version for version in client.search_model_versions("name='churn'")] in ([1], ["1"])


@slow
def test_a_damaged_database_of_the_tracker_costs_no_training(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, mt_assets: Callable[..., Any]
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), experimentTracking={"experimentName": "damaged"})
    home.mkdir()
    (home / "mlflow.db").write_bytes(b"\x13" * 5000)
    outcome = train(load_spec(spec))
    assert outcome.exit_code == 0
    assert [training.number for training in ModelStore(home, "churn").pending()] == [1]
    assert any("mlflow.db broke off" in warning for warning in outcome.result.warnings), outcome.result.warnings
    (home / "mlflow.db").unlink()
    assert mt_assets("sync", spec).code == 0
    assert ModelStore(home, "churn").pending() == []


@slow
def test_a_history_that_another_program_holds_is_named_and_goes_on_when_it_is_free(
    spec: Path, home: Path, quick_essence: dict[str, Any], essence: Essence
) -> None:
    assert train(load_spec(spec)).exit_code == 0
    shutil.rmtree(ModelStore(home, "churn").folder)
    [runs] = [path for path in history_files(home) if path.name == "runs.db"]
    with closing(sqlite3.connect(runs)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        outcome = train(load_spec(spec))
        assert outcome.exit_code == 1
        assert error_of(outcome).cause == "database_locked"
        holder.rollback()
    assert essence(train(load_spec(spec)).result) == quick_essence


@slow
def test_a_run_without_memory_ends_by_name(
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    limited: Limited,
    longer: dict[str, Any],
    essence: Essence,
    customers: Any,
) -> None:
    """The main process gets no more memory once it reads; with it again, the result is that of an undisturbed run."""
    spec, told = write_spec(tmp_path / "churn", customers(300), **LONGER), tmp_path / "told.txt"
    rows = 300_000
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(rows, 12)), columns=[f"x{at}" for at in range(12)])
    wide.assign(target=(wide["x0"] > 0).map({True: "yes", False: "no"})).to_csv(tmp_path / "wide.csv", index=False)
    large = write_spec(tmp_path / "wide", str(tmp_path / "wide.csv"), **LONGER)
    with started(large, told, "--output", str(tmp_path / "result.json")) as process:
        wait_for("Reading", told, process)
        most = psutil.Process(process.pid).memory_info().vms + 60_000_000
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (most, hard))
        assert process.wait(timeout=240) in (1, 2), told.read_text()
    assert "Traceback" not in told.read_text()
    error = json.loads((tmp_path / "result.json").read_text())["error"]
    assert error["cause"] == "out_of_memory", error
    assert error["remediation"]
    assert essence(train(load_spec(spec)).result) == longer
