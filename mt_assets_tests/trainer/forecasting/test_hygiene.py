"""Which series are used, repaired and left out, and what season, horizon and windows they get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.trainer.errors import DataError


def test_sound_series_have_nothing_to_tell(forecasting: Any, panel: Any) -> None:
    work = forecasting(panel(a=80, b=70))
    layout = work.layout
    assert layout.names == ("a", "b")
    assert (layout.troubles, layout.warnings(), layout.shortest) == ((), (), 70)
    assert (layout.season, layout.horizon) == (12, 12)
    assert work.decisions["frequency"] == "frequency.inferred"


def test_equal_rows_of_a_time_count_once(forecasting: Any, series: Any) -> None:
    frame = series()
    twice = pd.concat([frame, frame.iloc[[5, 6]]])
    work = forecasting(twice)
    assert work.troubles == {"series": ("repaired", "2 rows repeat another of the same time")}
    assert work.layout.shortest == 60


def test_a_slip_among_many_rows_is_averaged_and_told(forecasting: Any, series: Any) -> None:
    frame = series(200)
    odd = frame.iloc[[5]].assign(y=0.0)
    work = forecasting(pd.concat([frame, odd]))
    assert work.troubles["series"][0] == "repaired"
    assert "disagree" in work.troubles["series"][1]
    panel = work.data.history(0, _plain(work))
    assert panel.frame["y"].iloc[5] == pytest.approx(frame["y"].iloc[5] / 2)


def test_many_values_of_a_time_are_series_that_nobody_told_apart(forecasting: Any, panel: Any) -> None:
    with pytest.raises(DataError, match="60 rows have the same time as another row and 60 of them another") as refused:
        forecasting(panel(a=60, b=60).rename(columns={"series": "shop"})).profile  # noqa: B018
    assert "2015-01-01" in refused.value.message
    assert "`seriesColumn`" in refused.value.suggestions[0]


def test_a_series_that_disagrees_with_itself_is_left_out_of_many(forecasting: Any, panel: Any) -> None:
    frame = panel(a=60, b=60)
    torn = pd.concat([frame, frame[frame["series"] == "b"].assign(y=1.0)])
    work = forecasting(torn)
    assert work.layout.names == ("a",)
    assert work.troubles["b"][0] == "left_out"


def test_rows_are_put_together_by_the_step_that_is_asked(forecasting: Any) -> None:
    days = pd.DataFrame({"time": pd.date_range("2015-01-01", "2019-12-31"), "y": 1.0})
    days["y"] = days["time"].dt.day.astype(float)
    work = forecasting(days, frequency="MS")
    assert work.layout.frequency.months == 1
    assert "same step" in work.troubles["series"][1]
    assert "mean of each step is taken (MS)" in work.layout.warnings()[0]
    panel = work.data.history(0, _plain(work))
    assert panel.frame["y"].iloc[0] == 16.0  # the mean of 1 to 31


@pytest.mark.parametrize(("lost", "outcome"), [(range(10, 14), "repaired"), (range(5, 55), "left_out")])
def test_gaps_are_filled_up_to_half_of_a_series(lost: range, outcome: str, forecasting: Any, panel: Any) -> None:
    frame = panel(a=80, b=80)
    gone = (frame["series"] == "a") & frame.groupby("series").cumcount().isin(lost)
    for holed in (frame[~gone], frame.assign(y=frame["y"].mask(gone))):  # no row, or no value
        work = forecasting(holed)
        assert work.troubles == {"a": (outcome, f"{len(lost)} of 80 steps are missing")}
        assert work.layout.names == (("a", "b") if outcome == "repaired" else ("b",))


def test_what_is_missing_at_the_ends_is_no_gap(forecasting: Any, panel: Any) -> None:
    frame = panel(a=80, b=80)
    at = frame.groupby("series").cumcount()
    frame["y"] = frame["y"].mask((frame["series"] == "a") & ((at < 5) | (at > 74)))
    work = forecasting(frame)
    assert work.troubles == {}
    assert work.layout.shortest == 70


def test_a_series_without_values_and_a_short_one_are_left_out_and_a_constant_kept(forecasting: Any, panel: Any) -> None:
    frame = panel(a=80, b=80, c=80, d=20)
    frame["y"] = frame["y"].mask(frame["series"] == "b").mask(frame["series"] == "c", 7.0)
    work = forecasting(frame, horizon=12)
    assert work.layout.names == ("a", "c")
    assert work.troubles["b"] == ("left_out", "80 rows without a value")
    assert work.troubles["c"] == ("kept", "always 7")
    assert work.troubles["d"] == ("left_out", "20 steps")
    assert "are needed for" in next(each.how for each in work.layout.troubles if each.series == "d")
    told = " ".join(work.profile.warnings)
    assert all(each in told for each in ("'b' (80 rows without a value)", "'d' (20 steps)"))
    assert [row["series"] for row in work.layout.report()] == ["b", "d", "c"]


def test_where_no_series_is_left_the_first_reasons_are_told(forecasting: Any, panel: Any) -> None:
    with pytest.raises(
        DataError, match=r"No series is long enough for a horizon of 50 steps. 'a': 60 steps"
    ) as refused:
        forecasting(panel(a=60, b=61), horizon=50).profile  # noqa: B018
    assert refused.value.suggestions[0] == "Set a smaller `horizon`."


def test_rows_without_a_time_or_a_series_are_counted_and_not_used(forecasting: Any, panel: Any) -> None:
    frame = panel(a=80, b=80)
    frame.loc[[3, 4], "time"] = pd.NaT
    frame.loc[100, "series"] = None
    work = forecasting(frame)
    counts = {each.rule: each.value for each in work.layout.decisions}
    assert (counts["rows.undated"], counts["rows.no_series"]) == (2, 1)
    used = np.concatenate([work.splits.learning, work.splits.test])
    assert not set(used) & {3, 4, 100}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["2020-01-01", "soon", "2020-01-03", "later"] * 20, r"40 of 80 values are no dates, such as 'soon' in row 2"),
        ([1.0, 2.5, 3.0, 4.0] * 20, r"20 of 80 values are neither dates nor whole numbers, such as '2.5' in row 2"),
        ([True, False] * 40, "neither dates nor whole numbers"),
    ],
)  # fmt: skip
def test_times_that_are_none_are_told_with_their_rows(values: list[Any], told: str, forecasting: Any) -> None:
    frame = pd.DataFrame({"time": values, "y": np.arange(80.0)})
    with pytest.raises(DataError, match=told) as refused:
        forecasting(frame).profile  # noqa: B018
    assert "The time column 'time' cannot be read" in refused.value.message


@pytest.mark.parametrize(
    ("steps", "keys", "rule", "value"),
    [
        (60, {"seasonality": 6}, "season.asked", 6),
        (60, {"seasonality": 1}, "season.asked", 1),
        (20, {"horizon": 2}, "season.short", 1),
        (60, {}, "season.frequency", 12),
    ],
)
def test_the_season(steps: int, keys: dict[str, Any], rule: str, value: int, forecasting: Any, series: Any) -> None:
    work = forecasting(series(steps), **keys)
    assert (work.decisions["season"], work.layout.season) == (rule, value)


@pytest.mark.parametrize(
    ("steps", "keys", "rule", "value"),
    [
        (100, {"horizon": 7}, "horizon.asked", 7),
        (100, {}, "horizon.season", 12),
        (50, {}, "horizon.short", 8),
        (100, {"seasonality": 1}, "horizon.short", 10),
    ],
)
def test_the_horizon(steps: int, keys: dict[str, Any], rule: str, value: int, forecasting: Any, series: Any) -> None:
    work = forecasting(series(steps), **keys)
    assert (work.decisions["horizon"], work.layout.horizon) == (rule, value)


@pytest.mark.parametrize(
    ("keys", "rule", "value"),
    [
        ({}, "windows.few_series", 5),
        ({"validationStrategy": {"folds": 3}}, "windows.asked", 3),
        ({"validationStrategy": {"type": "holdout"}}, "windows.asked", 1),
        ({"validationStrategy": {"folds": 30}}, "windows.reduced", 10),
        ({"horizon": 40}, "windows.few_series", 1),
    ],
)
def test_the_windows(keys: dict[str, Any], rule: str, value: int, forecasting: Any, series: Any) -> None:
    work = forecasting(series(144), **keys)
    assert (work.decisions["windows"], work.layout.windows) == (rule, value)
    assert len(work.splits.folds) == value


def test_many_series_need_fewer_windows(forecasting: Any, panel: Any) -> None:
    assert forecasting(panel(**{f"s{at}": 120 for at in range(50)})).decisions["windows"] == "windows.some_series"


def test_columns_become_covariates_by_what_they_hold_and_when_they_are_known(forecasting: Any, series: Any) -> None:
    frame = series(80)
    frame["promotion"], frame["weather"] = frame.index % 3 == 0, np.where(frame.index % 2, "sun", "rain")
    frame["visitors"], frame["remark"] = frame.index * 1.5, [f"note {at} of a day" for at in frame.index]
    layout = forecasting(
        frame, knownAhead=["promotion"], featureTypes={"weather": "categorical", "remark": "text"}
    ).layout
    assert layout.known == {"promotion": "boolean"}
    assert layout.past == {"weather": "categorical", "visitors": "numeric"}


def _plain(work: Any) -> Any:
    from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor

    return SeriesPreprocessor(work.layout, (), (), np.empty(0, dtype=np.int64))
