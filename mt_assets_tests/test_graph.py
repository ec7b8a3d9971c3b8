"""Whole trainings: every asset, every check, what people see on them, and the result that other programs read.

Three kinds of target, three kinds of files, three ways to start a run: the command line, `dg.materialize` and the
training job.
"""

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from PIL import Image

from mt_assets import trainer
from mt_assets.assembly import build_definitions
from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import load_spec, parse_spec
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import ensure_instance, train

PENGUINS = Path(__file__).parents[1] / "mt_assets" / "examples" / "data" / "penguins.csv"

EXAMPLE: dict[str, Any] = {
    "task": "train_model",
    "modelType": "classification",
    "algorithm": "random_forest",
    "trainDataPath": "/data/train.csv",
    "targetColumn": "target",
    "features": ["age", "income", "category"],
    "validationStrategy": {"type": "stratified_kfold", "folds": 5, "shuffle": True},
    "hyperparameterSearch": {"enabled": True, "nTrials": 100, "timeout": 3600, "sampler": "tpe", "pruner": "median"},
    "experimentTracking": {
        "enabled": True,
        "experimentName": "customer-churn",
        "trackingUri": "http://localhost:5000",
    },
    "options": {"earlyStoppingRounds": 10, "verbosity": 1},
}
"""The spec that has to work exactly as it stands, but for paths and the address of the tracker."""

CHECKS = {
    # check: (asset, whether it blocks)
    ("raw_data", "schema"): True,
    ("raw_data", "target_present"): True,
    ("folds", "no_row_overlap"): True,
    ("folds", "no_group_overlap"): True,
    ("folds", "time_order"): True,
    ("folds", "train_test_shift"): False,
    ("training_plan", "near_perfect_feature"): False,
    ("training_plan", "target_encoded_feature"): False,
    ("preprocessor", "label_shuffle"): False,
    ("preprocessor", "fit_on_train_only"): True,
    ("optuna_study", "fit_on_train_only"): True,
    ("trained_model", "fit_on_train_only"): True,
    ("trained_model", "artifact_loads_elsewhere"): True,
    ("test_metrics", "beats_baseline"): False,
    ("test_metrics", "cv_test_gap"): False,
    ("experiment_run", "tracked"): False,
    ("registered_model", "tracked"): False,
    ("training_result", "quality_gates"): True,
}

SCORES = {
    "binary": {"accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "log_loss", "brier"}
    | {"balanced_accuracy", "mcc"},
    "multiclass": {"accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "balanced_accuracy", "mcc"},
    "regression": {"rmse", "mae", "r2", "mape", "median_ae"},
}

SHOWN = {
    # asset: (numbers that people follow, tables)
    "raw_data": ({"dagster/row_count", "columns"}, set()),
    "data_profile": ({"quality_score", "features"}, {"columns", "quality"}),
    "train": ({"dagster/row_count"}, set()),
    "validation": ({"dagster/row_count"}, set()),
    "test": ({"dagster/row_count"}, set()),
    "folds": ({"folds"}, {"rows"}),
    "training_plan": ({"trials"}, {"decisions"}),
    "preprocessor": ({"features"}, {"by_column"}),
    "optuna_study": ({"best_score", "trials", "resumed_trials"}, {"best_of_each_algorithm"}),
    "best_params": ({"score"}, {"params"}),
    "trained_model": ({"rows", "size_mb"}, set()),
    "test_metrics": (set(), {"comparison"}),
    "feature_importance": (set(), {"importance"}),
    "promotion_decision": ({"version"}, {"gates"}),
    "experiment_run": (set(), set()),
    "registered_model": (set(), set()),
    "training_result": ({"training_time"}, {"where_the_time_went", "artifacts"}),
}

PLOTS = {
    "binary": {"confusion_matrix", "roc_curve", "precision_recall", "calibration", "threshold_curve"},
    "multiclass": {"confusion_matrix", "roc_curve", "precision_recall", "calibration"},
    "regression": {"residuals"},
}


@dataclass(frozen=True)
class Trained:
    """One training that went through."""

    kind: str
    spec: TrainingSpec
    store: ModelStore
    instance: dg.DagsterInstance
    run: dg.DagsterRun
    result: dict[str, Any]

    def shown(self, asset: str) -> dict[str, dg.MetadataValue]:
        """The metadata of the asset's only materialization."""
        [record] = self.instance.fetch_materializations(self.key(asset), limit=2).records
        assert record.asset_materialization is not None
        return dict(record.asset_materialization.metadata)

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.spec.name, asset])


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, at_home: Callable[[Path], Any]
) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp(request.param)
    start = {"binary": by_command_line, "multiclass": by_materialize, "regression": by_job}[request.param]
    with at_home(folder / "home") as home:
        spec = start(folder, request)
        store = ModelStore(home, spec.name)
        made = store.current("training_result")
        assert made is not None
        with dg.DagsterInstance.get() as instance:
            run = instance.get_run_by_id(made.run_id)
            assert run is not None
            yield Trained(request.param, spec, store, instance, run, json.loads(store.get(made.address).to_json()))


