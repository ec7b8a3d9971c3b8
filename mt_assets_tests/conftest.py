"""What tests of the whole share: a home of their own, small tables, the command line, a real tracker, real faults."""

import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

BIN = Path(sys.executable).parent

AMBIENT = ("MT_ASSETS_SPECS", "MT_ASSETS_STUDY_STORAGE", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE")
"""Variables of the person who runs the tests that must not reach them."""

QUICK = {
    "targetColumn": "target",
    "algorithm": "logistic_regression",
    "validationStrategy": {"folds": 3},
    "hyperparameterSearch": {"nTrials": 2},
    "experimentTracking": {"enabled": False},
}
"""A training of about two seconds, most of it the check that a fresh process can load the model."""


os.environ["COLUMNS"] = "200"
"""Before the first console is made, which keeps the width: tables are shown whole, also where there is no terminal."""


@pytest.fixture(scope="session", autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds or leaves state in the checkout."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in AMBIENT:
            patch.delenv(name, raising=False)
        patch.setenv("MT_ASSETS_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


@contextmanager
def _at_home(home: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MT_ASSETS_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        yield home


@pytest.fixture(scope="session")
def at_home() -> Callable[[Path], Any]:
    """`with at_home(folder):` all state goes to that folder."""
    return _at_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home for one test."""
    with _at_home(tmp_path / "home") as folder:
        yield folder


def _customers(rows: int = 120, seed: int = 0) -> Any:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, rows)
    income = rng.normal(50_000, 9_000, rows).round(2)
    category = rng.choice(["basic", "plus", "pro"], rows)
    risk = (age < 45) + 0.7 * (category == "basic") + rng.normal(0, 0.5, rows)
    target = np.where(risk > 0.9, "yes", "no")
    return pd.DataFrame({"age": age, "income": income, "category": category, "target": target})


@pytest.fixture(scope="session")
def customers() -> Callable[..., Any]:
    """`customers(rows, seed)`: a table with a number, an amount, a category and a target of `yes` and `no`."""
    return _customers


class WriteSpec(Protocol):
    def __call__(self, folder: Path, data: Any, **keys: Any) -> Path: ...


@pytest.fixture(scope="session")
def write_spec() -> WriteSpec:
    """`write_spec(folder, frame, **keys)`: the table as CSV and a quick spec for it, which the keys (camelCase) change.

    Instead of a frame: bytes, for the content of the data file, or the name of a file.
    """

    def write(folder: Path, data: Any, **keys: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        name = "train.csv"
        if isinstance(data, str):
            name = data
        elif isinstance(data, bytes):
            (folder / name).write_bytes(data)
        else:
            data.to_csv(folder / name, index=False)
        asked = {"name": folder.name, "trainDataPath": name, **QUICK, **keys}
        path = folder / "spec.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in asked.items() if value is not ...}))
        return path

    return write


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def mt_assets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """`mt_assets("train", spec)`: the command line without the seconds that a process of its own costs."""
    from mt_assets.cli import main

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["mt-assets", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Answer(int(ended.value.code or 0), out, err)

    return run


class RunProgram(Protocol):
    def __call__(
        self, *arguments: object, seconds: float = 240, **environment: str
    ) -> "subprocess.CompletedProcess[str]": ...


@pytest.fixture(scope="session")
def program() -> RunProgram:
    """`program("mt-assets", "train", spec)`: run an installed program to its end, as a process of its own."""

    def run(*arguments: object, seconds: float = 240, **environment: str) -> "subprocess.CompletedProcess[str]":
        command = [str(BIN / str(arguments[0])), *map(str, arguments[1:])]
        env = os.environ | {"COLUMNS": "200"} | environment
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env)

    return run


@pytest.fixture(scope="session")
def closed_address() -> str:
    """An address that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real MLflow server, started when it is first asked for."""
    folder = tmp_path_factory.mktemp("tracker")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/files"]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log.txt").open("w"))
        env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
        stack.callback(server.wait)
        stack.callback(os.killpg, server.pid, 9)
        address = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            assert server.poll() is None, "the MLflow server ended"
            with suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=1):
                break
            time.sleep(0.1)
        yield address


PASSWORD = "geheim-und-lang"
"""Password of the database; a test that finds it in anything written has found a leak."""


class Postgres:
    """A private PostgreSQL server that can be killed and started again.

    Attributes
    ----------
    address : str
        With its password.
    """

    def __init__(self, folder: Path) -> None:
        debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))  # there it is not on the path
        initdb = str(debian[-1]) if debian else shutil.which("initdb")
        if initdb is None:
            pytest.skip("PostgreSQL's server programs are not installed (Debian: apt-get install postgresql)")
        programs = Path(initdb).resolve().parent
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # PostgreSQL refuses to run as root. Pytest's own folders can be entered by nobody else.
        someone: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        (folder / "password").write_text(PASSWORD)
        if someone:
            for path in (folder, folder / "password"):
                shutil.chown(path, someone["user"], someone["group"])
        self.address = f"postgresql+psycopg2://reader:{PASSWORD}@127.0.0.1:{port}/postgres"
        self._log = folder / "log.txt"
        self._made: dict[str, Any] = {"cwd": folder, **someone}
        made = [programs / "initdb", "-D", folder / "data", "-U", "reader", "--pwfile", folder / "password"]
        made += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
        with self._log.open("a") as log:
            subprocess.run(list(map(str, made)), check=True, stdout=log, stderr=log, **self._made)
        self._command = [programs / "postgres", "-D", folder / "data", "-k", folder, "-p", port, "-F"]
        self._command += ["-c", "listen_addresses=127.0.0.1", "-c", "timezone=Europe/Berlin"]
        self._ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        self.start()

    def start(self) -> None:
        with self._log.open("a") as log:
            self._server = subprocess.Popen(list(map(str, self._command)), stdout=log, stderr=log, **self._made)
        for _ in range(600):
            assert self._server.poll() is None, self._log.read_text()
            if subprocess.run(self._ready).returncode == 0:
                break
            time.sleep(0.1)

    def end(self) -> None:
        """End it at once, with all connections, as where its machine goes away."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait()


@contextmanager
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder))
        try:
            yield server
        finally:
            server.end()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address, with its password, of a private PostgreSQL server that lives as long as the tests."""
    with postgres() as server:
        yield server.address


@pytest.fixture(scope="session")
def mlflow_client() -> Callable[[str], Any]:
    """`mlflow_client(address)`: a client of MLflow, to look at what was really written."""

    def connect(address: str) -> Any:
        from mt_assets.resources.mlflow_store import import_mlflow

        import_mlflow()
        from mlflow import MlflowClient

        return MlflowClient(address)

    return connect


@pytest.fixture(scope="session")
def postgres_of_one_test() -> Any:
    """`with postgres_of_one_test() as server:` a private PostgreSQL server that may be killed and started again."""
    return postgres


# Trainings to compare with


def _essence(result: Any) -> dict[str, Any]:
    told = result if isinstance(result, dict) else json.loads(result.model_dump_json(by_alias=True))
    return {key: told[key] for key in ("bestParams", "metrics", "featureImportance", "algorithm", "gates")} | {
        "trials": told["metadata"]["nTrials"],
        "best": told["metadata"]["bestTrialNumber"],
    }


@pytest.fixture(scope="session")
def essence() -> Callable[[Any], dict[str, Any]]:
    """`essence(result)`: what a training gave, but for times and places."""
    return _essence


@pytest.fixture(scope="session")
def quick_essence(tmp_path_factory: pytest.TempPathFactory, write_spec: WriteSpec, customers: Any) -> dict[str, Any]:
    """What the quick training of `customers()` gives where nothing disturbs it."""
    from mt_assets.spec_reading import load_spec
    from mt_assets.training_run import train

    folder = tmp_path_factory.mktemp("undisturbed")
    with _at_home(folder / "home"):
        return _essence(train(load_spec(write_spec(folder / "churn", customers()))).result)


# Faults, injected for real, and taken away again, without more rights than a test has.


@contextmanager
def _limited(process: int, what: int, most: int) -> Iterator[None]:
    """A living process may have no more of something; the hard limit stays, so that this can be taken back."""
    soft, hard = resource.prlimit(process, what)
    resource.prlimit(process, what, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(process, what, (soft, hard))


@pytest.fixture(scope="session")
def limited() -> Callable[[int, int, int], Any]:
    """`with limited(process, resource.RLIMIT_FSIZE, 100):` no file of the process grows beyond 100 bytes, as on a full
    disk (`errno.EFBIG` in place of `ENOSPC`); with `RLIMIT_AS` it gets no more memory."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits of other processes can be set on Linux alone")
    return _limited


def _flip(path: Path, seed: int = 0, where: float | None = None) -> None:
    content = bytearray(path.read_bytes())
    at = int(where * len(content)) if where is not None else random.Random(seed).randrange(len(content))
    content[at] ^= 0x10
    path.write_bytes(bytes(content))


@pytest.fixture(scope="session")
def flip() -> Callable[..., None]:
    """`flip(path, seed)`: one bit of a file changes, as on a disk that fails."""
    return _flip


@contextmanager
def _as_nobody() -> Iterator[None]:
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(before)


@pytest.fixture(scope="session")
def as_nobody() -> Callable[[], Any]:
    """`with as_nobody():` the rights of files hold, also where the tests are run by root."""
    return _as_nobody
