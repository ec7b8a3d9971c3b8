"""Panels: no gap, and nothing in them that came after the origin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor
from mt_assets.trainer.forecasting.windows import TEST

quick = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def with_covariates(seed: int, lengths: tuple[int, ...] = (60, 45), missing: float = 0.2) -> pd.DataFrame:
    """Series with gaps in everything but the first value."""
    rng = np.random.default_rng(seed)
    parts = []
    for at, steps in enumerate(lengths):
        part = pd.DataFrame({"time": pd.date_range("2020-01-01", periods=steps, freq="D"), "series": f"s{at}"})
        part["y"] = rng.normal(10, 2, steps)
        part["visitors"] = rng.normal(100, 10, steps)
        part["kind"] = rng.choice(["a", "b", "c"], steps)
        part["open"] = rng.random(steps) < 0.7
        part["open"] = part["open"].astype(object)
        for name in ("y", "visitors", "kind", "open"):
            lost = rng.random(steps) < missing
            lost[0] = False
            part.loc[lost, name] = None
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    frame["y"] = frame["y"].astype(float)
    return frame


KEYS = {"horizon": 4, "seasonality": 1, "knownAhead": ["open"], "validationStrategy": {"folds": 2, "gap": 1}}


def learned(work: Any, window: int) -> SeriesPreprocessor:
    return SeriesPreprocessor.learn(work.layout, work.table, work.data.known(window).positions)


def history(work: Any, window: int) -> pd.DataFrame:
    return work.data.history(window, learned(work, window)).frame


@quick
@given(
    seed=st.integers(0, 10**6), column=st.sampled_from(["y", "visitors", "kind"]), window=st.sampled_from([TEST, 0, 1])
)
def test_what_comes_after_an_origin_changes_nothing_before_it(
    seed: int, column: str, window: int, forecasting: Any
) -> None:
    frame = with_covariates(seed)
    work = forecasting(frame, **KEYS)
    known = work.data.known(window).positions
    later = np.setdiff1d(np.arange(len(frame)), known)
    later = later[frame.loc[later, "y"].notna()] if column == "y" else later
    assert len(later)
    changed = frame.copy()
    changed.loc[later, column] = {"y": 1e6, "visitors": -1e6, "kind": "never seen"}[column]
    other = forecasting(changed, **KEYS)
    pd.testing.assert_frame_equal(history(work, window), history(other, window))
    assert np.array_equal(work.data.truth(window)[:, 1], other.data.truth(window)[:, 1])  # scales of errors


@quick
@given(seed=st.integers(0, 10**6), window=st.sampled_from([TEST, 0, 1]))
def test_a_panel_is_the_whole_grid_and_keeps_what_is_known(seed: int, window: int, forecasting: Any) -> None:
    frame = with_covariates(seed)
    work = forecasting(frame, **KEYS)
    panel = work.data.history(window, learned(work, window))
    for code, (name, of) in enumerate(panel.frame.groupby("unique_id")):
        assert name == code
        assert (of["ds"].diff().dropna() == pd.Timedelta(days=1)).all()
        own = frame[frame["series"] == work.layout.names[code]].set_index("time")
        known = own["y"].dropna()
        kept = of.set_index("ds")["y"]
        both = known.index.intersection(kept.index)
        assert np.array_equal(kept.loc[both], known.loc[both])
    numbers = panel.frame.drop(columns=["ds"])
    assert np.isfinite(numbers.to_numpy(dtype=float)).all()


def test_gaps_are_a_straight_line_between_values_and_the_last_value_behind_them(forecasting: Any, series: Any) -> None:
    frame = series(60)
    frame.loc[10:12, "y"] = None
    work = forecasting(frame, horizon=12, validationStrategy={"folds": 2})
    ends = history(work, 0)
    assert np.allclose(ends["y"].iloc[9:14], np.linspace(frame["y"][9], frame["y"][13], 5))
    # A gap at the very origin has no far end yet: nothing of what comes is taken.
    frame = series(60)
    frame.loc[34:37, "y"] = None
    work = forecasting(frame, horizon=12, validationStrategy={"folds": 2})
    before = history(work, 0)["y"]
    assert len(before) == 36
    assert list(before.iloc[33:]) == [frame["y"][33]] * 3


def test_covariates_become_numbers_by_what_was_learned(forecasting: Any) -> None:
    frame = with_covariates(0, missing=0.0)
    frame.loc[frame.index[-10:], "kind"] = "only at the end"
    work = forecasting(frame, **KEYS)
    preprocessor = learned(work, 1)
    assert list(preprocessor.names) == ["open", "visitors", "kind=a", "kind=b", "kind=c"]
    assert set(preprocessor.names.values()) == {"open", "visitors", "kind"}
    panel = work.data.history(TEST, preprocessor)
    assert (panel.known, panel.past) == (("open",), ("visitors", "kind=a", "kind=b", "kind=c"))
    kinds = panel.frame[["kind=a", "kind=b", "kind=c"]]
    unknown = panel.frame["ds"].isin(frame["time"].iloc[-10:]) & (panel.frame["unique_id"] == 1)
    assert unknown.any()
    assert (kinds[unknown].to_numpy() == 0).all()
    assert (kinds[~unknown].sum(axis=1) == 1).all()


def test_a_number_that_never_came_before_is_the_median_of_what_was_learned(forecasting: Any) -> None:
    frame = with_covariates(1, missing=0.0)
    frame.loc[frame["series"] == "s1", "visitors"] = None
    work = forecasting(frame, **KEYS)
    panel = work.data.history(TEST, learned(work, TEST)).frame
    known = frame.loc[work.data.known(TEST).positions, "visitors"].astype(float)
    assert (panel.loc[panel["unique_id"] == 1, "visitors"] == known.median()).all()


def test_what_is_known_ahead_comes_from_the_rows_ahead_and_else_from_the_last_before(forecasting: Any) -> None:
    frame = with_covariates(2, missing=0.0)
    frame["open"] = (frame.index % 2 == 0).astype(float)
    work = forecasting(frame, **KEYS)
    preprocessor = learned(work, TEST)
    panel = work.data.history(TEST, preprocessor)
    future = work.data.future(TEST, panel, preprocessor)
    assert len(future) == 2 * work.layout.steps
    own = frame.set_index(["series", "time"])["open"]
    names = [work.layout.names[code] for code in future["unique_id"]]
    assert list(future["open"]) == [own[key] for key in zip(names, future["ds"], strict=True)]
    assert "visitors" not in future
    assert (future.groupby("unique_id")["ds"].min() > panel.frame.groupby("unique_id")["ds"].max()).all()


@pytest.mark.parametrize("levels", [2, 30])
def test_categories_have_one_output_a_level_up_to_a_dozen(levels: int, forecasting: Any, series: Any) -> None:
    frame = series(120)
    frame["kind"] = [f"k{at % levels:02}" for at in range(120)]
    work = forecasting(frame, featureTypes={"kind": "categorical"})
    assert len(learned(work, TEST).names) == {2: 1, 30: 12}[levels]
