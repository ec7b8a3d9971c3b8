"""Several processes, and killed ones, on an embedded database that does not exist yet."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec

SCRIPT = """
import json, sys, time
from pathlib import Path
from mt_assets.resources.mlflow_store import import_mlflow
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec_reading import parse_spec
home, together = Path(sys.argv[1]), int(sys.argv[2])
asked = {"trainDataPath": "train.csv", "targetColumn": "churned", "experimentTracking": {"experimentName": "shared"}}
import_mlflow()
(home / f"ready-{time.monotonic_ns()}").touch()
while len(list(home.glob("ready-*"))) < together:
    time.sleep(0.001)
tracking, report, answers = MlflowTracking(home=str(home)), {"type": "DataError", "message": "no such file"}, []
for training in sys.argv[3:]:
    spec = parse_spec(asked, base=home, default_name=training.partition("/")[0])
    answers.append(tracking.log_failure(spec, training, report).model_dump())
print(json.dumps(answers))
"""


def start(home: Path, together: int, *trainings: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, str(home), str(together), *trainings]
    return subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    answers: list[dict[str, Any]] = json.loads(out)
    return answers


@pytest.fixture
def folder(data_folder: Path, tmp_path: Path) -> Path:
    shutil.copyfile(data_folder / "train.csv", tmp_path / "train.csv")
    return tmp_path


def test_two_processes_at_once_on_a_fresh_database(folder: Path, client_of: Callable[[str], Any]) -> None:
    """Two models that start together share database and experiment; one training told by two is one run."""
    processes = [start(folder, 2, "one/a", "both/x"), start(folder, 2, "two/a", "both/x")]
    one, two = (ended(process) for process in processes)
    stored = client_of(f"sqlite:///{folder / 'mlflow.db'}").search_runs([one[0]["experiment_id"]])

    assert {answer["status"] for answer in one + two} == {"logged"}
    assert one[1]["run_id"] == two[1]["run_id"]
    assert sorted(run.data.tags["mt_assets.training_id"] for run in stored) == ["both/x", "one/a", "two/a"]
    assert not list(folder.glob("*.draft"))


def test_process_killed_while_it_makes_the_database(folder: Path, spec: TrainingSpec) -> None:
    killed = start(folder, 1, "one/a")
    while not list(folder.glob("mlflow.db.*.draft")):
        assert killed.poll() is None
        time.sleep(0.001)
    killed.kill()
    killed.communicate()
    assert not (folder / "mlflow.db").exists()

    again = MlflowTracking(home=str(folder)).log_failure(spec, "a", {"type": "DataError", "message": "no such file"})

    assert again.status == "logged"
    assert not list(folder.glob("*.draft"))


def warmed(tracking: MlflowTracking) -> None:
    """Warm up, and wait until that is over."""
    before = set(threading.enumerate())
    tracking.warm()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_a_new_database_is_made_ahead(tmp_path: Path, spec: TrainingSpec) -> None:
    tracking = MlflowTracking(home=str(tmp_path))
    warmed(tracking)
    made = (tmp_path / "mlflow.db").stat().st_ino

    assert tracking.log_failure(spec, "a", {"type": "DataError", "message": "no such file"}).status == "logged"
    assert (tmp_path / "mlflow.db").stat().st_ino == made
    assert not list(tmp_path.glob("*.draft"))


def test_what_cannot_be_made_ahead_is_told_when_it_is_needed(tmp_path: Path, spec: TrainingSpec) -> None:
    (tmp_path / "file").write_text("no folder")
    tracking = MlflowTracking(home=str(tmp_path / "home"), uri=f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    warmed(tracking)

    assert tracking.log_failure(spec, "a", {"type": "DataError", "message": "no such file"}).status == "pending"
