"""The training spec: what may be asked for, and what a person is told when it is wrong."""

import copy
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import load_spec, parse_spec
from mt_assets.spec_support import LIMITS
from mt_assets.spec_values import METRIC_NAMES
from mt_assets.trainer.algorithms.registry import AVAILABLE, CONTRACT_NAMES
from mt_assets.trainer.errors import SpecError

SMALLEST: dict[str, Any] = {"trainDataPath": "train.csv", "targetColumn": "target"}

EXAMPLE = """
{"task": "train_model", "modelType": "classification", "algorithm": "random_forest",
 "trainDataPath": "/data/train.csv", "targetColumn": "target", "features": ["age", "income", "category"],
 "validationStrategy": {"type": "stratified_kfold", "folds": 5, "shuffle": true},
 "hyperparameterSearch": {"enabled": true, "nTrials": 100, "timeout": 3600, "sampler": "tpe", "pruner": "median"},
 "experimentTracking": {"enabled": true, "experimentName": "customer-churn", "trackingUri": "http://localhost:5000"},
 "options": {"earlyStoppingRounds": 10, "verbosity": 1}}
"""


def parse(asked: dict[str, Any]) -> TrainingSpec:
    return parse_spec(asked, base=Path("/specs"), default_name="churn")


def asking(path: str, value: Any) -> dict[str, Any]:
    """The smallest spec with one more key, given as `section.key`."""
    asked = copy.deepcopy(SMALLEST)
    *sections, key = path.split("/")
    place = asked
    for section in sections:
        place = place.setdefault(section, {})
    place[key] = value
    return asked


def refusal(asked: dict[str, Any]) -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse(asked)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    return caught.value


# --- what is right ----------------------------------------------------------------------------------------------------


def test_the_example_of_the_contract_works_as_it_stands(tmp_path):
    path = tmp_path / "input.json"
    path.write_text(EXAMPLE)
    spec = load_spec(path)
    assert spec.name == "customer_churn"
    assert spec.train_data_path == "/data/train.csv"
    assert spec.algorithms == ("random_forest",)
    assert spec.features == ("age", "income", "category")
    assert spec.hyperparameter_search.n_trials == 100
    assert spec.options.early_stopping_rounds == 10
    assert parse(json.loads(spec.model_dump_json(by_alias=True))) == spec


def test_defaults_are_those_of_the_contract():
    spec = parse(SMALLEST)
    assert spec.name == "churn"
    assert (spec.task, spec.model_type, spec.algorithm, spec.scenario) == ("train_model", "auto", "auto", "auto")
    assert spec.algorithms is None and spec.metric is None and spec.gates == ()
    assert (spec.test_size, spec.validation_size, spec.validation_strategy.type) == (0.2, None, "auto")
    assert (spec.class_imbalance, spec.sensitive_columns) == ("auto", ())
    tracking, retraining, options = spec.experiment_tracking, spec.retraining, spec.options
    assert (tracking.enabled, tracking.register_model, tracking.tracking_uri) == (True, True, None)
    assert (retraining.on_new_data, retraining.min_new_rows, retraining.schedule) == (True, 1, None)
    assert (retraining.timezone, retraining.warm_start, retraining.drift_threshold) == ("UTC", True, None)
    assert (retraining.cooldown, retraining.improve_rounds) == (0, 0)
    assert (options.seed, options.early_stopping_rounds, options.verbosity, options.ensemble) == (0, None, 1, "auto")
    assert (options.time_budget, options.memory_limit, options.threads, options.device) == (None, None, None, "auto")
    assert (options.calibrate, options.feature_generation) == ("auto", "auto")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("testSize", 0),
        ("testSize", 0.0),
        ("testSize", 1),
        ("testSize", 500),
        ("validationSize", 2),
        ("validationSize", 0.5),
        ("algorithm", ["xgboost", "lightgbm"]),
        ("positiveLabel", True),
        ("positiveLabel", 1),
        ("positiveLabel", "ja"),
        ("trainDataPath", ["a.csv", "b.csv"]),
        ("featureTypes", {"a": "drop", "b c": "text"}),
        ("options/timeBudget", 30),
        ("options/calibrate", False),
        ("hyperparameterSearch/timeout", 0.5),
        ("hyperparameterSearch/objectives", ["f1"]),
        ("qualityGates", {"test.roc_auc": "<=0.85", "cv.accuracy_std": " < 5e-2 ", "model.latency_ms": "<=.5"}),
        ("retraining/schedule", "0 3 * * 1"),
        ("retraining/schedule", "@daily"),
        ("retraining/timezone", "Europe/Berlin"),
        ("objective/threshold", "auto"),
        ("validationDataPath", None),
        ("hyperparameterSearch/nTrials", None),
    ],
)
def test_what_may_be_asked(path, value):
    spec = parse(asking(path, value))
    assert parse(spec.model_dump(mode="json", by_alias=True)) == spec


