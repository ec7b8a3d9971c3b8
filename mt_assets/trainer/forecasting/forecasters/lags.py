"""Series as mlforecast sees them: which lags, rolling statistics, calendar and covariates a regressor is given.

What belongs here: the columns, the scale, and the clock. What does not: the regressor, and which rows it is fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd

from mt_assets.trainer.forecasting.panel import ID, TIME, VALUE, Frequency, Panel

if TYPE_CHECKING:
    from mlforecast import MLForecast

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

LEAST_ROWS: Final = 3
"""Steps that a series has to have besides those that differences take."""


@dataclass(frozen=True)
class LagPlan:
    """Which columns a row has, and what it predicts.

    Attributes
    ----------
    season : int
    lags : tuple of int
        Steps back, 1 for the last value that is known.
    windows : tuple of int
        Last steps whose means are columns; the deviation over the last of them is one too.
    calendar : tuple of str
    known, past : tuple of str
    differences : tuple of int
        Steps back of what is subtracted from each value, one after the other.
    log : bool
        Whether series without negative values are learned in logarithms.
    steps : int or None
        Where every step ahead has a model of its own, how many; None where the next step is predicted again and again.
    """

    season: int
    lags: tuple[int, ...]
    windows: tuple[int, ...]
    calendar: tuple[str, ...]
    known: tuple[str, ...]
    past: tuple[str, ...]
    differences: tuple[int, ...]
    log: bool
    steps: int | None

    @classmethod
    def of(cls, panel: Panel, difference: str, log: bool, steps: int | None) -> Self:
        """For the season, frequency and covariates of a panel.

        `difference` is `none`, `last` (of neighbouring values), `season` (of values a season apart) or `both`.
        """
        season, length = panel.season, step_seconds(panel.frequency)
        cycles = {season}
        if length is not None:
            cycles |= {round(cycle / length) for cycle in (DAY, 7 * DAY) if length < cycle <= LONGEST_CYCLE * length}
        recent = 3 if season == 1 else min(max(season, 4), 12)
        lags = {*range(1, recent + 1), *(each for cycle in cycles - {1} for each in (cycle, 2 * cycle))}
        if length is None:
            calendar: tuple[str, ...] = ("place in season",) if season > 1 else ()
        else:
            calendar = next((parts for low, high, parts in CALENDAR if low <= length < high), ())
        differences = {"none": (), "last": (1,), "season": (season,), "both": (1, season)}[difference]
        return cls(
            season=season,
            lags=tuple(sorted(lags)),
            windows=(3, 6 if season == 1 else max(season, 4)),
            calendar=calendar,
            known=panel.known,
            past=panel.past,
            differences=tuple(dict.fromkeys(differences)),
            log=log,
            steps=steps,
        )

    @property
    def shortest(self) -> int:
        """Steps that a series has to have."""
        return sum(self.differences) + LEAST_ROWS

    def engine(self, model: Any) -> MLForecast:
        """What makes the columns of a frame (see `LagFrame`), fits the model on them, and forecasts with it."""
        from mlforecast import MLForecast
        from mlforecast.lag_transforms import RollingMean, RollingStd
        from mlforecast.target_transforms import Differences

        rolling = [RollingMean(window, min_samples=1) for window in self.windows]
        return MLForecast(
            {MODEL: model},
            freq=1,
            lags=self.lags,
            lag_transforms={1: [*rolling, RollingStd(self.windows[-1], min_samples=2)]},
            target_transforms=[Differences(self.differences)] if self.differences else None,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What each column depends on, as people read it; several columns may share a name."""
        return (
            *self.calendar,
            *(name for name in self.known for _ in range(2 if self.differences else 1)),
            *(name for name in self.past for _ in self.past_lags),
            *(f"lag {lag}" for lag in self.lags),
            *(f"rolling mean {window}" for window in self.windows),
            f"rolling deviation {self.windows[-1]}",
        )

    @property
    def past_lags(self) -> tuple[int, ...]:
        return tuple(sorted({1, 2, self.season}))


MODEL: Final = "model"
"""Its name in the engine."""

