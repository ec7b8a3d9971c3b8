"""Given files decide: validation rows are the canonical fold, test rows the test; what is odd about them is told."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.errors import DataError

SpecFor = Callable[..., TrainingSpec]
Churn = Callable[..., pd.DataFrame]
Split = Callable[..., Splits]
CheckByName = Callable[..., dict[str, Any]]

VALIDATED = {"validationDataPath": "v.csv"}
TESTED = {"testDataPath": "t.csv"}
PARTS = {"train": 300, "validation": 60, "test": 90}
TRAIN, VALIDATION, TEST = np.arange(300), np.arange(300, 360), np.arange(360, 450)


def rules(splits: Splits) -> list[str]:
    return [decision.rule for decision in splits.decisions]


@pytest.fixture
def rows(churn: Churn) -> pd.DataFrame:
    """450 rows with both classes, in three parts."""
    return churn(450).sample(frac=1, random_state=0, ignore_index=True)


def test_given_rows_are_validated_and_tested_on(rows: pd.DataFrame, split: Split, spec_for: SpecFor) -> None:
    splits = split(rows, spec_for("y", **VALIDATED, **TESTED), parts=PARTS)

    assert splits.strategy == "holdout"
    assert [len(splits.folds), splits.train.tolist(), splits.validation.tolist(), splits.test.tolist()] == [
        1,
        TRAIN.tolist(),
        VALIDATION.tolist(),
        TEST.tolist(),
    ]
    # What the final model is fitted on.
    assert np.array_equal(splits.learning, np.concatenate([TRAIN, VALIDATION]))
    assert rules(splits) == ["test.given", "validation.given"]
    assert splits.warnings == ()


def test_of_given_validation_rows_no_test_is_drawn(rows: pd.DataFrame, split: Split, spec_for: SpecFor) -> None:
    frame = rows.iloc[:360]

    splits = split(frame, spec_for("y", **VALIDATED), parts={"train": 300, "validation": 60})

    assert np.array_equal(splits.validation, VALIDATION)
    assert len(splits.test) == 60
    assert splits.test.max() < 300


@pytest.mark.parametrize(
    ("keys", "strategy", "folds"),
    [
        ({"validationStrategy": {"folds": 4}}, "repeated_stratified_kfold", 1 + 2 * 3),
        ({"validationStrategy": {"type": "stratified_kfold"}}, "stratified_kfold", 5),
        ({"validationStrategy": {"type": "kfold", "folds": 2}}, "kfold", 3),
        ({"groupColumn": "g", "validationStrategy": {"folds": 3}}, "stratified_group_kfold", 3),
        ({"validationStrategy": {"type": "holdout"}}, "holdout", 1),
    ],
)
def test_with_folds_asked_for_the_given_rows_are_the_first(
    rows: pd.DataFrame,
    split: Split,
    check_by_name: CheckByName,
    spec_for: SpecFor,
    keys: dict[str, Any],
    strategy: str,
    folds: int,
) -> None:
    frame = rows.assign(g=np.arange(450) // 6)
    spec = spec_for("y", **VALIDATED, **TESTED, **keys)

    splits = split(frame, spec, parts=PARTS)

    assert (splits.strategy, len(splits.folds)) == (strategy, folds)
    assert np.array_equal(splits.train, TRAIN)
    assert np.array_equal(splits.validation, VALIDATION)
    for fold in splits.folds[1:]:
        assert set(VALIDATION) <= set(fold.train)
        assert set(fold.train) | set(fold.validation) == set(splits.learning)
    scored = np.concatenate([fold.validation for fold in splits.folds[1:]]) if folds > 1 else TRAIN
    assert np.array_equal(np.unique(scored), TRAIN)
    assert all(check.passed for check in check_by_name(splits, frame, spec, PARTS).values())
    assert ("validation.given_first" in rules(splits)) == (folds > 1)


def test_dated_folds_lie_before_the_given_one(
    rows: pd.DataFrame, split: Split, check_by_name: CheckByName, spec_for: SpecFor
) -> None:
    frame = rows.assign(t=np.arange(450))
    strategy = {"type": "time_series_split", "folds": 4, "gap": 5}
    spec = spec_for("y", timeColumn="t", validationStrategy=strategy, **VALIDATED, **TESTED)

    splits = split(frame, spec, parts=PARTS)

    assert len(splits.folds) == 4
    assert np.array_equal(splits.train, np.arange(295))
    assert np.array_equal(splits.validation, VALIDATION)
    assert all(fold.validation.max() < 300 for fold in splits.folds[1:])
    assert all(check.passed for check in check_by_name(splits, frame, spec, PARTS).values())


def test_files_in_the_wrong_order_or_with_shared_groups_fail_their_checks(
    rows: pd.DataFrame, split: Split, check_by_name: CheckByName, spec_for: SpecFor
) -> None:
    given = {**VALIDATED, **TESTED}
    dated, grouped = spec_for("y", timeColumn="t", **given), spec_for("y", groupColumn="g", **given)
    frame = rows.assign(t=np.arange(450)[::-1], g=np.arange(450) % 20)

    order = check_by_name(split(frame, dated, parts=PARTS), frame, dated, PARTS)["time_order"]
    groups = check_by_name(split(frame, grouped, parts=PARTS), frame, grouped, PARTS)["no_group_overlap"]

    assert not order.passed
    assert order.evidence["not_older"] == {"test": 360, "validation of fold 0": 300}
    assert not groups.passed
    assert groups.evidence["shared"]["train and test"] == 20


def test_rows_that_stand_in_both_files_are_told_by_check_and_warning(
    rows: pd.DataFrame, split: Split, check_by_name: CheckByName, spec_for: SpecFor
) -> None:
    frame, spec = rows.copy(), spec_for("y", **VALIDATED, **TESTED)
    frame.loc[360:366] = frame.loc[0:6].to_numpy()
    frame.loc[300:301] = frame.loc[10:11].to_numpy()

    splits = split(frame, spec, parts=PARTS)
    check = check_by_name(splits, frame, spec, PARTS)["no_row_overlap"]

    assert check.passed
    assert check.evidence["equal_rows_in_train_and_test"] == 7
    assert check.evidence["equal_rows_in_train_and_validation"] == 2
    assert splits.warnings == (
        "7 of the 90 rows of testDataPath are equal in every column to rows that are learned from; where they are the "
        "same cases, the test flatters the model.",
        "2 of the 60 rows of validationDataPath are equal in every column to rows that are learned from; where they "
        "are the same cases, the validation flatters the model.",
    )


def test_a_third_class_in_a_given_file_is_refused(rows: pd.DataFrame, split: Split, spec_for: SpecFor) -> None:
    frame = rows.copy()
    frame.loc[400, "y"] = "Yes"

    with pytest.raises(DataError, match="testDataPath has 'Yes' in 'y', but the rows to learn from have 'no' and"):
        split(frame, spec_for("y", **VALIDATED, **TESTED), parts=PARTS)


def test_a_further_class_in_the_test_alone_is_a_warning(rows: pd.DataFrame, split: Split, spec_for: SpecFor) -> None:
    frame = rows.assign(y=np.array(["a", "b", "c"])[np.arange(450) % 3])
    frame.loc[[400, 401], "y"] = "new"

    [warning] = split(frame, spec_for("y", **TESTED), parts={"train": 360, "test": 90}).warnings

    assert warning.startswith("Classes that occur among the test rows only: 'new' (2 rows).")


@pytest.mark.parametrize(
    ("part", "column", "message"),
    [
        (TEST, "y", "No row of testDataPath can be used: none of 90 has a value in 'y' and 't'"),
        (VALIDATION, "t", "No row of validationDataPath can be used: none of 60"),
    ],
)
def test_a_given_file_without_usable_rows_is_refused(
    rows: pd.DataFrame, split: Split, spec_for: SpecFor, part: np.ndarray, column: str, message: str
) -> None:
    frame = rows.assign(t=pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(450), unit="D"))
    frame.loc[part, column] = None

    with pytest.raises(DataError, match=message):
        split(frame, spec_for("y", timeColumn="t", **VALIDATED, **TESTED), parts=PARTS)


def test_training_rows_of_one_class_are_refused(rows: pd.DataFrame, split: Split, spec_for: SpecFor) -> None:
    frame = rows.assign(y=np.where(np.arange(450) < 300, "no", "yes"))

    with pytest.raises(DataError, match="occur among the test and the validation rows only"):
        split(frame, spec_for("y", **VALIDATED, **TESTED), parts=PARTS)


def test_the_files_decide_whatever_was_assigned_before(rows: pd.DataFrame, split: Split, spec_for: SpecFor) -> None:
    given = spec_for("y", **TESTED)
    before = split(rows, given, parts={"train": 360, "test": 90})
    moved = pd.concat([rows.iloc[:300], rows.iloc[360:], rows.iloc[300:360]], ignore_index=True)

    after = split(moved, given, before, parts={"train": 390, "test": 60})
    drawn = split(rows, spec_for("y"), before)

    assert np.array_equal(after.test, np.arange(390, 450))
    decision = after.decisions[0]
    assert decision.evidence["learned_before"] == 60
    assert "60 of them were learned from in the training before" in decision.reason
    assert "test.redrawn" in rules(drawn)
    assert next(d for d in drawn.decisions if d.rule == "test.redrawn").override == "testDataPath"


def test_a_group_with_given_validation_rows_is_not_tested_on(
    rows: pd.DataFrame, split: Split, spec_for: SpecFor
) -> None:
    """A test row of a customer who is validated on would have been learned from in the end."""
    frame = rows.iloc[:360].assign(g=np.arange(360) % 30)
    frame.loc[300:, "g"] = np.arange(60) % 12

    for seed in range(5):
        spec = spec_for("y", groupColumn="g", options={"seed": seed}, **VALIDATED)
        splits = split(frame, spec, parts={"train": 300, "validation": 60})
        assert len(splits.test)
        assert not set(frame["g"].iloc[splits.test]) & set(range(12))
