"""A small training, made for real, and a real MLflow server, for all tests of what is told to the tracker."""

import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.reporting.tracked import TrainingBundle

SPEC = {
    "name": "churn",
    "trainDataPath": "train.csv",
    "targetColumn": "churned",
    "algorithm": ["logistic_regression", "lightgbm"],
    "validationStrategy": {"folds": 3},
    "hyperparameterSearch": {"nTrials": 4, "sampler": "random"},
    "options": {"threads": 1},
}


def _customers(rows: int = 240) -> pd.DataFrame:
    """Whole numbers, numbers with gaps, categories with gaps and dates."""
    rng = np.random.default_rng(7)
    age = rng.integers(18, 80, rows)
    income = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(50_000, 9_000, rows).round(2))
    plan = rng.choice(np.array(["basic", "plus", None], dtype=object), rows, p=[0.5, 0.4, 0.1])
    since = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), unit="D")
    risk = (age < 40) + 0.8 * (plan == "basic") + rng.normal(0, 0.6, rows)
    return pd.DataFrame(
        {"age": age, "income": income, "plan": plan, "since": since, "churned": np.where(risk > 1.1, "yes", "no")}
    )


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    _customers().to_csv(folder / "train.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def spec(data_folder: Path) -> TrainingSpec:
    return parse_spec(SPEC, base=data_folder, default_name="churn")


@pytest.fixture(scope="session")
def bundle(spec: TrainingSpec, tmp_path_factory: pytest.TempPathFactory) -> TrainingBundle:
    """One training, small but whole."""
    return _make_bundle(spec, tmp_path_factory.mktemp("training"))


def _make_bundle(spec: TrainingSpec, folder: Path) -> TrainingBundle:
    from mt_assets.trainer.data.profile import profile_data
    from mt_assets.trainer.data.reading import read_table
    from mt_assets.trainer.data.splits import split_data
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.data.target import encode_target
    from mt_assets.trainer.evaluation.evaluate import evaluate
    from mt_assets.trainer.evaluation.importance import explain
    from mt_assets.trainer.features.preprocessor import TablePreprocessor
    from mt_assets.trainer.model import TrainedModel
    from mt_assets.trainer.planning.plan import make_plan
    from mt_assets.trainer.promotion import decide_promotion
    from mt_assets.trainer.search.study import fold_predictions, run_search, select_best
    from mt_assets.trainer.training import train_final

    assert isinstance(spec.train_data_path, str)
    table = Table.of(read_table(spec.train_data_path))
    profile = profile_data(table, spec)
    splits = split_data(table, profile, spec, None)
    plan = make_plan(spec, table, profile, splits)
    preprocessor = TablePreprocessor(columns=dict[str, str](profile.features))
    study = run_search(plan, table, profile, splits, preprocessor, folder=folder)
    best = select_best(study, plan)
    (folder / "model").mkdir()
    train_final(plan, best, table, profile, splits, preprocessor).save(folder / "model")
    trained = TrainedModel.load(folder / "model")
    out_of_fold = fold_predictions(study, folder, splits)
    facts: dict[str, Any] = {"plan": plan, "trained": trained, "table": table, "profile": profile, "splits": splits}
    test = table.take(splits.test).frame()
    return TrainingBundle(
        spec=spec,
        **facts,
        study=study,
        best=best,
        evaluation=evaluate(**facts, out_of_fold=out_of_fold),
        importance=explain(**facts),
        promotion=decide_promotion(
            plan=plan,
            spec=spec,
            gates=(),
            y_test=encode_target(test[profile.target.column], profile.target),
            challenger_prediction=trained.model.scores(test),
            positive=profile.target.positive,
            challenger_version=1,
            champion=None,
        ),
        training_id=f"{spec.name}/run-1",
        dagster_run_id="run-1",
        data_version=table.digest,
        trained_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        seconds=4.5,
        dagster_url="http://localhost:3000/runs/run-1",
        files={"optimization_history.png": b"\x89PNG optimization history"},
    )


@pytest.fixture(scope="session")
def retrained(bundle: TrainingBundle) -> Callable[..., TrainingBundle]:
    """`retrained(run, hours, **promotion)`: the training as if it had run again, so many hours later."""

    def again(run: str, hours: float, **promotion: Any) -> TrainingBundle:
        return replace(
            bundle,
            training_id=f"{bundle.spec.name}/{run}",
            dagster_run_id=run,
            trained_at=bundle.trained_at + timedelta(hours=hours),
            promotion=bundle.promotion.model_copy(update=promotion),
        )

    return again


@pytest.fixture(scope="session")
def asking(bundle: TrainingBundle) -> Callable[..., TrainingBundle]:
    """`asking(**tracking)`: the training with other settings of `experimentTracking`."""

    def settings(**tracking: Any) -> TrainingBundle:
        asked = bundle.spec.experiment_tracking.model_copy(update=tracking)
        return replace(bundle, spec=bundle.spec.model_copy(update={"experiment_tracking": asked}))

    return settings


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return _free_port()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real MLflow server with an SQLite backend."""
    folder, port = tmp_path_factory.mktemp("server"), _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder / 'server.db'}",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log.txt").open("w"))
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(process.wait)
        stack.callback(os.killpg, process.pid, 9)
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process)
        yield address


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the MLflow server ended"
        with suppress(requests.RequestException):
            if requests.get(f"{address}/health", timeout=1).ok:
                return
        time.sleep(0.1)
    raise TimeoutError(address)


class DyingServer:
    """A server that passes so many requests on to the real one, and then breaks connections until it is revived."""

    def __init__(self, real: str, answers: int) -> None:
        self.left = float(answers)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(real))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def _handler(self, real: str) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def pass_on(self) -> None:
                outer.left -= 1
                if outer.left < 0:
                    self.connection.close()
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {
                    key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")
                }
                answer = requests.request(self.command, real + self.path, data=body, headers=headers, timeout=60)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        return Handler

    def revive(self) -> None:
        self.left = math.inf

    def __enter__(self) -> "DyingServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def dying_server(server: str) -> Callable[[int], DyingServer]:
    """`with dying_server(12) as dying`: the real server, until it has answered so many requests."""
    return lambda answers: DyingServer(server, answers)


@pytest.fixture(scope="session")
def fresh_database(spec: TrainingSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded database as it is before the first training."""
    home = tmp_path_factory.mktemp("fresh")
    assert MlflowTracking(home=str(home)).champion_version("churn") is None
    return home / "mlflow.db"


@pytest.fixture
def home(fresh_database: Path, tmp_path: Path) -> Path:
    """A folder of state with an empty tracker."""
    shutil.copyfile(fresh_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="session")
def client_of() -> Callable[[str], Any]:
    """An MLflow client of one's own, to look at what was really written."""

    def connect(uri: str) -> Any:
        from mt_assets.resources.mlflow_store import import_mlflow

        import_mlflow()
        from mlflow import MlflowClient

        return MlflowClient(uri)

    return connect
