"""Prophet: a trend that bends, seasons as Fourier terms, and known covariates, added or multiplied.

Taylor and Letham, Forecasting at scale, 2018.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from mt_assets.trainer.forecasting.forecaster import Forecaster, ForecastSetting, Params
from mt_assets.trainer.forecasting.forecasters.lags import DAY, step_seconds
from mt_assets.trainer.forecasting.forecasters.local import (
    LIBRARY_BYTES,
    LocalFit,
    Series,
    SeriesModel,
    each_series,
    series_bytes,
)
from mt_assets.trainer.forecasting.panel import TIME, VALUE, Panel

LONGEST: Final = 5_000
"""Steps that it is fitted on: 0.1 s a hundred monthly steps, 1.6 s for 2,000 weekly ones, and it grows from there."""

OWN_CYCLES: Final = (1.0, 7.0, 365.25)
"""Days of the seasons that Prophet finds by itself."""

EXPLAINED: Final = 50
"""Series that are fitted to tell what forecasts depend on."""

BEGINNING: Final = pd.Timestamp("2000-01-01")
"""Where whole-number steps begin, a day each: Prophet knows only dates."""


class ProphetForecaster(Forecaster):
    """Prophet, one model a series; known covariates are regressors."""

    name: ClassVar[str] = "prophet"
    display: ClassVar[str] = "Prophet"

    def space(self, setting: ForecastSetting) -> dict[str, BaseDistribution]:
        """As its documentation recommends."""
        return {
            "seasonality_mode": CategoricalDistribution(["additive", "multiplicative"]),
            "changepoint_prior_scale": FloatDistribution(1e-3, 0.5, log=True),
            "seasonality_prior_scale": FloatDistribution(1e-2, 10.0, log=True),
        }

    def starts(self, setting: ForecastSetting) -> tuple[Params, ...]:
        priors = {"changepoint_prior_scale": 0.05, "seasonality_prior_scale": 10.0}
        return tuple({"seasonality_mode": mode, **priors} for mode in ("additive", "multiplicative"))

    def fit(
        self,
        history: Panel,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        *,
        iterations: int | None = None,
        deadline: float | None = None,
    ) -> ProphetFit:
        return ProphetFit(_ProphetModel(dict(params), setting.seed), history)

    def memory(self, setting: ForecastSetting, params: Mapping[str, Any]) -> float:
        """The process of its own that fits a series, and the models that are kept."""
        return series_bytes(setting) + 2 * LIBRARY_BYTES + EXPLAINED * 100.0 * min(LONGEST, setting.rows)


class ProphetFit(LocalFit):
    """Prophet of each series; the first of them are fitted at once, to tell what they depend on, and kept."""

    def __init__(self, model: _ProphetModel, history: Panel) -> None:
        super().__init__(model, history)
        shares: dict[str, list[float]] = {}
        counted = 0
        future = history.next_times(1).assign(**dict.fromkeys(history.known, 0.0))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for series in each_series(history, future, 1):
                if counted == EXPLAINED:
                    break
                if len(series.values) < model.shortest(series.season) or np.ptp(series.values) == 0:
                    continue
                try:
                    found = model.shares(series)
                except RuntimeError:  # of the optimizer; the forecast will count it
                    continue
                counted += bool(found)
                for name, share in found.items():
                    shares.setdefault(name, []).append(share)
        means = {name: float(sum(each)) / max(counted, 1) for name, each in shares.items()}
        self._importance = dict(sorted(means.items(), key=lambda each: -each[1])) or None

    def importance(self) -> dict[str, float] | None:
        """Shares of trend, seasons and covariates in the variation of what was fitted, in the mean over series."""
        return self._importance


@dataclass
class _ProphetModel(SeriesModel):
    """Keeps what it has fitted, by the content of the series."""

    display: ClassVar[str] = ProphetForecaster.display
    params: Params
    seed: int
    fitted: dict[bytes, Any] = field(default_factory=dict)

    def shortest(self, season: int) -> int:
        return 5

    def forecast(self, series: Series) -> np.ndarray:
        model, times = self._fitted(series, keep=False), _dates(series.next_times, series)
        frame = _frame(times, series.next_known)
        return model.predict(frame)["yhat"].to_numpy()

    def shares(self, series: Series) -> dict[str, float]:
        """Of each component in the variation of what was fitted; empty where nothing varies."""
        model = self._fitted(series, keep=True)
        found = model.predict(model.history)
        level = found["trend"].to_numpy()
        parts = {"trend": np.std(level)}
        names = {_regressor(at): name for at, name in enumerate(series.names)}
        for name in [*model.seasonalities, *names]:
            multiplies = name in model.component_modes["multiplicative"]
            part = found[name].to_numpy() * (level if multiplies else 1.0)
            parts[names.get(name, name)] = np.std(part)
        variation = {name: float(part) ** 2 for name, part in parts.items()}
        whole = sum(variation.values())
        return {name: part / whole for name, part in variation.items()} if whole > 0 else {}

    def _fitted(self, series: Series, *, keep: bool) -> Any:
        recent = series.recent(LONGEST)
        parts = (recent.times, recent.values, recent.known)
        key = sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).digest()
        if key in self.fitted:
            return self.fitted[key]
        model = _quiet_prophet()(**self.params, uncertainty_samples=0, **_seasons_of(recent))
        length = _season_days(recent)
        if length is not None and len(recent.values) > 2 * recent.season:
            order = min(10, recent.season // 2)
            model.add_seasonality(name="season", period=length, fourier_order=order)
        for at in range(recent.known.shape[1]):
            model.add_regressor(_regressor(at))
        frame = _frame(_dates(recent.times, recent), recent.known)
        # On less than 100 steps the default is Newton's method, and on failure too: up to 19 s a series, where this
        # takes a tenth of a second.
        model.stan_backend.set_options(newton_fallback=False)
        model.fit(frame.assign(**{VALUE: recent.values}), seed=self.seed, algorithm="LBFGS")
        if keep:
            self.fitted[key] = model
        return model


def _quiet_prophet() -> Any:
    """The class, with the loggers of the library and of its optimizer silent."""
    from prophet import Prophet

    for name in ("cmdstanpy", "prophet"):  # which set their own level; what they say of a failure is raised, too
        logging.getLogger(name).disabled = True
    return Prophet


def _dates(times: np.ndarray, series: Series) -> pd.DatetimeIndex:
    if series.frequency.alias is not None:
        return pd.DatetimeIndex(times)
    steps = (times - series.times[-1]) // series.frequency.step
    return BEGINNING + pd.to_timedelta(steps + 10_000, unit="D")


def _frame(times: pd.DatetimeIndex, known: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({TIME: times, **{_regressor(at): column for at, column in enumerate(known.T)}})


def _regressor(at: int) -> str:
    """A name that is not one of Prophet's own."""
    return f"regressor_{at}"


def _seasons_of(series: Series) -> dict[str, Any]:
    """Whole-number steps have neither years nor weeks nor days."""
    if series.frequency.alias is not None:
        return {}
    return dict.fromkeys(("yearly_seasonality", "weekly_seasonality", "daily_seasonality"), False)


def _season_days(series: Series) -> float | None:
    """Days of a season that Prophet does not find by itself; None where there is none."""
    if series.season == 1:
        return None
    length = step_seconds(series.frequency)
    days = series.season * (1.0 if length is None else length / DAY)
    if length is not None and any(abs(days - own) < 0.05 * own for own in OWN_CYCLES):
        return None
    return days
