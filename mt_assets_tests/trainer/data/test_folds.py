"""Every validation strategy deals the folds that its name promises, or says why it dealt others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.strategy import holdout_share
from mt_assets.trainer.errors import DataError

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


@pytest.mark.parametrize("kind", ["kfold", "stratified_kfold"])
def test_unshuffled_folds_follow_the_order_of_the_file(
    churn: Churn, split: Split, spec_for: SpecFor, kind: str
) -> None:
    frame = churn(200)
    spec = spec_for("y", testSize=0, validationStrategy={"type": kind, "folds": 4, "shuffle": False})

    splits = split(frame, spec)

    one_class = np.flatnonzero(frame["y"] == "yes") if kind == "stratified_kfold" else np.arange(200)
    ends = [np.intersect1d(fold.validation, one_class) for fold in splits.folds]
    assert [(int(rows.min()), int(rows.max())) for rows in ends] == [
        (int(rows[0]), int(rows[-1])) for rows in np.array_split(one_class, 4)
    ]


@pytest.mark.parametrize("kind", ["group_kfold", "stratified_group_kfold"])
def test_unshuffled_groups_are_dealt_without_a_seed(churn: Churn, split: Split, spec_for: SpecFor, kind: str) -> None:
    frame = churn(200)

    def dealt(seed: int, shuffle: bool) -> list[list[int]]:
        strategy = {"type": kind, "folds": 4, "shuffle": shuffle}
        spec = spec_for("y", groupColumn="g", testSize=0, validationStrategy=strategy, options={"seed": seed})
        return [fold.validation.tolist() for fold in split(frame, spec).folds]

    assert dealt(0, shuffle=False) == dealt(1, shuffle=False)
    assert dealt(0, shuffle=True) != dealt(1, shuffle=True)


def test_small_tables_in_the_order_of_the_file_are_dealt_once(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    splits = split(churn(200), spec_for("y", validationStrategy={"shuffle": False}))

    assert (splits.strategy, len(splits.folds)) == ("stratified_kfold", 5)


def test_the_size_of_a_dated_validation_part_is_kept(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(400).assign(t=np.arange(400))

    splits = split(frame, spec_for("y", timeColumn="t", testSize=50, validationSize=70))

    assert np.array_equal(splits.test, np.arange(350, 400))
    assert np.array_equal(splits.validation, np.arange(280, 350))
    assert splits.strategy == "holdout"


def test_the_record_tells_sizes_and_folds(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    def told(**keys: Any) -> list[str]:
        return [decision.reason for decision in split(churn(200), spec_for("y", **keys)).decisions]

    assert told() == [
        "40 of 200 rows, drawn within each class by their content and the seed.",
        "With 160 learning rows one draw of folds is noisy, so folds are drawn more than once. 10 folds, 2 draws of 5.",
    ]
    assert told(validationSize=0.25)[1].endswith("40 rows validate what 120 rows teach.")
    assert told(validationStrategy={"type": "kfold"})[1] == "The spec asks for it. 5 folds."


def test_more_of_a_gap_than_there_are_rows_is_refused(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(100).assign(t=np.arange(100))

    for kind in ("time_series_split", "holdout"):
        with pytest.raises(DataError, match=r"gap of 500") as caught:
            split(frame, spec_for("y", timeColumn="t", validationStrategy={"type": kind, "gap": 500}))
        assert any("gap" in suggestion for suggestion in caught.value.suggestions)


def test_rows_of_one_time_are_never_torn_apart(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(300).assign(t=np.repeat(np.arange(20), 15))

    splits = split(frame, spec_for("z", timeColumn="t"))

    assert len(splits.folds) == 5
    for fold in splits.folds:
        assert not set(frame["t"].iloc[fold.train]) & set(frame["t"].iloc[fold.validation])
    assert not set(frame["t"].iloc[splits.learning]) & set(frame["t"].iloc[splits.test])


def test_fewer_folds_where_groups_are_few(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(300).assign(g=np.arange(300) % 4)

    splits = split(frame, spec_for("z", groupColumn="g"))

    assert len(splits.folds) == 3
    reduced = next(decision for decision in splits.decisions if decision.rule == "validation.reduced")
    assert "there are 3 groups among the learning rows" in reduced.reason
