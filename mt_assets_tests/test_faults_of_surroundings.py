"""Real faults of what a training stands on: its data, its study's database, its clock, its terminal, its files.

What is said of `test_faults` holds here: each fault has a name, ends as documented, and when it is gone nothing is
lost.
"""

import http.server
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import Outcome, train

Essence = Callable[[Any], dict[str, Any]]

slow = pytest.mark.slow

SEARCHING = {"hyperparameterSearch": {"nTrials": 12}, "algorithm": ["logistic_regression", "lightgbm"]}
"""A search of some seconds, in the middle of which something can happen."""


@pytest.fixture
def spec(tmp_path: Path, home: Path, write_spec: Any, customers: Any) -> Path:
    path: Path = write_spec(tmp_path / "churn", customers())
    return path


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory,
    write_spec: Any,
    customers: Any,
    at_home: Callable[[Path], Any],
    essence: Essence,
) -> dict[str, Any]:
    """What a training with `SEARCHING` gives where nothing disturbs it."""
    folder = tmp_path_factory.mktemp("searched")
    with at_home(folder / "home"):
        return essence(train(load_spec(write_spec(folder / "churn", customers(), **SEARCHING))).result)


@contextmanager
def once(happened: Callable[[], Any], action: Callable[[], Any]) -> Iterator[None]:
    """Do something in another thread as soon as something has happened, while the context is at work."""
    over = threading.Event()

    def watch() -> None:
        while not happened():
            if over.wait(0.005):
                return
        action()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def error_of(outcome: Outcome) -> Any:
    error = outcome.result.error
    assert error is not None
    assert error.suggestions
    return error


# Data


def test_data_that_is_deleted_once_it_was_read_is_not_missed(
    spec: Path, home: Path, quick_essence: dict[str, Any], essence: Essence
) -> None:
    data, store = spec.parent / "train.csv", ModelStore(home, "churn")
    with once(lambda: store.current("raw_data"), data.unlink):
        outcome = train(load_spec(spec))
    assert not data.exists()
    assert outcome.exit_code == 0, outcome.result.error
    assert essence(outcome.result) == quick_essence
    missed = train(load_spec(spec))
    assert missed.exit_code == 2
    assert str(data) in error_of(missed).message


def test_data_that_is_replaced_once_it_was_read_is_that_of_the_next_training(
    spec: Path, home: Path, customers: Any, quick_essence: dict[str, Any], essence: Essence
) -> None:
    data, store = spec.parent / "train.csv", ModelStore(home, "churn")

    def replace() -> None:
        customers(150, seed=9).to_csv(spec.parent / "new.csv", index=False)
        (spec.parent / "new.csv").rename(data)

    with once(lambda: store.current("raw_data"), replace):
        outcome = train(load_spec(spec))
    assert outcome.exit_code == 0, outcome.result.error
    assert outcome.result.data is not None
    assert outcome.result.data.rows == 120
    assert essence(outcome.result) == quick_essence
    following = train(load_spec(spec))
    assert following.exit_code == 0, following.result.error
    assert following.result.data is not None
    assert following.result.data.rows == 150