def test_bundled_examples_are_right():
    folder = Path(str(files("mt_assets"))) / "examples"
    specs = [load_spec(path) for path in sorted(folder.glob("*.yaml"))]
    assert specs
    assert all(Path(str(spec.train_data_path)).exists() for spec in specs)


def test_relative_paths_start_from_the_folder_of_the_file(tmp_path):
    path = tmp_path / "specs" / "churn.yaml"
    path.parent.mkdir()
    path.write_text(
        "trainDataPath: [../data/*.csv, s3://bucket/x.parquet, /abs/y.csv]\ntargetColumn: t\ndataSchema: s.yaml\n"
    )
    spec = load_spec(path)
    assert spec.train_data_path == (str(tmp_path / "data/*.csv"), "s3://bucket/x.parquet", "/abs/y.csv")
    assert spec.data_schema == str(tmp_path / "specs/s.yaml")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "churn"),
        ({"name": "Größe 2"}, "grosse_2"),
        ({"experimentTracking": {"experimentName": "Customer-Churn!"}}, "customer_churn"),
        ({"experimentTracking": {"experimentName": "日本"}}, "churn"),
        ({"name": "own", "experimentTracking": {"experimentName": "other"}}, "own"),
    ],
)
def test_where_the_name_comes_from(asked, name):
    assert parse({**SMALLEST, **asked}).name == name


def test_digest_depends_on_what_is_asked_alone():
    spec = parse({**SMALLEST, "testSize": 0.3, "options": {"seed": 1, "threads": 2}})
    turned = parse({"options": {"threads": 2, "seed": 1}, "testSize": 0.3, **SMALLEST, "task": "train_model"})
    assert spec.digest == turned.digest
    assert len(spec.digest) == 64
    assert spec.digest != parse({**SMALLEST, "testSize": 0.31, "options": {"seed": 1, "threads": 2}}).digest


def test_paths_of_sqlite_are_relative_to_the_spec_too(tmp_path):
    def read(connection):
        asked = {**SMALLEST, "trainDataPath": {"connection": connection, "query": "select 1"}}
        return parse_spec(asked, base=tmp_path, default_name="x").train_data_path.connection

    assert read("sqlite:///shop.db") == f"sqlite:///{tmp_path}/shop.db"
    assert read("sqlite+pysqlite:///../shop.db?timeout=5") == f"sqlite+pysqlite:///{tmp_path.parent}/shop.db?timeout=5"
    for absolute in ("sqlite:////data/shop.db", "sqlite:///:memory:", "sqlite://", "postgresql://me@db/shop"):
        assert read(absolute) == absolute


def test_an_asset_is_another_one_with_a_whole_key():
    own = refusal({**SMALLEST, "name": "churn", "trainDataPath": {"asset": "churn/raw_data"}})
    assert "an asset of this model itself" in own.message
    advice = {**SMALLEST, "name": "churn", "inputs": {"featureRecommendations": {"asset": "churn/data_profile"}}}
    assert "`inputs.featureRecommendations.asset`" in refusal(advice).message
    assert "joined by one `/`" in refusal({**SMALLEST, "trainDataPath": {"asset": "a//b"}}).message


