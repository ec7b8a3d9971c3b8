"""Panels, and the work that a forecasting run makes of them: profile, origins and data, made as the graph does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.data.profile import DataProfile, profile_data
from mt_assets.trainer.data.splits import Splits, split_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.forecasting.series_data import SeriesData


@dataclass(frozen=True, eq=False)
class Forecasting:
    """A table and the spec that its series are forecast by."""

    table: Table
    spec: TrainingSpec

    @cached_property
    def profile(self) -> DataProfile:
        return profile_data(self.table, self.spec)

    @property
    def layout(self) -> SeriesLayout:
        assert self.profile.series is not None
        return self.profile.series

    @cached_property
    def splits(self) -> Splits:
        return split_data(self.table, self.profile, self.spec, None)

    @cached_property
    def data(self) -> SeriesData:
        return SeriesData(self.table, self.layout, self.splits)

    @property
    def decisions(self) -> dict[str, str]:
        """Rule of each decision about the series."""
        return {each.decision: each.rule for each in self.layout.decisions}

    @property
    def troubles(self) -> dict[str, tuple[str, str]]:
        """Outcome and trouble of each series with something wrong."""
        return {each.series: (each.outcome, each.trouble) for each in self.layout.troubles}


class Forecast(Protocol):
    def __call__(self, frame: pd.DataFrame, **keys: Any) -> Forecasting: ...


def _forecasting(frame: pd.DataFrame, **keys: Any) -> Forecasting:
    asked = {"modelType": "time_series", "trainDataPath": "data.csv", "targetColumn": "y", "timeColumn": "time"}
    asked |= {"seriesColumn": "series"} if "series" in frame else {}
    spec = parse_spec({**asked, **keys}, base=Path("/nowhere"), default_name="series")
    return Forecasting(Table.of(frame), spec)


@pytest.fixture(scope="session")
def forecasting() -> Forecast:
    """`forecasting(frame, **keys)`: of columns `time`, `y`, and `series` where there are several."""
    return _forecasting


class MakeSeries(Protocol):
    def __call__(self, steps: int = 60, name: str | None = None, freq: str = "MS", seed: int = 0) -> pd.DataFrame: ...


def _series(steps: int = 60, name: str | None = None, freq: str = "MS", seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    at = np.arange(steps)
    values = 100 + at + 20 * np.sin(2 * np.pi * at / 12) + rng.normal(0, 3, steps)
    frame = pd.DataFrame({"time": pd.date_range("2015-01-01", periods=steps, freq=freq), "y": values})
    return frame if name is None else frame.assign(series=name)


@pytest.fixture(scope="session")
def series() -> MakeSeries:
    """`series(steps, name, freq, seed)`: trend, season of twelve steps and noise, without a name as the only series."""
    return _series


def _panel(**lengths: int) -> pd.DataFrame:
    return pd.concat(
        [_series(steps, name, seed=seed) for seed, (name, steps) in enumerate(lengths.items())], ignore_index=True
    )


@pytest.fixture(scope="session")
def panel() -> Any:
    """`panel(a=60, b=48)`: several of them."""
    return _panel
