"""Steps: every step that a series can have is found, counts without holes, and leads back to the times of the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mt_assets.trainer.errors import DataError, SpecError
from mt_assets.trainer.forecasting.frequency import Frequency, asked_frequency, inferred_frequency
from mt_assets.trainer.forecasting.rows import in_zone, local_times

ALIASES = {
    # alias of pandas: season in steps
    "ME": 12, "MS": 12, "BME": 12, "BMS": 12, "2MS": 6, "6MS": 2, "QS": 4, "QE": 4, "QS-FEB": 4, "QE-JAN": 4,
    "YS": 1, "YE": 1, "YE-JUN": 1, "YS-APR": 1, "W-SUN": 52, "W-MON": 52, "W-THU": 52, "2W-SUN": 1,
    "D": 7, "2D": 1, "B": 5, "h": 24, "6h": 4, "15min": 96, "min": 60, "30s": 1,
}  # fmt: skip


def times_of(alias: str, periods: int = 40) -> np.ndarray:
    return pd.date_range("2019-01-01", periods=periods, freq=alias).to_numpy().astype("datetime64[ns]")


def found_in(*times: np.ndarray) -> Frequency:
    return inferred_frequency(times, [f"s{at}" for at in range(len(times))])


def is_whole(frequency: Frequency, times: np.ndarray) -> None:
    """Each time is one step after the one before, and steps become the same times again."""
    steps = frequency.to_steps(times)
    assert np.array_equal(np.diff(steps), np.ones(len(times) - 1))
    assert np.array_equal(frequency.to_steps(frequency.to_times(steps)), steps)
    ahead = frequency.written(frequency.after(pd.Series(frequency.to_times(steps[9:10])), 5)[0])
    assert np.array_equal(ahead, times[10:15])


@pytest.mark.parametrize("alias", [alias for alias in ALIASES if alias not in ("BME", "BMS")])
@pytest.mark.parametrize("asked", [False, True])
def test_every_step_of_pandas_is_found_and_leads_to_the_times_that_follow(alias: str, asked: bool) -> None:
    times = times_of(alias)
    frequency = asked_frequency(alias, times) if asked else found_in(times)
    is_whole(frequency, times)
    assert frequency.season == ALIASES[alias]
    pd.tseries.frequencies.to_offset(frequency.freq)  # as the forecasting libraries read it


@pytest.mark.parametrize("alias", ["BME", "BMS"])
def test_last_and_first_working_days_are_steps_of_a_month(alias: str) -> None:
    times = times_of(alias)
    for frequency in (found_in(times), asked_frequency(alias, times)):
        steps = frequency.to_steps(times)
        assert np.array_equal(np.diff(steps), np.ones(len(times) - 1))
        assert frequency.season == 12


@pytest.mark.parametrize(("old", "new"), [("M", "ME"), ("Q", "QE"), ("A", "YE"), ("H", "h"), ("T", "min")])
def test_names_of_older_pandas_mean_what_they_meant(old: str, new: str) -> None:
    times = times_of(new)
    assert asked_frequency(old, times) == asked_frequency(new, times)


@pytest.mark.parametrize("alias", ["ME", "QS", "W-SUN", "D", "B", "h", "15min"])
def test_gaps_are_steps_and_do_not_hide_the_step(alias: str) -> None:
    times = times_of(alias, 120)
    kept = np.delete(times, [5, 6, 40, 41, 42, 90])
    frequency = found_in(kept)
    assert np.array_equal(np.diff(frequency.to_steps(times)), np.ones(119))


@pytest.mark.parametrize("day", [15, 28, 30, 31])
def test_months_by_any_day_of_theirs(day: int) -> None:
    first = pd.date_range("2019-01-01", periods=30, freq="MS")
    times = np.array([d + pd.Timedelta(days=min(day, d.days_in_month) - 1) for d in first], dtype="datetime64[ns]")
    is_whole(found_in(times), times)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
@pytest.mark.parametrize(("alias", "periods"), [("D", 400), ("MS", 40), ("W-MON", 60)])
def test_days_of_a_place_with_summer_time_are_all_one_step(zone: str, alias: str, periods: int) -> None:
    stamps = pd.Series(pd.date_range("2023-01-02", periods=periods, freq=alias, tz=zone))
    times = local_times(stamps.dt.tz_convert("UTC").dt.tz_localize(None), zone)
    frequency = found_in(times)
    is_whole(frequency, times)
    told = in_zone(frequency.written(frequency.to_times(frequency.to_steps(times))), zone)
    assert (told == stamps).all()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("alias", ["D", "MS"])
def test_days_of_a_place_told_in_utc_are_one_step_too(zone: str, alias: str) -> None:
    stamps = pd.date_range("2023-01-01", periods=40 if alias == "MS" else 400, freq=alias, tz=zone)
    times = stamps.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
    frequency = found_in(times)
    assert np.array_equal(np.diff(frequency.to_steps(times)), np.ones(len(times) - 1))


def test_an_hour_that_the_clocks_skip_or_repeat_has_a_time() -> None:
    hours = pd.date_range("2023-03-26", periods=6, freq="h").to_numpy()
    told = in_zone(hours, "Europe/Berlin")
    assert told.is_monotonic_increasing
    assert str(told[2]) == "2023-03-26 03:00:00+02:00"
    assert in_zone(pd.date_range("2023-10-29", periods=6, freq="h").to_numpy(), "Europe/Berlin").notna().all()


@pytest.mark.parametrize(("step", "start"), [(1, 0), (1, 1990), (5, 3), (100, -250)])
def test_whole_numbers_have_the_step_that_divides_all_their_distances(step: int, start: int) -> None:
    times = start + step * np.delete(np.arange(40), [3, 7, 8]).astype(np.int64)
    frequency = found_in(times)
    assert frequency.freq == step
    steps = frequency.to_steps(times)
    assert np.array_equal(frequency.to_times(steps), times)
    assert list(frequency.after(pd.Series(times[-1:]), 2)[0]) == [times[-1] + step, times[-1] + 2 * step]
    assert asked_frequency(str(step), times).to_times(asked_frequency(str(step), times).to_steps(times))[0] == times[0]


def test_series_that_start_at_different_times_share_their_grid() -> None:
    long, short = times_of("QS-FEB", 40), times_of("QS-FEB", 40)[25:]
    frequency = found_in(long, short)
    assert np.array_equal(frequency.to_steps(short), frequency.to_steps(long)[25:])


def test_a_short_series_does_not_hide_the_step_of_the_others() -> None:
    assert found_in(times_of("MS"), times_of("D")[:2]).months == 1


def test_mixed_steps_are_told_by_the_series_that_have_them() -> None:
    with pytest.raises(DataError) as refused:
        inferred_frequency([times_of("MS"), times_of("MS"), times_of("D")], ["a", "b", "till 7"])
    assert "'a' has steps of a month" in refused.value.message
    assert "'till 7' has steps of 1 day" in refused.value.message


def test_times_without_a_step_are_told_with_their_distances() -> None:
    rng = np.random.default_rng(0)
    times = np.datetime64("2020-01-01", "ns") + np.cumsum(rng.integers(1, 10**6, 50)).astype("timedelta64[s]")
    with pytest.raises(DataError, match="have no regular step: distances are") as refused:
        found_in(times)
    assert "Set `frequency`" in refused.value.suggestions[0]
    noon = times.astype("datetime64[D]") + np.timedelta64(12, "h")  # within an hour of midnight is the next day
    daily, weekly = asked_frequency("D", noon + np.arange(50)), asked_frequency("W-TUE", times)
    assert np.array_equal(daily.to_times(daily.to_steps(noon)), noon.astype("datetime64[D]").astype("datetime64[ns]"))
    assert set(pd.DatetimeIndex(weekly.to_times(weekly.to_steps(times))).dayofweek) == {1}


def test_two_times_have_no_step_but_what_is_asked() -> None:
    with pytest.raises(DataError, match="No series has three times"):
        found_in(times_of("MS")[:2])
    assert asked_frequency("MS", times_of("MS")[:2]).months == 1


@pytest.mark.parametrize("nonsense", ["monthly-ish", "", "7", "-1D", "0h", "LWOM-3MON", "C"])
def test_a_frequency_that_is_none_is_refused_with_what_there_is(nonsense: str) -> None:
    with pytest.raises(SpecError, match="`frequency` is") as refused:
        asked_frequency(nonsense, times_of("D"))
    assert "`MS`" in refused.value.suggestions[0]


@pytest.mark.parametrize("nonsense", ["MS", "0", "-2", "1.5"])
def test_whole_numbers_have_no_calendar(nonsense: str) -> None:
    with pytest.raises(SpecError, match="whole number"):
        asked_frequency(nonsense, np.arange(10))
