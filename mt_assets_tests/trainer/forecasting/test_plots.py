"""Plots of forecasts: valid PNGs of the promised size, with whatever names and gaps the series have."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mt_assets.trainer.evaluation.plots import PLOTS
from mt_assets.trainer.forecasting.evaluate import forecast_test
from mt_assets.trainer.forecasting.forecaster import FittedForecaster
from mt_assets.trainer.forecasting.forecasters.local import naive_forecasts
from mt_assets.trainer.forecasting.intervals import Intervals
from mt_assets.trainer.forecasting.model import ForecastModel, ForecastPart
from mt_assets.trainer.forecasting.plots import ForecastView, autocorrelation, forecast_plots, scaled_errors
from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor
from mt_assets.trainer.forecasting.windows import TEST

HOSTILE = ("$a_{1}$ costs $5, and on and on for ever", "😀 漢字\n", "../../etc/passwd", "_under <b>&")


class Repeats(FittedForecaster):
    """The seasonal naive forecast, a little off."""

    def forecast(self, history: Any, future: pd.DataFrame, steps: int) -> np.ndarray:
        return naive_forecasts(history, steps) + np.linspace(0, 5, steps)


def viewed(work: Any) -> ForecastView:
    preprocessor = SeriesPreprocessor(work.layout, (), (), np.empty(0, dtype=np.int64))
    errors = np.random.default_rng(0).normal(size=200)
    intervals = Intervals.learn(errors, np.arange(200) % work.layout.horizon, work.layout.horizon)
    model = ForecastModel((ForecastPart(1.0, "repeats", Repeats()),), preprocessor, intervals)
    return ForecastView(work.data, TEST, forecast_test(model, work.data))


def check(files: dict[str, bytes], names: set[str]) -> None:
    assert names <= set(PLOTS)
    assert set(files) == {f"{size}{name}.png" for name in names for size in ("", "small_")}
    for name, png in files.items():
        picture = Image.open(BytesIO(png))
        picture.load()
        if name.startswith("small_"):
            assert len(png) <= 12_000
            assert picture.mode == "P"
        else:
            assert picture.width == 1080


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"testSize": 0.2, "horizon": 1},
        {"horizon": 3, "validationStrategy": {"gap": 2}},
        {"horizon": 20, "seasonality": 1},
    ],
)
def test_one_series_has_forecasts_and_the_pattern_of_errors(
    change: dict[str, Any], forecasting: Any, series: Any
) -> None:
    check(forecast_plots(viewed(forecasting(series(120), **change))), {"forecasts", "error_autocorrelation"})


@pytest.mark.parametrize("many", [2, 4, 12])
def test_several_series_are_ranked(many: int, forecasting: Any, panel: Any) -> None:
    frame = panel(**{f"s{at}": 70 + at for at in range(many)})
    frame["y"] *= 1e6 ** (frame["series"] == "s1")
    view = viewed(forecasting(frame))
    check(forecast_plots(view), {"forecasts", "error_autocorrelation", "worst_series"})
    assert np.array_equal(np.argsort(view.mase, kind="stable"), view.ranked)


def test_names_of_series_are_text_and_no_file_names(forecasting: Any, panel: Any) -> None:
    frame = panel(a=70, b=70, c=70, d=70)
    frame["series"] = frame["series"].map(dict(zip("abcd", HOSTILE, strict=True)))
    check(forecast_plots(viewed(forecasting(frame))), {"forecasts", "error_autocorrelation", "worst_series"})


def test_gaps_numbered_steps_and_constants_are_drawn_too(forecasting: Any, series: Any) -> None:
    frame = series(120)
    frame["time"] = np.arange(120)
    frame.loc[[60, 61, 112, 115], "y"] = None
    check(forecast_plots(viewed(forecasting(frame))), {"forecasts", "error_autocorrelation"})
    still = pd.concat([series(70, "a"), series(70, "b").assign(y=3.0)])
    check(forecast_plots(viewed(forecasting(still))), {"forecasts", "error_autocorrelation", "worst_series"})


def test_errors_are_in_scales_of_the_series_around_their_mean(forecasting: Any, panel: Any) -> None:
    view = viewed(forecasting(panel(a=80, b=80)))
    errors = scaled_errors(view)
    assert errors.shape == (2, view.data.layout.horizon)
    assert np.nanmean(errors) == pytest.approx(0)


def test_autocorrelation_is_that_of_the_textbook_and_skips_what_is_missing() -> None:
    # 1, -1, 1, -1, ...: the estimator at lag k has n - k of n terms.
    alternating = np.tile([1.0, -1.0], 10)[None]
    assert np.allclose(autocorrelation(alternating)[:3], [-19 / 20, 18 / 20, -17 / 20])
    two = np.vstack([alternating, -alternating])
    assert np.allclose(autocorrelation(two), autocorrelation(alternating))  # no pair spans two series
    holed = alternating.copy()
    holed[0, 5] = np.nan
    assert autocorrelation(holed)[0] == pytest.approx(-17 / 19)
    assert len(autocorrelation(np.zeros((2, 10)))) == 0
    assert len(autocorrelation(np.ones((1, 1)))) == 0
