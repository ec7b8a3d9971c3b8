"""Proof of a split: that no row, no group and no later time is on both sides."""

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.assignment import Fold, Splits
from mt_assets.trainer.data.identity import content_hashes, identities
from mt_assets.trainer.data.pool import groups_of, times_of
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.forecasting.windows import check_origins

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec


def check_splits(splits: Splits, table: Table, spec: "TrainingSpec", profile: DataProfile) -> tuple[Check, ...]:
    """Look at the rows again, and hold the split to what it promises.

    Parameters
    ----------
    splits : Splits
    table : Table
        The full table that was split.
    spec : TrainingSpec
    profile : DataProfile

    Returns
    -------
    tuple of Check
        `no_row_overlap`, `no_group_overlap`, `time_order`; all blocking.
    """
    content = content_hashes(table, splits.columns or None)
    return (
        _no_row_overlap(splits, table, profile, content),
        _no_group_overlap(splits, table, spec, identities(content)),
        _time_order(splits, table, spec) if profile.series is None else check_origins(splits, table, profile.series),
    )


def _no_row_overlap(splits: Splits, table: Table, profile: DataProfile, content: np.ndarray) -> Check:
    # No two rows of one table have the same identity, so that a row is shared where its position is.
    identity = identities(content)
    parts = _parts(splits)
    shared = _shared(parts, np.arange(len(identity)))
    folds = sum(_both_sides(fold, np.arange(len(identity))) for fold in splits.folds)
    target = table.frame([profile.target.column])[profile.target.column]
    without_target = int(target.isna().to_numpy()[np.concatenate([splits.test, splits.learning])].sum())
    changed = not np.array_equal(identity, splits.identities)
    twins = _twins(content, splits.test, splits.learning)
    validated = _twins(content, splits.validation, splits.train)
    problems = [f"{count} rows are in both {pair}" for pair, count in shared.items() if count]
    problems += [f"{folds} rows are on both sides of a fold"] if folds else []
    problems += [f"{without_target} rows without a target are used"] if without_target else []
    problems += ["the table is not the one that was split"] if changed else []
    message = "; ".join(problems) + "." if problems else "No row is in two of train, validation and test."
    if twins:
        message += f" Warning: {twins} of {len(splits.test)} test rows have an exact twin among the learning rows."
    return Check(
        name="no_row_overlap",
        passed=not problems,
        blocking=True,
        message=message[0].upper() + message[1:],
        evidence={
            "rows": {name: len(rows) for name, rows in parts.items()},
            "shared": shared,
            "equal_rows_in_train_and_test": twins,
            "equal_rows_in_train_and_validation": validated,
        },
    )


def _twins(content: np.ndarray, scored: np.ndarray, learned: np.ndarray) -> int:
    """How many of the scored rows are equal in content to a row that is learned from."""
    return int(np.isin(content[scored], content[learned]).sum())


def _no_group_overlap(splits: Splits, table: Table, spec: "TrainingSpec", identity: np.ndarray) -> Check:
    if not spec.group_column:
        return _nothing_to_check("no_group_overlap", "groupColumn", "groups")
    _, groups = np.unique(groups_of(table, spec.group_column, identity), return_inverse=True)
    shared = _shared(_parts(splits), groups)
    for number, fold in enumerate(splits.folds):
        count = _both_sides(fold, groups)
        if count:
            shared[f"both sides of fold {number}"] = count
    problems = [f"{count} groups are in {pair}" for pair, count in shared.items() if count]
    return Check(
        name="no_group_overlap",
        passed=not problems,
        blocking=True,
        message=f"{'; '.join(problems)}." if problems else f"No group of '{spec.group_column}' is in two parts.",
        evidence={"column": spec.group_column, "shared": shared},
    )


def _time_order(splits: Splits, table: Table, spec: "TrainingSpec") -> Check:
    if not spec.time_column:
        return _nothing_to_check("time_order", "timeColumn", "times")
    times = times_of(table, spec.time_column).to_numpy(dtype=np.int64, na_value=np.iinfo(np.int64).min)
    late = {"test": _not_before(times, splits.learning, splits.test)}
    for number, fold in enumerate(splits.folds):
        late[f"validation of fold {number}"] = _not_before(times, fold.train, fold.validation)
    problems = [f"{count} rows to learn from are not older than the {name}" for name, count in late.items() if count]
    return Check(
        name="time_order",
        passed=not problems,
        blocking=True,
        message=f"{'; '.join(problems)}."
        if problems
        else f"By '{spec.time_column}', every row that is predicted is newer than the rows that are learned from.",
        evidence={"column": spec.time_column, "not_older": late},
    )


def _not_before(times: np.ndarray, earlier: np.ndarray, later: np.ndarray) -> int:
    """How many of the earlier rows are not older than the oldest of the later ones."""
    return int((times[earlier] >= times[later].min()).sum()) if len(later) else 0


def _parts(splits: Splits) -> dict[str, np.ndarray]:
    return {
        "train": splits.train,
        "validation": splits.validation,
        "test": splits.test,
        "learning": splits.learning,
    }


def _shared(parts: dict[str, np.ndarray], codes: np.ndarray) -> dict[str, int]:
    """How many codes of rows, 0 and up, occur in both of two parts that should have none in common."""
    held = {name: _held(rows, codes) for name, rows in parts.items()}
    pairs = [*combinations(("train", "validation", "test"), 2), ("learning", "test")]
    return {f"{one} and {other}": int((held[one] & held[other]).sum()) for one, other in pairs}


def _both_sides(fold: Fold, codes: np.ndarray) -> int:
    """How many codes of rows occur on both sides of a fold."""
    return int((_held(fold.train, codes) & _held(fold.validation, codes)).sum())


def _held(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """For each code whether one of the rows has it. Marks are many times as fast as sets of a million rows."""
    held = np.zeros(int(codes.max(initial=-1)) + 1, dtype=bool)
    held[codes[rows]] = True
    return held


def _nothing_to_check(name: str, key: str, what: str) -> Check:
    return Check(
        name=name, passed=True, blocking=True, message=f"The spec names no {key}, so there are no {what} to check."
    )
