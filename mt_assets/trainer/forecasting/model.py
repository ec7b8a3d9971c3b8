"""The model that a person takes away: from history to forecasts with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.forecaster import FittedForecaster
from mt_assets.trainer.forecasting.history import History, read_history
from mt_assets.trainer.forecasting.intervals import Intervals
from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.forecasting.panel import TIME, Panel
from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor
from mt_assets.trainer.forecasting.rows import SeriesRows


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
        return self.told(read_history(frame, self.layout))

    def told(self, history: History) -> pd.DataFrame:
        """The forecasts that follow a history, as the data writes series and times; see `predict`."""
        made = self._of(history)
        layout, horizon = self.layout, self.layout.horizon
        columns: dict[str, Any] = {}
        if layout.series and history.labels is not None:
            each = np.repeat(np.arange(len(made.names)), horizon)
            columns[layout.series] = history.labels.iloc[each].reset_index(drop=True)
        columns[layout.time] = history.told(made.times.reshape(-1))
        columns[f"predicted_{self.target}"] = made.values.reshape(-1)
        columns[f"lower_{self.target}"] = made.quantiles[:, :, 0].reshape(-1)
        columns[f"upper_{self.target}"] = made.quantiles[:, :, -1].reshape(-1)
        return pd.DataFrame(columns)

    def scores(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """The forecasts alone, series after series, float64 [s * horizon]."""
        return self.forecast(frame).values.reshape(-1)

    def forecast(self, frame: pd.DataFrame) -> Forecasts:
        """Forecasts that follow the history in a frame; see `predict`."""
        return self._of(read_history(frame, self.layout))

    def _of(self, known: History) -> Forecasts:
        preprocessor = self.preprocessor.on(known.layout)
        history = preprocessor.gather(known.rows, known.frame)
        if preprocessor.known:
            self._refuse_without_future(preprocessor, history, known.rows)
        future = preprocessor.future(history, known.rows, known.frame, self.layout.steps)
        return self.ahead(history, future, preprocessor)

    def ahead(self, history: Panel, future: pd.DataFrame, preprocessor: SeriesPreprocessor) -> Forecasts:
        """Forecasts that follow a panel."""
        steps, gap = self.layout.steps, self.layout.gap
        blended = sum(part.weight * part.fitted.forecast(history, future, steps) for part in self.parts)
        values = np.asarray(blended, dtype=np.float64)[:, gap:]
        times = future[TIME].to_numpy().reshape(len(history), steps)[:, gap:]
        return Forecasts(preprocessor.layout.names, times, values, self.intervals.quantiles(values, history.scales()))

    def _refuse_without_future(self, preprocessor: SeriesPreprocessor, history: Panel, rows: SeriesRows) -> None:
        covered = preprocessor.covered(history, rows, self.layout.steps)
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