def test_a_spec_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse(SMALLEST).target_column = "other"  # type: ignore[misc]


# --- what is wrong ----------------------------------------------------------------------------------------------------

BAD_VALUES: list[tuple[str, Any, str, list[str]]] = [
    # key, value, path in the message, what else the message says
    ("hyperparameterSearch/nTrials", 0, "hyperparameterSearch.nTrials", ["is 0;", "whole number of at least 1"]),
    ("hyperparameterSearch/nTrials", -5, "hyperparameterSearch.nTrials", ["is -5;", "at least 1"]),
    ("hyperparameterSearch/nTrials", "100", "hyperparameterSearch.nTrials", ['"100"', "write 100 without quotes"]),
    ("hyperparameterSearch/nTrials", "yes", "hyperparameterSearch.nTrials", ['"yes"', "whole number"]),
    ("hyperparameterSearch/nTrials", 10.0, "hyperparameterSearch.nTrials", ["10.0", "whole number"]),
    ("hyperparameterSearch/nTrials", True, "hyperparameterSearch.nTrials", ["is true", "whole number"]),
    ("hyperparameterSearch/timeout", -1, "hyperparameterSearch.timeout", ["-1", "above 0"]),
    ("hyperparameterSearch/timeout", 0, "hyperparameterSearch.timeout", ["is 0;", "above 0"]),
    ("hyperparameterSearch/timeout", float("inf"), "hyperparameterSearch.timeout", ["Infinity", "finite"]),
    ("hyperparameterSearch/timeout", float("nan"), "hyperparameterSearch.timeout", ["NaN", "finite"]),
    (
        "hyperparameterSearch/sampler",
        "tpee",
        "hyperparameterSearch.sampler",
        ['"tpee"', 'did you mean "tpe"?', "random"],
    ),
    ("hyperparameterSearch/pruner", "medain", "hyperparameterSearch.pruner", ['did you mean "median"?', "hyperband"]),
    ("hyperparameterSearch/enabled", "yes", "hyperparameterSearch.enabled", ['"yes"', "true or false"]),
    ("hyperparameterSearch/enabled", 1, "hyperparameterSearch.enabled", ["is 1;", "true or false"]),
    ("hyperparameterSearch", None, "hyperparameterSearch", ["empty (null)", "nTrials"]),
    ("hyperparameterSearch", [], "hyperparameterSearch", ["[]", "mapping"]),
    ("validationStrategy/folds", 1, "validationStrategy.folds", ["is 1;", "at least 2"]),
    ("validationStrategy/folds", True, "validationStrategy.folds", ["is true", "whole number"]),
    ("validationStrategy/type", "k_fold", "validationStrategy.type", ['did you mean "kfold"?', "holdout"]),
    ("validationStrategy/gap", -1, "validationStrategy.gap", ["-1", "at least 0"]),
    ("algorithm", "random_forrest", "algorithm", ['did you mean "random_forest"?', "xgboost"]),
    ("algorithm", "Random Forest", "algorithm", ['did you mean "random_forest"?']),
    ("algorithm", ["ridge", "xgbost"], "algorithm[1]", ['did you mean "xgboost"?']),
    ("algorithm", ["ridge", "auto"], "algorithm[1]", ['"auto"']),
    ("algorithm", ["ridge", "ridge"], "algorithm", ['"ridge"', "more than once"]),
    ("algorithm", [], "algorithm", ["empty list", "at least one"]),
    ("algorithm", 3, "algorithm", ["is 3;", "list"]),
    ("objective/metric", "auc_roc", "objective.metric", ['did you mean "roc_auc"?', "mcc"]),
    ("promotion/metric", "f2", "promotion.metric", ['"f2"', "f1"]),
    ("promotion/confidence", 1.0, "promotion.confidence", ["1.0", "below 1"]),
    ("objective/constraints", {"precision": ">=x"}, "objective.constraints.precision", ['">=x"', ">=0.85"]),
    ("qualityGates", {"test.roc_auc": "=>0.85"}, 'qualityGates["test.roc_auc"]', ['"=>0.85"', ">=0.85"]),
    ("qualityGates", {"test.roc_auc": "0.85"}, 'qualityGates["test.roc_auc"]', ['"0.85"', ">=, <=, >, <"]),
    ("qualityGates", {"test.roc_auc": 0.85}, 'qualityGates["test.roc_auc"]', ["0.85", "in quotes"]),
    ("qualityGates", {"test.roc_auc": ">=nan"}, 'qualityGates["test.roc_auc"]', ["finite"]),
    ("qualityGates", {"test.roc_auc": ">=1e999"}, 'qualityGates["test.roc_auc"]', ["finite"]),
    ("qualityGates", {"test.roc_auk": ">=0.8"}, "qualityGates", ['"test.roc_auk"', 'did you mean "test.roc_auc"?']),
    ("qualityGates", {"roc_auc": ">=0.8"}, "qualityGates", ['did you mean "test.roc_auc"?']),
    ("qualityGates", {"model.latency": "<5"}, "qualityGates", ['did you mean "model.latency_ms"?']),
    ("qualityGates", ["test.roc_auc>=0.8"], "qualityGates", ["mapping"]),
    ("retraining/schedule", "every monday", "retraining.schedule", ['"every monday"', "five fields", "0 3 * * 1"]),
    ("retraining/schedule", "0 3 * *", "retraining.schedule", ["five fields"]),
    ("retraining/schedule", "0 0 3 1 1 1", "retraining.schedule", ["five fields"]),
    ("retraining/schedule", "61 3 * * *", "retraining.schedule", ["five fields"]),
    ("retraining/schedule", "0 0 15W * *", "retraining.schedule", ["`W`"]),
    ("retraining/schedule", "0 0 31 2 *", "retraining.schedule", ["never comes"]),
    ("retraining/timezone", "Europe/Berln", "retraining.timezone", ['did you mean "Europe/Berlin"?']),
    ("retraining/timezone", "../etc/passwd", "retraining.timezone", ["not known"]),
    ("retraining/minNewRows", -1, "retraining.minNewRows", ["at least 1"]),
    ("retraining/cooldown", -1, "retraining.cooldown", ["at least 0"]),
    ("retraining/improveRounds", -1, "retraining.improveRounds", ["at least 0"]),
    ("retraining/driftThreshold", -0.1, "retraining.driftThreshold", ["above 0"]),
    ("targetColumn", "", "targetColumn", ["not empty"]),
    ("targetColumn", "  ", "targetColumn", ["is empty"]),
    ("targetColumn", 5, "targetColumn", ['write "5", in quotes']),
    ("targetColumn", "a\0b", "targetColumn", ["NUL"]),
    ("features", ["age", "target"], "features", ['the target "target"', "take it out"]),
    ("features", ["age", "age"], "features", ['"age"', "more than once"]),
    ("features", [], "features", ["at least one"]),
    ("features", "age", "features", ["a list"]),
    ("features", [2020], "features[0]", ['write "2020", in quotes']),
    ("featureTypes", {"age": "number"}, "featureTypes.age", ['did you mean "numeric"?']),
    ("featureTypes", {3: "text"}, "featureTypes", ["key 3", "quotes"]),
    ("featureTypes", {"target": "drop"}, "featureTypes.target", ["targetColumn"]),
    ("timeColumn", "target", "timeColumn", ["another column"]),
    ("testSize", 1.0, "testSize", ["1.0", "below 1"]),
    ("testSize", -0.1, "testSize", ["-0.1", "at least 0"]),
    ("testSize", -3, "testSize", ["-3", "rows"]),
    ("testSize", "0.2", "testSize", ["write 0.2 without quotes"]),
    ("testSize", True, "testSize", ["is true"]),
    ("testSize", float("nan"), "testSize", ["NaN"]),
    ("validationSize", 1, "validationSize", ["is 1;", "at least 2"]),
    ("validationSize", 0.0, "validationSize", ["above 0"]),
    ("positiveLabel", ["yes"], "positiveLabel", ["text", "number"]),
    ("positiveLabel", float("nan"), "positiveLabel", ["NaN"]),
    ("trainDataPath", [], "trainDataPath", ["at least one"]),
    ("trainDataPath", "", "trainDataPath", ["not empty"]),
    ("trainDataPath", 5, "trainDataPath", ["is 5;", "list", "`connection`"]),
    ("trainDataPath", ["a.csv", "./a.csv"], "trainDataPath", ["more than once"]),
    ("trainDataPath", {"connection": "sqlite:///x"}, "trainDataPath.query", ["is missing"]),
    ("trainDataPath", {"table": "x"}, "trainDataPath", ["a mapping", "`asset`"]),
    ("classImbalance", "smote", "classImbalance", ['"smote"', "class_weight"]),
    ("scenario", "fast", "scenario", ["quick"]),
    ("task", "train", "task", ["train_model"]),
    ("name", "!!!", "name", ["letter from a to z"]),
    ("options/timeBudget", 5, "options.timeBudget", ["is 5 s", "smallest budget is 30 s"]),
    ("options/seed", 1.5, "options.seed", ["whole number"]),
    ("options/earlyStoppingRounds", 0, "options.earlyStoppingRounds", ["at least 1"]),
    ("options/verbosity", 9, "options.verbosity", ["at most 3"]),
    ("options/calibrate", "yes", "options.calibrate", ["auto", "true or false"]),
    ("objective/threshold", 1.5, "objective.threshold", ["below 1"]),
    ("targetColumn", "a\ud800", "targetColumn", ["\\ud800"]),
    ("featureTypes", {"\ud800": "text"}, "featureTypes", ["\\ud800"]),
    ("experimentTracking/experimentName", "\ud800", "experimentTracking.experimentName", ["surrogate"]),
    # unknown keys, at any depth
    ("nTrials", 5, "nTrials", ["not a key", "did you mean `hyperparameterSearch.nTrials`?"]),
    ("target_column", "x", "target_column", ["did you mean `targetColumn`?"]),
    ("foo", 5, "foo", ["not a key", "targetColumn"]),
    ("hyperparameterSearch/ntrials", 5, "hyperparameterSearch.ntrials", ["did you mean `nTrials`?"]),
    ("hyperparameterSearch/n_trials", 5, "hyperparameterSearch.n_trials", ["did you mean `nTrials`?"]),
    ("trainDataPath", {"asset": "a", "qeury": 1}, "trainDataPath.qeury", ["asset"]),
    # contradictions
    ("validationStrategy/type", "group_kfold", "validationStrategy.type", ["`groupColumn`"]),
    ("validationStrategy/type", "time_series_split", "validationStrategy.type", ["`timeColumn`"]),
    ("validationStrategy/gap", 2, "validationStrategy.gap", ["`timeColumn`"]),
    ("validationStrategy", {"type": "kfold", "repeats": 3}, "validationStrategy.repeats", ["use `repeated_kfold`"]),
    ("validationStrategy", {"type": "holdout", "repeats": 3}, "validationStrategy.repeats", ["leave `repeats` out"]),
    ("validationStrategy", {"type": "repeated_kfold", "shuffle": False}, "validationStrategy.shuffle", ["random"]),
    ("validationStrategy", {"type": "holdout", "shuffle": False}, "validationStrategy.shuffle", ["use `kfold`"]),
]


