"""Where each row of a table stands: in which series, at which step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.frequency import Steps

if TYPE_CHECKING:
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.forecasting.layout import SeriesLayout

ONLY = "series"
"""Name of the series where there is but one."""


@dataclass(frozen=True, eq=False)
class SeriesRows:
    """Rows with a time and a series that is used.

    Attributes
    ----------
    positions : ndarray [n]
        Row numbers in the full table, int64.
    codes : ndarray [n]
        Number of the series, index into `SeriesLayout.names`.
    steps : ndarray [n]
        See `Frequency.to_steps`.
    observed : ndarray [n]
        Whether the target is there; bool.
    """

    positions: np.ndarray
    codes: np.ndarray
    steps: Steps
    observed: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def part(self, chosen: np.ndarray) -> SeriesRows:
        """The rows that a boolean mask or an index array chooses."""
        return SeriesRows(self.positions[chosen], self.codes[chosen], self.steps[chosen], self.observed[chosen])

    def at(self, positions: np.ndarray) -> SeriesRows:
        """The rows at these positions, in their order; those that are not there are left out."""
        order = np.argsort(self.positions, kind="stable")
        place = np.searchsorted(self.positions, positions, sorter=order)
        place = order[np.minimum(place, len(order) - 1)] if len(order) else place[:0]
        return self.part(place[self.positions[place] == positions[: len(place)]])

    def last_steps(self, series: int) -> Steps:
        """The last observed step of each series, [series]; the least number where there is none."""
        last = np.full(series, np.iinfo(np.int64).min)
        np.maximum.at(last, self.codes[self.observed], self.steps[self.observed])
        return last


def local_times(values: pd.Series, zone: str | None) -> np.ndarray:
    """Canonical times (UTC, or numbers) as the clock of the zone shows them: datetime64[ns], or int64."""
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        return values.to_numpy(dtype=np.int64)
    if zone is None or zone == "UTC":
        return values.to_numpy()
    return values.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None).to_numpy()


def in_zone(times: np.ndarray, zone: str | None) -> pd.Series:
    """Times of `local_times` as they stood in the data: with their zone, where they had one."""
    if zone is None:
        return pd.Series(times)
    # An hour that the clocks skip is told as the next that exists; one that comes twice as the first.
    return pd.Series(times).dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=np.ones(len(times), dtype=bool))


def zone_of(table: Table, column: str) -> str | None:
    """Time zone of a column of timestamps; None where it has none."""
    kind = table.schema.field(column).type
    zone: str | None = getattr(kind, "tz", None)
    return zone


def refuse_unread_times(values: pd.Series, name: str) -> None:
    """Refuse a column of which values are neither times nor whole numbers, with examples and their rows.

    Parameters
    ----------
    values : pandas.Series
        Canonical, with positions as index.
    name : str

    Raises
    ------
    DataError
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return
    if values.dtype != object and values.dtype != bool and (values.dropna() % 1 == 0).all():
        return
    if values.dtype == object:
        bad = values[values.notna() & pd.to_datetime(values, errors="coerce", format="ISO8601", utc=True).isna()]
        of = f"{len(bad):,} of {values.notna().sum():,} values are no dates"
        if not len(bad):
            bad, of = values.dropna(), "its values are text in several forms"
    else:
        bad = values[values % 1 != 0] if values.dtype != bool else values
        of = f"{len(bad):,} of {len(values):,} values are neither dates nor whole numbers"
    first = bad.head(3)
    shown = ", ".join(f"{str(value)!r} in row {row + 1:,}" for row, value in zip(first.index, first, strict=True))
    raise DataError(
        f"The time column '{name}' cannot be read: {of}, such as {shown}.",
        suggestions=(
            "Write times as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS, all in one form, or as whole-number steps.",
            "Or take another column (`timeColumn`).",
        ),
    )


def series_labels(frame: pd.DataFrame, column: str | None) -> pd.Series:
    """Name of the series of each row, text; missing where there is none."""
    if column is None:
        return pd.Series(ONLY, index=frame.index, dtype=object)
    values = frame[column]
    text = values.map(lambda value: f"{value:g}" if isinstance(value, float) else str(value)).astype(object)
    return text.where(values.notna(), None)


def index_frame(frame: pd.DataFrame, layout: SeriesLayout) -> SeriesRows:
    """Where each row of a canonical frame stands, whose index are positions; others than the used series are left out.

    Parameters
    ----------
    frame : pandas.DataFrame
        With the columns of time, series and target.
    layout : SeriesLayout
    """
    codes = pd.Index(layout.names).get_indexer(pd.Index(series_labels(frame, layout.series)))
    usable = (codes >= 0) & frame[layout.time].notna().to_numpy()
    rows = frame[usable]
    return SeriesRows(
        positions=rows.index.to_numpy(dtype=np.int64),
        codes=codes[usable].astype(np.int64),
        steps=layout.frequency.to_steps(local_times(rows[layout.time], layout.zone)),
        observed=rows[layout.target].notna().to_numpy(),
    )


def index_rows(table: Table, layout: SeriesLayout) -> SeriesRows:
    """Where each row of a table stands."""
    return index_frame(table.frame(layout.key_columns), layout)