def by_command_line(folder: Path, request: pytest.FixtureRequest) -> TrainingSpec:
    """The example of the contract, with fewer trials, on CSV, against a real MLflow server."""
    request.getfixturevalue("customers")(160).to_csv(folder / "train.csv", index=False)
    tracking = EXAMPLE["experimentTracking"] | {"trackingUri": request.getfixturevalue("tracker")}
    search = EXAMPLE["hyperparameterSearch"] | {"nTrials": 2}
    asked = EXAMPLE | {"trainDataPath": "train.csv", "experimentTracking": tracking, "hyperparameterSearch": search}
    (folder / "input.json").write_text(json.dumps(asked))
    program = request.getfixturevalue("program")
    done = program("mt-assets", "train", folder / "input.json", "--output", folder / "result.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return load_spec(folder / "input.json")


def by_materialize(folder: Path, request: pytest.FixtureRequest) -> TrainingSpec:
    """Parquet, two boosters, the embedded tracker, through `dg.materialize`."""
    pd.read_csv(PENGUINS).to_parquet(folder / "penguins.parquet")
    asked = {
        "trainDataPath": "penguins.parquet",
        "targetColumn": "species",
        "algorithm": ["xgboost", "lightgbm"],
        "validationStrategy": {"type": "holdout"},
        "hyperparameterSearch": {"nTrials": 2, "sampler": "random"},
        "qualityGates": {"test.accuracy": ">=0.5", "model.size_mb": "<=100"},
    }
    spec = parse_spec(asked, base=folder, default_name="penguins")
    defs = build_definitions([spec])
    ensure_instance()
    with dg.DagsterInstance.get() as instance:
        done = dg.materialize(defs.assets, instance=instance, resources=defs.resources, raise_on_error=False)
    assert done.success
    return spec


def by_job(folder: Path, request: pytest.FixtureRequest) -> TrainingSpec:
    """Several CSV files, algorithms that the plan chooses, no tracker, through the training job."""
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True).frame
    (folder / "parts").mkdir()
    frame[:200].to_csv(folder / "parts" / "a.csv", index=False)
    frame[200:].to_csv(folder / "parts" / "b.csv.gz", index=False)
    asked = {
        "trainDataPath": "parts",
        "targetColumn": "target",
        "validationStrategy": {"type": "kfold", "folds": 3},
        "hyperparameterSearch": {"nTrials": 3},
        "experimentTracking": {"enabled": False},
        "options": {"verbosity": 0},
    }
    spec = parse_spec(asked, base=folder, default_name="diabetes")
    assert train(spec).exit_code == 0
    return spec


# The graph


def test_every_asset_is_materialized_once_with_its_versions(trained: Trained) -> None:
    assert trained.run.status == dg.DagsterRunStatus.SUCCESS
    for asset in SHOWN:
        [record] = trained.instance.fetch_materializations(trained.key(asset), limit=2).records
        made = record.asset_materialization
        version = trained.store.current(asset)
        assert made is not None and made.tags is not None and version is not None
        assert record.run_id == version.run_id == trained.run.run_id
        assert made.tags["dagster/data_version"] == version.address
        assert re.fullmatch("[0-9a-f]{12}", made.tags["dagster/code_version"])


def test_the_source_is_observed_in_the_version_of_its_content(trained: Trained) -> None:
    [record] = trained.instance.fetch_observations(trained.key("source_data"), limit=2).records
    observed = record.asset_observation
    assert observed is not None
    assert observed.data_version == trainer.fingerprint(trained.spec.train_data_path)


