"""Autoregression, differences and moving averages, with the orders chosen for each series.

Hyndman and Khandakar, Automatic time series forecasting: the forecast package for R, 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from mt_assets.trainer.forecasting.forecaster import ForecastSetting, Params
from mt_assets.trainer.forecasting.forecasters.local import (
    LIBRARY_BYTES,
    LocalForecaster,
    Series,
    SeriesModel,
    decomposed,
    series_bytes,
)

LONGEST_SEASON: Final = 12
"""Steps of the longest season that is modelled by seasonal orders. On hourly electricity with a season of 24 they were
a little better than the season taken out by loess (MASE 1.07 and 1.17), in ten times the time, 2.5 s a series."""

BOUNDS: Final[dict[str, Any]] = {
    "max_p": 3,
    "max_q": 3,
    "max_P": 1,
    "max_Q": 1,
    "start_p": 1,
    "start_q": 1,
    "nmodels": 20,
    "stepwise": True,
    "approximation": True,
}
"""Orders, and how many of them are tried: 0.2 s a monthly series of 120 steps and not 0.9 (MASE 0.53 and 0.50)."""


class Arima(LocalForecaster):
    """ARIMA, one model a series; known covariates are regressors."""

    name: ClassVar[str] = "arima"
    display: ClassVar[str] = "ARIMA"

    def space(self, setting: ForecastSetting) -> dict[str, BaseDistribution]:
        return {"season": CategoricalDistribution(_seasons(setting.season))}

    def starts(self, setting: ForecastSetting) -> tuple[Params, ...]:
        return tuple({"season": each} for each in _seasons(setting.season))

    def model(self, params: Mapping[str, Any]) -> SeriesModel:
        return _ArimaModel(str(params["season"]))

    def memory(self, setting: ForecastSetting, params: Mapping[str, Any]) -> float:
        """Of the Kalman filter on top, whose state is as long as the season and the orders."""
        state = 4 + (2 * setting.season if params.get("season") == "orders" else 0)
        return series_bytes(setting) + LIBRARY_BYTES + 8.0 * 10 * state**2


def _seasons(season: int) -> list[str]:
    """How the season can be modelled: not at all, by seasonal orders, or taken out by loess."""
    if season == 1:
        return ["none"]
    return ["orders", "loess"] if season <= LONGEST_SEASON else ["loess"]


@dataclass(frozen=True)
class _ArimaModel(SeriesModel):
    """Regressors that do not vary, or are too many for the series, are left out."""

    display: ClassVar[str] = Arima.display
    season: str

    def shortest(self, season: int) -> int:
        return 8

    def forecast(self, series: Series) -> np.ndarray:
        from statsforecast.models import AutoARIMA

        recent = series.recent()
        seasonal = self.season != "none" and len(recent.values) > 2 * series.season
        covariates = _regressors(recent)
        if seasonal and self.season == "loess":
            return decomposed(recent, AutoARIMA(season_length=1, **BOUNDS), **covariates)
        model = AutoARIMA(season_length=series.season if seasonal else 1, **BOUNDS)
        return model.forecast(y=recent.values, h=series.steps, **covariates)["mean"]


def _regressors(series: Series) -> dict[str, Any]:
    """Known covariates as the library takes them, in standard units; nothing where they cannot be told apart."""
    known = series.known
    if not known.shape[1]:
        return {}
    width = known.std(axis=0)
    varying = width > 1e-12 * np.maximum(1.0, np.abs(known).max(axis=0))
    middle = known[:, varying].mean(axis=0)
    X = (known[:, varying] - middle) / width[varying]
    if not X.shape[1] or len(X) < 5 * X.shape[1] or np.linalg.matrix_rank(X) < X.shape[1]:
        return {}
    return {"X": X, "X_future": (series.next_known[:, varying] - middle) / width[varying]}
