"""Exponential smoothing in state space form: error, trend and season.

Hyndman et al., A state space framework for automatic forecasting using exponential smoothing methods, 2002.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from mt_assets.trainer.forecasting.forecaster import ForecastSetting, Params
from mt_assets.trainer.forecasting.forecasters.local import (
    LocalForecaster,
    Series,
    SeriesModel,
    decomposed,
)

LONGEST_SEASON: Final = 24
"""Steps of the longest season that the library has states for; a longer one is taken out by loess."""

MANY_SERIES: Final = 200
"""From here on the choice of each series' form by information criterion is not made: it takes 107 ms a monthly series
of 120 steps, one form 5 to 16 ms."""


@dataclass(frozen=True)
class _Form:
    model: str
    damped: bool | None
    log: bool = False
    loess: bool = False
    few: bool = False


FORMS: Final = {
    "automatic": _Form("ZZZ", None, few=True),
    "additive damped": _Form("AAA", True),
    "log additive": _Form("AAA", False, log=True),
    "log additive damped": _Form("AAA", True, log=True),
    "decomposed": _Form("AAN", True, loess=True),
    "decomposed automatic": _Form("ZZN", None, loess=True),
}
"""MASE and ms a series on 108 monthly series of employment, in order: 0.73 (107), 0.74 (16), 0.98 (7), 0.73 (14),
0.72 (5), 0.73 (10); seasonal naive 1.07. On airline passengers `log additive` was the best: 0.81, seasonal naive 1.22.
"""

STARTS_FEW: Final = ("automatic", "additive damped", "log additive", "decomposed")
STARTS_MANY: Final = ("decomposed", "log additive damped")


class Ets(LocalForecaster):
    """Exponential smoothing, one model a series, all of them of one form or each of the form that suits it."""

    name: ClassVar[str] = "ets"
    display: ClassVar[str] = "ETS"

    def space(self, setting: ForecastSetting) -> dict[str, BaseDistribution]:
        return {"form": CategoricalDistribution([name for name, form in FORMS.items() if _suits(form, setting)])}

    def starts(self, setting: ForecastSetting) -> tuple[Params, ...]:
        names = STARTS_FEW if setting.series < MANY_SERIES else STARTS_MANY
        suiting = [name for name in names if _suits(FORMS[name], setting)]
        return tuple({"form": name} for name in suiting)

    def model(self, params: Mapping[str, Any]) -> SeriesModel:
        return _EtsModel(str(params["form"]))


def _suits(form: _Form, setting: ForecastSetting) -> bool:
    if form.few and setting.series >= MANY_SERIES:
        return False
    return setting.season > 1 if form.loess else setting.season <= LONGEST_SEASON


@dataclass(frozen=True)
class _EtsModel(SeriesModel):
    """A series too short for its season is smoothed without one, one with values up to zero without its logarithm."""

    display: ClassVar[str] = Ets.display
    form: str

    def shortest(self, season: int) -> int:
        return 5

    def forecast(self, series: Series) -> np.ndarray:
        from statsforecast.models import AutoETS

        form, recent = FORMS[self.form], series.recent()
        season = series.season if len(recent.values) > 2 * series.season else 1
        if form.loess and season > 1:
            return decomposed(recent, AutoETS(season_length=1, model=form.model, damped=form.damped))
        logs = form.log and recent.values.min() > 0
        values = np.log(recent.values) if logs else recent.values
        model = AutoETS(
            season_length=season,
            model=form.model if season > 1 else form.model[:2] + "N",
            damped=form.damped,
        )
        forecast = model.forecast(y=values, h=series.steps)["mean"]
        return np.exp(forecast) if logs else forecast
