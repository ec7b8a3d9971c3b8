"""Series on a regular grid: what forecasters are fitted on and forecast from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self

import numpy as np
import pandas as pd

from mt_assets.trainer.forecasting.frequency import Frequency

ID: Final = "unique_id"
"""Column of the series' numbers, by the name that statsforecast and neuralforecast use."""

TIME: Final = "ds"
VALUE: Final = "y"


@dataclass(frozen=True, eq=False)
class Panel:
    """One or many series without gaps.

    Attributes
    ----------
    frame : pandas.DataFrame
        Sorted by series and time: `unique_id` (int64, 0..s-1, every one of them there), `ds` (datetime64[ns] without a
        time zone, or int64), `y` (float64, finite), and the covariates (float64, finite).
    frequency : Frequency
    season : int
        Steps of a season; 1 where there is none.
    known, past : tuple of str
        Covariates that are known for the future, and those that are not.
    """

    frame: pd.DataFrame
    frequency: Frequency
    season: int
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()

    @cached_property
    def lengths(self) -> np.ndarray:
        """Steps of each series, int64 [s]."""
        return np.bincount(self.frame[ID].to_numpy())

    @cached_property
    def starts(self) -> np.ndarray:
        """Row at which each series begins, int64 [s]."""
        return np.cumsum(self.lengths) - self.lengths

    def __len__(self) -> int:
        """Number of series."""
        return len(self.lengths)

    def values(self) -> list[np.ndarray]:
        """The values of each series, float64."""
        return np.split(self.frame[VALUE].to_numpy(), self.starts[1:])

    @property
    def ends(self) -> pd.Series:
        """The last time of each series, [s]."""
        return self.frame[TIME].iloc[self.starts + self.lengths - 1].reset_index(drop=True)

    def without_last(self, steps: int) -> Self:
        """The same without the last steps of each series; each must be longer."""
        from_end = np.repeat(self.starts + self.lengths, self.lengths) - np.arange(len(self.frame))
        return replace(self, frame=self.frame[from_end > steps].reset_index(drop=True))

    def only(self, series: np.ndarray) -> Self:
        """The series with these numbers (ascending), which are then numbered from 0."""
        of = self.frame[ID].to_numpy()
        chosen = self.frame[np.isin(of, series)]
        numbers = np.searchsorted(series, chosen[ID].to_numpy())
        return replace(self, frame=chosen.assign(**{ID: numbers}).reset_index(drop=True))

    def next_times(self, steps: int) -> pd.DataFrame:
        """`unique_id` and `ds` of the next steps of each series, [s * steps] rows."""
        times = self.frequency.after(self.ends, steps)
        return pd.DataFrame({ID: np.repeat(np.arange(len(self)), steps), TIME: times.reshape(-1)})

    def scales(self) -> np.ndarray:
        """What errors of each series are divided by, float64 [s]: the mean absolute error of the seasonal naive
        forecast within it (Hyndman and Koehler, Another look at measures of forecast accuracy, 2006).

        Where that is 0 or the series is no longer than a season, that of the naive forecast; where that is 0 too, the
        mean absolute value, and 1 for a series of zeros.
        """
        scales = np.empty(len(self))
        for at, values in enumerate(self.values()):
            for lag in (self.season, 1):
                scales[at] = np.abs(values[lag:] - values[:-lag]).mean() if len(values) > lag else 0.0
                if scales[at] > 0:
                    break
            else:
                scales[at] = np.abs(values).mean() or 1.0
        return scales
