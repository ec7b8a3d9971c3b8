"""New data from the first look to the next model: the two sensors tick by tick, on a real instance with real runs."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mt_assets.assembly import build_definitions
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.data import observing
from mt_assets.trainer.retraining.history import History
from mt_assets.trainer.store import lock
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import ensure_instance, train


class Ticking:
    """A model whose sensors are ticked by hand, and whose runs are executed here as the daemon would."""

    def __init__(self, spec: Path, home: Path) -> None:
        self.path = spec
        self.data = spec.parent / "train.csv"
        self.store = ModelStore(home, spec.parent.name)
        self.name = spec.parent.name

    @property
    def defs(self) -> dg.Definitions:
        return build_definitions([load_spec(self.path)])

    def tick(self, sensor: str) -> tuple[list[dg.RunRequest], str]:
        """The runs that one tick of `new_data` or `retraining_sensor` asks for, and why it asks for none."""
        defs = self.defs
        ours = {name: (defs.resources or {})[name] for name in ("model_runs", "tracking")}
        named = f"{self.name}_{sensor}"
        with (
            dg.DagsterInstance.get() as instance,
            dg.build_sensor_context(instance=instance, definitions=defs, resources=ours, sensor_name=named) as context,
        ):
            found = defs.resolve_sensor_def(named).evaluate_tick(context)
        return list(found.run_requests or []), found.skip_message or ""

    def execute(self, request: dg.RunRequest, job: str) -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.get() as instance:
            selection = list(request.asset_selection) if request.asset_selection else None
            tags = {**request.tags, "dagster/run_key": request.run_key or ""}
            resolved = self.defs.resolve_job_def(f"{self.name}_{job}")
            return resolved.execute_in_process(
                instance=instance, tags=tags, asset_selection=selection, raise_on_error=False
            )

    def read(self) -> dg.ExecuteInProcessResult:
        [request], _ = self.tick("new_data")
        return self.execute(request, "training")

    def waits(self, sensor: str) -> str:
        requests, why = self.tick(sensor)
        assert not requests
        return why

    def rules(self) -> list[str]:
        return [each.rule for each in History(self.store).decisions()]


@pytest.fixture(autouse=True)
def old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of anything else do not wait until files have settled."""
    monkeypatch.setattr(observing, "SETTLED_S", 0.0)


@pytest.fixture
def model(tmp_path: Path, home: Path, write_spec: Any, customers: Any) -> Ticking:
    ensure_instance()
    return Ticking(write_spec(tmp_path / "churn", customers()), home)


@pytest.fixture
def trained(model: Ticking) -> Iterator[Ticking]:
    assert train(load_spec(model.path)).exit_code == 0
    yield model


def grow(model: Ticking, customers: Any, rows: int = 60, seed: int = 1) -> None:
    pd.concat([pd.read_csv(model.data), customers(rows, seed=seed)]).to_csv(model.data, index=False)


def change(model: Ticking, **keys: Any) -> None:
    import yaml

    asked = yaml.safe_load(model.path.read_text()) | keys
    model.path.write_text(yaml.safe_dump({key: value for key, value in asked.items() if value is not None}))


def test_nothing_happens_before_somebody_has_read_the_data_once(model: Ticking) -> None:
    for sensor in ("new_data", "retraining_sensor"):
        assert model.waits(sensor) == "Materialize it once; from then on new data is noticed."