def test_a_download_that_breaks_off_is_named_and_leaves_nothing(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any
) -> None:
    content, served = customers().to_csv(index=False).encode(), {"bytes": 100}

    class Breaking(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content[: served["bytes"]])

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/train.csv"
        spec = write_spec(tmp_path / "churn", address)
        broken = train(load_spec(spec))
        assert broken.exit_code == 2
        assert address in error_of(broken).message
        assert ModelStore(home, "churn").current("raw_data") is None
        served["bytes"] = len(content)
        assert train(load_spec(spec)).exit_code == 0
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@slow
def test_a_database_of_data_that_goes_away_while_it_is_asked_is_named(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, postgres_of_one_test: Any
) -> None:
    import sqlalchemy

    with postgres_of_one_test() as server:
        engine = sqlalchemy.create_engine(server.address)
        customers().to_sql("customers", engine, index=False)
        engine.dispose()
        query = "SELECT customers.* FROM customers, pg_sleep({seconds})"
        source = {"connection": server.address, "query": query.format(seconds=60)}
        spec = write_spec(tmp_path / "churn", "none", trainDataPath=source)
        end = threading.Timer(4.0, server.end)
        end.start()
        broken = train(load_spec(spec))
        end.join()
        assert broken.exit_code == 2
        error = error_of(broken)
        assert error.message.startswith("The database postgresql+psycopg2://reader:***@")
        assert server.address.split(":")[2].partition("@")[0] not in json.dumps(error.model_dump())
        server.start()
        write_spec(tmp_path / "churn", "none", trainDataPath=source | {"query": query.format(seconds=0)})
        assert train(load_spec(spec)).exit_code == 0


# The study's database


@slow
def test_a_study_database_that_is_started_again_is_waited_for_and_one_that_is_gone_is_named(
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    customers: Any,
    postgres_of_one_test: Any,
    searched: dict[str, Any],
    essence: Essence,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), **SEARCHING)
    store = ModelStore(home, "churn")

    def fitted() -> list[Path]:
        return list((store.folder / "folds").glob("*.npz"))

    with postgres_of_one_test() as server:
        monkeypatch.setenv("MT_ASSETS_STUDY_STORAGE", server.address)
        with once(lambda: len(fitted()) >= 4, server.end):
            gone = train(load_spec(spec))
        assert gone.exit_code == 1
        error = error_of(gone)
        assert (error.cause, error.phase) == ("study_storage", "optuna_study")
        assert any("tried again" in text for text in error.remediation)
        assert server.address.split(":")[2].partition("@")[0] not in json.dumps(error.model_dump())
        finished = {path: path.stat().st_mtime_ns for path in fitted()}

        before_work = train(load_spec(spec))
        assert error_of(before_work).phase == "raw_data"
        assert error_of(before_work).cause == "study_storage"

        server.start()

        def restart() -> None:
            server.end()
            server.start()

        with once(lambda: len(fitted()) >= len(finished) + 4, restart):
            outcome = train(load_spec(spec))
        assert outcome.exit_code == 0, outcome.result.error
        assert essence(outcome.result) == searched
        assert any("study storage does not answer" in warning for warning in outcome.result.warnings)
        assert finished.items() <= {path: path.stat().st_mtime_ns for path in fitted()}.items()


# The tracker's database


