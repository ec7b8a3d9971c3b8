"""History as people hand it over when they want forecasts: read, held to what the model knows, and told about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mt_assets.trainer.data.frames import as_datetime, canonical
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.features.columns import as_number
from mt_assets.trainer.forecasting.layout import SeriesLayout, SeriesTrouble
from mt_assets.trainer.forecasting.rows import (
    SeriesRows,
    in_zone,
    index_frame,
    local_times,
    refuse_unread_times,
    series_labels,
)
from mt_assets.trainer.forecasting.troubles import trouble_of


@dataclass(frozen=True, eq=False)
class History:
    """What is known of series that are to be forecast.

    Attributes
    ----------
    frame : pandas.DataFrame
        Canonical, with positions as index.
    layout : SeriesLayout
        That of the model, with the series that are forecast, what is wrong with those and others, and the time zone by
        which days are counted.
    rows : SeriesRows
    labels : pandas.Series or None
        Each series as the data writes it, [s]; None where there is but one.
    zone : str or None
        In which times are told.
    notes : tuple of str
        What a person should know.
    """

    frame: pd.DataFrame
    layout: SeriesLayout
    rows: SeriesRows
    labels: pd.Series | None
    zone: str | None
    notes: tuple[str, ...]

    def told(self, times: np.ndarray) -> pd.Series:
        """Times on the grid as the data writes them."""
        written = in_zone(self.layout.frequency.written(times), self.layout.zone)
        return written if self.zone == self.layout.zone else written.dt.tz_convert(self.zone)


def read_history(frame: pd.DataFrame, layout: SeriesLayout) -> History:
    """Read history with the columns of a layout.

    A table that has no time zone is taken to be of the model's; one that has it is told in its own.

    Raises
    ------
    DataError
        A column is missing, times or values cannot be read, or no series has a value.
    """
    missing = [name for name in layout.columns if name not in frame.columns]
    if missing:
        raise DataError(
            f"The data has no column {', '.join(map(repr, missing))}, which the model forecasts from.",
            suggestions=(f"It needs the columns {', '.join(layout.columns)}.",),
        )
    given = frame[layout.columns].reset_index(drop=True)
    rows = canonical(given)
    zone = _zone(given[layout.time])
    rows[layout.time] = _times(rows[layout.time], layout)
    rows[layout.target] = _values(rows[layout.target])
    labels = series_labels(rows, layout.series)
    placed = labels.notna() & rows[layout.time].notna()
    if not (placed & rows[layout.target].notna()).any():
        raise DataError(
            f"There is no row with a value of {layout.target!r} and of {layout.time!r}, so that there is no history to"
            " forecast from.",
            suggestions=("Hand over the history of each series, up to the last known value.",),
        )
    by = layout.model_copy(update={"zone": zone and (layout.zone or zone)})
    names, troubles = _held(rows[placed], labels[placed], by)
    own = by.model_copy(update={"names": names, "troubles": troubles})
    found = index_frame(rows, own)
    notes = [*_of_rows(rows, labels, layout), *own.warnings(), *_of_series(names, layout), *_of_ends(found, own)]
    notes += _of_covariates(rows, layout)
    if zone is None and layout.zone is not None:
        notes.append(f"Times without a zone are taken as those of {layout.zone}.")
    first = labels.drop_duplicates()
    written = given.loc[[first.index[first == name][0] for name in names], layout.series] if layout.series else None
    return History(rows, own, found, written, zone, tuple(notes))


def _zone(times: pd.Series) -> str | None:
    """Time zone of times; of text that tells an offset, UTC."""
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        return str(times.dtype.tz)
    first = times.dropna().head(1)
    if times.dtype == object and len(first):
        read = pd.to_datetime(first, errors="coerce", format="ISO8601").iloc[0]
        return "UTC" if getattr(read, "tzinfo", None) is not None else None
    return None


def _times(values: pd.Series, layout: SeriesLayout) -> pd.Series:
    read = as_datetime(values) if values.dtype == object else values
    if read[values.notna()].isna().any():
        refuse_unread_times(values, layout.time)
    refuse_unread_times(read, layout.time)
    dated = pd.api.types.is_datetime64_any_dtype(read.dtype)
    if read.notna().any() and dated != (layout.frequency.alias is not None):
        kinds = {True: "dates", False: "whole numbers"}
        raise DataError(
            f"The time column {layout.time!r} holds {kinds[dated]} (such as {str(read.dropna().iloc[0])!r}), but the "
            f"model has learned from {kinds[not dated]}.",
            suggestions=("Write times as in the data that the model was trained on.",),
        )
    return read


def _values(values: pd.Series) -> pd.Series:
    read = pd.Series(as_number(values), index=values.index)
    bad = values[values.notna() & read.isna()]
    if len(bad):
        first = bad.head(3)
        shown = ", ".join(f"{str(value)!r} in row {row + 1:,}" for row, value in zip(first.index, first, strict=True))
        raise DataError(
            f"The target {values.name!r} cannot be read: {len(bad):,} of {values.notna().sum():,} values are no "
            f"numbers, such as {shown}.",
            suggestions=("Write numbers without units and thousands separators, and leave unknown values empty.",),
        )
    return read


def _held(
    rows: pd.DataFrame, labels: pd.Series, layout: SeriesLayout
) -> tuple[tuple[str, ...], tuple[SeriesTrouble, ...]]:
    """Names of the series that can be forecast, and what is wrong with series."""
    codes, names = pd.factorize(labels, sort=True)
    times = local_times(rows[layout.time], layout.zone)
    order = np.lexsort((times, codes))
    borders = np.searchsorted(codes[order], np.arange(1, len(names)))
    steps, values = layout.frequency.to_steps(times), rows[layout.target].to_numpy()
    parts = zip(*(np.split(each[order], borders) for each in (times, steps, values)), strict=True)
    found = [
        trouble_of(str(name), at, in_step, known, layout.frequency, many=len(names) > 1)
        for name, (at, in_step, known) in zip(names, parts, strict=True)
    ]
    troubles = tuple(each for each in found if each is not None)
    lost = {each.series for each in troubles if each.outcome == "left_out"}
    kept = tuple(str(name) for name in names if str(name) not in lost)
    if not kept:
        raise DataError(
            f"No series can be forecast: {'; '.join(f'{each.series!r}: {each.trouble}' for each in troubles[:3])}.",
            suggestions=(f"Hand over history whose step is the model's, {layout.frequency.told}.",),
        )
    return kept, troubles


def _of_rows(rows: pd.DataFrame, labels: pd.Series, layout: SeriesLayout) -> list[str]:
    lost = {layout.time: rows[layout.time].isna(), layout.series: labels.isna()}
    return [f"{each.sum():,} rows have no {name!r} and were left out." for name, each in lost.items() if each.any()]


def _of_series(names: tuple[str, ...], layout: SeriesLayout) -> list[str]:
    """Series that the model has not learned from, and those that are not there."""
    if layout.series is None:
        return []
    news, gone = [name for name in names if name not in set(layout.names)], set(layout.names) - set(names)
    notes = []
    if news:
        notes.append(
            f"{len(news):,} series are new to the model: {_some(news)}; they are forecast like those it knows."
        )
    if gone:
        notes.append(f"{len(gone):,} series that the model knows have no forecast here: {_some(sorted(gone))}.")
    return notes


def _of_ends(rows: SeriesRows, layout: SeriesLayout) -> list[str]:
    """Series that end before the others, whose forecasts begin earlier."""
    last = rows.last_steps(len(layout.names))
    early = np.flatnonzero(last < last.max())
    if not len(early):
        return []
    names = _some([layout.names[at] for at in early])
    return [f"{len(early):,} series end before the newest one ({names}); forecasts follow the last value of each."]


def _of_covariates(rows: pd.DataFrame, layout: SeriesLayout) -> list[str]:
    notes = []
    for name, role in (layout.known | layout.past).items():
        if role == "numeric" and rows[name].dtype == object:
            lost = rows[name][rows[name].notna() & np.isnan(as_number(rows[name]))]
            if len(lost):
                such = f"such as {lost.iloc[0]!r}"
                notes.append(f"{len(lost):,} values of {name!r} are no numbers ({such}); they count as missing.")
    return notes


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more
