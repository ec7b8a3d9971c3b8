"""Plots of forecasts: beside what came, with intervals; how errors hang together; which series are worst.

Every plot takes `small`, see `evaluation.plots`, where their names stand in the order in which they are shown. Names of
series come from the data: they are text on a plot and never part of a file's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from mt_assets.trainer.evaluation.plot_style import BLUE, GREEN, INK, LINE, MUTED, ORANGE, Sheet, both_sizes, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mt_assets.trainer.forecasting.evaluate import Judged
    from mt_assets.trainer.forecasting.series_data import SeriesData

Array = NDArray[np.float64]

SHOWN_SERIES: Final = 4
"""Small multiples: the best, the median and the two worst series."""

HORIZONS_BEFORE, SEASONS_BEFORE, MOST_BEFORE = 3, 2, 400
"""History that is drawn before a forecast: so many horizons, or seasons where they are longer, and at most so many
steps."""

MOST_LAGS: Final = 40

LEAST_ERRORS: Final = 8
"""Fewer errors have a band of more than 0.69, beyond which no autocorrelation of so short a window can be told."""

FEW_ERRORS: Final = 50
"""Fewer errors have a band of more than 0.28, and the plot says that only strong patterns show."""

BARS: Final = {True: 10, False: 25}
"""Series in the bar chart, by whether it is small."""


@dataclass(frozen=True, eq=False)
class ForecastView:
    """What is drawn.

    Attributes
    ----------
    data : SeriesData
    window : int
        The one whose forecasts are shown.
    judged : Judged
        The forecasts of that window.
    """

    data: SeriesData
    window: int
    judged: Judged

    @cached_property
    def mase(self) -> Array:
        """Of each series, [series]; NaN where none of its rows was scored."""
        return self._mean_of(self.judged.values)

    @cached_property
    def naive_mase(self) -> Array:
        """The same of the seasonal naive forecast."""
        return self._mean_of(self.judged.naive)

    @cached_property
    def ranked(self) -> NDArray[np.int64]:
        """Numbers of the series that were scored, the best first."""
        order = np.argsort(self.mase, kind="stable")
        return order[np.isfinite(self.mase[order])]

    def name(self, series: int, limit: int) -> str:
        return text(self.data.layout.names[series], limit)

    def _mean_of(self, forecasts: Array) -> Array:
        judged, many = self.judged, len(self.data.layout.names)
        off = np.abs(judged.truth[:, 0] - forecasts) * judged.truth[:, 1]
        count = np.bincount(judged.codes, minlength=many)
        total = np.bincount(judged.codes, weights=off, minlength=many)
        return np.divide(total, count, out=np.full(many, np.nan), where=count > 0)


def forecast_plots(view: ForecastView) -> dict[str, bytes]:
    """Every plot that fits, in both sizes, by file name: the bars only where there are series to compare."""
    draws = [forecasts, error_autocorrelation, *([worst_series] if len(view.ranked) > 1 else [])]
    files: dict[str, bytes] = {}
    for draw in draws:
        files |= both_sizes(draw.__name__, partial(draw, view))
    return files


def forecasts(view: ForecastView, *, small: bool) -> bytes:
    """Draw forecasts with their intervals beside what came: of one series, or of the best, the median and the worst."""
    layout = view.data.layout
    chosen = _shown(view)
    sheet = Sheet(_title(view, len(chosen)), small=small, height=1.0 if len(chosen) < 3 or small else 1.2)
    grid = sheet.grid(*{1: (1, 1), 2: (2, 1)}.get(len(chosen), (2, 2)))
    for axes, series in zip(grid, chosen, strict=False):
        _draw_series(view, series, axes, sheet)
        if len(chosen) > 1:
            caption = f"{view.name(series, 16 if small else 30)}: MASE {view.mase[series]:.3g}"
            axes.set_title(caption, fontsize=sheet.font, color=INK, loc="left", pad=3)
        else:
            axes.set_ylabel(text(layout.target, 30), fontsize=sheet.font, color=INK)
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    sheet.legend_below(grid[0], 4)
    return sheet.png()


def _title(view: ForecastView, shown: int) -> str:
    of, scored = view.data.layout, len(view.ranked)
    if scored <= 1:
        return f"Forecasts against actuals, {of.horizon} steps ahead"
    which = "best, median and worst of" if scored > shown else "all"
    return f"Forecasts against actuals: {which} {scored:,} series"


def _shown(view: ForecastView) -> list[int]:
    """Numbers of the series to draw."""
    ranked = view.ranked.tolist()
    if len(ranked) <= SHOWN_SERIES:
        return ranked
    return [ranked[0], ranked[len(ranked) // 2], ranked[-2], ranked[-1]]


def _draw_series(view: ForecastView, series: int, axes: Axes, sheet: Sheet) -> None:
    from matplotlib.ticker import MaxNLocator

    layout, judged = view.data.layout, view.judged
    at = np.flatnonzero(judged.codes == series)
    at = at[np.argsort(judged.ahead[at], kind="stable")]
    origin = int(view.data.origins.ends(view.window)[series])
    steps = origin + 1 + layout.gap + judged.ahead[at]
    back = min(MOST_BEFORE, max(HORIZONS_BEFORE * layout.horizon, SEASONS_BEFORE * layout.season))
    rows = view.data.rows
    near = (rows.codes == series) & rows.observed & (rows.steps > origin - back) & (rows.steps <= steps.max())
    own = rows.part(near)
    values = view.data.frame.loc[own.positions, layout.target].to_numpy(dtype=np.float64)
    axes.plot(*_broken(view, own.steps, values), color=INK, linewidth=1.1, label="actual")
    crowded = sheet.small and len(view.ranked) > 1
    if crowded:  # such a picture has no bytes for them
        axes.grid(False)
    else:
        naive = _broken(view, steps, judged.naive[at])
        axes.plot(*naive, color=MUTED, linewidth=1.0, linestyle="--", label="seasonal naive")
    times, low = _broken(view, steps, judged.quantiles[at, 0])
    high = _broken(view, steps, judged.quantiles[at, -1])[1]
    axes.fill_between(
        times, low, high, color=BLUE, alpha=0.2, linewidth=0, label="90 % interval", antialiased=not crowded
    )
    line = ".-" if len(at) <= 60 and not crowded else "-"
    axes.plot(*_broken(view, steps, judged.values[at]), line, color=BLUE, linewidth=1.4, ms=4, label="forecast")
    sheet.readable_ticks(axes.yaxis)
    _time_axis(view, axes, sheet)
    if crowded:
        axes.yaxis.set_major_locator(MaxNLocator(3))


def _broken(view: ForecastView, steps: NDArray[np.int64], values: Array) -> tuple[np.ndarray, Array]:
    """Times and values, the mean where a step has several, with a break where steps are missing."""
    if not len(steps):
        return view.data.layout.frequency.to_times(steps), values
    whole = np.arange(steps.min(), steps.max() + 1)
    place = steps - whole[0]
    count = np.bincount(place, minlength=len(whole))
    total = np.bincount(place, weights=values, minlength=len(whole))
    mean = np.divide(total, count, out=np.full(len(whole), np.nan), where=count > 0)
    frequency = view.data.layout.frequency
    return frequency.written(frequency.to_times(whole)), mean


def _time_axis(view: ForecastView, axes: Axes, sheet: Sheet) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if view.data.layout.frequency.alias is None:
        sheet.readable_ticks(axes.xaxis)
        return
    locator = AutoDateLocator(minticks=2, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_fontsize(sheet.font - 1)


def error_autocorrelation(view: ForecastView, *, small: bool) -> bytes:
    """Draw how errors of one series hang together over the steps of the window, pooled over series.

    A bar beyond the band tells of a pattern that the forecasts leave: of a lag of a season, that the season changes, of
    the first lags, that a forecast which is off stays so. The errors of one origin do that to some extent in any case.
    """
    errors = scaled_errors(view)
    count = int(np.isfinite(errors).sum())
    series = len(view.ranked)
    sheet = Sheet(
        f"Autocorrelation of {count:,} forecast errors" + (f" of {series:,} series" if series > 1 else ""), small=small
    )
    found = autocorrelation(errors) if count >= LEAST_ERRORS else np.empty(0)
    if not len(found):
        sheet.axes.plot([], [], color=MUTED, label=f"{count} errors are too few to tell how they hang together")
        sheet.legend("upper right")
        return sheet.png()
    band = 1.96 / np.sqrt(count)
    told = f"±{band:.2f}, the 95 % band of errors without a pattern"
    if count < FEW_ERRORS:
        told += f"\n{count} errors: only strong patterns show"
    sheet.axes.axhspan(-band, band, color=LINE, alpha=0.6, linewidth=0, label=told)
    lags = np.arange(1, len(found) + 1)
    sheet.axes.bar(lags, found, width=0.5, color=[ORANGE if abs(each) > band else BLUE for each in found])
    sheet.axes.axhline(0, color=INK, linewidth=0.8)
    season = view.data.layout.season
    if 1 < season <= len(found):
        sheet.axes.axvline(season, color=GREEN, linewidth=1.2, linestyle=":", label=f"season, {season} steps")
    sheet.axes.set_xlim(0.4, len(found) + 0.6)
    sheet.axes.set_ylim(-1.05, 1.05)
    sheet.readable_ticks(sheet.axes.xaxis)
    sheet.label("Lag (steps between errors from one origin)", "Autocorrelation")
    sheet.legend("upper right")
    return sheet.png()


def scaled_errors(view: ForecastView) -> Array:
    """Value minus forecast in scales of the series, [series, horizon]; NaN where nothing was scored.

    The mean of all is taken off, as autocorrelation is about what is left then.
    """
    judged, layout = view.judged, view.data.layout
    errors = np.full((len(layout.names), layout.horizon), np.nan)
    errors[judged.codes, judged.ahead] = (judged.truth[:, 0] - judged.values) * judged.truth[:, 1]
    return errors - np.nanmean(errors)


def autocorrelation(errors: Array) -> Array:
    """Autocorrelation at lags 1, 2, ... of errors [series, steps] around 0, pooled over series.

    Up to half the steps: beyond, a lag has hardly any pairs. Empty where all errors are 0.
    """
    total = np.nansum(errors**2)
    if not total > 0:
        return np.empty(0)
    lags = range(1, min(errors.shape[1] // 2, MOST_LAGS) + 1)
    return np.array([np.nansum(errors[:, lag:] * errors[:, :-lag]) / total for lag in lags])


def worst_series(view: ForecastView, *, small: bool) -> bytes:
    """Draw the MASE of the worst series beside that of the seasonal naive forecast, the worst first."""
    from matplotlib.ticker import MaxNLocator

    worst = view.ranked[::-1][: BARS[small]]
    which = f"{len(worst)} worst of {len(view.ranked):,}" if len(worst) < len(view.ranked) else "All"
    sheet = Sheet(f"{which} series by MASE", small=small, height=max(0.6, 0.3 + len(worst) / (14 if small else 22)))
    places = np.arange(len(worst))
    sheet.axes.barh(places - 0.19, view.mase[worst], height=0.36, color=BLUE, label="model")
    sheet.axes.barh(places + 0.19, view.naive_mase[worst], height=0.36, color=MUTED, label="seasonal naive")
    names = [view.name(series, 28) for series in worst.tolist()]
    sheet.axes.set_yticks(places, names, fontsize=sheet.font - 0.5)
    sheet.axes.invert_yaxis()
    sheet.axes.set_xlim(left=0)
    sheet.axes.grid(axis="y", visible=False)
    sheet.axes.xaxis.set_major_locator(MaxNLocator(6))
    sheet.label("MASE", "")
    sheet.legend("lower right")
    return sheet.png()