def test_new_rows_are_read_and_then_trained_on_once(trained: Ticking, customers: Any) -> None:
    trained.data.touch()
    assert trained.waits("new_data") == "The data is what was read last."
    assert trained.waits("retraining_sensor") == "Version 1 was trained on this data."

    grow(trained, customers)
    [request], _ = trained.tick("new_data")
    assert request.asset_selection == [dg.AssetKey(["churn", "raw_data"])]
    assert trained.tick("new_data")[0] == [request]  # asked for again and again, with a key that Dagster starts once
    done = trained.execute(request, "training")
    assert done.success
    assert {each.asset_key for each in done.get_asset_materialization_events()} == {dg.AssetKey(["churn", "raw_data"])}
    assert trained.waits("new_data") == "The data is what was read last."

    [request], _ = trained.tick("retraining_sensor")
    data = trained.store.current("raw_data")
    assert data is not None
    assert request.tags["mt_assets/data_version"] == data.address
    assert request.tags["mt_assets/reason"] == "60 rows are new since the last training."
    assert trained.execute(request, "retraining").success
    assert trained.store.current("raw_data") == data
    assert trained.waits("retraining_sensor") == "Version 2 was trained on this data."
    assert trained.rules() == [
        "read.unchanged", "train.handled", "read.changed", "read.unchanged", "train.new_data", "train.handled",
    ]  # fmt: skip
    with dg.DagsterInstance.get() as instance:
        events = instance.fetch_materializations(dg.AssetKey(["churn", "retraining_decision"]), limit=10).records
    told = [each.asset_materialization.metadata["rule"].value for each in events if each.asset_materialization]
    assert told == trained.rules()[::-1]


def test_data_that_comes_back_to_what_it_was_is_read_and_not_trained_on(trained: Ticking, customers: Any) -> None:
    before = trained.data.read_bytes()
    grow(trained, customers)
    assert trained.read().success
    trained.data.write_bytes(before)
    assert trained.read().success
    assert trained.waits("retraining_sensor") == "Version 1 was trained on this data."
    grow(trained, customers)
    assert trained.read().success  # the same content as before, and a new reason to read it
    assert trained.tick("retraining_sensor")[0]


@pytest.mark.parametrize(
    ("retraining", "reason"),
    [
        ({"minNewRows": 61}, "60 rows are new since the last training; `retraining.minNewRows` is 61."),
        ({"cooldown": 3600}, "`retraining.cooldown` of 3600 s is over at"),
    ],
)
def test_a_reason_to_wait_swallows_nothing(
    trained: Ticking, customers: Any, retraining: dict[str, Any], reason: str
) -> None:
    change(trained, retraining=retraining)
    grow(trained, customers)
    assert trained.read().success
    assert reason in trained.waits("retraining_sensor")
    assert reason in trained.waits("retraining_sensor")
    assert len([rule for rule in trained.rules() if rule.startswith("train.")]) == 1
    change(trained, retraining={})
    assert trained.tick("retraining_sensor")[0]


def test_rows_like_the_old_ones_wait_for_drift(trained: Ticking, customers: Any) -> None:
    change(trained, retraining={"driftThreshold": 0.2})
    grow(trained, customers)
    assert trained.read().success
    assert "their drift is 0.0" in trained.waits("retraining_sensor")
    assert trained.rules()[-1] == "train.no_drift"

    older = customers(60, seed=2).assign(age=lambda frame: frame.age + 70)
    pd.concat([pd.read_csv(trained.data), older]).to_csv(trained.data, index=False)
    assert trained.read().success
    [request], _ = trained.tick("retraining_sensor")
    assert "120 rows are new" in request.tags["mt_assets/reason"]
    assert "most of all in age" in request.tags["mt_assets/reason"]
    assert trained.rules()[-1] == "train.drift"


def test_a_run_in_progress_is_waited_for_wherever_it_was_started(trained: Ticking, customers: Any) -> None:
    grow(trained, customers)
    with lock.hold(trained.store.folder, "from-elsewhere", lambda _: None):
        assert trained.waits("new_data") == "Run from-els of churn has not ended."
    assert trained.read().success
    with dg.DagsterInstance.get() as instance:
        job = trained.defs.resolve_job_def("churn_training")
        queued = instance.create_run_for_job(job, tags=job.tags)
        assert trained.waits("retraining_sensor") == f"Run {queued.run_id[:8]} of churn has not ended."
        instance.report_run_canceled(queued)
    assert trained.tick("retraining_sensor")[0]


