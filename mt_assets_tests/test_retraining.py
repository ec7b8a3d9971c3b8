"""The same model again: on data that has grown, on data that has broken, on data that was read before."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mt_assets.assembly import build_definitions
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import Outcome, train


class Model:
    """A model that was trained once, and its data."""

    def __init__(self, spec: Path, home: Path) -> None:
        self.path = spec
        self.data = spec.parent / "train.csv"
        self.store = ModelStore(home, "churn")

    def train(self) -> Outcome:
        return train(load_spec(self.path))

    def splits(self) -> Splits:
        version = self.store.current("folds")
        assert version is not None
        splits = self.store.get(version.address)
        assert isinstance(splits, Splits)
        return splits

    def pointers(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.store.folder / "current").iterdir()}


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, write_spec: Any, customers: Any, at_home: Callable[[Path], Any]
) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("retraining")
    with at_home(folder / "home") as home:
        model = Model(write_spec(folder / "churn", customers()), home)
        assert model.train().exit_code == 0
        yield model


def test_data_that_breaks_the_schema_is_refused_and_the_champion_stays(model: Model) -> None:
    good, before = model.data.read_bytes(), model.pointers()
    champion = model.store.champion()
    pd.read_csv(model.data).drop(columns="income").to_csv(model.data, index=False)
    try:
        outcome = model.train()
    finally:
        model.data.write_bytes(good)
    assert outcome.exit_code == 2
    error = outcome.result.error
    assert error is not None
    assert "'income'" in error.message
    assert error.phase == "raw_data"
    assert any("mt-assets accept-schema churn" in suggestion for suggestion in error.suggestions)
    assert model.pointers() == before
    assert model.store.champion() == champion
    with dg.DagsterInstance.get() as instance:
        logs = instance.all_logs(outcome.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        said = {each.check_name: each for log in logs if (each := log.get_dagster_event().asset_check_evaluation_data)}
        assert set(said) == {"schema", "target_present"}
        assert not said["schema"].passed
        assert said["schema"].blocking
        [case] = said["schema"].metadata["failure_cases"].value.records
        assert case.data["column"] == "income"
        [read] = instance.fetch_materializations(dg.AssetKey(["churn", "raw_data"]), limit=5).records
        assert read.run_id != outcome.run_id


def test_every_row_keeps_its_side_when_the_data_grows(model: Model, customers: Any) -> None:
    before = model.splits()
    newcomers = customers(60, seed=1)
    newcomers.loc[newcomers.index[:5], "category"] = "gold"
    grown = pd.concat([pd.read_csv(model.data), newcomers])
    grown.sample(frac=1, random_state=3).to_csv(model.data, index=False)
    outcome = model.train()
    assert outcome.exit_code == 0
    after = model.splits()
    assert len(after.test) > len(before.test)
    assert np.isin(before.identities[before.test], after.identities[after.test]).all()
    assert np.isin(before.identities[before.learning], after.identities[after.learning]).all()
    assert outcome.result.promotion is not None
    assert outcome.result.promotion["challenger_version"] == len(model.store.versions())
    assert outcome.result.promotion["champion_version"] is not None
    assert outcome.result.promotion["comparison"]
    assert "New labels in 'category': 'gold'." in outcome.result.warnings


def test_the_retraining_job_trains_on_what_was_read_and_a_missed_gate_promotes_nobody(model: Model) -> None:
    asked = load_spec(model.path).model_copy(update={"quality_gates": {"test.roc_auc": ">=0.9999"}})
    read, champion = model.store.current("raw_data"), model.store.champion()
    assert read is not None and champion is not None
    with dg.DagsterInstance.get() as instance:
        job = build_definitions([asked]).resolve_job_def("churn_retraining")
        done = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    [failed] = [event.step_key for event in done.all_events if event.is_step_failure]
    assert failed == "churn__training_result"
    assert model.store.current("raw_data") == read
    result = model.store.current("training_result")
    assert result is not None
    assert result.run_id == done.run_id
    assert result.made_from["raw_data"] == read.address
    assert model.store.versions()[-1].run_id == done.run_id
    assert model.store.champion() == champion


def test_the_form_of_the_data_can_be_accepted_as_new(
    model: Model, mt_assets: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the message says helps; a champion that cannot predict for such data stays, and the reason is told."""
    pd.read_csv(model.data).drop(columns="income").to_csv(model.data, index=False)
    monkeypatch.setenv("MT_ASSETS_SPECS", str(model.path))
    assert mt_assets("accept-schema", "churn").code == 0
    outcome = model.train()
    assert outcome.exit_code == 0
    assert outcome.result.promotion is not None
    assert outcome.result.promotion["verdict"] == "kept_challenger"
    assert "'income'" in outcome.result.promotion["reason"]
