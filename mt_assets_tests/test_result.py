"""The training result: its keys, its promises, and how it reaches the disk."""

import json
import math
import resource
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt_assets.result import (
    Budget,
    DataSummary,
    ErrorReport,
    Experiment,
    Metadata,
    Metrics,
    TrainingResult,
    result_json_schema,
)
from mt_assets.trainer.planning.decision import Decision


def success(**more: Any) -> TrainingResult:
    return TrainingResult(
        **{
            "success": True,
            "model_path": "/state/model.joblib",
            "metrics": Metrics(
                test={"accuracy": 0.8, "roc_auc": 0.9}, cross_validation={"accuracy_mean": 0.79, "accuracy_std": 0.01}
            ),
            "best_params": {"max_depth": 3},
            "feature_importance": {"income": 0.65, "age": 0.35},
            "experiment": Experiment(run_id="r", experiment_id="1", tracking_uri="http://me:hunter2@h:5000"),
            "metadata": Metadata(training_time=12.5, n_trials=20, best_trial_number=7),
            "artifacts": ("/state/model.joblib",),
            **more,
        }
    )


ERROR = ErrorReport(
    type="TrainingError", message="All trials failed.", phase="optuna_study", cause="training", suggestions=("Do x.",)
)


def test_a_success_has_exactly_the_keys_of_the_contract_and_more():
    content = json.loads(success().to_json())
    assert content["success"] is True
    assert content["modelPath"] == "/state/model.joblib"
    assert content["metrics"]["test"] == {"accuracy": 0.8, "roc_auc": 0.9}
    assert content["metrics"]["crossValidation"] == {"accuracy_mean": 0.79, "accuracy_std": 0.01}
    assert content["bestParams"] == {"max_depth": 3}
    assert content["featureImportance"] == {"income": 0.65, "age": 0.35}
    assert content["experiment"] == {"runId": "r", "experimentId": "1", "trackingUri": "http://me:***@h:5000"}
    assert content["metadata"] == {"trainingTime": 12.5, "nTrials": 20, "bestTrialNumber": 7}
    assert content["artifacts"] == ["/state/model.joblib"]
    assert {"decisions", "gates", "promotion", "budget", "warnings", "data", "algorithm"} <= content.keys()
    assert {"baseline", "validation"} <= content["metrics"].keys()
    assert "error" not in content


def test_a_failure_keeps_what_exists():
    result = TrainingResult(
        success=False,
        error=ERROR,
        metadata=Metadata(n_trials=3),
        best_params={"a": 1},
        artifacts=("/state/study.json",),
    )
    content = json.loads(result.to_json())
    assert content["success"] is False
    assert content["error"] == {
        "type": "TrainingError",
        "message": "All trials failed.",
        "phase": "optuna_study",
        "cause": "training",
        "suggestions": ["Do x."],
        "remediation": [],
    }
    assert (content["modelPath"], content["metadata"]["nTrials"], content["bestParams"]) == (None, 3, {"a": 1})


def test_errors_show_no_passwords():
    message = "no answer of postgresql://me:hunter2@h/x?token=z"
    report = ErrorReport(type="E", message=message, phase="raw_data", cause="training")
    assert "hunter2" not in report.message
    assert report.message.endswith("token=***")


@pytest.mark.parametrize(
    "wrong",
    [
        {"success": True},
        {"success": True, "model_path": "m", "error": ERROR},
        {"success": False},
        {"success": True, "model_path": "m", "feature_importance": {"a": 0.5}},
        {"success": True, "model_path": "m", "feature_importance": {"a": 1.5, "b": -0.5}},
        {"success": True, "model_path": "m", "feature_importance": {"a": math.nan}},
        {"success": True, "model_path": "m", "unknown": 1},
    ],
)
def test_a_result_that_contradicts_itself_cannot_be_made(wrong):
    with pytest.raises(ValueError, match="validation error"):
        TrainingResult(**wrong)


def test_nan_becomes_null_wherever_it_stands():
    result = success(
        metrics=Metrics(test={"roc_auc": math.nan, "f1": np.float64("nan"), "mcc": np.float32(0.5)}),
        best_params={"a": math.inf, "b": [math.nan, np.int64(3)], "c": {"d": np.bool_(True)}},
        gates=({"gate": "test.f1 >= 0.5", "value": math.nan, "passed": False},),
        promotion={"promoted": False, "interval": (math.nan, 0.1)},
        decisions=(
            Decision(
                decision="algorithm",
                value=math.nan,
                rule="r",
                reason="x",
                evidence={"v": -math.inf},
                override="algorithm",
            ),
        ),
    )
    text = result.to_json()
    content = json.loads(text, parse_constant=pytest.fail)
    assert content["metrics"]["test"] == {"roc_auc": None, "f1": None, "mcc": 0.5}
    assert content["bestParams"] == {"a": None, "b": [None, 3], "c": {"d": True}}
    assert content["gates"][0]["value"] is None
    assert content["promotion"]["interval"] == [None, 0.1]
    assert (content["decisions"][0]["value"], content["decisions"][0]["evidence"]) == (None, {"v": None})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), values), st.dictionaries(st.text(max_size=5), st.floats()))
def test_any_result_is_strict_json_and_reads_back(params, scores):
    result = success(best_params=params, metrics=Metrics(test=scores))
    content = json.loads(result.to_json(), parse_constant=pytest.fail)
    assert TrainingResult.model_validate(content) == result


def test_a_result_is_kept_in_the_store(tmp_path):
    result = success(
        budget=Budget(asked=60, spent=55.5, phases={"optuna_study": 40}),
        data=DataSummary(fingerprint="f", rows=100, columns=5),
        warnings=("w",),
    ).attach("note.txt", b"x")
    result.save(tmp_path)
    assert TrainingResult.load(tmp_path) == result
    assert TrainingResult.load(tmp_path).attachment("note.txt") == b"x"
    assert json.loads((tmp_path / "result.json").read_text())["budget"]["phases"] == {"optuna_study": 40.0}


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "out" / "result.json"
    success().write(path)
    success(algorithm="xgboost").write(path)
    assert json.loads(path.read_text())["algorithm"] == "xgboost"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # as on a full disk: the write fails half-way
    try:
        with pytest.raises(OSError, match="too large"):
            success().write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"


def test_what_cannot_be_replaced_is_written_to(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        success().write(folder)
    device = tmp_path / "null"
    device.symlink_to("/dev/null")
    success().write(device)
    assert device.is_symlink()


def test_the_json_schema_documents_the_contract():
    schema = result_json_schema()
    assert {"success", "modelPath", "bestParams", "featureImportance", "error"} <= schema["properties"].keys()
    assert "crossValidation" in schema["$defs"]["Metrics"]["properties"]
    assert schema["required"] == ["success"]
    described = [p for p in schema["properties"].values() if p.get("description") or "$ref" in p]
    assert len(described) == len(schema["properties"])
