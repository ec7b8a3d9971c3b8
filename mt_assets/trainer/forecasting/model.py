"""The model that a person takes away: from history to forecasts with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mt_assets.trainer.data.frames import as_datetime, canonical
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.forecaster import FittedForecaster
from mt_assets.trainer.forecasting.intervals import Intervals
from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.forecasting.panel import TIME, Panel
from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor
from mt_assets.trainer.forecasting.rows import in_zone, index_frame, series_labels


@dataclass(frozen=True, eq=False)
class ForecastPart:
    """One forecaster of the model with its weight; those of all parts sum to 1."""

    weight: float
    name: str
    fitted: FittedForecaster


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What was forecast.

    Attributes
    ----------
    names : tuple of str
        Of the series.
    times : ndarray [s, horizon]
        On the grid.
    values : ndarray [s, horizon]
    quantiles : ndarray [s, horizon, len(QUANTILES)]
    """

    names: tuple[str, ...]
    times: np.ndarray
    values: NDArray[np.float64]
    quantiles: NDArray[np.float64]


class ForecastModel:
    """Fitted forecasters that take history as people have it.

    Parameters
    ----------
    parts : tuple of ForecastPart
    preprocessor : SeriesPreprocessor
    intervals : Intervals

    Examples
    --------
    >>> model.predict(pandas.read_csv("sales_until_today.csv"))  # doctest: +SKIP
    """

    classes = None
    calibration = None
    threshold = 0.5

    def __init__(self, parts: tuple[ForecastPart, ...], preprocessor: SeriesPreprocessor, intervals: Intervals) -> None:
        self.parts = parts
        self.preprocessor = preprocessor
        self.intervals = intervals

    @property
    def layout(self) -> SeriesLayout:
        return self.preprocessor.layout

    @property
    def target(self) -> str:
        """Name of the forecast column."""
        return self.layout.target

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that a table of history must have."""
        return tuple(self.layout.columns)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The steps after the last value of each series.

        Parameters
        ----------
        frame : pandas.DataFrame
            History with the columns of `features`: of the series that were learned from, with newer rows, or of others
            like them. Covariates that are known ahead stand in rows after the last value, whose target is empty.

        Returns
        -------
        pandas.DataFrame
            Series (where there are several), time, `predicted_<target>`, and the ends of the interval `lower_<target>`
            and `upper_<target>`, which is to hold 90 % of the values (`intervals.LEVEL`).

        Raises
        ------
        DataError
            A column is missing, no series has a value, or rows with what is known ahead.
        """
        made = self.forecast(frame)
        layout, horizon = self.layout, self.layout.horizon
        columns: dict[str, Any] = {}
        if layout.series:
            columns[layout.series] = np.repeat(np.array(made.names, dtype=object), horizon)
        times = layout.frequency.written(made.times.reshape(-1))
        columns[layout.time] = in_zone(times, layout.zone)
        columns[f"predicted_{self.target}"] = made.values.reshape(-1)
        columns[f"lower_{self.target}"] = made.quantiles[:, :, 0].reshape(-1)
        columns[f"upper_{self.target}"] = made.quantiles[:, :, -1].reshape(-1)
        return pd.DataFrame(columns)

    def scores(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """The forecasts alone, series after series, float64 [s * horizon]."""
        return self.forecast(frame).values.reshape(-1)

    def forecast(self, frame: pd.DataFrame) -> Forecasts:
        """Forecasts that follow the history in a frame; see `predict`."""
        rows_of, preprocessor = self._own_rows(frame)
        rows = index_frame(rows_of, preprocessor.layout)
        history = preprocessor.gather(rows, rows_of)
        if preprocessor.known:
            self._refuse_without_future(preprocessor, history, rows_of)
        return self.ahead(history, preprocessor.future(history, rows, rows_of, self.layout.steps), preprocessor)

    def ahead(self, history: Panel, future: pd.DataFrame, preprocessor: SeriesPreprocessor) -> Forecasts:
        """Forecasts that follow a panel."""
        steps, gap = self.layout.steps, self.layout.gap
        blended = sum(part.weight * part.fitted.forecast(history, future, steps) for part in self.parts)
        values = np.asarray(blended, dtype=np.float64)[:, gap:]
        times = future[TIME].to_numpy().reshape(len(history), steps)[:, gap:]
        return Forecasts(preprocessor.layout.names, times, values, self.intervals.quantiles(values, history.scales()))

    def _own_rows(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, SeriesPreprocessor]:
        """The rows as they were learned from, and the preprocessor for the series that are there."""
        missing = [name for name in self.features if name not in frame.columns]
        if missing:
            raise DataError(
                f"The data has no column {', '.join(map(repr, missing))}, which the model forecasts from.",
                suggestions=(f"It needs the columns {', '.join(self.features)}.",),
            )
        rows = canonical(frame[list(self.features)]).reset_index(drop=True)
        layout = self.layout
        if rows[layout.time].dtype == object:
            rows[layout.time] = as_datetime(rows[layout.time])
        if rows[layout.time].dtype != object and rows[layout.time].isna().all():
            raise DataError(f"No value of {layout.time!r} can be read as a time.")
        labels = series_labels(rows, layout.series)
        known = rows[layout.target].notna() & rows[layout.time].notna()
        names = tuple(sorted(set(labels[known].dropna())))
        if not names:
            raise DataError(
                f"There is no row with a value of {layout.target!r} and of {layout.time!r}, so that there is no history"
                " to forecast from.",
                suggestions=("Hand over the history of each series, up to the last known value.",),
            )
        own = layout.model_copy(update={"names": names})
        return rows, SeriesPreprocessor(own, self.preprocessor.known, self.preprocessor.past, rows.index[:0].to_numpy())

    def _refuse_without_future(self, preprocessor: SeriesPreprocessor, history: Panel, frame: pd.DataFrame) -> None:
        covered = preprocessor.covered(history, index_frame(frame, preprocessor.layout), self.layout.steps)
        short = np.flatnonzero(~covered.all(axis=1))
        if len(short):
            name = preprocessor.layout.names[short[0]]
            lacking = self.layout.steps - int(covered[short[0]].sum())
            columns = ", ".join(map(repr, self.layout.known))
            raise DataError(
                f"{columns} must be known for the {self.layout.steps} steps after the last value of "
                f"{self.target!r}, but {len(short):,} of {len(history):,} series lack rows there: {name!r} lacks "
                f"{lacking}.",
                suggestions=(f"Add those rows, with {columns} filled in and {self.target!r} left empty.",),
            )


def naive_forecasts(history: Panel, steps: int) -> NDArray[np.float64]:
    """The value of one season before, [s, steps]: the baseline that every forecast stands beside."""
    forecasts = np.empty((len(history), steps))
    for at, values in enumerate(history.values()):
        season = min(history.season, len(values))
        forecasts[at] = np.resize(values[len(values) - season :], steps)
    return forecasts
