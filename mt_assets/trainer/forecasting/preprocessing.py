"""From rows to a panel without gaps: covariates as numbers, learned from given rows and from no others.

Gaps are filled from what lies before the end of the history alone: between two values on a straight line, after the
last one with that value. So a panel that ends at an origin holds nothing that came later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mt_assets.trainer.errors import DataError
from mt_assets.trainer.features.columns import as_number
from mt_assets.trainer.features.preprocessor import rows_digest
from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.forecasting.panel import ID, TIME, VALUE, Panel
from mt_assets.trainer.forecasting.rows import SeriesRows, index_frame

if TYPE_CHECKING:
    from mt_assets.trainer.data.table import Table

MOST_LEVELS: Final = 12
"""Levels of a category that become covariates, the commonest first; more of them are many columns for each lag."""

_FILE: Final = "preprocessor.joblib"


@dataclass(frozen=True)
class Covariate:
    """A column as numbers.

    Attributes
    ----------
    column, role : str
    levels : tuple of str
        Of a category, one output each.
    typical : float
        What stands for a value that is missing where nothing came before: the median, or 0 of a category.
    """

    column: str
    role: str
    levels: tuple[str, ...]
    typical: float

    @classmethod
    def learn(cls, column: str, role: str, values: pd.Series) -> Covariate:
        """From rows that may be learned from."""
        if role == "categorical":
            common = values.dropna().astype(str).value_counts()
            levels = tuple(sorted(common.index[:MOST_LEVELS]))
            # Of two levels one tells everything.
            return cls(column, role, levels[:1] if len(common) <= 2 else levels, 0.0)
        numbers = as_number(values)
        known = numbers[np.isfinite(numbers)]
        return cls(column, role, (), float(np.median(known)) if len(known) else 0.0)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it becomes."""
        return (
            tuple(f"{self.column}={level}" for level in self.levels) if self.role == "categorical" else (self.column,)
        )

    def encode(self, values: pd.Series) -> NDArray[np.float64]:
        """Outputs [n, len(outputs)]; NaN where the value is missing."""
        if self.role == "categorical":
            text = values.astype(str).to_numpy()
            hot = (text[:, None] == np.array(self.levels, dtype=object)[None, :]).astype(np.float64)
            return np.where(values.isna().to_numpy()[:, None], np.nan, hot)
        return np.asarray(as_number(values), dtype=np.float64)[:, None]


class SeriesPreprocessor:
    """Turns rows into panels.

    Parameters
    ----------
    layout : SeriesLayout
    known, past : tuple of Covariate
    rows_seen : ndarray
        Positions of the rows that it learned from, int64.
    """

    def __init__(
        self,
        layout: SeriesLayout,
        known: tuple[Covariate, ...],
        past: tuple[Covariate, ...],
        rows_seen: NDArray[np.int64],
    ) -> None:
        self.layout = layout
        self.known = known
        self.past = past
        self.rows_seen = rows_seen

    @classmethod
    def learn(cls, layout: SeriesLayout, table: Table, positions: NDArray[np.int64]) -> Self:
        """Levels and medians of the covariates, from these rows."""
        frame = table.take(positions).frame(layout.columns)

        def each(columns: Mapping[str, str]) -> tuple[Covariate, ...]:
            return tuple(Covariate.learn(name, role, frame[name]) for name, role in columns.items())

        return cls(layout, each(layout.known), each(layout.past), frame.index.to_numpy(dtype=np.int64))

    def on(self, layout: SeriesLayout) -> SeriesPreprocessor:
        """The same covariates for other series."""
        return SeriesPreprocessor(layout, self.known, self.past, self.rows_seen)

    @property
    def names(self) -> dict[str, str]:
        """The column that each covariate of a panel is made of."""
        return {output: each.column for each in (*self.known, *self.past) for output in each.outputs}

    def panel(self, frame: pd.DataFrame, ends: NDArray[np.int64] | None = None) -> Panel:
        """The series in these rows, each from its first value to its end.

        Parameters
        ----------
        frame : pandas.DataFrame
            Canonical, with the columns of the layout and positions as index. Every series of the layout has a value.
        ends : ndarray [series], optional
            Last step of each series; by default that of its last value.

        Raises
        ------
        DataError
            A series has no value in these rows.
        """
        return self.gather(index_frame(frame, self.layout), frame, ends)

    def gather(self, rows: SeriesRows, frame: pd.DataFrame, ends: NDArray[np.int64] | None = None) -> Panel:
        """`panel` of rows whose place is known."""
        layout, many = self.layout, len(self.layout.names)
        seen = rows.part(rows.observed)
        last = seen.last_steps(many)
        if (last == np.iinfo(np.int64).min).any():
            missing = [layout.names[at] for at in np.flatnonzero(last == np.iinfo(np.int64).min)[:3]]
            raise DataError(f"The series {', '.join(map(repr, missing))} have no value of '{layout.target}' here.")
        first = np.full(many, np.iinfo(np.int64).max)
        np.minimum.at(first, seen.codes, seen.steps)
        ends = last if ends is None else ends
        codes, steps = _grid(first, ends)
        made = {ID: codes, TIME: layout.frequency.to_times(steps)}
        values = frame.loc[seen.positions, layout.target].to_numpy(dtype=np.float64)
        made[VALUE] = _filled(_on_grid(seen, values[:, None], codes, steps), codes)[:, 0]
        inside = rows.part((rows.steps >= first[rows.codes]) & (rows.steps <= ends[rows.codes]))
        made |= self._covariates((*self.known, *self.past), inside, frame, codes, steps)
        return Panel(
            frame=pd.DataFrame(made),
            frequency=layout.frequency,
            season=layout.season,
            known=tuple(output for each in self.known for output in each.outputs),
            past=tuple(output for each in self.past for output in each.outputs),
        )

    def future(self, panel: Panel, rows: SeriesRows, frame: pd.DataFrame, steps: int) -> pd.DataFrame:
        """The next steps of each series of a panel with the known covariates, which these rows hold.

        Where a value is missing the last known one counts.
        """
        times = panel.next_times(steps)
        if not self.known:
            return times
        codes, ahead = times[ID].to_numpy(), self.layout.frequency.to_steps(times[TIME].to_numpy())
        # The last step of the history comes along: from there a missing value is taken.
        last = self.layout.frequency.to_steps(panel.ends.to_numpy())
        own = np.concatenate([np.arange(len(panel)), codes])
        at = np.concatenate([last, ahead])
        order = np.lexsort((at, own))
        inside = rows.part((rows.steps >= last[rows.codes]) & (rows.steps <= last[rows.codes] + steps))
        made = self._covariates(self.known, inside, frame, own[order], at[order], bridge=False)
        is_ahead = at[order] > last[own[order]]
        return times.assign(**{name: values[is_ahead] for name, values in made.items()})

    def covered(self, panel: Panel, rows: SeriesRows, steps: int) -> NDArray[np.bool_]:
        """Which of the next steps of each series have a row, [series, steps]."""
        last = self.layout.frequency.to_steps(panel.ends.to_numpy())
        ahead = rows.steps - last[rows.codes] - 1
        inside = (ahead >= 0) & (ahead < steps)
        found = np.zeros((len(panel), steps), dtype=bool)
        found[rows.codes[inside], ahead[inside]] = True
        return found

    def _covariates(
        self,
        columns: tuple[Covariate, ...],
        rows: SeriesRows,
        frame: pd.DataFrame,
        codes: NDArray[np.int64],
        steps: NDArray[np.int64],
        *,
        bridge: bool = True,
    ) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for each in columns:
            encoded = _on_grid(rows, each.encode(frame.loc[rows.positions, each.column]), codes, steps)
            line = bridge and each.role == "numeric"
            whole = _filled(encoded, codes, line=line, otherwise=each.typical)
            made |= {name: whole[:, at] for at, name in enumerate(each.outputs)}
        return made


