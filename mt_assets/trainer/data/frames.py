"""Model-ready pandas frames from whatever a person hands over.

The one place that turns frames into the few kinds of column that models see. Training tables and the frames that a
saved model is later asked about both go through it, so that a column means the same on both days.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

_MISSING_KINDS = {"empty"}
_NUMBER_KINDS = {"integer", "floating", "mixed-integer-float", "decimal"}
_TIME_KINDS = {"datetime", "datetime64", "date"}

_FIRST_US, _LAST_US = -(2**63 // 1000) + 1, 2**63 // 1000 - 1
"""Microseconds since 1970 that nanoseconds can still count."""


def in_utc(values: Iterable[Any]) -> list[Any]:
    """The same values with times of any zone brought to UTC, before Arrow takes them.

    Arrow would ignore their zones in a process where pandera has been imported, which sets `PYARROW_IGNORE_TIMEZONE`
    for the sake of Spark.
    """
    return [
        value.astimezone(UTC) if isinstance(value, datetime) and not pd.isna(value) and value.tzinfo else value
        for value in values
    ]


def canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Bring every column into one of five forms.

    Whole numbers without missing values become int64, other numbers (decimals and durations, in seconds, too) float64
    with infinities as missing, since most models refuse them;
    booleans become bool, or float64 of 1, 0 and NaN where some are missing; timestamps and dates become naive
    datetime64[ns] in UTC (times beyond that type's years 1677 to 2262 become its first or last instant, so that "never"
    written as 9999-12-31 stays the latest); everything else becomes object columns of str with NaN where missing.
    Categories are what their labels are.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any column types. It is not changed.

    Returns
    -------
    pandas.DataFrame
        The same columns, in the same order, and the same index.
    """
    columns = [canonical_column(frame.iloc[:, at]) for at in range(frame.shape[1])]
    result = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=frame.index)
    result.columns = frame.columns
    return result


def canonical_column(column: pd.Series) -> pd.Series:
    """Bring one column into its form, see `canonical`."""
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return canonical_column(column.astype(object if column.isna().any() else kind.categories.dtype))
    if pd.api.types.is_bool_dtype(kind):
        return column.astype("float64") if column.isna().any() else column.astype(bool)
    if pd.api.types.is_numeric_dtype(kind):
        return _numbers(column)
    if pd.api.types.is_datetime64_any_dtype(kind):
        return _instants(column)
    if pd.api.types.is_timedelta64_dtype(kind):
        return column.dt.total_seconds()
    return _objects(column)


def as_datetime(column: pd.Series) -> pd.Series:
    """Read a column as timestamps: what is text is parsed, what cannot be parsed is missing.

    Returns
    -------
    pandas.Series
        Naive datetime64[ns] in UTC, same index.
    """
    form = canonical_column(column)
    if pd.api.types.is_datetime64_any_dtype(form):
        return form
    if form.dtype != object:
        return pd.Series(pd.NaT, index=column.index, dtype="datetime64[ns]")
    return _instants(pd.to_datetime(form, errors="coerce", format="ISO8601", utc=True))


def _numbers(column: pd.Series) -> pd.Series:
    if pd.api.types.is_complex_dtype(column.dtype):
        return column.astype(str).astype(object)
    if not pd.api.types.is_integer_dtype(column.dtype) or column.isna().any():
        return _finite(column.astype("float64"))
    if pd.api.types.is_unsigned_integer_dtype(column.dtype) and len(column) and column.max() > np.iinfo(np.int64).max:
        return column.astype("float64")
    return column.astype("int64")


def _finite(column: pd.Series) -> pd.Series:
    infinite = np.isinf(column.to_numpy())
    return column.mask(infinite) if infinite.any() else column


def _instants(column: pd.Series) -> pd.Series:
    naive = column.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(column.dtype, "tz", None) else column
    if naive.dtype == "datetime64[ns]":
        return naive
    clock = naive.to_numpy(dtype="datetime64[us]")
    # As whole microseconds, since comparing units near the ends of datetime64[ns] overflows.
    clipped = np.clip(clock.view(np.int64), _FIRST_US, _LAST_US)
    values = np.where(np.isnat(clock), np.iinfo(np.int64).min, clipped * np.where(np.isnat(clock), 0, 1000))
    return pd.Series(values.view("datetime64[ns]"), index=column.index, name=column.name)


def _objects(column: pd.Series) -> pd.Series:
    values = column.astype(object)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind == "boolean":
        whole = not values.isna().any()
        return values.astype(bool) if whole else values.map({True: 1.0, False: 0.0}).astype("float64")
    if kind in _NUMBER_KINDS:
        return _numbers(values.infer_objects() if kind == "integer" else values.astype("float64"))
    if kind in _TIME_KINDS:
        return _instants(pd.to_datetime(values, utc=True, errors="coerce"))
    missing = values.isna()
    if kind != "string" and kind not in _MISSING_KINDS:
        values = values.map(_text)
    return values.where(~missing, np.nan).astype(object)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