def test_attempts_without_a_result_are_repeated_twice_and_later_each_time(
    trained: Ticking, customers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(trained, customers)
    assert trained.read().success
    keys = set()
    with monkeypatch.context() as patch:
        patch.setenv("MT_ASSETS_STUDY_STORAGE", "sqlite:////nowhere/at/all/studies.db")
        for number, seconds in ((1, 61), (2, 301)):
            [request], _ = trained.tick("retraining_sensor")
            keys.add(request.run_key)
            assert not trained.execute(request, "retraining").success
            assert f"Attempt {number} ended without a result; the next one is due at" in trained.waits(
                "retraining_sensor"
            )
            later = time.time() + seconds
            patch.setattr("mt_assets.automation.retraining.time.time", lambda later=later: later)
        [request], _ = trained.tick("retraining_sensor")
        assert len(keys | {request.run_key}) == 3
        assert not trained.execute(request, "retraining").success
    assert "3 attempts ended without a result" in trained.waits("retraining_sensor")

    grow(trained, customers, seed=2)
    assert trained.read().success
    assert trained.tick("retraining_sensor")[0]


def test_data_of_another_form_is_tried_once_until_it_is_mended_or_accepted(
    trained: Ticking, customers: Any, mt_assets: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = trained.data.read_bytes()
    pd.read_csv(trained.data).drop(columns="income").to_csv(trained.data, index=False)
    assert not trained.read().success
    why = trained.waits("new_data")
    assert "'income': the column is gone" in why
    assert "mt-assets accept-schema churn" in why
    assert trained.waits("retraining_sensor") == "Version 1 was trained on this data."

    trained.data.write_bytes(good)  # mended: it goes on by itself
    assert trained.read().success
    assert trained.waits("retraining_sensor") == "Version 1 was trained on this data."

    narrow = pd.concat([pd.read_csv(trained.data), customers(30, seed=4)]).drop(columns="income")
    narrow.assign(city="Ulm").to_csv(trained.data, index=False)
    assert not trained.read().success
    assert trained.waits("new_data")
    monkeypatch.setenv("MT_ASSETS_SPECS", str(trained.path))
    answer = mt_assets("accept-schema", "churn")
    assert answer.code == 0
    assert "'income' is gone." in answer.out
    assert "'city' is new: text (may be missing, may go)." in answer.out
    assert "The schema of churn has this form now (150 rows looked at)." in answer.out
    assert [version.number for version in trained.store.versions()] == [1]
    assert trained.read().success
    [request], _ = trained.tick("retraining_sensor")
    assert trained.execute(request, "retraining").success


def test_a_column_that_a_new_file_of_the_folder_brings_waits_to_be_accepted(
    model: Ticking, customers: Any, mt_assets: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(model, trainDataPath="train*.csv")
    assert train(load_spec(model.path)).exit_code == 0
    champion = model.store.champion()
    customers(60, seed=5).assign(city="Ulm").to_csv(model.data.with_name("train_2.csv"), index=False)
    assert not model.read().success
    assert "'city': the column is new" in model.waits("new_data")
    assert model.store.champion() == champion

    monkeypatch.setenv("MT_ASSETS_SPECS", str(model.path))
    answer = mt_assets("accept-schema", "churn")
    assert answer.code == 0
    assert "'city' is new: text (may be missing" in answer.out
    assert model.read().success
    [request], _ = model.tick("retraining_sensor")
    assert model.execute(request, "retraining").success


def test_a_schema_of_ones_own_is_widened_by_hand(trained: Ticking, mt_assets: Any, monkeypatch: Any) -> None:
    schema = trained.path.parent / "schema.yaml"
    text = json.dumps({"schema_type": "dataframe", "columns": {"category": {"checks": {"isin": ["basic", "plus"]}}}})
    schema.write_text(text)
    change(trained, dataSchema="schema.yaml")
    trained.data.write_text(trained.data.read_text() + "30,40000,pro,no\n")
    assert not trained.read().success
    assert "'category'" in trained.waits("new_data")
    monkeypatch.setenv("MT_ASSETS_SPECS", str(trained.path))
    answer = mt_assets("accept-schema", "churn")
    assert answer.code == 2
    assert "dataSchema" in answer.err
    schema.write_text(text.replace('"plus"', '"plus", "pro"'))
    assert trained.read().success


def test_a_reading_that_failed_for_another_reason_is_tried_again(
    trained: Ticking, customers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(trained, customers)
    with monkeypatch.context() as patch:
        patch.setenv("MT_ASSETS_STUDY_STORAGE", "sqlite:////nowhere/at/all/studies.db")
        assert not trained.read().success
    assert "Attempt 1 ended without a result" in trained.waits("new_data")
    later = time.time() + 61
    monkeypatch.setattr("mt_assets.automation.new_data.time.time", lambda: later)
    assert trained.read().success


def test_a_training_that_failed_after_it_had_read_is_the_first_attempt(trained: Ticking, customers: Any) -> None:
    """Whoever asked for it: a training that was not to be forgotten is gone on with."""
    grow(trained, customers)
    change(trained, features=["height"])
    with dg.DagsterInstance.get() as instance:
        job = trained.defs.resolve_job_def("churn_training")
        assert not job.execute_in_process(instance=instance, raise_on_error=False).success
    change(trained, features=None)
    assert trained.waits("new_data") == "The data is what was read last."
    assert "Attempt 1 ended without a result" in trained.waits("retraining_sensor")


def test_a_person_who_looks_at_new_data_has_it_trained_on(trained: Ticking, customers: Any) -> None:
    grow(trained, customers)
    with dg.DagsterInstance.get() as instance:
        keys = [dg.AssetKey(["churn", asset]) for asset in ("raw_data", "data_profile")]
        job = trained.defs.resolve_job_def("churn_training")
        assert job.execute_in_process(instance=instance, asset_selection=keys).success
    assert trained.tick("retraining_sensor")[0]


def test_new_recommendations_about_columns_are_a_reason_of_their_own(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any
) -> None:
    ensure_instance()
    advice = {"inputs": {"featureRecommendations": "advice.json"}}
    model = Ticking(write_spec(tmp_path / "churn", customers(), **advice), home)
    file = model.path.parent / "advice.json"
    file.write_text('{"drop": {"income": "unstable"}}')
    assert train(load_spec(model.path)).exit_code == 0
    assert model.waits("retraining_sensor") == "Version 1 was trained on this data."
    file.write_text('{"drop": {"category": "leaks"}}')
    assert model.waits("new_data") == "The data is what was read last."
    [alone], _ = model.tick("retraining_sensor")
    assert "featureRecommendations" in alone.tags["mt_assets/reason"]
    grow(model, customers)
    assert model.read().success
    [request], _ = model.tick("retraining_sensor")  # for both at once
    assert model.execute(request, "retraining").success
    assert model.waits("retraining_sensor") == "Version 2 was trained on this data."


def test_a_new_materialization_of_an_asset_is_new_data(
    tmp_path: Path, home: Path, customers: Any, write_spec: Any
) -> None:
    ensure_instance()
    table = tmp_path / "table.parquet"

    def materialize(rows: int) -> None:
        pd.concat([customers(120), customers(rows, seed=1)]).to_parquet(table)
        with dg.DagsterInstance.get() as instance:
            made = dg.AssetMaterialization(["shop", "customers"], metadata={"path": dg.MetadataValue.path(table)})
            instance.report_runless_asset_event(made)

    model = Ticking(write_spec(tmp_path / "churn", "x.csv", trainDataPath={"asset": "shop/customers"}), home)
    materialize(0)
    assert train(load_spec(model.path)).exit_code == 0
    assert model.waits("new_data") == "The data is what was read last."
    materialize(30)
    assert model.read().success
    assert model.waits("new_data") == "The data is what was read last."
    [request], _ = model.tick("retraining_sensor")
    assert request.tags["mt_assets/reason"] == "30 rows are new since the last training."
    materialize(30)  # the same rows again
    assert model.read().success
    assert len(model.tick("retraining_sensor")[0]) == 1


@pytest.mark.parametrize("on", [True, False])
def test_the_spec_says_whether_the_sensors_run_from_the_start(model: Ticking, on: bool) -> None:
    change(model, retraining={"onNewData": on})
    for name in ("churn_new_data", "churn_retraining_sensor"):
        assert model.defs.resolve_sensor_def(name).default_status.name == ("RUNNING" if on else "STOPPED")
