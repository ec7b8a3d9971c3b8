"""The plan on real tables: what it sees and what it must not see."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, make_friedman1

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.profile import DataProfile, profile_data
from mt_assets.trainer.data.splits import Splits, split_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.planning.facts import gather_facts
from mt_assets.trainer.planning.plan import TrainingPlan, make_plan


def read(frame: pd.DataFrame, **asked) -> tuple[TrainingSpec, Table, DataProfile, Splits]:
    spec = TrainingSpec.model_validate({"trainDataPath": "/data.csv", "targetColumn": "target", **asked})
    table = Table.of(frame)
    profile = profile_data(table, spec)
    return spec, table, profile, split_data(table, profile, spec, None)


def plan_of(frame: pd.DataFrame, **asked) -> TrainingPlan:
    return make_plan(*read(frame, **asked))


@pytest.fixture(scope="module")
def cancer() -> pd.DataFrame:
    return load_breast_cancer(as_frame=True).frame.iloc[:, 20:]


@pytest.fixture(scope="module")
def diabetes() -> pd.DataFrame:
    return load_diabetes(as_frame=True).frame


@pytest.fixture(scope="module")
def friedman() -> pd.DataFrame:
    X, y = make_friedman1(600, n_features=6, noise=0.5, random_state=0)
    frame = pd.DataFrame(X, columns=[f"x{at}" for at in range(6)]).assign(target=y)
    return frame.assign(kind=np.where(X[:, 0] > 0.5, "high", "low"))


def decision(plan: TrainingPlan, name: str):
    return next(made for made in plan.decisions if made.decision == name)


def test_a_linear_relationship_is_found(diabetes):
    plan = plan_of(diabetes)
    assert decision(plan, "recommended").rule == "algorithm.regression.linear"
    assert plan.recommended == "ridge"
    evidence = decision(plan, "recommended").evidence
    assert 0.3 < evidence["linear_r2"] < 0.6


def test_a_bent_relationship_is_found(friedman):
    plan = plan_of(friedman)
    assert decision(plan, "recommended").rule == "algorithm.regression.nonlinear"
    assert decision(plan, "recommended").evidence["tree_r2"] > 0.8


def test_a_table_too_small_to_test_gets_the_simplest_models(diabetes):
    plan = plan_of(diabetes.head(25))
    assert decision(plan, "recommended").rule == "algorithm.regression.untested"


def test_missing_values_categories_and_dates_do_not_stop_the_linearity_test(friedman):
    holed = friedman.copy()
    holed.loc[::3, "x1"] = np.nan
    holed.loc[::4, "kind"] = None
    holed["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(len(holed)) % 50, unit="D")
    holed["flag"] = holed["x2"] > 0.5
    facts = gather_facts(*read(holed))
    assert facts.features == 9
    assert facts.tree_r2 is not None and facts.tree_r2 > 0.5


@pytest.mark.parametrize(
    ("kind", "asked"),
    [("leave_one_out", {}), ("holdout", {}), ("kfold", {}), ("time_series_split", {"timeColumn": "step"})],
)
def test_linearity_is_tested_whatever_the_folds(diabetes, kind, asked):
    dated = diabetes.head(120).assign(step=np.arange(120))
    facts = gather_facts(*read(dated, validationStrategy={"type": kind}, **asked))
    assert facts.linear_r2 is not None


def test_plan_carries_the_decisions_about_target_and_folds(cancer):
    spec, table, profile, splits = read(cancer)
    plan = make_plan(spec, table, profile, splits)
    earlier = (*profile.target.decisions, *splits.decisions)
    assert earlier
    assert plan.decisions[: len(earlier)] == earlier
    rules = [made.rule for made in plan.decisions]
    assert len(rules) == len(set(rules))


def test_plan_follows_the_spec_of_the_documentation(cancer):
    plan = plan_of(
        cancer,
        modelType="classification",
        algorithm="random_forest",
        validationStrategy={"type": "stratified_kfold", "folds": 5, "shuffle": True},
        hyperparameterSearch={"enabled": True, "nTrials": 100, "timeout": 3600, "sampler": "tpe", "pruner": "median"},
        options={"earlyStoppingRounds": 10, "verbosity": 1},
    )
    assert plan.algorithms == ("random_forest",)
    assert (plan.n_trials, plan.timeout, plan.sampler, plan.pruner) == (100, 3600, "tpe", "median")
    assert (plan.early_stopping_rounds, plan.folds_per_trial) == (10, 5)


def test_rare_class_among_the_learning_rows_brings_class_weights(cancer):
    common = cancer[cancer["target"] == 1]
    rare = cancer[cancer["target"] == 0].head(20)
    plan = plan_of(pd.concat([common, rare], ignore_index=True))
    assert plan.class_weight == "balanced"
    assert decision(plan, "class_weight").evidence["minority_share"] == pytest.approx(20 / 377, abs=0.005)


@pytest.mark.parametrize(
    ("data", "rows", "kind"), [("cancer", 569, "auto"), ("friedman", 600, "auto"), ("friedman", 60, "leave_one_out")]
)
def test_plan_sees_no_test_row(data, rows, kind, request):
    """Whatever stands in the test rows, as long as their labels are the same in number, the plan is the same."""
    frame = request.getfixturevalue(data).head(rows)
    spec, table, profile, splits = read(frame, validationStrategy={"type": kind})
    assert len(splits.test)
    rng = np.random.default_rng(1)
    changed = frame.copy()
    for name in frame.select_dtypes("number").columns.drop("target"):
        changed.loc[splits.test, name] = 1e3 * rng.normal(size=len(splits.test))
    changed.loc[splits.test, "target"] = rng.permutation(frame.loc[splits.test, "target"])
    other = Table.of(changed)
    before = make_plan(spec, table, profile, splits).model_dump_json()
    after = make_plan(spec, other, profile_data(other, spec), splits).model_dump_json()
    assert after == before


def test_plan_sees_no_test_label(cancer):
    spec, table, profile, splits = read(cancer)
    changed = cancer.copy()
    changed.loc[splits.test, "target"] = 1
    other = make_plan(spec, Table.of(changed), profile, splits)
    assert other.model_dump_json() == make_plan(spec, table, profile, splits).model_dump_json()


def test_only_a_sample_of_a_large_table_is_probed_and_the_seed_settles_which(friedman):
    X, y = make_friedman1(7_000, n_features=6, noise=0.5, random_state=0)
    large = pd.DataFrame(X, columns=[f"x{at}" for at in range(6)]).assign(target=y)
    first, again = gather_facts(*read(large)), gather_facts(*read(large))
    other = gather_facts(*read(large, options={"seed": 5}))
    assert (first.linear_r2, first.tree_r2) == (again.linear_r2, again.tree_r2)
    assert first.linear_r2 != other.linear_r2
    assert first.rows == 5_600


def test_a_column_without_any_number_does_not_stop_the_linearity_test(friedman):
    days = pd.date_range("2024-01-01", periods=len(friedman)).strftime("%Y-%m-%d")
    written = friedman.assign(day=days)
    assert gather_facts(*read(written, featureTypes={"day": "datetime"})).tree_r2 > 0.5
