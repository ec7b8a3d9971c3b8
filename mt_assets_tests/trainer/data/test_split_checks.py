"""The checks of a split find shared rows, shared groups, a wrong order and rows that cannot be used."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.splits import Fold, Splits

SpecFor = Callable[..., TrainingSpec]
Churn = Callable[..., pd.DataFrame]
Split = Callable[..., Splits]
CheckByName = Callable[..., dict[str, Any]]


def broken(splits: Splits, **changes: Any) -> Splits:
    return Splits(**{**vars(splits), **changes})


def test_checks_find_shared_rows(churn: Churn, split: Split, check_by_name: CheckByName, spec_for: SpecFor) -> None:
    frame, spec = churn(), spec_for("y")
    splits = split(frame, spec)

    sound = check_by_name(splits, frame, spec)
    leaking = check_by_name(broken(splits, test=np.sort(np.append(splits.test, splits.train[0]))), frame, spec)
    of_another_table = check_by_name(splits, frame.assign(x=frame["x"] + 1), spec)

    assert all(check.passed and check.blocking for check in sound.values())
    assert not leaking["no_row_overlap"].passed
    assert leaking["no_row_overlap"].evidence["shared"]["train and test"] == 1
    assert not of_another_table["no_row_overlap"].passed


def test_checks_find_rows_without_a_target(
    churn: Churn, split: Split, check_by_name: CheckByName, spec_for: SpecFor
) -> None:
    frame, spec = churn(), spec_for("y")
    frame.loc[3, "y"] = None
    splits = split(frame, spec)

    with_missing = broken(splits, learning=np.sort(np.append(splits.learning, 3)))

    assert not check_by_name(with_missing, frame, spec)["no_row_overlap"].passed


def test_equal_rows_on_both_sides_are_a_warning_with_a_count(
    split: Split, check_by_name: CheckByName, spec_for: SpecFor
) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0] * 50, "y": ["a", "b"] * 50})

    check = check_by_name(split(frame, spec_for("y")), frame, spec_for("y"))["no_row_overlap"]

    assert check.passed
    assert check.evidence["equal_rows_in_train_and_test"] == 20
    assert "20 of 20 test rows have an exact twin" in check.message


def test_checks_find_shared_groups_and_wrong_order(
    churn: Churn, split: Split, check_by_name: CheckByName, spec_for: SpecFor
) -> None:
    frame = churn(300)
    independent = split(frame, spec_for("y"))

    groups = check_by_name(independent, frame, spec_for("y", groupColumn="g"))["no_group_overlap"]
    times = check_by_name(independent, frame, spec_for("y", timeColumn="t"))["time_order"]

    assert not groups.passed
    assert groups.evidence["shared"]["learning and test"] > 0
    assert not times.passed
    assert times.evidence["not_older"]["test"] > 0


def test_checks_find_what_stands_on_both_sides_of_a_fold(
    churn: Churn, split: Split, check_by_name: CheckByName, spec_for: SpecFor
) -> None:
    frame, spec = churn(300), spec_for("y", groupColumn="g")
    splits = split(frame, spec)
    last = splits.folds[-1]
    leaking = Fold(np.sort(np.append(last.train, last.validation[0])), last.validation)

    checks = check_by_name(broken(splits, folds=(*splits.folds[:-1], leaking)), frame, spec)

    assert not checks["no_row_overlap"].passed
    assert "1 rows are on both sides of a fold" in checks["no_row_overlap"].message
    assert not checks["no_group_overlap"].passed
    assert checks["no_group_overlap"].evidence["shared"][f"both sides of fold {len(splits.folds) - 1}"] == 1
