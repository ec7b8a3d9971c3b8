"""The sensors, on a real instance with runs that were really killed or have really failed."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mt_assets.assembly import build_definitions
from mt_assets.automation import sensors
from mt_assets.resources.model_runs import report_killed_runs
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import ensure_instance


def told_by_housekeeping(defs: dg.Definitions) -> str:
    ensure_instance()
    sensor = defs.resolve_sensor_def("mt_assets_housekeeping")
    ours = {name: (defs.resources or {})[name] for name in ("model_runs", "tracking")}
    with (
        dg.DagsterInstance.get() as instance,
        dg.build_sensor_context(instance=instance, definitions=defs, resources=ours) as context,
    ):
        said = sensor.evaluate_tick(context).skip_message
    assert said is not None
    return said


@pytest.mark.parametrize("forgotten", [False, True])
def test_housekeeping_reports_a_killed_run(
    forgotten: bool,
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    customers: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one that does not say which process executes it, where a run of another Dagster instance came first, took
    the lock and removed the traces."""
    path = write_spec(tmp_path / "churn", customers(), hyperparameterSearch={"nTrials": 3000})
    defs = build_definitions([load_spec(path)])
    store = ModelStore(home, "churn")
    monkeypatch.setenv("MT_ASSETS_SPECS", str(path))
    ensure_instance()
    ours = ["mt_assets.cli", "train", str(path)]
    theirs = ["dagster", "asset", "materialize", "--select", "group:churn", "-m", "mt_assets.definitions"]
    with subprocess.Popen([sys.executable, "-m", *(theirs if forgotten else ours)]) as process:
        while store.current("raw_data") is None:
            assert process.poll() is None
            time.sleep(0.05)
        assert told_by_housekeeping(defs) == "Nothing to put right."
        process.kill()
    if forgotten:
        assert len(report_killed_runs(store, instance=None)) == 1
        assert told_by_housekeeping(defs) == "Nothing to put right."
        monkeypatch.setattr(sensors, "GRACE_S", 0.0)
    assert "was killed" in told_by_housekeeping(defs)
    with dg.DagsterInstance.get() as instance:
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE
    assert told_by_housekeeping(defs) == "Nothing to put right."


def test_a_failed_training_is_one_failed_run_of_the_tracker_whoever_tells_of_it(
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    customers: Any,
    tracker: str,
    mt_assets: Callable[..., Any],
    mlflow_client: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracking = {"trackingUri": tracker, "experimentName": "failing"}
    path = write_spec(tmp_path / "churn", customers(), experimentTracking=tracking)
    monkeypatch.setenv("MT_ASSETS_STUDY_STORAGE", "sqlite:////nowhere/at/all/studies.db")
    assert mt_assets("train", path).code == 1
    store = ModelStore(home, "churn")
    [failure] = (store.folder / "failures").iterdir()

    defs = build_definitions([load_spec(path)])
    sensor = defs.resolve_sensor_def("mt_assets_failures")
    with dg.DagsterInstance.get() as instance:
        [run] = instance.get_runs()
        assert run.run_id == failure.stem
        [ended] = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        context = dg.build_run_status_sensor_context(
            "mt_assets_failures",
            ended.get_dagster_event(),
            instance,
            run,
            resources={name: (defs.resources or {})[name] for name in ("model_runs", "tracking")},
        )
        with context.for_run_failure() as failure_context:
            sensor(failure_context)

    client = mlflow_client(tracker)
    experiment = client.get_experiment_by_name("failing")
    [logged] = client.search_runs([experiment.experiment_id])
    assert logged.info.status == "FAILED"
    assert logged.data.tags["mt_assets.training_id"] == f"churn/{run.run_id}"
    assert "The study storage" in logged.data.tags["mlflow.note.content"]
    assert [each.path for each in client.list_artifacts(logged.info.run_id)] == ["failure.json"]
