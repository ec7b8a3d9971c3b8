"""Sensitive columns from the spec to the promotion: what is told of them, and what they stop."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import yaml
from fairlearn.metrics import demographic_parity_difference, demographic_parity_ratio, equalized_odds_difference

from mt_assets.assembly import build_definitions
from mt_assets.spec_reading import load_spec, parse_spec
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.evaluation.fairness import Fairness
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import ensure_instance, train

KEYS: dict[str, Any] = {
    "sensitiveColumns": ["gender", "age"],
    "promotion": {"minSegment": 15, "margin": 1.0},
    "testSize": 0.4,
}


@pytest.fixture(scope="session")
def people(customers: Callable[..., Any]) -> pd.DataFrame:
    """Customers of two genders; some do not say."""
    table = customers(300)
    table["gender"] = np.random.default_rng(7).choice(["f", "m", None], 300, p=[0.5, 0.42, 0.08])
    return table


def labelled(store: ModelStore) -> tuple[pd.DataFrame, np.ndarray]:
    """The test rows, and how the newest model labels them: 1 for `yes`."""
    version = store.versions()[-1]
    test = store.get(store.current("test").address).frame()  # type: ignore[union-attr]
    model = store.get(version.addresses["trained_model"]).model  # type: ignore[union-attr]
    return test, (model.predict(test) == "yes").astype(int)


def test_groups_are_told_on_asset_and_in_result_as_fairlearn_computes_them(
    tmp_path: Path, home: Path, write_spec: Any, people: pd.DataFrame
) -> None:
    spec = load_spec(write_spec(tmp_path / "fair", people, **KEYS))
    ensure_instance()
    with dg.DagsterInstance.get() as instance:
        done = build_definitions([spec]).resolve_job_def("fair_training").execute_in_process(instance=instance)
    metadata = done.asset_materializations_for_node("fair__fairness")[0].metadata
    store = ModelStore(home, "fair")
    result = store.get(store.current("training_result").address)  # type: ignore[union-attr]

    test, predicted = labelled(store)
    truth = (test["target"] == "yes").astype(int)
    known = test["gender"].notna()  # 12 rows at most are missing, which are too few
    figures = {
        "demographic_parity_difference": demographic_parity_difference,
        "demographic_parity_ratio": demographic_parity_ratio,
        "equalized_odds_difference": equalized_odds_difference,
    }
    told = result.fairness["columns"]["gender"]
    for name, figure in figures.items():
        expected = figure(truth[known], predicted[known], sensitive_features=test["gender"][known])
        assert told[name] == pytest.approx(expected)
    groups = {(each["column"], each["group"]): each for each in result.fairness["groups"]}
    women = (test["gender"] == "f").to_numpy()
    assert groups["gender", "f"]["rows"] == women.sum()
    assert groups["gender", "f"]["figures"]["selection_rate"] == pytest.approx(predicted[women].mean())
    assert not groups["gender", "(missing)"]["judged"]
    assert sum(column == "age" for column, _ in groups) == 4
    assert "'age' is grouped by quartiles of these rows." in result.fairness["note"]
    assert metadata["demographic_parity_difference"].value == pytest.approx(
        max(each["demographic_parity_difference"] for each in result.fairness["columns"].values()), abs=1e-5
    )
    assert len(metadata["groups"].value.records) == len(groups)
    assert len(metadata["fairness"].value) < 20_000
    assert any(path.endswith("fairness.png") for path in result.artifacts)
    assert any("The model learns from 'gender'" in warning for warning in result.warnings)
    (decision,) = [each for each in result.decisions if each.decision == "sensitive column gender"]
    assert (decision.value, decision.override) == ("feature", "featureTypes")


def test_a_sensitive_column_that_is_no_feature_is_judged_all_the_same(
    tmp_path: Path, home: Path, write_spec: Any, people: pd.DataFrame
) -> None:
    spec = write_spec(tmp_path / "fair", people, **KEYS | {"featureTypes": {"gender": "drop"}})
    outcome = train(load_spec(spec))
    assert "gender" not in outcome.result.feature_importance
    (decision,) = [each for each in outcome.result.decisions if each.decision == "sensitive column gender"]
    assert decision.value == "not a feature"
    assert {each["column"] for each in outcome.result.fairness["groups"]} == {"gender", "age"}  # type: ignore[index]


def test_a_challenger_that_is_more_unequal_is_kept_and_says_so(
    tmp_path: Path, home: Path, write_spec: Any, mlflow_client: Any
) -> None:
    """The second data set favours one group; the metric alone would let the model take over."""
    rng = np.random.default_rng(0)
    n = 900
    table = pd.DataFrame({"merit": rng.normal(size=n), "gender": rng.choice(["f", "m"], n)})
    table["target"] = np.where(table["merit"] + 0.3 * rng.normal(size=n) > 0, "yes", "no")
    keys = KEYS | {"sensitiveColumns": ["gender"], "experimentTracking": {}}
    spec = write_spec(tmp_path / "fair", table, **keys)
    assert train(load_spec(spec)).exit_code == 0
    favoured = table.assign(target=np.where(table["gender"] == "m", "yes", table["target"]))
    favoured.to_csv(spec.parent / "train.csv", index=False)
    outcome = train(load_spec(spec))
    assert outcome.exit_code == 0
    promotion = outcome.result.promotion
    assert promotion is not None
    assert promotion["verdict"] == "kept_challenger"
    assert "demographic parity difference by gender" in promotion["reason"]
    assert any(each["worse"] and each["column"] == "gender" for each in promotion["fairness"])
    assert {each["column"] for each in promotion["segments"]} == {"gender", "merit"}
    champion = ModelStore(home, "fair").champion()
    assert champion is not None and champion.number == 1
    run = mlflow_client(f"sqlite:///{home / 'mlflow.db'}").get_run(outcome.result.experiment.run_id)
    assert run.data.metrics["fairness.demographic_parity_difference"] == pytest.approx(
        outcome.result.fairness["worst"]["demographic_parity_difference"]  # type: ignore[index]
    )


def test_a_gate_on_fairness_is_held(tmp_path: Path, home: Path, write_spec: Any, people: pd.DataFrame) -> None:
    gates = {"fairness.demographic_parity_difference": "<=0.001", "fairness.demographic_parity_ratio": ">=0"}
    outcome = train(load_spec(write_spec(tmp_path / "fair", people, **KEYS, qualityGates=gates)))
    assert outcome.exit_code == 3
    assert [gate["passed"] for gate in outcome.result.gates] == [False, True]
    assert "demographic_parity_difference is" in outcome.result.gates[0]["reason"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [("regression", {"mean_error", "mae"}), ("multiclass", {"accuracy", "recall"}), ("no test rows", None)],
)
def test_targets_of_other_kinds_have_figures_of_their_own(
    kind: str, names: set[str] | None, tmp_path: Path, home: Path, write_spec: Any, people: pd.DataFrame
) -> None:
    target = {"regression": "income", "multiclass": "category"}.get(kind, "target")
    keys = KEYS | {"targetColumn": target, "testSize": 0 if kind == "no test rows" else 0.4}
    keys |= {"algorithm": "ridge"} if kind == "regression" else {}
    outcome = train(load_spec(write_spec(tmp_path / "fair", people, **keys)))
    assert outcome.exit_code == 0
    fairness = outcome.result.fairness
    assert fairness is not None
    assert set(fairness["groups"][0]["figures"]) == (
        names or {"selection_rate", "accuracy", "recall", "false_positive_rate"}
    )
    assert fairness["out_of_fold"] == (kind == "no test rows")
    assert fairness["rows"] == (300 if kind == "no test rows" else 120)
    assert all(value is not None for value in fairness["worst"].values())


def test_the_asset_is_there_only_where_it_is_asked_for(tmp_path: Path, write_spec: Any, people: pd.DataFrame) -> None:
    def assets(**keys: Any) -> set[str]:
        spec = load_spec(write_spec(tmp_path / "fair", people, **keys))
        return {key.path[-1] for key in build_definitions([spec]).resolve_asset_graph().get_all_asset_keys()}

    assert assets(**KEYS) - assets() == {"fairness"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sensitiveColumns": ["target"]}, "`sensitiveColumns` lists the target"),
        ({"qualityGates": {"fairness.equalized_odds_difference": "<=0.1"}}, "name their columns in `sensitiveColumns`"),
    ],
)
def test_what_cannot_be_meant_is_refused(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=said):
        parse_spec({"trainDataPath": "/d.csv", "targetColumn": "target", **keys}, base=tmp_path, default_name="fair")


def test_a_column_that_is_not_there_is_named_with_the_nearest(
    tmp_path: Path, home: Path, write_spec: Any, people: pd.DataFrame
) -> None:
    outcome = train(load_spec(write_spec(tmp_path / "fair", people, sensitiveColumns=["gendre"])))
    assert outcome.exit_code == 2
    assert outcome.result.error is not None
    assert "sensitiveColumns names 'gendre'" in outcome.result.error.message
    assert "gender" in " ".join(outcome.result.error.suggestions)


def test_a_gate_on_fairness_of_three_classes_is_refused_with_the_reason(
    tmp_path: Path, home: Path, write_spec: Any, people: pd.DataFrame
) -> None:
    keys = KEYS | {"targetColumn": "category", "qualityGates": {"fairness.demographic_parity_difference": "<=0.1"}}
    outcome = train(load_spec(write_spec(tmp_path / "fair", people, **keys)))
    assert outcome.exit_code == 2
    assert "is for two classes" in outcome.result.error.message  # type: ignore[union-attr]


def test_figures_read_back_equal(tmp_path: Path) -> None:
    figures = Fairness(groups=(), columns={"a": {"mae_difference": None}}, worst={"mae_difference": None}, rows=3)
    figures.save(tmp_path)
    assert Fairness.load(tmp_path) == figures
    assert yaml.safe_load(json.dumps(figures.model_dump())) is not None