@pytest.mark.parametrize(("key", "value", "path", "said"), BAD_VALUES)
def test_a_wrong_value_is_refused_in_words(key, value, path, said):
    message = refusal(asking(key, value)).message
    assert f"`{path}`" in message
    for words in said:
        assert words in message
    assert "Input should" not in message and "pydantic" not in message


@pytest.mark.parametrize(
    "schedule", ["0 3 * * 1", "@daily", "0 0 L * *", "0 0 * * 5#2", "*/5 8-18 * * MON-FRI", "0 0 29 2 *"]
)
def test_schedules_are_those_that_dagster_takes(schedule):
    from dagster._utils.schedules import is_valid_cron_string

    assert is_valid_cron_string(parse(asking("retraining/schedule", schedule)).retraining.schedule or "")


@pytest.mark.parametrize("key", ["trainDataPath", "targetColumn"])
def test_a_missing_key_is_named(key):
    asked = {name: value for name, value in SMALLEST.items() if name != key}
    assert f"`{key}` is missing" in refusal(asked).message


def test_all_problems_are_told_at_once():
    error = refusal(
        {**SMALLEST, "hyperparameterSearch": {"nTrials": 0, "sampler": "tpee", "prunner": "median"}, "x": 1}
    )
    assert "4 problems" in error.message
    for words in ("nTrials` is 0", 'mean "tpe"?', "did you mean `pruner`?", "`x` is not a key"):
        assert words in error.message
    assert any("`hyperparameterSearch` accepts: enabled, nTrials" in text for text in error.suggestions)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"algorithm": "ridge", "modelType": "classification"}, ["`algorithm`", "cannot do classification"]),
        ({"algorithm": "logistic_regression"}, ["`algorithm`", "cannot do regression", "ridge"]),
        ({"objective": {"metric": "roc_auc"}}, ["`objective.metric`", "no metric of regression", "rmse"]),
        ({"qualityGates": {"test.f1": ">=0.5"}}, ['`qualityGates["test.f1"]`', "rmse"]),
        ({"positiveLabel": 1}, ["`positiveLabel`", "regression"]),
        ({"classImbalance": "class_weight"}, ["`classImbalance`", "regression"]),
        ({"validationStrategy": {"type": "stratified_kfold"}}, ["`validationStrategy.type`", "use `kfold`"]),
    ],
)
def test_what_does_not_go_with_the_model_type(asked, said):
    message = refusal({**SMALLEST, "modelType": "regression", **asked}).message
    assert all(words in message for words in said)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"testDataPath": "t.csv", "testSize": 0.3}, ["`testSize` is 0.3, but `testDataPath` gives the rows"]),
        ({"testDataPath": "t.csv", "testSize": 0}, ["`testSize` is 0, but `testDataPath` gives the rows"]),
        ({"validationDataPath": "v.csv", "validationSize": 50}, ["`validationSize` is 50, but `validationDataPath`"]),
        ({"testDataPath": "train.csv"}, ["`testDataPath` is the same as `trainDataPath`"]),
        (
            {"validationDataPath": ["v.csv"], "testDataPath": ["v.csv"]},
            ["`testDataPath` is the same as `validationDataPath`"],
        ),
        (
            {"validationDataPath": "v.csv", "timeColumn": "day"},
            ["`validationDataPath` gives the newest rows", "give `testDataPath` as well", "set `testSize` to 0"],
        ),
    ],
)
def test_what_does_not_go_with_given_files(asked, said):
    message = refusal({**SMALLEST, **asked}).message
    assert all(words in message for words in said)


