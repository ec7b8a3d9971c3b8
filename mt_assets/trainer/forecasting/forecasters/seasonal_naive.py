"""The seasonal naive forecast: each step as it was a season before. What every other forecaster is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from optuna.distributions import BaseDistribution

from mt_assets.trainer.forecasting.forecaster import ForecastSetting, Params
from mt_assets.trainer.forecasting.forecasters.local import (
    LocalForecaster,
    Series,
    SeriesModel,
    seasonal_naive,
    series_bytes,
)


class SeasonalNaive(LocalForecaster):
    """The last season, again and again; it needs no library."""

    name: ClassVar[str] = "seasonal_naive"
    display: ClassVar[str] = "Seasonal naive"

    def space(self, setting: ForecastSetting) -> dict[str, BaseDistribution]:
        return {}

    def starts(self, setting: ForecastSetting) -> tuple[Params, ...]:
        return ({},)

    def model(self, params: Mapping[str, Any]) -> SeriesModel:
        return _LastSeason()

    def memory(self, setting: ForecastSetting, params: Mapping[str, Any]) -> float:
        return series_bytes(setting)


class _LastSeason(SeriesModel):
    display: ClassVar[str] = SeasonalNaive.display

    def shortest(self, season: int) -> int:
        return 1

    def forecast(self, series: Series) -> np.ndarray:
        return seasonal_naive(series.values, series.season, series.steps)
