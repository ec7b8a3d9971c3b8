"""Plots of forecasts: beside what came, with intervals; how errors hang together; which series are worst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mt_assets.trainer.forecasting.evaluate import Judged
    from mt_assets.trainer.forecasting.series_data import SeriesData


@dataclass(frozen=True, eq=False)
class ForecastView:
    """What is drawn.

    Attributes
    ----------
    data : SeriesData
    window : int
        The one whose forecasts are shown.
    judged : Judged
    metric : str
    """

    data: SeriesData
    window: int
    judged: Judged
    metric: str


def forecast_plots(view: ForecastView) -> dict[str, bytes]:
    """File name to PNG, full-size and `small_` ones."""
    return {}
