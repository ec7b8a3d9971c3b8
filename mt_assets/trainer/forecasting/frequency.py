"""The step of a series: how times become whole steps and steps become times again, and how a step is found.

Everything else counts in steps. So months of any length, month ends, days of a time zone with summer time and plain
numbers are all the same to it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mt_assets.trainer.errors import DataError, SpecError

DAY: Final = 86_400_000_000_000
"""Nanoseconds."""

Steps = NDArray[np.int64]

MINUTE: Final = 60_000_000_000

FIXED_SEASONS: Final = ((MINUTE, 60), (DAY, 7), (7 * DAY, 52))
"""Steps of the season that matters most where a step lasts so long: minutes of an hour, days of a week, weeks of a
year. Hours, and what divides a day into parts of more than a minute, have the day as their season."""

EXAMPLES: Final = "`h`, `15min`, `D`, `B` (working days), `W`, `MS` (months), `QS` (quarters), `YS` (years)"

_LEGACY: Final = {"M": "ME", "Q": "QE", "A": "YE", "Y": "YE", "H": "h", "T": "min", "S": "s", "BM": "BME", "BQ": "BQE"}
"""Aliases of older versions of pandas."""

THURSDAY: Final = 3
"""Day of the week on which time begins, 1 January 1970; Monday is 0."""

_WEEKDAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

REGULAR: Final = 0.8
"""Share of the distances between neighbouring times that are of the commonest length, from which on it is the step."""


@dataclass(frozen=True)
class Frequency:
    """The distance of one step to the next.

    Attributes
    ----------
    alias : str or None
        Pandas offset alias of the times on the grid, such as `MS` or `h`; None where steps are whole numbers.
    step : int
        Of whole-number steps.
    months : int
        Calendar months of a step; 0 where it has another length.
    nanoseconds : int
        Of a step that always lasts as long; 0 for months, working days and numbers.
    origin : int
        Where steps begin: the first month (counted from January 1970), nanosecond or number modulo the step.
    stamp : str
        The day by which a month is written: `start`, `end`, or its number.
    """

    alias: str | None = None
    step: int = 1
    months: int = 0
    nanoseconds: int = 0
    origin: int = 0
    stamp: str = "start"

    @property
    def freq(self) -> str | int:
        """As the forecasting libraries take it."""
        return self.step if self.alias is None else self.alias

    @property
    def told(self) -> str:
        """For people."""
        return f"whole numbers by {self.step}" if self.alias is None else self.alias

    @property
    def season(self) -> int:
        """The usual season in steps; 1 where none is usual."""
        if self.months:
            return 12 // self.months if 12 % self.months == 0 else 1
        if self.alias == "B":
            return 5
        if MINUTE < self.nanoseconds < DAY and DAY % self.nanoseconds == 0:
            return DAY // self.nanoseconds
        return next((season for length, season in FIXED_SEASONS if length == self.nanoseconds), 1)

    def to_steps(self, times: np.ndarray) -> Steps:
        """The step that each time falls in, int64.

        Parameters
        ----------
        times : ndarray
            datetime64[ns] in local time without a zone, or int64 where steps are numbers.
        """
        if self.alias is None:
            return np.floor_divide(times.astype(np.int64) - self.origin, self.step)
        if self.months:
            return np.floor_divide(_months(times) - self.origin, self.months)
        if self.alias == "B":
            days = times.astype("datetime64[D]")
            return np.busday_count(np.datetime64("1970-01-01"), np.busday_offset(days, 0, roll="backward"))
        count = times.astype("datetime64[ns]").astype(np.int64) - self.origin
        # A little early counts as in time: a day of a place with summer time begins an hour earlier in UTC.
        return np.floor_divide(count + self.nanoseconds // 24, self.nanoseconds)

    def to_times(self, steps: Steps) -> np.ndarray:
        """The time on the grid of each step: datetime64[ns], of months their first day, or int64."""
        if self.alias is None:
            return steps * self.step + self.origin
        if self.months:
            return (steps * self.months + self.origin).astype("datetime64[M]").astype("datetime64[ns]")
        if self.alias == "B":
            return np.busday_offset(np.datetime64("1970-01-01"), steps, roll="forward").astype("datetime64[ns]")
        return (steps * self.nanoseconds + self.origin).astype("datetime64[ns]")

    def written(self, times: np.ndarray) -> np.ndarray:
        """Times on the grid as the data writes them: months by their last day, say."""
        if not self.months or self.stamp == "start":
            return times
        first = times.astype("datetime64[M]")
        if self.stamp == "end":  # the last day of the last month of the step
            return ((first + self.months).astype("datetime64[D]") - 1).astype("datetime64[ns]")
        last = (first + 1).astype("datetime64[D]") - 1
        return np.minimum(first.astype("datetime64[D]") + (int(self.stamp) - 1), last).astype("datetime64[ns]")

    def after(self, last: pd.Series, steps: int) -> np.ndarray:
        """The next `steps` times on the grid after each of `last` [s], [s, steps]."""
        begun = self.to_steps(last.to_numpy())
        return self.to_times(begun[:, None] + np.arange(1, steps + 1)[None, :])


def _months(times: np.ndarray) -> Steps:
    """Months since January 1970, each time taken to the nearest midnight: that of another zone is told in UTC as 22:00
    of the day before. Times within the last minute of a day mean that day."""
    instants = times.astype("datetime64[ns]")
    of_day = instants.astype(np.int64) % DAY
    late = of_day >= DAY - MINUTE
    return np.where(late, instants, instants + DAY // 2).astype("datetime64[M]").astype(np.int64)


def asked_frequency(text: str, times: np.ndarray) -> Frequency:
    """The step that a spec names, laid on these times.

    Raises
    ------
    SpecError
        It is no offset of pandas, or none that a series can have.
    """
    if not np.issubdtype(times.dtype, np.datetime64):
        if re.fullmatch(r"\d+", text) and int(text) > 0:
            return Frequency(step=int(text), origin=_phase(times, int(text)))
        raise _no_frequency(text, "the time column holds whole numbers, whose step is a whole number, such as `1`")
    head = re.fullmatch(r"(\d*)([A-Za-z]+)(-[A-Za-z]{3})?", text.strip())
    modern = f"{head[1]}{_LEGACY.get(head[2], head[2])}{head[3] or ''}" if head else text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            offset = pd.tseries.frequencies.to_offset(modern)
    except ValueError:
        raise _no_frequency(text, "is no offset of pandas") from None
    if offset.n <= 0:
        raise _no_frequency(text, "leads nowhere")
    name = offset.name.partition("-")[0]
    months = {"M": 1, "BM": 1, "Q": 3, "BQ": 3, "Y": 12, "BY": 12}.get(name.rstrip("SE"), 0) * offset.n
    if months and name[-1] in "SE":
        return _of_months(months, times)
    if name == "B" and offset.n == 1:
        return Frequency(alias="B")
    if name.startswith("W"):
        return _fixed(7 * DAY * offset.n, times, otherwise=(getattr(offset, "weekday", THURSDAY) - THURSDAY) % 7 * DAY)
    if isinstance(offset, pd.tseries.offsets.Tick):
        return _fixed(offset.nanos, times)
    raise _no_frequency(text, "is no step that a series can have here")


def _no_frequency(text: str, why: str) -> SpecError:
    return SpecError(
        f"`frequency` is {text!r}, but {why}.", suggestions=(f"Write one of {EXAMPLES}, or leave it out.",)
    )


def inferred_frequency(times: Sequence[np.ndarray], names: Sequence[str]) -> Frequency:
    """The step that series have, from the distances of their times.

    Parameters
    ----------
    times : sequence of ndarray
        Of each series in ascending order, each once: datetime64[ns] or int64.
    names : sequence of str
        Of the series.

    Raises
    ------
    DataError
        Series have different steps, or none that can be told.
    """
    everything = np.concatenate(times)
    if not np.issubdtype(everything.dtype, np.datetime64):
        distances = np.concatenate([np.diff(each) for each in times])
        step = int(np.gcd.reduce(distances)) if len(distances) else 1
        return Frequency(step=max(step, 1), origin=int(everything.min()) % max(step, 1))
    kinds: dict[str, list[int]] = {}
    for at, each in enumerate(times):
        if len(each) > 2:
            kinds.setdefault(_kind(np.diff(each.astype(np.int64)), each), []).append(at)
    if not kinds:
        raise DataError(
            "No series has three times, so that its step cannot be told.",
            suggestions=(f"Set `frequency` to one of {EXAMPLES}.",),
        )
    ordered = sorted(kinds, key=lambda kind: (-len(kinds[kind]), kind))
    if "irregular" in kinds and len(ordered) == 1:
        raise _irregular(times[kinds["irregular"][0]], names[kinds["irregular"][0]], len(names))
    clear = [kind for kind in ordered if kind != "irregular"]
    if len(clear) > 1:
        examples = ", ".join(f"{names[kinds[kind][0]]!r} has {kind}" for kind in clear[:3])
        raise DataError(
            f"The series have mixed frequencies: {examples}.",
            suggestions=("Train one model for each frequency.", "Or set `frequency` to the longest of them."),
        )
    return _frequency(clear[0], np.concatenate([times[at] for at in kinds[clear[0]]]))


def _kind(distances: np.ndarray, times: np.ndarray) -> str:
    """The commonest distance in words, or `irregular`."""
    days = distances / DAY
    for months in (1, 2, 3, 4, 6, 12):
        if ((days >= 28 * months - 2) & (days <= 31 * months + 2)).mean() >= REGULAR:
            of_month = _months(times)
            if len(np.unique(of_month)) == len(of_month):
                return f"steps of {months} months" if months > 1 else "steps of a month"
    values, counts = np.unique(distances, return_counts=True)
    common = int(values[counts.argmax()])
    weekdays = (times.astype("datetime64[D]").astype(np.int64) + THURSDAY) % 7
    if common == DAY and not (weekdays >= 5).any() and (np.isin(distances, (DAY, 3 * DAY))).mean() >= REGULAR:
        return "working days"
    # A day of summer time is an hour longer or shorter where it is told in UTC; gaps are several steps long.
    off = np.abs(distances - np.round(distances / common) * common)
    near = off <= (DAY // 24 if common >= DAY else 0)
    single = np.abs(distances - common) <= (DAY // 24 if common >= DAY else 0)
    if near.mean() < REGULAR or single.mean() < 0.5:
        return "irregular"
    return f"steps of {pd.Timedelta(common)}"


def _frequency(kind: str, times: np.ndarray) -> Frequency:
    if kind == "working days":
        return Frequency(alias="B")
    if kind.endswith(("month", "months")):
        return _of_months(1 if kind.endswith("a month") else int(kind.split()[2]), times)
    return _fixed(pd.Timedelta(kind.removeprefix("steps of ")).value, times)


def _of_months(months: int, times: np.ndarray) -> Frequency:
    index = _months(times)
    phases, counts = np.unique(index % months, return_counts=True)
    origin = int(phases[counts.argmax()])
    days = times.astype("datetime64[D]")
    first = times.astype("datetime64[M]")
    numbers = (days - first.astype("datetime64[D]")).astype(np.int64) + 1
    is_end = (days + 1).astype("datetime64[M]") != first
    stamp = "start" if (numbers == 1).all() else "end" if is_end.mean() > 0.5 else str(int(np.median(numbers)))
    # What is written by its last day is named by its last month: a quarter that ends in March begins in January.
    if stamp == "end":
        origin = (origin - months + 1) % months
    anchor = f"-{_MONTHS[origin % 12]}" if months in (3, 12) else ""
    alias = {1: "MS", 3: f"QS{anchor}", 12: f"YS{anchor}"}.get(months, f"{months}MS")
    return Frequency(alias=alias, months=months, origin=origin, stamp=stamp)


def _fixed(nanoseconds: int, times: np.ndarray, *, otherwise: int = 0) -> Frequency:
    origin = _phase(times.astype("datetime64[ns]").astype(np.int64), nanoseconds, otherwise)
    if nanoseconds == 7 * DAY and origin % DAY == 0:
        return Frequency(f"W-{_WEEKDAYS[(origin // DAY + THURSDAY) % 7]}", nanoseconds=nanoseconds, origin=origin)
    alias = pd.tseries.frequencies.to_offset(pd.Timedelta(nanoseconds)).freqstr
    return Frequency(alias=alias, nanoseconds=nanoseconds, origin=origin)


def _phase(numbers: np.ndarray, step: int, otherwise: int = 0) -> int:
    """Where steps begin: what most numbers are modulo the step; where few agree, as given."""
    phases, counts = np.unique(numbers % step, return_counts=True)
    return int(phases[counts.argmax()]) if counts.max(initial=0) > len(numbers) / 2 else otherwise


def _irregular(times: np.ndarray, name: str, series: int) -> DataError:
    distances = pd.Series(np.diff(times)).value_counts()
    shown = ", ".join(f"{count} of {length}" for length, count in distances.head(4).items())
    which = f"series {name!r}" if series > 1 else "the series"
    return DataError(
        f"The times of {which} have no regular step: distances are {shown}.",
        suggestions=(f"Set `frequency` to one of {EXAMPLES}: rows are then put together by that step.",),
    )