def _grid(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of the series and step of every place on the grid."""
    lengths = last - first + 1
    codes = np.repeat(np.arange(len(first)), lengths)
    within = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return codes, first[codes] + within


def _on_grid(
    rows: SeriesRows, values: NDArray[np.float64], codes: NDArray[np.int64], steps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Values [n, k] of rows at their places on a grid; NaN where there is none, the mean where there are several."""
    grid = np.full((len(codes), values.shape[1]), np.nan)
    if not len(rows):
        return grid
    # A place is found by series and step in one number.
    low, width = steps.min(), int(steps.max() - steps.min()) + 2
    place = np.searchsorted(codes * width + (steps - low), rows.codes * width + (rows.steps - low))
    for at in range(values.shape[1]):
        known = np.isfinite(values[:, at])
        count = np.bincount(place[known], minlength=len(grid))
        total = np.bincount(place[known], weights=values[known, at], minlength=len(grid))
        grid[:, at] = np.divide(total, count, out=grid[:, at].copy(), where=count > 0)
    return grid


def _filled(
    grid: NDArray[np.float64], codes: NDArray[np.int64], *, line: bool = True, otherwise: float = 0.0
) -> NDArray[np.float64]:
    """A grid without gaps: in each series on a straight line, or as before; where nothing came before, `otherwise`."""
    if np.isfinite(grid).all():
        return grid
    frame = pd.DataFrame(grid)
    by_series = frame.groupby(codes, sort=False)
    if line:
        frame = by_series.transform(lambda column: column.interpolate(limit_area="inside"))
        by_series = frame.groupby(codes, sort=False)
    filled: NDArray[np.float64] = by_series.ffill().fillna(otherwise).to_numpy()
    return filled


class FittedSeriesPreprocessor:
    """The preprocessor fitted on `train` alone, for people to inspect; `Storable`.

    Attributes
    ----------
    transformer : SeriesPreprocessor
    """

    def __init__(self, transformer: SeriesPreprocessor) -> None:
        self.transformer = transformer

    @property
    def rows(self) -> NDArray[np.int64]:
        """Positions that it was fitted on, int64."""
        return self.transformer.rows_seen

    @property
    def digest(self) -> str:
        """`rows_digest` of them."""
        return rows_digest(self.rows)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Covariates of a panel."""
        return tuple(self.transformer.names)

    def table(self) -> list[dict[str, Any]]:
        """One row a covariate: its role, whether it is known ahead, and what it becomes."""
        of = {True: self.transformer.known, False: self.transformer.past}
        return [
            {"column": each.column, "role": each.role, "known ahead": known, "names": ", ".join(each.outputs)}
            for known, columns in of.items()
            for each in columns
        ]

    def save(self, folder: Path) -> None:
        joblib.dump(self.transformer, folder / _FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(joblib.load(folder / _FILE))
