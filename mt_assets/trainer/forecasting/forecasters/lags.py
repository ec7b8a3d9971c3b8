"""Series as rows for a regressor: what was known at an origin, and the value some steps after it.

What belongs here: scaling, lags, calendar, differences. What does not: the regressor, and which rows it is fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from mt_assets.trainer.forecasting.panel import ID, TIME, VALUE, Frequency, Panel

DAY: Final = 86_400.0
"""Seconds."""

LONGEST_CYCLE: Final = 2_016
"""Steps of the longest day or week that lags reach back to: a week of steps of five minutes."""

CALENDAR: Final = (
    # from seconds of a step, below, parts
    (0.0, 3_600.0, ("minute", "hour", "day of week")),
    (3_600.0, DAY, ("hour", "day of week", "month")),
    (DAY, 7 * DAY, ("day of week", "day of month", "month")),
    (7 * DAY, 28 * DAY, ("week", "month")),
    (28 * DAY, 300 * DAY, ("month",)),
)
"""Parts of a date that tell one step of such a length from another."""


@dataclass(frozen=True)
class LagPlan:
    """Which columns a row has.

    Attributes
    ----------
    season : int
    seasons : tuple of int
        `season` and the lengths of a day and a week in steps, where there are such; ascending, without 1.
    lags : tuple of int
        Steps back, 1 for the last value that is known.
    windows : tuple of int
        Last steps whose means are columns.
    calendar : tuple of str
    known, past : tuple of str
    difference : {"none", "last", "season"}
        What of the past is subtracted from the target and from the lags: nothing, the last known value, or the last
        known value of the same place in the season.
    log : bool
        Whether series without negative values are learned in logarithms.
    """

    season: int
    seasons: tuple[int, ...]
    lags: tuple[int, ...]
    windows: tuple[int, ...]
    calendar: tuple[str, ...]
    known: tuple[str, ...]
    past: tuple[str, ...]
    difference: str
    log: bool

    @classmethod
    def of(cls, panel: Panel, difference: str, log: bool) -> Self:
        """For the season, frequency and covariates of a panel."""
        season, length = panel.season, step_seconds(panel.frequency)
        cycles = {season}
        if length is not None:
            cycles |= {round(cycle / length) for cycle in (DAY, 7 * DAY) if length < cycle <= LONGEST_CYCLE * length}
        recent = 3 if season == 1 else min(max(season, 4), 12)
        windows = {3, 6 if season == 1 else season, 12 if season == 1 else 2 * season}
        if length is None:
            calendar: tuple[str, ...] = ("place in season",) if season > 1 else ()
        else:
            calendar = next((parts for low, high, parts in CALENDAR if low <= length < high), ())
        return cls(
            season=season,
            seasons=tuple(sorted(cycles - {1})),
            lags=tuple(range(1, recent + 1)),
            windows=tuple(sorted(windows)),
            calendar=calendar,
            known=panel.known,
            past=panel.past,
            difference=difference,
            log=log,
        )

    @property
    def reach(self) -> int:
        """Steps before an origin that its row looks back to."""
        return max((*self.lags, *self.windows, *(2 * season for season in self.seasons)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each column depends on, as people read it; several columns may share a name."""
        return (
            *(f"lag {lag}" for lag in self.lags),
            *(name for season in self.seasons for name in (f"lag {season}", f"lag {2 * season}", f"lag {season}")),
            *(f"rolling mean {window}" for window in self.windows),
            *(f"rolling deviation {window}" for window in self.windows[-2:-1]),
            "steps ahead",
            *self.calendar,
            *self.known,
            *(name for name in self.past for _ in self._past_lags),
        )

    @property
    def _past_lags(self) -> tuple[int, ...]:
        return tuple(sorted({1, 2, self.season}))


