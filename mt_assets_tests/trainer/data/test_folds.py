"""Every validation strategy deals the folds that its name promises, or says why it dealt others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.strategy import holdout_share

SpecFor = Callable[..., TrainingSpec]
Churn = Callable[..., pd.DataFrame]
Split = Callable[..., Splits]
CheckByName = Callable[..., dict[str, Any]]


def test_fewer_folds_where_a_class_is_rare(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(600)
    frame.loc[:2, "y"] = "rare"

    splits = split(frame, spec_for("y", testSize=0, validationStrategy={"type": "stratified_kfold", "folds": 5}))

    assert len(splits.folds) == 3
    reduced = next(decision for decision in splits.decisions if decision.rule == "validation.reduced")
    assert reduced.evidence == {"asked": 5, "possible": 3}
    assert "the rarest class has 3 rows" in reduced.reason


AUTO = [
    ({"rows": 200}, {}, "repeated_stratified_kfold", 10),
    ({"rows": 1000}, {}, "stratified_kfold", 5),
    ({"rows": 200}, {"targetColumn": "z"}, "repeated_kfold", 10),
    ({"rows": 1000}, {"targetColumn": "z"}, "kfold", 5),
    ({"rows": 1000}, {"timeColumn": "t"}, "time_series_split", 5),
    ({"rows": 1000}, {"groupColumn": "g"}, "stratified_group_kfold", 5),
    ({"rows": 1000}, {"groupColumn": "g", "targetColumn": "z"}, "group_kfold", 5),
    ({"rows": 1000}, {"validationSize": 0.25}, "holdout", 1),
    ({"rows": 130_000}, {}, "holdout", 1),
]


@pytest.mark.parametrize(("size", "keys", "strategy", "folds"), AUTO)
def test_auto_chooses_by_the_table(
    churn: Churn, split: Split, spec_for: SpecFor, size: dict[str, int], keys: dict[str, Any], strategy: str, folds: int
) -> None:
    asked = {"targetColumn": "y", **keys}

    splits = split(churn(**size), spec_for(asked.pop("targetColumn"), **asked))

    assert (splits.strategy, len(splits.folds)) == (strategy, folds)
    assert any(decision.decision == "validation" and decision.value == strategy for decision in splits.decisions)


@pytest.mark.parametrize(
    ("keys", "strategy", "rule"),
    [
        ({"groupColumn": "g", "validationStrategy": {"type": "kfold"}}, "group_kfold", "validation.groups_kept"),
        (
            {"groupColumn": "g", "validationStrategy": {"type": "stratified_kfold"}},
            "stratified_group_kfold",
            "validation.groups_kept",
        ),
        ({"timeColumn": "t", "validationStrategy": {"type": "kfold"}}, "time_series_split", "validation.time_kept"),
        (
            {"targetColumn": "z", "validationStrategy": {"type": "stratified_kfold"}},
            "kfold",
            "validation.no_classes",
        ),
    ],
)
def test_what_would_leak_is_not_done_and_recorded(
    churn: Churn, split: Split, spec_for: SpecFor, keys: dict[str, Any], strategy: str, rule: str
) -> None:
    asked = {"targetColumn": "y", **keys}

    splits = split(churn(), spec_for(asked.pop("targetColumn"), **asked))

    assert splits.strategy == strategy
    assert rule in [decision.rule for decision in splits.decisions]


def test_holdout_sizes_follow_the_rows() -> None:
    assert [holdout_share(rows, tuning=False) for rows in (1000, 4000, 10_000, 50_000, 10**6)] == [
        0.2,
        0.125,
        0.1,
        0.05,
        0.01,
    ]
    assert [holdout_share(rows, tuning=True) for rows in (1000, 4000, 50_000, 10**6)] == [0.2, 0.2, 0.1, 0.02]


def test_a_gap_is_left_before_validation(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(400).assign(t=np.arange(400))
    strategy = {"type": "time_series_split", "folds": 4, "gap": 10}

    splits = split(frame, spec_for("z", timeColumn="t", testSize=0, validationStrategy=strategy))

    assert [int(fold.validation.min() - fold.train.max()) for fold in splits.folds] == [11] * 4
