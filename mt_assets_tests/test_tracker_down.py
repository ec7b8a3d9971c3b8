"""A tracker that is down: seconds are lost, never the training; what it missed is told later, without training."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import train

LATE = ("experiment_run", "registered_model")


@pytest.fixture
def spec(tmp_path: Path, home: Path, write_spec: Any, customers: Any) -> Path:
    path: Path = write_spec(tmp_path / "churn", customers(), experimentTracking={"experimentName": tmp_path.name})
    return path


@pytest.fixture
def instance(home: Path) -> Iterator[Callable[[], dg.DagsterInstance]]:
    opened = []

    def open_instance() -> dg.DagsterInstance:
        opened.append(dg.DagsterInstance.get())
        return opened[-1]

    yield open_instance
    for each in opened:
        each.dispose()


def latest(instance: dg.DagsterInstance, asset: str) -> dg.EventLogRecord:
    return instance.fetch_materializations(dg.AssetKey(["churn", asset]), limit=1).records[0]


def shown(instance: dg.DagsterInstance, asset: str, name: str) -> Any:
    made = latest(instance, asset).asset_materialization
    assert made is not None
    return made.metadata[name].value


def tracked_checks(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, bool, bool]]:
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    said = [log.get_dagster_event().asset_check_evaluation_data for log in logs]
    return [(each.asset_key.path[1], each.passed, each.blocking) for each in said if each.check_name == "tracked"]


def finished_runs(client: Any, experiment: str) -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return [run for run in client.search_runs([found.experiment_id]) if run.info.status == "FINISHED"]


def test_the_training_succeeds_says_so_and_is_told_later(
    spec: Path,
    home: Path,
    closed_address: str,
    tracker: str,
    mt_assets: Callable[..., Any],
    mlflow_client: Callable[[str], Any],
    instance: Callable[[], dg.DagsterInstance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_address)
    store = ModelStore(home, "churn")
    outcome = train(load_spec(spec))
    assert outcome.exit_code == 0
    assert outcome.result.success
    assert outcome.result.experiment.run_id is None
    assert any(closed_address in warning for warning in outcome.result.warnings)
    assert outcome.result.budget.phases["experiment_run"] < 15
    assert not list(home.glob("mlflow.db*"))
    assert [training.number for training in store.pending()] == [1]
    for asset in LATE:
        assert shown(instance(), asset, "status") == "pending"
        assert closed_address in shown(instance(), asset, "reason")
    assert tracked_checks(instance(), outcome.run_id) == [(asset, False, False) for asset in LATE]

    still_down = mt_assets("sync", spec)
    assert still_down.code == 1
    assert closed_address in still_down.err
    assert [training.number for training in store.pending()] == [1]

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker)
    model = store.current("trained_model")
    told = mt_assets("sync", spec)
    assert told.code == 0, told.err
    assert "The tracker was told of version 1." in told.out
    assert "Final fit" not in told.out
    assert store.pending() == []
    assert store.current("trained_model") == model
    assert [version.number for version in store.versions()] == [1]
    for asset, status in zip(LATE, ("logged", "registered"), strict=True):
        assert shown(instance(), asset, "status") == status
    run_id = latest(instance(), "training_result").run_id
    assert tracked_checks(instance(), run_id) == [(asset, True, False) for asset in LATE]
    [run] = finished_runs(mlflow_client(tracker), load_spec(spec).experiment_tracking.experiment_name or "")
    made = store.current("training_result")
    assert made is not None
    result: Any = store.get(made.address)
    assert result.experiment.run_id == run.info.run_id
    assert result.warnings == ()
    assert mt_assets("sync", spec).out == "Nothing was left to tell.\n"
    assert len(finished_runs(mlflow_client(tracker), load_spec(spec).experiment_tracking.experiment_name or "")) == 1


@pytest.mark.slow
def test_sync_tells_what_is_pending_even_after_a_later_training_has_failed(
    spec: Path,
    home: Path,
    closed_address: str,
    tracker: str,
    customers: Any,
    mt_assets: Callable[..., Any],
    mlflow_client: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_address)
    assert mt_assets("train", spec).code == 0
    customers(150).assign(age=1, income=2.0, category="plus").to_csv(spec.parent / "train.csv", index=False)
    assert mt_assets("train", spec).code == 2  # there is nothing to learn from
    customers(150).to_csv(spec.parent / "train.csv", index=False)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker)
    told = mt_assets("sync", spec)
    assert told.code == 0, told.err
    assert ModelStore(home, "churn").pending() == []
    experiment = load_spec(spec).experiment_tracking.experiment_name or ""
    assert len(finished_runs(mlflow_client(tracker), experiment)) == 1

    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_address)
    assert mt_assets("train", spec).code == 0
    assert [training.number for training in ModelStore(home, "churn").pending()] == [2]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker)
    assert mt_assets("train", spec).code == 0
    assert ModelStore(home, "churn").pending() == []
    assert len(finished_runs(mlflow_client(tracker), experiment)) == 3


def test_sync_of_a_model_that_was_never_trained_says_so(spec: Path, mt_assets: Callable[..., Any]) -> None:
    answer = mt_assets("sync", spec)
    assert answer.code == 1
    assert "churn" in answer.err
    assert "Traceback" not in answer.err
