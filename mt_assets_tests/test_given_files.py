"""Given validation and test files, from the spec to the result and to the next training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from mt_assets.assembly import build_definitions
from mt_assets.planning_only import plan_only
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.store.model_store import ModelStore


def test_a_training_with_given_files_validates_and_tests_on_them(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    folder = tmp_path / "churn"
    given = {"validationDataPath": "v.csv", "testDataPath": "t.csv", "validationStrategy": {"type": "auto"}}
    spec = write_spec(folder, customers(120), **given)
    tested = customers(50, seed=2)
    tested.loc[:3] = customers(120).loc[:3]
    customers(40, seed=1).to_csv(folder / "v.csv", index=False)
    tested.to_csv(folder / "t.csv", index=False)

    answer = mt_assets("train", spec, "--output", tmp_path / "result.json")

    assert answer.code == 0, answer.out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["data"]["rows"] == 210
    rules = {decision["rule"]: decision for decision in result["decisions"]}
    assert rules["test.given"]["value"] == 50
    assert rules["validation.given"]["evidence"] == {"validation_rows": 40, "folds": 1}
    assert any("4 of the 50 rows of testDataPath" in warning for warning in result["warnings"])
    assert "Note: 4 of the 50 rows of testDataPath" in answer.out
    store = ModelStore(home, "churn")
    stored = {name: store.get(store.current(name).address) for name in ("folds", "trained_model", "raw_data")}
    assert isinstance(stored["folds"], Splits)
    assert np.array_equal(stored["folds"].test, np.arange(160, 210))
    assert stored["trained_model"].facts.n_rows == 160
    assert dict(stored["raw_data"].parts) == {"train": 120, "validation": 40, "test": 50}


def test_a_change_of_any_given_file_is_observed_as_new_data(tmp_path: Path, write_spec: Any, customers: Any) -> None:
    folder = tmp_path / "churn"
    spec = load_spec(write_spec(folder, customers(120), testDataPath="t.csv"))
    source_data, definitions = dg.AssetKey(["churn", "source_data"]), build_definitions([spec])
    seen = []
    for seed in (2, 2, 3):
        customers(50, seed=seed).to_csv(folder / "t.csv", index=False)
        with dg.DagsterInstance.ephemeral() as instance:
            job = definitions.resolve_implicit_global_asset_job_def()
            assert job.execute_in_process(asset_selection=[source_data], instance=instance).success
            [record] = instance.fetch_observations(source_data, limit=1).records
            seen.append(record.asset_observation.tags["dagster/data_version"])

    assert seen[0] == seen[1] != seen[2]


def test_a_plan_sees_the_given_files(tmp_path: Path, write_spec: Any, customers: Any) -> None:
    spec = write_spec(tmp_path / "churn", customers(120), testDataPath="t.csv")
    customers(50, seed=2).to_csv(tmp_path / "churn" / "t.csv", index=False)

    plan = plan_only(load_spec(spec))

    assert [decision.value for decision in plan.decisions if decision.rule == "test.given"] == [50]


def test_a_test_file_without_the_target_is_bad_data(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers(120), testDataPath="t.csv")
    customers(50).drop(columns="target").to_csv(tmp_path / "churn" / "t.csv", index=False)

    answer = mt_assets("train", spec)

    assert answer.code == 2
    assert "testDataPath has no column 'target', which is the target" in answer.out + answer.err
