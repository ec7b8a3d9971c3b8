"""A training that failed, and a tracker that is down, silent, or dies halfway."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from mt_assets.resources.tracking import MlflowTracking
from mt_assets.trainer.reporting.tracked import TrainingBundle

Asking = Callable[..., TrainingBundle]
Dying = Callable[[int], AbstractContextManager[Any]]

REPORT = {
    "type": "DataError",
    "message": "Column 'churned' is not in the data.",
    "phase": "raw_data",
    "cause": "spec_or_data",
    "suggestions": ["Name one of the columns."],
}


def test_failed_training_is_a_failed_run(bundle: TrainingBundle, client_of: Callable[[str], Any], home: Path) -> None:
    tracking = MlflowTracking(home=str(home))
    first = tracking.log_failure(bundle.spec, "churn/run-9", REPORT)
    again = tracking.log_failure(bundle.spec, "churn/run-9", REPORT)
    client = client_of(f"sqlite:///{home / 'mlflow.db'}")
    (run,) = client.search_runs([first.experiment_id])

    assert first == again
    assert (run.info.run_id, run.info.status) == (first.run_id, "FAILED")
    assert run.data.tags["mt_assets.error.type"] == "DataError"
    assert "Name one of the columns." in run.data.tags["mlflow.note.content"]
    stored = Path(client.download_artifacts(first.run_id, "failure.json", str(home)))
    assert json.loads(stored.read_text()) == REPORT


def test_training_that_failed_and_then_succeeded_is_one_run(
    bundle: TrainingBundle, client_of: Callable[[str], Any], home: Path
) -> None:
    tracking = MlflowTracking(home=str(home))
    tracking.log_failure(bundle.spec, bundle.training_id, REPORT)
    logged = tracking.log_training(bundle)
    late = tracking.log_failure(bundle.spec, bundle.training_id, REPORT)
    (run,) = client_of(f"sqlite:///{home / 'mlflow.db'}").search_runs([logged.experiment_id])

    assert late == logged
    assert run.info.status == "FINISHED"
    assert not [tag for tag in run.data.tags if "error" in tag]


def test_nobody_listens(bundle: TrainingBundle, free_port: int, tmp_path: Path) -> None:
    tracking = MlflowTracking(home=str(tmp_path), uri=f"http://ana:geheim@127.0.0.1:{free_port}")
    run = tracking.log_training(bundle)
    version = tracking.register(bundle, run)
    failure = tracking.log_failure(bundle.spec, "churn/x", REPORT)

    assert (run.status, version.status, failure.status) == ("pending", "pending", "pending")
    assert "connection refused" in run.reason
    assert version.reason == run.reason
    assert tracking.champion_version("churn") is None
    assert "geheim" not in repr((run, version, failure))


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_server_that_never_answers(
    bundle: TrainingBundle, tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mt_assets.resources.mlflow_store.PROBE_S", 0.3)
    with closing(socket.socket()) as full:
        full.bind(("127.0.0.1", 0))
        port = full.getsockname()[1]
        if scheme == "http":
            full.listen(5)
        run = MlflowTracking(home=str(tmp_path), uri=f"{scheme}://127.0.0.1:{port}/x").log_training(bundle)

    assert run.status == "pending"
    assert "does not answer" in run.reason


@pytest.mark.parametrize("uri", ["nonsense://somewhere", "./mlruns"])
def test_address_that_mlflow_cannot_use(bundle: TrainingBundle, tmp_path: Path, uri: str) -> None:
    run = MlflowTracking(home=str(tmp_path), uri=uri).log_training(bundle)

    assert run.status == "pending"
    assert "MlflowException" in run.reason or "Unsupported" in run.reason


@pytest.mark.parametrize("answered", [3, 7, 20, 36])
def test_server_that_dies_halfway_is_completed_later(
    asking: Asking, dying_server: Dying, client_of: Callable[[str], Any], tmp_path: Path, answered: int
) -> None:
    """Wherever the server dies, the next call ends with one whole run and one version."""
    own = asking(experiment_name=f"dies after {answered}", registered_model_name=f"dies_after_{answered}")
    with dying_server(answered) as dying:
        tracking = MlflowTracking(home=str(tmp_path), uri=dying.address)
        broken = tracking.log_training(own)
        dying.revive()
        run = tracking.log_training(own)
        version = tracking.register(own, run)
        client = client_of(dying.address)
        (stored,) = client.search_runs([run.experiment_id])
        models = client.search_logged_models([run.experiment_id])
        scores = client.get_metric_history(run.run_id, "trial.score")

    assert (broken.status, run.status, version.status) == ("pending", "logged", "registered")
    assert (stored.info.run_id, stored.info.status) == (run.run_id, "FINISHED")
    assert [output.model_id for output in stored.outputs.model_outputs] == [model.model_id for model in models]
    assert len(models) == 1
    assert len(scores) == len(own.study.trials)


@pytest.mark.parametrize("answered", [4, 8])
def test_server_that_dies_while_registering(asking: Asking, dying_server: Dying, tmp_path: Path, answered: int) -> None:
    own = asking(experiment_name=f"registers {answered}", registered_model_name=f"registers_{answered}")
    with dying_server(1000) as dying:
        tracking = MlflowTracking(home=str(tmp_path), uri=dying.address)
        run = tracking.log_training(own)
        dying.left = answered
        broken = tracking.register(own, run)
        dying.revive()
        version = tracking.register(own, run)

    assert broken.status == "pending"
    assert (version.version, version.aliases) == ("1", ("challenger", "champion"))


def test_surroundings_are_left_as_they_were(
    bundle: TrainingBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder in the working directory, no variable, no logger level stays behind."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    before, level = dict(os.environ), logging.getLogger("alembic").level
    tracking = MlflowTracking(home=str(tmp_path / "home"))
    assert tracking.register(bundle, tracking.log_training(bundle)).status == "registered"

    assert dict(os.environ) == before
    assert logging.getLogger("alembic").level == level
    assert list(elsewhere.iterdir()) == []


def test_environment_variable_names_the_tracker(
    bundle: TrainingBundle, asking: Asking, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("theirs", "asked"):
        shutil.copyfile(home / "mlflow.db", home / f"{name}.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'theirs.db'}")
    tracking = MlflowTracking(home=str(home))
    asked = asking(tracking_uri=f"sqlite:///{home / 'asked.db'}")

    assert tracking.log_training(bundle).tracking_uri == f"sqlite:///{home / 'theirs.db'}"
    assert tracking.log_training(asked).tracking_uri == f"sqlite:///{home / 'asked.db'}"


def test_importing_the_resource_imports_no_mlflow() -> None:
    code = (
        "import sys, mt_assets.resources.tracking, mt_assets.resources.dagster_mlflow;"
        "print(sorted({'mlflow', 'pandas', 'sklearn', 'dagster_mlflow'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
