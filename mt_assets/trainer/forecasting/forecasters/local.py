"""Models of single series: the loop over the series, and what stands in where a model cannot be fitted.

What belongs here: what is the same for all of them. What does not: any one model.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from mt_assets.trainer.forecasting.forecaster import FittedForecaster, Forecaster, ForecastSetting
from mt_assets.trainer.forecasting.panel import ID, TIME, VALUE, Frequency, Panel

RUNAWAY: Final = 10.0
"""A forecast that leaves the range of its series by more than ten times that range is taken for a failed fit."""

LONGEST: Final = 1_000
"""Steps, or four seasons where that is more, that a model of one series is fitted on: older ones say little of its
level and trend. On weekly CO2, hourly electricity and monthly sunspots forecasts from the last 1,000 steps were as good
as from 2,000 or better (theta: MASE 0.35 and 0.74 on CO2) in half of the time."""

LIBRARY_BYTES: Final = 150e6
"""What the forecasting libraries take when they are loaded."""


@dataclass(frozen=True, eq=False)
class Series:
    """One series and what is known of the steps that are to be forecast.

    Attributes
    ----------
    times, values : numpy.ndarray
        [n]; datetime64[ns] or int64, and float64.
    known : numpy.ndarray
        Known covariates, float64 [n, k].
    next_times, next_known : numpy.ndarray
        Of the steps to forecast, [steps] and [steps, k].
    names : tuple of str
        Of the known covariates.
    season : int
    frequency : Frequency
    """

    times: np.ndarray
    values: np.ndarray
    known: np.ndarray
    next_times: np.ndarray
    next_known: np.ndarray
    names: tuple[str, ...]
    season: int
    frequency: Frequency

    @property
    def steps(self) -> int:
        return len(self.next_times)

    def recent(self, longest: int = LONGEST) -> Series:
        """The same with no more than the last `longest` steps, or four seasons where that is more."""
        first = max(0, len(self.values) - max(longest, 4 * self.season))
        return replace(self, times=self.times[first:], values=self.values[first:], known=self.known[first:])


class SeriesModel(ABC):
    """How one series is forecast by itself; holds parameters, and nothing that was learned.

    Attributes
    ----------
    display : str
        As people write it.
    """

    display: ClassVar[str]

    @abstractmethod
    def shortest(self, season: int) -> int:
        """Steps that a series needs for it."""

    @abstractmethod
    def forecast(self, series: Series) -> np.ndarray:
        """Float64 [steps]; may raise, and need not be finite."""


class LocalForecaster(Forecaster):
    """A forecaster that models each series by itself: there is nothing to fit but on the history."""

    @abstractmethod
    def model(self, params: Mapping[str, Any]) -> SeriesModel:
        """How one series is forecast."""

    def fit(
        self,
        history: Panel,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        *,
        iterations: int | None = None,
        deadline: float | None = None,
    ) -> LocalFit:
        return LocalFit(self.model(params), history)

    def memory(self, setting: ForecastSetting, params: Mapping[str, Any]) -> float:
        return series_bytes(setting) + LIBRARY_BYTES


class LocalFit(FittedForecaster):
    """A model that is fitted on each series when a forecast is made.

    Parameters
    ----------
    model : SeriesModel
    history : Panel
    """

    def __init__(self, model: SeriesModel, history: Panel) -> None:
        self._model = model
        self.notes = self._said(self._short(history), 0, len(history))

    def forecast(self, history: Panel, future: pd.DataFrame, steps: int) -> np.ndarray:
        """See `FittedForecaster.forecast`; `notes` are then those of this history."""
        forecasts = np.empty((len(history), steps))
        failed = 0
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of each series, and more than a person can act on
            for at, series in enumerate(each_series(history, future, steps)):
                found = self._one(series)
                failed += found is None and len(series.values) >= self._model.shortest(history.season)
                forecasts[at] = seasonal_naive(series.values, series.season, steps) if found is None else found
        self.notes = self._said(self._short(history), failed, len(history))
        return forecasts

    def _one(self, series: Series) -> np.ndarray | None:
        """Of one series; None where the model has none that is of use."""
        values = series.values
        if values.min() == values.max():
            return np.full(series.steps, values[-1])
        if len(values) < self._model.shortest(series.season):
            return None
        try:
            found = np.asarray(self._model.forecast(series), dtype=np.float64)
        except MemoryError:
            raise
        except Exception:
            # Whatever the library stumbles on: the other series are not to suffer, and the note counts it.
            return None
        return found if found.shape == (series.steps,) and is_of_use(found, values) else None

    def _short(self, history: Panel) -> int:
        return int((history.lengths < self._model.shortest(history.season)).sum())

    def _said(self, short: int, failed: int, series: int) -> tuple[str, ...]:
        notes = []
        if short:
            notes.append(too_short(short, series, self._model.display))
        if failed:
            notes.append(
                f"{self._model.display} could not be fitted on {failed} of {series} series: "
                "the seasonal naive forecast stands in."
            )
        return tuple(notes)


def too_short(short: int, series: int, display: str) -> str:
    """The note on series that a forecaster cannot take."""
    return f"{short} of {series} series are too short for {display}: the seasonal naive forecast stands in."


def is_of_use(forecast: np.ndarray, values: np.ndarray) -> bool:
    """Whether a forecast [steps] is finite and stays near the range of its series."""
    low, high = values.min(), values.max()
    room = RUNAWAY * (high - low)
    return bool((np.isfinite(forecast) & (forecast > low - room) & (forecast < high + room)).all())


def stood_in(forecasts: np.ndarray, history: Panel, shortest: int = 1) -> np.ndarray:
    """Forecasts [s, steps] of a model of all series, changed in place where they are of no use.

    A constant is forecast as what it is; the seasonal naive forecast stands in for what is not finite, leaves the range
    of its series by far, or is of a series shorter than `shortest`.
    """
    for own, values in zip(forecasts, history.values(), strict=True):
        if values.min() == values.max():
            own[:] = values[-1]
        elif len(values) < shortest or not is_of_use(own, values):
            own[:] = seasonal_naive(values, history.season, len(own))
    return forecasts


def naive_forecasts(history: Panel, steps: int) -> np.ndarray:
    """The seasonal naive forecast of each series, [s, steps]: the baseline that every forecast stands beside."""
    return np.stack([seasonal_naive(values, history.season, steps) for values in history.values()])


def each_series(history: Panel, future: pd.DataFrame, steps: int) -> Iterator[Series]:
    """The series of a panel, in order, with what is known of their next steps."""
    frame, names = history.frame, history.known
    times, values = frame[TIME].to_numpy(), frame[VALUE].to_numpy()
    known = frame[list(names)].to_numpy(dtype=np.float64)
    ahead = future.sort_values([ID, TIME], kind="stable")
    next_times = ahead[TIME].to_numpy().reshape(len(history), steps)
    next_known = ahead[list(names)].to_numpy(dtype=np.float64).reshape(len(history), steps, len(names))
    for at, (start, length) in enumerate(zip(history.starts, history.lengths, strict=True)):
        of = slice(start, start + length)
        yield Series(
            times=times[of],
            values=values[of],
            known=known[of],
            next_times=next_times[at],
            next_known=next_known[at],
            names=names,
            season=history.season,
            frequency=history.frequency,
        )


def seasonal_naive(values: np.ndarray, season: int, steps: int) -> np.ndarray:
    """The last season repeated, [steps]; the last value where the series is shorter than a season."""
    last = values[-season:] if len(values) >= season else values[-1:]
    return np.resize(last, steps)


def decomposed(series: Series, trend: Any, **covariates: Any) -> np.ndarray:
    """What a model without a season forecasts of the series less its season, and the last season of its loess.

    Cleveland et al., STL: a seasonal-trend decomposition procedure based on loess, 1990.
    """
    from statsforecast.models import MSTL

    model = MSTL(season_length=series.season, trend_forecaster=trend)
    return model.forecast(y=series.values, h=series.steps, **covariates)["mean"]


def series_bytes(setting: ForecastSetting) -> float:
    """Bytes of the panel, its forecasts, and one series after another in work."""
    columns = 3 + setting.known + setting.past
    return 3 * 8.0 * columns * (setting.rows + setting.series * setting.steps)
