"""The code location: which assets, checks, jobs, schedules and sensors grow from specs, and what loading them costs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mt_assets.assembly import build_definitions
from mt_assets.component import TrainedModelComponent
from mt_assets.spec import TrainingSpec
from mt_assets.spec_folder import find_specs, read_specs
from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.errors import SpecError

GRAPH: dict[str, tuple[str, dict[str, bool]]] = {
    # asset: (direct upstream, {check: blocking})
    "source_data": ("", {}),
    "raw_data": ("source_data", {"schema": True, "target_present": True}),
    "data_profile": ("raw_data", {}),
    "train": ("data_profile", {}),
    "validation": ("data_profile", {}),
    "test": ("data_profile", {}),
    "folds": (
        "data_profile",
        {"no_row_overlap": True, "no_group_overlap": True, "time_order": True, "train_test_shift": False},
    ),
    "training_plan": ("folds train validation", {"near_perfect_feature": False, "target_encoded_feature": False}),
    "preprocessor": ("training_plan", {"fit_on_train_only": True, "label_shuffle": False}),
    "optuna_study": ("preprocessor", {"fit_on_train_only": True}),
    "best_params": ("optuna_study", {}),
    "trained_model": ("best_params", {"fit_on_train_only": True, "artifact_loads_elsewhere": True}),
    "test_metrics": ("test trained_model", {"beats_baseline": False, "cv_test_gap": False}),
    "feature_importance": ("test trained_model", {}),
    "promotion_decision": ("feature_importance test_metrics", {}),
    "experiment_run": ("promotion_decision", {"tracked": False}),
    "registered_model": ("experiment_run", {"tracked": False}),
    "training_result": ("registered_model", {"quality_gates": True}),
    "retraining_decision": ("raw_data", {}),
}

HEAVY = {
    *("pandas", "numpy", "pyarrow", "duckdb", "pandera", "scipy", "sklearn", "skrub", "skops", "joblib"),
    *("xgboost", "lightgbm", "catboost", "torch", "optuna", "mlflow", "dagster_mlflow", "matplotlib"),
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainingSpec:
    asked = {
        "name": "churn",
        "trainDataPath": "train.csv",
        "targetColumn": "target",
        "retraining": {"schedule": "30 4 * * 1", "timezone": "Europe/Berlin"},
    }
    return parse_spec(asked, base=tmp_path_factory.mktemp("nowhere"), default_name="churn")


@pytest.fixture(scope="module")
def defs(spec: TrainingSpec) -> dg.Definitions:
    return build_definitions([spec])


@pytest.fixture(scope="module")
def graph(defs: dg.Definitions) -> Any:
    return defs.resolve_asset_graph()


def test_the_graph_is_what_the_contract_says(graph: Any) -> None:
    drawn = {}
    for key in graph.get_all_asset_keys():
        assert key.path[0] == "churn"
        upstream = " ".join(sorted(parent.path[1] for parent in graph.get(key).parent_keys))
        checks = {check.name: graph.get_check_spec(check).blocking for check in graph.get(key).check_keys}
        drawn[key.path[1]] = (upstream, checks)
    assert drawn == GRAPH


@pytest.mark.parametrize("asset", GRAPH)
def test_every_asset_says_what_it_is(graph: Any, asset: str) -> None:
    node = graph.get(dg.AssetKey(["churn", asset]))
    assert node.group_name == "churn"
    assert node.owners
    assert node.kinds
    assert node.code_version
    assert node.description
    assert all(graph.get_check_spec(check).description for check in node.check_keys)


def test_the_jobs_train_everything_and_everything_but_the_reading(defs: dg.Definitions) -> None:
    made = set(GRAPH) - {"source_data", "retraining_decision"}
    for name, expected in (("churn_training", made), ("churn_retraining", made - {"raw_data"})):
        job = defs.resolve_job_def(name)
        assert {key.path[1] for key in job.asset_layer.selected_asset_keys} == expected
        assert job.executor_def is dg.in_process_executor
        assert job.tags == {"mt_assets/model": "churn"}
        assert job.description


def test_the_schedule_is_the_one_that_was_asked_for(defs: dg.Definitions) -> None:
    schedule = defs.resolve_schedule_def("churn_schedule")
    assert schedule.cron_schedule == "30 4 * * 1"
    assert schedule.execution_timezone == "Europe/Berlin"
    assert schedule.job_name == "churn_training"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_without_a_cron_expression_there_is_no_schedule(tmp_path: Path) -> None:
    plain = parse_spec({"trainDataPath": "a.csv", "targetColumn": "y"}, base=tmp_path, default_name="plain")
    assert not list(build_definitions([plain]).schedules or [])


def test_the_sensors_run_from_the_start(defs: dg.Definitions) -> None:
    ours = ("churn_new_data", "churn_retraining_sensor")
    for name in ("mt_assets_failures", "mt_assets_housekeeping", *ours):
        assert defs.resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING


def test_other_resources_take_the_place_of_ours(spec: TrainingSpec) -> None:
    from mt_assets.resources.tracking import MlflowTracking

    elsewhere = MlflowTracking(uri="http://tracker.example")
    built = build_definitions([spec], resources={"tracking": elsewhere, "mine": dg.ResourceDefinition.none_resource()})
    assert set(built.resources or {}) == {"model_runs", "store", "tracking", "mine"}
    assert (built.resources or {})["tracking"] is elsewhere


def write(folder: Path, file: str, **keys: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps({"trainDataPath": "a.csv", "targetColumn": "y", **keys}))


def test_a_bad_spec_and_a_name_taken_twice_are_shown_and_leave_the_others_working(tmp_path: Path) -> None:
    write(tmp_path, "good.json")
    write(tmp_path, "other.json", name="good")
    write(tmp_path, "typo.json", targetColum="y")
    write(tmp_path, "fine.yaml")
    (tmp_path / "broken.yml").write_text("name: [")
    (tmp_path / "notes.txt").write_text("no spec")
    specs, refused = read_specs(find_specs(tmp_path))
    assert [spec.name for spec in specs] == ["fine", "good"]
    assert sorted(path.name for path in refused) == ["broken.yml", "other.json", "typo.json"]
    graph = build_definitions(specs, refused=refused).resolve_asset_graph()
    shown = {key.path[0]: graph.get(key) for key in graph.get_all_asset_keys() if key.path[1] == "spec"}
    assert set(shown) == {"refused_broken_yml", "refused_other_json", "refused_typo_json"}
    assert "Two specs are named 'good': good.json and other.json" in shown["refused_other_json"].description
    assert "did you mean `targetColumn`?" in shown["refused_typo_json"].description
    assert {key.path[0] for key in graph.get_all_asset_keys()} - set(shown) == {"fine", "good"}


def test_materializing_a_refused_spec_says_why(tmp_path: Path) -> None:
    write(tmp_path, "typo.json", targetColum="y")
    specs, refused = read_specs(find_specs(tmp_path))
    [shown] = build_definitions(specs, refused=refused).assets or []
    assert isinstance(shown, dg.AssetsDefinition)
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([shown], instance=instance, raise_on_error=False)
    [failed] = done.get_step_failure_events()
    assert "targetColum" in failed.step_failure_data.error.message


def test_the_component_builds_the_same_graph(tmp_path: Path) -> None:
    write(tmp_path / "specs", "churn.json")
    context = dg.ComponentTree.for_test().load_context
    component = TrainedModelComponent(specs=str(tmp_path / "specs"))
    graph = component.build_defs(context).resolve_asset_graph()
    assert {key.path[1] for key in graph.get_all_asset_keys()} == set(GRAPH)


def test_loading_the_code_location_imports_nothing_heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write(tmp_path, f"model_{number}.json")
    monkeypatch.setenv("MT_ASSETS_SPECS", str(tmp_path))
    code = f"""
import sys
from mt_assets.definitions import defs
for number in range(3):
    defs.resolve_job_def(f"model_{{number}}_training")
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_a_place_without_specs_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="There is no spec or folder of specs at"):
        find_specs(tmp_path / "nowhere")


def test_the_specs_of_the_working_directory_come_before_the_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mt_assets.spec_folder import EXAMPLES, specs_place

    monkeypatch.chdir(tmp_path)
    assert specs_place() == EXAMPLES
    write(tmp_path / "specs", "churn.json")
    assert specs_place() == Path("specs")
    monkeypatch.setenv("MT_ASSETS_SPECS", str(tmp_path / "specs" / "churn.json"))
    assert specs_place() == tmp_path / "specs" / "churn.json"