def test_every_check_has_spoken(trained: Trained) -> None:
    logs = trained.instance.all_logs(trained.run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    spoken = [log.get_dagster_event().asset_check_evaluation_data for log in logs]
    assert {(said.asset_key.path[1], said.check_name): said.blocking for said in spoken} == CHECKS
    assert len(spoken) == len(CHECKS)
    for said in spoken:
        assert said.description
        assert said.severity == (dg.AssetCheckSeverity.ERROR if said.blocking else dg.AssetCheckSeverity.WARN)
        assert said.passed or not said.blocking, said.description


def test_what_a_phase_reads_is_upstream_of_it(trained: Trained) -> None:
    graph = build_definitions([trained.spec]).resolve_asset_graph()
    for asset in SHOWN:
        version = trained.store.current(asset)
        assert version is not None
        upstream = {key.path[1] for key in graph.get_ancestor_asset_keys(trained.key(asset))}
        assert set(version.made_from) <= upstream


@pytest.mark.parametrize("asset", SHOWN)
def test_people_see_numbers_tables_and_previews(trained: Trained, asset: str) -> None:
    shown = trained.shown(asset)
    numbers, tables = SHOWN[asset]
    assert "seconds" in shown
    for name in numbers:
        assert isinstance(shown[name], dg.IntMetadataValue | dg.FloatMetadataValue), name
    for name in tables:
        assert isinstance(shown[name], dg.TableMetadataValue), name
    if asset == "raw_data":
        columns = {column.name for column in shown["dagster/column_schema"].value.columns}
        assert trained.spec.target_column in columns
        assert all(column in str(shown["preview"].value).replace("&#95;", "_") for column in columns)
    if asset in ("test_metrics", "training_result"):
        followed = {name for name in shown if name.startswith("test.")}
        assert followed == {f"test.{name}" for name in SCORES[trained.kind]}
    if asset == "training_plan":
        decisions = {record.data["decision"]: record.data for record in shown["decisions"].records}
        assert {"task", "algorithms", "metric"} <= set(decisions)
        assert all(row["reason"] and row["rule"] and row["override"] for row in decisions.values())


def test_plots_are_small_pictures(trained: Trained) -> None:
    plots: dict[str, dict[str, bytes]] = {}
    for asset in SHOWN:
        for name, value in trained.shown(asset).items():
            found = re.match(r"!\[.+\]\(data:image/png;base64,(.+)\)$", str(value.value))
            if found:
                plots.setdefault(asset, {})[name] = base64.b64decode(found[1])
    assert set(plots) == {"optuna_study", "trained_model", "test_metrics", "feature_importance"}
    assert {"optimization_history", "leaderboard"} <= set(plots["optuna_study"])
    assert set(plots["trained_model"]) == {"learning_curve"}
    assert PLOTS[trained.kind] <= set(plots["test_metrics"])
    for images in plots.values():
        assert sum(map(len, images.values())) <= 60_000
        for content in images.values():
            assert len(content) <= 20_000
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                assert image.format == "PNG"
                assert min(image.size) >= 100


# The result


def test_the_result_has_the_keys_of_the_contract(trained: Trained) -> None:
    result = trained.result
    assert result["success"] is True
    assert "error" not in result
    assert set(result) == {
        *("success", "modelPath", "metrics", "bestParams", "featureImportance", "experiment", "metadata", "artifacts"),
        *("algorithm", "metric", "threshold", "leaderboard", "decisions", "gates", "promotion", "budget", "data"),
        *("warnings", "suggestions", "fairness"),
    }
    assert set(result["metrics"]) == {"test", "crossValidation", "baseline", "validation"}
    assert set(result["experiment"]) == {"runId", "experimentId", "trackingUri"}
    assert set(result["metadata"]) == {"trainingTime", "nTrials", "bestTrialNumber"}
    assert set(result["budget"]) == {"asked", "spent", "phases"}
    assert set(result["data"]) == {"fingerprint", "rows", "columns"}


def test_the_metrics_stand_beside_those_of_the_baseline(trained: Trained) -> None:
    metrics, names = trained.result["metrics"], SCORES[trained.kind]
    assert set(metrics["test"]) == set(metrics["baseline"]) == set(metrics["validation"]) == names
    assert set(metrics["crossValidation"]) == {f"{name}_{part}" for name in names for part in ("mean", "std")}
    better = "rmse" if trained.kind == "regression" else "log_loss"
    assert metrics["test"][better] < metrics["baseline"][better]


def test_importance_is_of_the_users_columns_and_sums_to_one(trained: Trained) -> None:
    importance = trained.result["featureImportance"]
    table = trainer.Table.of(trainer.read_table(trained.spec.train_data_path))
    assert importance
    assert set(importance) <= set(trained.spec.features or table.columns) - {trained.spec.target_column}
    assert min(importance.values()) >= 0
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_the_files_exist(trained: Trained) -> None:
    result = trained.result
    names = [Path(path).name for path in result["artifacts"]]
    assert all(Path(path).is_file() for path in result["artifacts"])
    assert {"model.joblib", "feature_importance.json", "training_history.json"} <= set(names)
    assert len(names) == len(set(names))
    history = json.loads(Path(result["artifacts"][names.index("training_history.json")]).read_text())
    assert [trial["number"] for trial in history["trials"]] == list(range(result["metadata"]["nTrials"]))
    curve = history["learning_curve"]
    assert len(curve["rows"]) == len(curve["scores"]) == 3
    assert curve["rows"] == sorted(curve["rows"])
    assert ("confusion_matrix.png" in names) == (trained.kind != "regression")
    assert not any(name.startswith("small_") for name in names)
    assert result["modelPath"] in result["artifacts"]


def test_the_figures_are_those_of_the_run(trained: Trained) -> None:
    result = trained.result
    table = trainer.Table.of(trainer.read_table(trained.spec.train_data_path))
    trials = trained.spec.hyperparameter_search.n_trials
    assert (result["data"]["rows"], result["data"]["columns"]) == (len(table), len(table.columns))
    assert result["metadata"]["nTrials"] == trials
    assert 0 <= result["metadata"]["bestTrialNumber"] < trials
    phases = result["budget"]["phases"]
    assert result["budget"]["spent"] == pytest.approx(sum(phases.values()), abs=0.01)
    assert result["metadata"]["trainingTime"] == pytest.approx(sum(phases.values()) - phases["start_and_between"])
    assert result["leaderboard"][0]["algorithm"] == result["algorithm"]
    assert sum(row["trials"] for row in result["leaderboard"]) == trials
    assert result["bestParams"]
    assert result["promotion"]["verdict"] == "first"
    assert trained.store.champion().number == 1  # type: ignore[union-attr]
    assert len(result["gates"]) == len(trained.spec.quality_gates)
    assert all(gate["passed"] for gate in result["gates"])


def test_the_tracker_has_the_run_and_the_version_that_the_result_names(
    trained: Trained, mlflow_client: Callable[[str], Any]
) -> None:
    experiment = trained.result["experiment"]
    home = trained.store.folder.parents[1]
    if trained.kind == "regression":
        assert set(experiment.values()) == {None}
        assert not list(home.glob("ml*"))
        for asset in ("experiment_run", "registered_model"):
            assert trained.shown(asset)["status"].value == "disabled"
            assert trained.shown(asset)["reason"].value == "experimentTracking.enabled is false."
        return
    embedded = f"sqlite:///{home / 'mlflow.db'}"
    assert experiment["trackingUri"] == (trained.spec.experiment_tracking.tracking_uri or embedded)
    client = mlflow_client(experiment["trackingUri"])
    run = client.get_run(experiment["runId"])
    assert run.info.status == "FINISHED"
    assert run.info.experiment_id == experiment["experimentId"]
    name = trained.spec.experiment_tracking.experiment_name or trained.spec.name
    assert client.get_experiment(experiment["experimentId"]).name == name
    assert run.data.metrics["test.accuracy"] == pytest.approx(trained.result["metrics"]["test"]["accuracy"])
    version = client.get_model_version_by_alias(trained.spec.name, "champion")
    assert version.run_id == experiment["runId"]
    assert trained.shown("registered_model")["version"].value == str(version.version)


@pytest.mark.slow
@pytest.mark.parametrize("embedded", [True, False])
def test_the_example_of_the_contract_works_exactly_as_it_stands(
    embedded: bool, tmp_path: Path, home: Path, customers: Any, program: Any, request: pytest.FixtureRequest
) -> None:
    customers(300).to_csv(tmp_path / "train.csv", index=False)
    tracking = dict(EXAMPLE["experimentTracking"])
    if embedded:
        del tracking["trackingUri"]
    else:
        tracking["trackingUri"] = request.getfixturevalue("tracker")
    asked = EXAMPLE | {"trainDataPath": str(tmp_path / "train.csv"), "experimentTracking": tracking}
    (tmp_path / "input.json").write_text(json.dumps(asked))
    done = program("mt-assets", "train", tmp_path / "input.json", "--output", tmp_path / "result.json", seconds=1500)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["metadata"]["nTrials"] == 100
    assert result["experiment"]["trackingUri"] == (
        f"sqlite:///{home / 'mlflow.db'}" if embedded else tracking["trackingUri"]
    )
    assert set(result["featureImportance"]) == {"age", "income", "category"}