@slow
def test_a_database_of_the_tracker_that_another_program_holds_costs_no_training(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, mt_assets: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), experimentTracking={"experimentName": "held"})
    store = ModelStore(home, "churn")
    assert train(load_spec(spec)).exit_code == 0
    with closing(sqlite3.connect(home / "mlflow.db")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        outcome = train(load_spec(spec))
        holder.rollback()
    assert outcome.exit_code == 0, outcome.result.error
    assert [training.number for training in store.pending()] == [2]
    assert any("locked" in warning for warning in outcome.result.warnings), outcome.result.warnings
    assert mt_assets("sync", spec).code == 0
    assert store.pending() == []


# Processes of their own


@contextmanager
def started(spec: Path, told: Path, *more: str, **environment: str) -> "Iterator[subprocess.Popen[bytes]]":
    command = [sys.executable, "-m", "mt_assets.cli", "train", str(spec), *more]
    env = os.environ | environment
    with told.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(text: str, told: Path, process: "subprocess.Popen[bytes]") -> None:
    while text not in told.read_text():
        assert process.poll() is None, told.read_text()
        time.sleep(0.01)


TURNED = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <sys/time.h>
#include <unistd.h>

static long turned(void) { return access(getenv("CLOCK_IS_TURNED"), F_OK) ? 0 : atol(getenv("CLOCK_TURNED_BY")); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += turned();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    now->tv_sec = told.tv_sec;
    now->tv_usec = told.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    if (now) *now = told.tv_sec;
    return told.tv_sec;
}
"""
"""The clock of the day as a process sees it once a file exists: turned by so many seconds."""


IN_TIME = {"options": {"timeBudget": 600}}


@pytest.fixture(scope="module")
def budgeted(
    tmp_path_factory: pytest.TempPathFactory,
    write_spec: Any,
    customers: Any,
    at_home: Callable[[Path], Any],
    essence: Essence,
) -> dict[str, Any]:
    """What the quick training gives in a time that is enough for it."""
    folder = tmp_path_factory.mktemp("budgeted")
    with at_home(folder / "home"):
        return essence(train(load_spec(write_spec(folder / "churn", customers(), **IN_TIME))).result)


@slow
@pytest.mark.parametrize("seconds", [-86_400, 86_400])
def test_a_clock_that_is_turned_during_a_training_changes_neither_budget_nor_result(
    seconds: int,
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    customers: Any,
    budgeted: dict[str, Any],
    essence: Essence,
) -> None:
    (tmp_path / "turned.c").write_text(TURNED)
    built = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "turned.so"), str(tmp_path / "turned.c"), "-ldl"]
    try:
        subprocess.run(built, check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler: the clock of a process cannot be turned")
    spec, told = write_spec(tmp_path / "churn", customers(), **IN_TIME), tmp_path / "told.txt"
    turned = {
        "LD_PRELOAD": str(tmp_path / "turned.so"),
        "CLOCK_IS_TURNED": str(tmp_path / "now"),
        "CLOCK_TURNED_BY": str(seconds),
    }
    with started(spec, told, "--output", str(tmp_path / "result.json"), **turned) as process:
        wait_for("Reading", told, process)
        (tmp_path / "now").touch()
        assert process.wait(timeout=240) == 0, told.read_text()
    result = json.loads((tmp_path / "result.json").read_text())
    assert 0 < result["budget"]["spent"] < 600
    assert all(0 <= spent < 600 for spent in result["budget"]["phases"].values())
    assert essence(result) == budgeted
    following = train(load_spec(spec))  # with the clock as it was
    assert following.exit_code == 0
    assert [version.number for version in ModelStore(home, "churn").versions()] == [1, 2]


@slow
def test_a_terminal_that_goes_away_ends_the_run_and_the_next_goes_on(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, searched: dict[str, Any], essence: Essence
) -> None:
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup, and so do the programs that they start")
    spec, told = write_spec(tmp_path / "churn", customers(), **SEARCHING), tmp_path / "told.txt"
    store = ModelStore(home, "churn")
    with started(spec, told) as process:
        wait_for("\n  trial ", told, process)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) == -signal.SIGHUP
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    finished = {path: path.stat().st_mtime_ns for path in (store.folder / "folds").glob("*.npz")}
    outcome = train(load_spec(spec))
    assert essence(outcome.result) == searched
    assert (
        finished.items() <= {path: path.stat().st_mtime_ns for path in (store.folder / "folds").glob("*.npz")}.items()
    )
    with dg.DagsterInstance.get() as instance:
        assert all(run.is_finished for run in instance.get_runs())


@slow
def test_a_reader_of_the_output_that_goes_away_stops_no_training(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, quick_essence: dict[str, Any], essence: Essence
) -> None:
    """As in `mt-assets train SPEC | head -1`."""
    spec, result = write_spec(tmp_path / "churn", customers()), tmp_path / "result.json"
    command = [sys.executable, "-m", "mt_assets.cli", "train", str(spec), "--output", str(result)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
    assert "Traceback" not in said
    assert process.returncode == 0, said
    assert essence(json.loads(result.read_text())) == quick_essence


@slow
def test_a_process_that_may_open_no_more_files_is_named_and_the_next_goes_on(
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    customers: Any,
    limited: Callable[[int, int, int], Any],
    searched: dict[str, Any],
    essence: Essence,
) -> None:
    spec, told = write_spec(tmp_path / "churn", customers(), **SEARCHING), tmp_path / "told.txt"
    with started(spec, told, "--output", str(tmp_path / "result.json")) as process:
        wait_for("\n  trial ", told, process)
        open_now = psutil.Process(process.pid).num_fds()
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (open_now - 2, hard))
        assert process.wait(timeout=120) == 1, told.read_text()
    assert "Traceback" not in told.read_text()
    assert "Too many open files" in told.read_text() or "may not open more files" in told.read_text()
    assert essence(train(load_spec(spec)).result) == searched


@slow
def test_a_home_that_can_never_be_written_is_named_before_any_work(spec: Path, tmp_path: Path, program: Any) -> None:
    """The kernel's own file systems refuse even the superuser."""
    answer = program(
        "mt-assets", "train", spec, "--output", tmp_path / "result.json", MT_ASSETS_HOME="/proc/mt_assets",
        DAGSTER_HOME="/proc/mt_assets/dagster",
    )  # fmt: skip
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert "Set MT_ASSETS_HOME" in answer.stderr


@slow
def test_a_folder_for_temporary_files_that_is_missing_is_named_or_not_needed(
    spec: Path, tmp_path: Path, home: Path, program: Any, quick_essence: dict[str, Any], essence: Essence
) -> None:
    answer = program("mt-assets", "train", spec, "--output", tmp_path / "result.json", TMPDIR="/proc/nowhere")
    assert "Traceback" not in answer.stderr
    assert answer.returncode == 0, answer.stderr
    assert essence(json.loads((tmp_path / "result.json").read_text())) == quick_essence


def test_what_a_command_has_no_room_to_write_is_told_in_one_paragraph(
    tmp_path: Path, home: Path, customers: Any
) -> None:
    customers().to_csv(tmp_path / "train.csv", index=False)
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # noqa: E731
    command = [sys.executable, "-m", "mt_assets.cli", "init", str(tmp_path / "train.csv")]
    command += ["--output", str(tmp_path / "spec.yaml")]
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}  # Python leaves cut files of it where the disk is full
    answer = subprocess.run(command, capture_output=True, text=True, preexec_fn=small, env=env, timeout=120)
    assert answer.returncode == 1
    assert "The disk is full: " in answer.stderr
    assert "df -h" in answer.stderr
    assert "Traceback" not in answer.stderr


