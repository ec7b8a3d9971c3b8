"""Every column comes into one of five forms, whatever it was."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from mt_assets.trainer.data.frames import as_datetime, canonical

COLUMNS = {
    "whole numbers": ([1, 2, 3], "int64", [1, 2, 3]),
    "nullable whole numbers with a gap": (pd.array([1, None, 3], "Int64"), "float64", [1.0, np.nan, 3.0]),
    "nullable whole numbers": (pd.array([1, 2, 3], "Int64"), "int64", [1, 2, 3]),
    "numbers among objects": (np.array([1, 2.5, None], dtype=object), "float64", [1.0, 2.5, np.nan]),
    "decimals": ([decimal.Decimal("1.5"), None, decimal.Decimal(2)], "float64", [1.5, np.nan, 2.0]),
    "infinity": ([np.inf, -np.inf, 1.0], "float64", [np.nan, np.nan, 1.0]),
    "beyond int64": (np.array([1, 2, 2**63 + 5], dtype="uint64"), "float64", [1.0, 2.0, float(2**63 + 5)]),
    "booleans": ([True, False, True], "bool", [True, False, True]),
    "booleans with a gap": ([True, None, False], "float64", [1.0, np.nan, 0.0]),
    "strings": (pd.array(["a", None, "b"], "string"), "object", ["a", np.nan, "b"]),
    "categories": (pd.Categorical(["a", None, "b"]), "object", ["a", np.nan, "b"]),
    "categories of numbers": (pd.Categorical([2, None, 1]), "float64", [2.0, np.nan, 1.0]),
    "mixed": (["a", 1, None], "object", ["a", "1", np.nan]),
    "nothing": ([None, None, None], "object", [np.nan, np.nan, np.nan]),
    "durations": (pd.to_timedelta([1, None, 90], unit="s"), "float64", [1.0, np.nan, 90.0]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_kind_of_column_has_its_form(kind: str) -> None:
    values, dtype, expected = COLUMNS[kind]
    frame = pd.DataFrame({"x": values}, index=[7, 3, 5])

    form = canonical(frame)

    pd.testing.assert_series_equal(form["x"], pd.Series(expected, index=[7, 3, 5], name="x", dtype=dtype))
    pd.testing.assert_frame_equal(canonical(form), form)


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(["2024-01-02 10:00", None], utc=True).tz_convert("Europe/Berlin"),
        np.array(["2024-01-02T10:00", "NaT"], dtype="datetime64[s]"),
        [datetime.datetime(2024, 1, 2, 10), None],
    ],
)
def test_times_become_naive_nanoseconds_in_utc(values: object) -> None:
    form = canonical(pd.DataFrame({"t": values}))["t"]

    assert form.dtype == "datetime64[ns]"
    assert form[0] == pd.Timestamp("2024-01-02 10:00")
    assert form.isna().tolist() == [False, True]


def test_far_times_keep_their_order() -> None:
    times = np.array(["9999-12-31", "2024-01-01", "0001-01-01", "NaT"], dtype="datetime64[us]")

    form = canonical(pd.DataFrame({"t": times}))["t"]

    assert form[2] < form[1] < form[0]
    assert form[1] == pd.Timestamp("2024-01-01")
    assert form.isna().tolist() == [False, False, False, True]


def test_the_frame_given_is_not_changed() -> None:
    frame = pd.DataFrame({"x": [np.inf, 1.0], "c": pd.Categorical(["a", "b"])})
    before = frame.copy()

    canonical(frame)

    pd.testing.assert_frame_equal(frame, before)


def test_text_is_read_as_times_where_it_can_be() -> None:
    read = as_datetime(pd.Series(["2024-01-02", "no date", None, "2024-01-02T12:00:00+02:00"]))

    assert read.tolist()[0] == pd.Timestamp("2024-01-02")
    assert read.isna().tolist() == [False, True, True, False]
    assert read[3] == pd.Timestamp("2024-01-02 10:00")
    assert as_datetime(pd.Series([1, 2])).isna().all()
