"""What can be wrong with one series, and what becomes of it: when it is trained on, and when it is forecast."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import pandas as pd

from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.frequency import Frequency, Steps
from mt_assets.trainer.forecasting.layout import SeriesTrouble

MOST_FILLED: Final = 0.5
"""Share of a series' steps that may be gaps; beyond, most of what is learned would be our own invention."""

MOST_DISAGREEING: Final = 0.01
"""Share of a series' rows that may have another value at the same time, of which the mean is taken; more of them are no
slips but a column that tells series apart, and was not named."""


def trouble_of(
    name: str, times: np.ndarray, steps: Steps, values: np.ndarray, frequency: Frequency, *, many: bool
) -> SeriesTrouble | None:
    """What is wrong with a series, the worst alone; None where nothing is.

    Parameters
    ----------
    name : str
    times : ndarray [n]
        Ascending, see `rows.local_times`.
    steps : ndarray [n]
        In which they fall.
    values : ndarray [n]
        NaN where missing.
    frequency : Frequency
    many : bool
        Whether it is one of several.

    Raises
    ------
    DataError
        Rows of one time disagree, and it is the only series.
    """

    def told(trouble: str, outcome: Literal["repaired", "left_out", "kept"], how: str) -> SeriesTrouble:
        return SeriesTrouble(series=name, trouble=trouble, outcome=outcome, how=how)

    known = np.isfinite(values)
    if not known.any():
        return told(f"{len(values)} rows without a value", "left_out", "there is nothing to learn")
    times, steps, values = times[known], steps[known], values[known]
    same = np.flatnonzero(times[1:] == times[:-1])
    disagreeing = same[values[same] != values[same + 1]]
    if len(disagreeing) > MOST_DISAGREEING * len(steps):
        if not many:
            raise _two_in_one(times, same, disagreeing)
        found = f"{len(disagreeing):,} of {len(steps):,} rows disagree with another of the same time"
        return told(found, "left_out", "which of them is true cannot be told")
    whole = int(steps[-1] - steps[0] + 1)
    filled = whole - len(np.unique(steps))
    if filled:
        found = f"{filled:,} of {whole:,} steps are missing"
        if filled > MOST_FILLED * whole:
            return told(found, "left_out", "more than half of it would be made up")
        how = "gaps are filled on a straight line between their ends and are never scored; where no row means 0, "
        return told(found, "repaired", f"{how}write zeros")
    if len(disagreeing):
        found = f"{len(disagreeing):,} rows disagree with another of the same time"
        return told(found, "repaired", "their mean is taken")
    shared = int((steps[1:] == steps[:-1]).sum()) - len(same)
    if shared:
        found = f"{shared:,} of {len(steps):,} rows lie in the same step as the row before"
        return told(found, "repaired", f"the mean of each step is taken ({frequency.told})")
    if len(same):
        return told(f"{len(same):,} rows repeat another of the same time", "repaired", "one of them counts")
    if len(values) > 1 and np.ptp(values) == 0:
        return told(f"always {values[0]:g}", "kept", "a constant is forecast as what it is")
    return None


def _two_in_one(times: np.ndarray, same: np.ndarray, disagreeing: np.ndarray) -> DataError:
    first = times[disagreeing[0]]
    shown = str(pd.Timestamp(first)) if isinstance(first, np.datetime64) else str(first)
    return DataError(
        f"{len(same):,} rows have the same time as another row and {len(disagreeing):,} of them another value, the "
        f"first at {shown}.",
        suggestions=(
            "Name the column that tells series apart in `seriesColumn`.",
            "Or put the rows of each time together (sum or mean) before they come here.",
        ),
    )