@pytest.mark.parametrize("kind", ["kfold", "stratified_kfold", "repeated_kfold", "leave_one_out"])
def test_one_validation_part_of_a_size_has_no_folds(kind):
    message = refusal({**SMALLEST, "validationSize": 0.3, "validationStrategy": {"type": kind}}).message
    assert f"`validationSize` is 0.3, but `{kind}` has folds; use `holdout`" in message


@pytest.mark.parametrize(
    "asked",
    [
        {"testDataPath": "t.csv"},
        {"validationDataPath": "v.csv", "testSize": 0.3},
        {"validationDataPath": "v.csv", "testDataPath": ["t1.csv", "t2.csv"], "timeColumn": "day"},
        {"validationDataPath": "v.csv", "testSize": 0, "timeColumn": "day"},
    ],
)
def test_given_files_go_together_and_round_trip(asked):
    spec = parse({**SMALLEST, **asked})
    assert parse(json.loads(spec.model_dump_json(by_alias=True))) == spec


def test_metric_and_objectives_may_not_differ():
    asked = {**SMALLEST, "objective": {"metric": "f1"}, "hyperparameterSearch": {"objectives": ["recall"]}}
    assert "keep one of the two" in refusal(asked).message
    asked["hyperparameterSearch"]["objectives"] = ["f1"]
    assert parse(asked).metric == "f1"


