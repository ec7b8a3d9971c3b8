"""What holds of every split, whatever the table: parts are disjoint, nothing leaks, order and growth change nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.splits import Splits, check_splits, split_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError

SpecFor = Callable[..., TrainingSpec]
Churn = Callable[..., pd.DataFrame]
Split = Callable[..., Splits]
CheckByName = Callable[..., dict[str, Any]]
CheckByName = Callable[..., dict[str, Any]]


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Small tables with doubled rows, rare classes, missing targets and uneven groups."""
    rows = draw(st.integers(30, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frame = pd.DataFrame(
        {
            "x": rng.integers(0, draw(st.sampled_from([5, 1000])), rows).astype(float),
            "s": rng.choice(["a", "b", None], rows),
            "g": rng.integers(0, 12, rows),
            "t": rng.integers(0, 30, rows),
            "y": rng.choice(["A", "B", "C", None], rows, p=[0.6, 0.25, 0.1, 0.05]),
        }
    )
    frame.loc[:9, ["x", "y"]] = [[at, label] for at, label in enumerate("ABABABABAB")]
    return frame


STRATEGIES: list[dict[str, Any]] = [
    {},
    {"testSize": 7},
    {"testSize": 0},
    {"testSize": 0.5, "validationStrategy": {"type": "stratified_kfold", "folds": 3}},
    {"validationStrategy": {"type": "kfold", "shuffle": False}},
    {"validationStrategy": {"type": "repeated_kfold", "repeats": 3}},
    {"validationStrategy": {"type": "holdout"}, "validationSize": 0.3},
    {"validationStrategy": {"type": "leave_one_out"}},
    {"groupColumn": "g"},
    {"groupColumn": "g", "validationStrategy": {"type": "holdout"}},
    {"timeColumn": "t"},
    {"timeColumn": "t", "validationStrategy": {"type": "time_series_split", "folds": 3, "gap": 4}},
    {"timeColumn": "t", "validationStrategy": {"type": "holdout", "gap": 2}},
]


GIVEN: list[dict[str, Any]] = [
    {},
    {"groupColumn": "g"},
    {"timeColumn": "t"},
    {"timeColumn": "t", "validationStrategy": {"type": "time_series_split", "folds": 3, "gap": 2}},
    {"validationStrategy": {"type": "holdout"}},
    {"validationStrategy": {"folds": 3}},
    {"validationStrategy": {"type": "stratified_kfold"}},
    {"validationStrategy": {"type": "repeated_kfold", "folds": 3, "repeats": 2}},
    {"validationStrategy": {"type": "leave_one_out"}},
    {"groupColumn": "g", "validationStrategy": {"type": "stratified_group_kfold", "folds": 4}},
]
"""With given validation and test rows."""

quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
brief = settings(quick, max_examples=30)


@quick
@given(tables(), st.sampled_from(STRATEGIES), st.integers(0, 5))
def test_splits_are_disjoint_and_cover_what_has_a_target(
    spec_for: SpecFor, frame: pd.DataFrame, keys: dict[str, Any], seed: int
) -> None:
    spec = spec_for("y", options={"seed": seed}, **keys)
    table = Table.of(frame)
    profile = profile_data(table, spec)

    splits = split_data(table, profile, spec, None)

    usable = np.flatnonzero(frame["y"].notna())
    assert np.array_equal(np.sort(np.concatenate([splits.learning, splits.test])), usable)
    for fold in splits.folds:
        assert not set(fold.train) & set(fold.validation)
        assert set(fold.train) | set(fold.validation) <= set(splits.learning)
        assert len(fold.train) and len(fold.validation)
        assert np.array_equal(fold.train, np.unique(fold.train))
        assert np.array_equal(fold.validation, np.unique(fold.validation))
    assert all(check.passed for check in check_splits(splits, table, spec, profile))
    assert splits.strategy != "auto"
    assert any(decision.rule.startswith("validation.") for decision in splits.decisions)


@quick
@given(tables(), st.sampled_from([keys for keys in STRATEGIES if "timeColumn" not in keys]), st.integers(20, 80))
def test_growth_keeps_every_old_split(
    split: Split, spec_for: SpecFor, frame: pd.DataFrame, keys: dict[str, Any], extra: int
) -> None:
    spec = spec_for("y", **keys)
    before = split(frame, spec)
    rng = np.random.default_rng(extra)
    more = frame.sample(extra, replace=True, random_state=extra).assign(x=rng.integers(0, 9, extra).astype(float))
    grown = pd.concat([frame, more]).sample(frac=1, random_state=extra)

    after = split(grown, spec, before)

    tested, learned = set(before.identities[before.test]), set(before.identities[before.learning])
    assert tested <= set(after.identities[after.test]) or not spec.test_size
    assert learned <= set(after.identities[after.learning])
    again = split(grown, spec, after)
    assert np.array_equal(again.test, after.test)


@brief
@given(tables(), st.sampled_from([keys for keys in STRATEGIES if "timeColumn" in keys]), st.integers(20, 80))
def test_dated_growth_moves_rows_from_test_to_learning_alone(
    split: Split, spec_for: SpecFor, frame: pd.DataFrame, keys: dict[str, Any], extra: int
) -> None:
    """Late rows, early ones and rows between may come: what was once learned from is never tested on."""
    spec = spec_for("y", **keys)
    before = split(frame, spec)
    rng = np.random.default_rng(extra)
    more = frame.sample(extra, replace=True, random_state=extra).assign(t=rng.integers(-20, 60, extra))

    after = split(pd.concat([frame, more]), spec, before)

    assert not set(before.identities[before.learning]) & set(after.identities[after.test])
    assert len(after.learning) >= len(before.learning)


@brief
@given(tables(), st.sampled_from(GIVEN), st.integers(5, 10), st.integers(5, 10), st.randoms())
def test_given_rows_are_what_the_files_make_them(
    split: Split,
    check_by_name: CheckByName,
    spec_for: SpecFor,
    frame: pd.DataFrame,
    keys: dict[str, Any],
    validated: int,
    tested: int,
    random: Any,
) -> None:
    """Whatever the strategy, and in whatever order the rows of each file stand."""
    # Groups and times that a careful person's files would have: none on both sides, the test newest.
    frame = frame[frame["y"] != "C"].reset_index(drop=True)
    rows = len(frame)
    parts = {"train": rows - validated - tested, "validation": validated, "test": tested}
    side = np.repeat(range(3), list(parts.values()))
    frame = frame.assign(t=frame["t"] + 100 * side, g=frame["g"] + 100 * side)
    frame.loc[side > 0, "y"] = np.where(np.arange(validated + tested) % 2, "A", "B")
    spec = spec_for("y", validationDataPath="v.csv", testDataPath="t.csv", **keys)

    try:
        splits = split(frame, spec, parts=parts)
    except DataError as error:  # dated rows that are too few for a gap are refused, and rightly
        assume("can be cut" not in error.message)
        raise

    usable = frame["y"].notna().to_numpy()
    assert np.array_equal(splits.test, np.flatnonzero(side == 2))
    assert np.array_equal(splits.validation, np.flatnonzero(side == 1))
    assert np.array_equal(splits.learning, np.flatnonzero((side < 2) & usable))
    assert set(splits.train) <= set(np.flatnonzero((side == 0) & usable))
    for fold in splits.folds:
        assert not set(fold.train) & set(fold.validation)
        assert set(fold.train) | set(fold.validation) <= set(splits.learning)
    assert all(check.passed for check in check_by_name(splits, frame, spec, parts).values())
    order = sorted(range(rows), key=lambda row: (side[row], random.random()))
    again = split(frame.iloc[order], spec, parts=parts)
    one, other = ([set(each.identities[fold.train]) for fold in each.folds] for each in (splits, again))
    assert one == other


@quick
@given(tables(), st.sampled_from([keys for keys in STRATEGIES if "shuffle" not in str(keys)]), st.randoms())
def test_row_order_and_column_order_do_not_matter(
    split: Split, spec_for: SpecFor, frame: pd.DataFrame, keys: dict[str, Any], random: Any
) -> None:
    spec = spec_for("y", **keys)
    order = list(range(len(frame)))
    random.shuffle(order)
    other = frame.iloc[order][["y", "t", "s", "x", "g"]]

    one, two = split(frame, spec), split(other, spec)

    assert sorted(one.identities) == sorted(two.identities)
    assert set(one.identities[one.test]) == set(two.identities[two.test])
    assert len(one.folds) == len(two.folds)
    for first, second in zip(one.folds, two.folds, strict=True):
        assert set(one.identities[first.validation]) == set(two.identities[second.validation])
        assert set(one.identities[first.train]) == set(two.identities[second.train])


@quick
@given(st.lists(st.integers(5, 40), min_size=2, max_size=4), st.integers(2, 5), st.integers(0, 9))
def test_stratified_folds_hold_each_class_alike(
    split: Split, spec_for: SpecFor, sizes: list[int], folds: int, seed: int
) -> None:
    labels = np.repeat(list("ABCD")[: len(sizes)], sizes)
    frame = pd.DataFrame({"x": np.random.default_rng(seed).normal(size=len(labels)), "y": labels})
    strategy = {"type": "stratified_kfold", "folds": folds}

    splits = split(frame, spec_for("y", testSize=0, validationStrategy=strategy, options={"seed": seed}))

    counts = [frame["y"].iloc[fold.validation].value_counts() for fold in splits.folds]
    spread = pd.DataFrame(counts).fillna(0)
    assert len(counts) == folds
    assert ((spread.max() - spread.min()) <= 1).all()
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in splits.folds])), splits.learning)
