"""A model that misses a gate is searched for further, as often as the spec allows, with what was learned so far."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mt_assets.assembly import build_definitions
from mt_assets.automation.jobs import training_job_name
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.search.result import StudyResult
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import ensure_instance

OUT_OF_REACH = {"qualityGates": {"test.roc_auc": ">=0.99999"}, "retraining": {"improveRounds": 2}}


def study(store: ModelStore) -> StudyResult:
    version = store.current("optuna_study")
    assert version is not None
    result = store.get(version.address)
    assert isinstance(result, StudyResult)
    return result


def test_the_command_searches_on_where_it_stopped_and_no_longer_than_asked(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), **OUT_OF_REACH)
    answer = mt_assets("train", spec, "--output", tmp_path / "result.json")
    assert answer.code == 3
    rounds = [line for line in answer.out.splitlines() if line.startswith("A quality gate was missed")]
    assert [line[-20:] for line in rounds] == ["goes on, round 1 of 2."[-20:], "goes on, round 2 of 2."[-20:]]
    assert answer.out.count("Reading the data") == 1  # what is upstream of the search is not made again
    store = ModelStore(home, "churn")
    assert len(study(store).trials) == 6
    assert study(store).resumed_trials == 4
    assert [version.verdict for version in store.versions()] == ["rejected_gates"] * 3
    assert json.loads((tmp_path / "result.json").read_text())["metadata"]["nTrials"] == 6


def test_a_gate_that_is_met_ends_it(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), retraining={"improveRounds": 2})
    assert mt_assets("train", spec).code == 0
    assert len(study(ModelStore(home, "churn")).trials) == 2


@pytest.mark.slow
def test_the_sensor_asks_for_the_rounds_of_a_run_that_nobody_attends(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any
) -> None:
    spec = load_spec(write_spec(tmp_path / "churn", customers(), **OUT_OF_REACH))
    defs = build_definitions([spec])
    ensure_instance()
    job = defs.resolve_job_def(training_job_name("churn"))
    with dg.DagsterInstance.get() as instance:
        assert not job.execute_in_process(instance=instance, raise_on_error=False).success
        for number in ("1", "2"):
            [asked] = tick(defs, instance).run_requests or []
            assert asked.tags["mt_assets/further_round"] == number
            selection = asked.asset_selection
            job.execute_in_process(instance=instance, raise_on_error=False, tags=asked.tags, asset_selection=selection)
        assert "No model is due" in (tick(defs, instance).skip_message or "")
    assert len(study(ModelStore(home, "churn")).trials) == 6


def tick(defs: dg.Definitions, instance: dg.DagsterInstance) -> Any:
    sensor = defs.resolve_sensor_def("mt_assets_further_rounds")
    ours = {"model_runs": (defs.resources or {})["model_runs"]}
    with dg.build_sensor_context(instance=instance, definitions=defs, resources=ours) as context:
        return sensor.evaluate_tick(context)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"hyperparameterSearch": {"enabled": False}}, "`hyperparameterSearch.enabled` is false"),
        ({"options": {"timeBudget": 60.0}}, "`options.timeBudget`"),
    ],
)
def test_rounds_that_cannot_be_are_refused(
    keys: dict[str, Any], named: str, tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    spec = write_spec(tmp_path / "churn", "train.csv", **OUT_OF_REACH, **keys)
    answer = mt_assets("train", spec)
    assert answer.code == 2
    assert "retraining.improveRounds" in answer.err
    assert named in answer.err