@pytest.mark.parametrize(
    ("sampler", "module", "install"),
    [("cmaes", "cmaes", "pip install cmaes"), ("gp", "torch", "pip install 'mt-assets[deep]'")],
)
def test_a_sampler_without_its_package_is_refused_with_the_line_that_installs_it(monkeypatch, sampler, module, install):
    asked = {**SMALLEST, "hyperparameterSearch": {"sampler": sampler}}
    assert parse(asked).hyperparameter_search.sampler == sampler
    monkeypatch.setitem(sys.modules, module, None)  # what an import sees of a package that is not there
    error = refusal(asked)
    assert "`hyperparameterSearch.sampler`" in error.message
    assert install in error.message


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sampler": "cmaes", "objectives": ["f1", "recall"]}, ["`hyperparameterSearch.sampler`", "use `nsga2`"]),
        ({"pruner": "median", "objectives": ["f1", "recall"]}, ["`hyperparameterSearch.pruner`", "`none`"]),
    ],
)
def test_what_several_objectives_exclude(asked, said):
    message = refusal({**SMALLEST, "hyperparameterSearch": asked}).message
    assert all(words in message for words in said)


def test_an_ensemble_serves_one_metric():
    several = {"hyperparameterSearch": {"objectives": ["f1", "recall"]}}
    message = refusal(SMALLEST | several | {"options": {"ensemble": "greedy"}}).message
    assert "`options.ensemble`" in message