FRAME: Final[dict[str, Any]] = {
    "id_col": ID, "time_col": TIME, "target_col": VALUE, "static_features": [], "dropna": False, "validate_data": False,
}  # fmt: skip
"""What the engine is told of a `LagFrame`: no column stays the same in a series, and rows with gaps are kept."""


class LagFrame:
    """The series of a panel on one scale, each on a clock of its own, with calendar and covariates as columns.

    Attributes
    ----------
    known, coming : pandas.DataFrame
        `unique_id`, `ds` (int64, from 0 in each series) and the columns that do not come from the values; of the steps
        that are known, with `y`, and of those to come, without.

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
            both = pd.concat([frame, future[[ID, TIME, *plan.known]]], ignore_index=True)
            frame = both.sort_values([ID, TIME], kind="stable", ignore_index=True)
        of = frame[ID].to_numpy()
        lengths = panel.lengths + steps
        columns = {ID: of, TIME: np.arange(len(frame)) - np.repeat(np.cumsum(lengths) - lengths, lengths)}
        for at, part in enumerate(_calendar(plan, frame[TIME], panel.frequency)):
            columns[f"calendar {at}"] = part
        for at, name in enumerate(plan.known):
            value = columns[f"known {at}"] = frame[name].to_numpy(dtype=np.float64)
            if plan.differences:
                for steps_back in plan.differences:
                    value = value - pd.Series(value).groupby(of).shift(steps_back).to_numpy()
                columns[f"known change {at}"] = value
        for at, name in enumerate(plan.past):
            # Of a step to come, what is known of the past by then; the rest is missing.
            by_series = frame.groupby(ID, sort=False)[name]
            columns |= {f"past {at} {lag}": by_series.shift(lag).to_numpy() for lag in plan.past_lags}
        made = pd.DataFrame(columns)
        coming = made[TIME].to_numpy() >= np.repeat(panel.lengths, lengths)
        self.coming = made[coming].reset_index(drop=True) if len(made.columns) > 2 else None
        self.known = made[~coming].assign(**{VALUE: self._scaled(panel)})

    def unscaled(self, values: np.ndarray) -> np.ndarray:
        """Values of each series, [s, steps], as they were given."""
        values = values * self._width[:, None] + self._middle[:, None]
        with np.errstate(over="ignore"):
            return np.where(self._logs[:, None], np.expm1(values), values) * self._unit[:, None]

    def _scaled(self, panel: Panel) -> np.ndarray:
        """Values of all series on one scale: in units of their usual change over a season, around their mean."""
        self._unit = panel.scales()
        self._logs = np.full(len(panel), self._plan.log)
        self._middle, self._width = np.zeros(len(panel)), np.ones(len(panel))
        parts = []
        for at, values in enumerate(panel.values()):
            own = values / self._unit[at]
            self._logs[at] &= bool(own.min() >= 0)
            if self._logs[at]:
                own = np.log1p(own)
                steps = self._plan.season if len(own) > self._plan.season else 1
                change = np.abs(own[steps:] - own[:-steps]).mean() if len(own) > steps else 0.0
                self._width[at] = change or 1.0
            self._middle[at] = own.mean()
            parts.append((own - self._middle[at]) / self._width[at])
        return np.concatenate(parts)


def step_seconds(frequency: Frequency) -> float | None:
    """How long a step is in the mean; None for whole-number steps."""
    if frequency.alias is None:
        return None
    times = pd.date_range("2001-01-01", periods=13, freq=frequency.alias)
    return float((times[12] - times[0]).total_seconds()) / 12


def _calendar(plan: LagPlan, times: pd.Series, frequency: Frequency) -> list[np.ndarray]:
    """Parts of dates, float64 [n] each."""
    if not plan.calendar:
        return []
    if frequency.alias is None:
        return [((times.to_numpy() // frequency.step) % plan.season).astype(np.float64)]
    dates = pd.DatetimeIndex(times)
    parts: dict[str, Any] = {
        "minute": dates.minute,
        "hour": dates.hour,
        "day of week": dates.dayofweek,
        "day of month": dates.day,
        "week": dates.isocalendar().week.to_numpy(),
        "month": dates.month,
    }
    return [np.asarray(parts[name], dtype=np.float64) for name in plan.calendar]
