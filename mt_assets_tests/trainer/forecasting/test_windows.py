"""Rolling origins: whatever the series look like, nothing that is scored was known, by more than the gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mt_assets.trainer.data.splits import check_splits
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.windows import TEST, check_origins

quick = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@st.composite
def ragged(draw: Callable[..., Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Series that begin and end when they like, with gaps, in any order of rows, and a spec for them."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    parts = []
    for at in range(draw(st.integers(1, 4))):
        length, start = draw(st.integers(12, 40)), draw(st.integers(0, 20))
        times = pd.date_range("2020-01-01", periods=60, freq="D")[start : start + length]
        part = pd.DataFrame({"time": times, "y": rng.normal(size=len(times)), "series": f"s{at}"})
        part["y"] = part["y"].mask(rng.random(len(part)) < draw(st.sampled_from([0.0, 0.15])))
        parts.append(part[(rng.random(len(part)) > draw(st.sampled_from([0.0, 0.15]))) | part.index.isin([0, 1, 2])])
    frame = pd.concat(parts).sample(frac=1, random_state=1).reset_index(drop=True)
    keys = {
        "frequency": "D",
        "horizon": draw(st.integers(1, 4)),
        "validationStrategy": {"folds": draw(st.integers(2, 3)), "gap": draw(st.integers(0, 3))},
        "testSize": draw(st.sampled_from([0, 0.2])),
    }
    return frame, keys


def drawn(forecasting: Any, case: tuple[pd.DataFrame, dict[str, Any]]) -> Any:
    work = forecasting(case[0], **case[1])
    try:
        work.splits  # noqa: B018
    except DataError:  # too short or too torn: refused, which is tested elsewhere
        assume(False)
    return work


@quick
@given(case=ragged())
def test_what_is_scored_is_newer_than_what_is_known_by_more_than_the_gap(case: Any, forecasting: Any) -> None:
    work = drawn(forecasting, case)
    frame, layout, splits = work.table.frame(), work.layout, work.splits
    days = (frame["time"] - pd.Timestamp("2020-01-01")).dt.days
    names = frame["series"]
    pairs = [(fold.train, fold.validation) for fold in splits.folds] + [(splits.learning, splits.test)]
    for learned, scored in pairs:
        last = days.loc[learned].groupby(names.loc[learned]).max()
        assert (days.loc[scored] - names.loc[scored].map(last) > layout.gap).all()
        assert (days.loc[scored].groupby(names.loc[scored]).agg(np.ptp) < layout.horizon).all()
        assert frame["y"].loc[np.concatenate([learned, scored])].notna().all()


@quick
@given(case=ragged())
def test_the_test_is_the_last_horizon_of_each_series_and_folds_share_no_row(case: Any, forecasting: Any) -> None:
    work = drawn(forecasting, case)
    frame, layout, splits = work.table.frame(), work.layout, work.splits
    of_series = frame[frame["y"].notna() & frame["series"].isin(layout.names)]
    days = (of_series["time"] - pd.Timestamp("2020-01-01")).dt.days
    newest = days.groupby(of_series["series"]).transform("max") - days < layout.horizon
    expected = of_series.index[newest] if work.spec.test_size else []
    assert sorted(splits.test) == sorted(expected)
    scored = np.concatenate([fold.validation for fold in splits.folds])
    assert len(scored) == len(set(scored))
    assert not set(scored) & set(splits.test)
    assert set(scored) <= set(splits.learning)
    assert not set(splits.learning) & set(splits.test)


@quick
@given(case=ragged())
def test_what_is_scored_and_what_is_known_are_the_same_rows_everywhere(case: Any, forecasting: Any) -> None:
    work = drawn(forecasting, case)
    for number, fold in enumerate(work.splits.folds):
        assert np.array_equal(work.data.scored(number).positions, fold.validation)
        known = work.data.known(number)
        assert set(known.positions[known.observed]) == set(fold.train)
    assert np.array_equal(work.data.scored(TEST).positions, work.splits.test)
    checks = check_splits(work.splits, work.table, work.spec, work.profile)
    assert all(each.passed for each in checks), [each.message for each in checks if not each.passed]


def test_without_a_test_the_last_origin_ends_where_the_series_end(forecasting: Any, panel: Any) -> None:
    frame = panel(a=80, b=70)
    tested, untested = forecasting(frame), forecasting(frame, testSize=0)
    assert len(tested.splits.test) == 24
    assert len(untested.splits.test) == 0
    last = untested.splits.folds[0].validation
    assert sorted(last) == sorted(tested.splits.test)
    assert len(untested.splits.learning) == 150


def test_a_row_that_is_learned_from_too_late_is_found(forecasting: Any, series: Any) -> None:
    work = forecasting(series(80), validationStrategy={"gap": 2})
    good = work.splits
    assert check_origins(good, work.table, work.layout).passed
    fold = good.folds[0]
    between = np.array([fold.validation[0] - 1])
    late = type(fold)(np.sort(np.concatenate([fold.train, between])), fold.validation)
    bad = type(good)(**{**vars(good), "folds": (late, *good.folds[1:])})
    check = check_origins(bad, work.table, work.layout)
    assert not check.passed
    assert check.blocking
    assert "1 rows to learn from are not older than the validation of fold 0" in check.message


def test_new_rows_move_the_test_and_the_old_test_may_be_learned_from(forecasting: Any, series: Any) -> None:
    from mt_assets.trainer.data.splits import split_data

    before = forecasting(series(80))
    after = forecasting(series(86))
    splits = split_data(after.table, after.profile, after.spec, before.splits)
    assert list(splits.test) == list(range(74, 86))


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_the_order_of_rows_changes_nothing(order: str, forecasting: Any, panel: Any) -> None:
    frame = panel(a=80, b=70)
    other = frame.iloc[::-1] if order == "reversed" else frame.sample(frac=1, random_state=0)
    one, two = forecasting(frame), forecasting(other.reset_index(drop=True))

    def content(work: Any, rows: Any) -> set[tuple[Any, ...]]:
        return set(work.table.take(rows).frame().itertuples(index=False, name=None))

    assert content(one, one.splits.test) == content(two, two.splits.test)
    for left, right in zip(one.splits.folds, two.splits.folds, strict=True):
        assert content(one, left.train) == content(two, right.train)
