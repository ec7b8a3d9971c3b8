"""What is known at each origin of a run, what lies ahead, and what forecasts are held against."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.forecasting.panel import Panel
from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor
from mt_assets.trainer.forecasting.rows import SeriesRows, index_frame
from mt_assets.trainer.forecasting.windows import TEST, Origins

if TYPE_CHECKING:
    from mt_assets.trainer.data.assignment import Splits
    from mt_assets.trainer.data.table import Table


class SeriesData:
    """The series of a run as each window sees them; windows are numbered as folds, `TEST` is the test.

    Parameters
    ----------
    table : Table
        Any handle on the table that the splits are of.
    layout : SeriesLayout
    splits : Splits
    """

    def __init__(self, table: Table, layout: SeriesLayout, splits: Splits) -> None:
        self.layout = layout
        self._splits = splits
        self._full = table.take(np.arange(len(splits.identities)))
        self._values: dict[int, Panel] = {}

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every row of the table, canonical."""
        return self._full.frame(self.layout.columns)

    @cached_property
    def rows(self) -> SeriesRows:
        """Where they stand."""
        return index_frame(self.frame, self.layout)

    @cached_property
    def origins(self) -> Origins:
        return Origins.of(self.rows, self.layout, tested=bool(len(self._splits.test)))

    def known(self, window: int) -> SeriesRows:
        """The rows that are known at the origin."""
        return self.rows.part(self.origins.known(self.rows, window))

    def history(self, window: int, preprocessor: SeriesPreprocessor) -> Panel:
        """The series as they are known at the origin."""
        return preprocessor.gather(self.known(window), self.frame, self.origins.ends(window))

    def values(self, window: int) -> Panel:
        """The same without covariates, made once."""
        if window not in self._values:
            plain = SeriesPreprocessor(self.layout, (), (), self.rows.positions[:0])
            self._values[window] = self.history(window, plain)
        return self._values[window]

    def future(self, window: int, history: Panel, preprocessor: SeriesPreprocessor) -> pd.DataFrame:
        """The steps that are forecast, with the covariates that are known ahead."""
        return preprocessor.future(history, self.rows, self.frame, self.layout.steps)

    def scored(self, window: int) -> SeriesRows:
        """The rows that forecasts are held against, by position."""
        rows = self.rows.part(self.origins.scored(self.rows, window) & self.rows.observed)
        return rows.part(np.argsort(rows.positions, kind="stable"))

    def forecasts_at(self, window: int, forecasts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of forecasts [series, steps, ...] those for the scored rows, [n, ...]."""
        rows = self.scored(window)
        return forecasts[rows.codes, self.origins.ahead(rows, window)]

    def truth(self, window: int) -> NDArray[np.float64]:
        """Value and 1 / scale of the series for each scored row, [n, 2].

        The scale is what errors are divided by (`Panel.scales`), as it is known at the origin. As a factor beside the
        value it makes MASE a mean of products, so that whatever judges predictions row by row judges forecasts too.
        """
        rows = self.scored(window)
        values = self.frame.loc[rows.positions, self.layout.target].to_numpy(dtype=np.float64)
        return np.column_stack([values, 1.0 / self.values(window).scales()[rows.codes]])


def truth_of(table: Table, layout: SeriesLayout, splits: Splits, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """`SeriesData.truth` of test rows at these positions (ascending), [n, 2]."""
    data = SeriesData(table, layout, splits)
    return data.truth(TEST)[np.isin(data.scored(TEST).positions, positions)]