class LagTable:
    """Series as the plan sees them, on one scale, with room for the steps that follow.

    Parameters
    ----------
    plan : LagPlan
    panel : Panel
    future : pandas.DataFrame, optional
        Times and known covariates of the next `steps` of each series.
    steps : int
    """

    def __init__(self, plan: LagPlan, panel: Panel, future: pd.DataFrame | None = None, steps: int = 0) -> None:
        self._plan = plan
        frame = panel.frame
        if future is not None:
            columns = [ID, TIME, *plan.known]
            both = pd.concat([frame, future[columns]], ignore_index=True)
            frame = both.sort_values([ID, TIME], kind="stable", ignore_index=True)
        self.lengths = panel.lengths
        full = self.lengths + steps
        self.starts = np.cumsum(full) - full
        self.place = np.arange(len(frame)) - np.repeat(self.starts, full)
        self._of = np.repeat(np.arange(len(full)), full)
        self._scale(frame[VALUE].to_numpy(dtype=np.float64), panel)
        self._known = frame[list(plan.known)].to_numpy(dtype=np.float64)
        self._past = frame[list(plan.past)].to_numpy(dtype=np.float64)
        self._dates = _calendar(plan, frame[TIME], panel.frequency)

    @property
    def ends(self) -> np.ndarray:
        """Row of the last value of each series."""
        return self.starts + self.lengths - 1

    def rows(self, origins: np.ndarray, ahead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns, float64 [n, columns], and what has to be added to a prediction, [n].

        Parameters
        ----------
        origins : numpy.ndarray
            Rows whose value is the last that is known, [n].
        ahead : numpy.ndarray
            Steps from there to the target, [n], at least 1.
        """
        plan, targets = self._plan, origins + ahead
        last = self.values[origins]
        cycles = {season: -(-ahead // season) * season for season in plan.seasons}
        anchor = np.zeros(len(origins))
        if plan.difference != "none":
            anchor = last
        if plan.difference == "season" and plan.season > 1:
            seasonal = self._at(targets, cycles[plan.season])
            anchor = np.where(np.isnan(seasonal), last, seasonal)
        columns = [self._at(origins, lag - 1) - anchor for lag in plan.lags]
        for season in plan.seasons:
            then = self._at(targets, cycles[season])
            columns += [
                then - anchor,
                self._at(targets, cycles[season] + season) - anchor,
                then - self._at(origins, cycles[season]),
            ]
        means = {window: self._mean(origins, window) for window in plan.windows}
        columns += [mean - anchor for mean in means.values()]
        columns += [self._deviation(origins, window) for window in plan.windows[-2:-1]]
        columns.append(ahead.astype(np.float64))
        columns += list(self._dates[targets].T) + list(self._known[targets].T)
        for covariate in self._past.T:
            columns += [self._at(origins, lag - 1, covariate) for lag in plan._past_lags]
        return np.column_stack(columns), anchor

    def targets(self, origins: np.ndarray, ahead: np.ndarray, anchor: np.ndarray) -> np.ndarray:
        """What a regressor is to predict, [n]."""
        return self.values[origins + ahead] - anchor

    def put(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Take forecasts for values, on the scale of the table."""
        self.values[rows] = values
        self._sum()

    def unscaled(self, values: np.ndarray) -> np.ndarray:
        """Values of each series, [s, steps], as they were given."""
        values = values * self._width[:, None] + self._middle[:, None]
        with np.errstate(over="ignore"):
            return np.where(self._logs[:, None], np.expm1(values), values) * self._unit[:, None]

    def _scale(self, values: np.ndarray, panel: Panel) -> None:
        """Set values of all series on one scale: in units of their usual change over a season, around their mean."""
        self._unit = panel.scales()
        self._logs = np.full(len(panel), self._plan.log)
        self._middle, self._width = np.zeros(len(panel)), np.ones(len(panel))
        scaled = values / self._unit[self._of]
        for at, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
            own = scaled[start : start + length]
            self._logs[at] &= bool(own.min() >= 0)
            if self._logs[at]:
                own[:] = np.log1p(own)
                steps = self._plan.season if length > self._plan.season else 1
                change = np.abs(own[steps:] - own[:-steps]).mean() if length > steps else 0.0
                self._width[at] = change or 1.0
            self._middle[at] = own.mean()
        self.values = (scaled - self._middle[self._of]) / self._width[self._of]
        self._sum()

    def _sum(self) -> None:
        known = np.nan_to_num(self.values)
        self._sums = np.concatenate([[0.0], np.cumsum(known)])
        self._squares = np.concatenate([[0.0], np.cumsum(known**2)])

    def _at(self, rows: np.ndarray, back: int | np.ndarray, column: np.ndarray | None = None) -> np.ndarray:
        """Values some steps before rows; NaN before a series begins."""
        column = self.values if column is None else column
        return np.where(self.place[rows] >= back, column[np.maximum(rows - back, 0)], np.nan)

    def _mean(self, rows: np.ndarray, window: int) -> np.ndarray:
        """Mean of the last `window` values, or of all there are."""
        width = np.minimum(window, self.place[rows] + 1)
        return (self._sums[rows + 1] - self._sums[rows + 1 - width]) / width

    def _deviation(self, rows: np.ndarray, window: int) -> np.ndarray:
        width = np.minimum(window, self.place[rows] + 1)
        square = (self._squares[rows + 1] - self._squares[rows + 1 - width]) / width
        return np.sqrt(np.maximum(square - self._mean(rows, window) ** 2, 0.0))


def step_seconds(frequency: Frequency) -> float | None:
    """How long a step is in the mean; None for whole-number steps."""
    if frequency.alias is None:
        return None
    times = pd.date_range("2001-01-01", periods=13, freq=frequency.alias)
    return float((times[12] - times[0]).total_seconds()) / 12


def _calendar(plan: LagPlan, times: pd.Series, frequency: Frequency) -> np.ndarray:
    """Parts of dates, float64 [n, parts]."""
    if not plan.calendar:
        return np.empty((len(times), 0))
    if frequency.alias is None:
        return ((times.to_numpy() // frequency.step) % plan.season).astype(np.float64)[:, None]
    dates = pd.DatetimeIndex(times)
    parts: dict[str, Any] = {
        "minute": dates.minute,
        "hour": dates.hour,
        "day of week": dates.dayofweek,
        "day of month": dates.day,
        "week": dates.isocalendar().week.to_numpy(),
        "month": dates.month,
    }
    return np.column_stack([np.asarray(parts[name], dtype=np.float64) for name in plan.calendar])