# What is remembered


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, write_spec: Any, customers: Any, at_home: Callable[[Path], Any]
) -> Iterator[Path]:
    """A spec that was trained once, in a home of its own."""
    folder = tmp_path_factory.mktemp("trained")
    with at_home(folder / "home"):
        spec = write_spec(folder / "churn", customers())
        assert train(load_spec(spec)).exit_code == 0
        yield spec


@pytest.mark.parametrize(
    "name",
    [
        "champion.json",
        *(pytest.param(each, marks=slow) for each in ("versions/1.json", "current/raw_data.json", "lock_holder.json")),
    ],
)
def test_a_pointer_that_is_damaged_is_named_and_what_is_suggested_goes_on(
    name: str, trained: Path, quick_essence: dict[str, Any], essence: Essence
) -> None:
    store = ModelStore(Path(os.environ["MT_ASSETS_HOME"]), "churn")
    path = store.folder / name
    whole = path.read_bytes()
    path.write_bytes(b"\x13" * 50)
    try:
        outcome = train(load_spec(trained))
        if outcome.exit_code:
            error = error_of(outcome)
            assert error.cause == "damaged_state"
            assert str(path) in error.message
            [command] = [text.partition("or: ")[2] for text in error.suggestions if "or: mv" in text]
            subprocess.run(command, shell=True, check=True)
            outcome = train(load_spec(trained))
        assert outcome.exit_code == 0, outcome.result.error
        assert essence(outcome.result) == quick_essence
    finally:
        path.write_bytes(whole)