def test_folds_of_one_row_are_not_compared():
    asked = {"validationStrategy": {"type": "leave_one_out"}, "hyperparameterSearch": {"pruner": "wilcoxon"}}
    assert "`hyperparameterSearch.pruner`" in refusal({**SMALLEST, **asked}).message


NOT_YET: dict[str, Any] = {
    "modelType": "time_series",
    "seriesColumn": "s",
    "horizon": 3,
    "frequency": "D",
    "seasonality": 7,
    "knownAhead": ["a"],
    "options.device": "gpu",
}


@pytest.mark.parametrize("key", LIMITS)
def test_what_this_version_cannot_do_is_refused_and_never_passed_over(key):
    message = refusal(asking(key.replace(".", "/"), NOT_YET[key])).message
    assert f"`{key}`" in message
    assert "this version cannot do yet" in message
    assert "available: " in message or "leave the key out" in message


@pytest.mark.parametrize("wrong", [0, -1, "4 GB", True, float("inf")])
def test_a_memory_limit_is_a_number_of_gigabytes(wrong):
    assert parse(asking("options/memoryLimit", 0.5)).options.memory_limit == 0.5
    assert "`options.memoryLimit`" in refusal(asking("options/memoryLimit", wrong)).message


def test_algorithms_of_the_contract_are_trained_or_refused():
    for name in {name for names in CONTRACT_NAMES.values() for name in names}:
        if name in AVAILABLE:
            assert parse(asking("algorithm", name)).algorithms == (name,)
        else:
            message = refusal(asking("algorithm", name)).message
            assert name in message and "random_forest" in message


def test_an_algorithm_whose_package_is_not_installed_is_refused_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "catboost", None)
    message = refusal(asking("algorithm", ["lightgbm", "catboost"])).message
    assert 'asks for "catboost", which needs the package catboost' in message
    assert "`pip install catboost`" in message
    assert parse(asking("algorithm", "lightgbm")).algorithms == ("lightgbm",)


def test_metric_names_are_those_that_can_be_measured():
    from mt_assets.spec_values import OF_INTERVALS
    from mt_assets.trainer.evaluation.metrics import METRICS

    named = {name for names in METRIC_NAMES.values() for name in names}
    assert set(METRICS) == named - set(OF_INTERVALS)
