"""Every forecaster on real and made series: how good, how robust, how repeatable, and whether what was fitted lasts."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.trainer.forecasting.forecaster import FittedForecaster, Forecaster, ForecastSetting
from mt_assets.trainer.forecasting.forecasters.arima import Arima
from mt_assets.trainer.forecasting.forecasters.ets import Ets
from mt_assets.trainer.forecasting.forecasters.lightgbm import LightGBMForecaster
from mt_assets.trainer.forecasting.forecasters.lstm import Lstm
from mt_assets.trainer.forecasting.forecasters.prophet import ProphetForecaster
from mt_assets.trainer.forecasting.forecasters.seasonal_naive import SeasonalNaive
from mt_assets.trainer.forecasting.forecasters.theta import Theta
from mt_assets.trainer.forecasting.forecasters.xgboost import XGBoostForecaster
from mt_assets.trainer.forecasting.frequency import asked_frequency
from mt_assets.trainer.forecasting.panel import ID, TIME, VALUE, Panel

QUICK: tuple[Forecaster, ...] = (SeasonalNaive(), Theta(), Ets(), LightGBMForecaster(), XGBoostForecaster())
ALL: tuple[Forecaster, ...] = (*QUICK, Arima(), ProphetForecaster(), Lstm())


def by_name(forecasters: tuple[Forecaster, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("forecaster", forecasters, ids=lambda each: each.name)


def make(series: list[np.ndarray], alias: str | None, season: int, **covariates: Any) -> Panel:
    parts = []
    for at, values in enumerate(series):
        times = (
            np.arange(len(values)) * 2
            if alias is None
            else pd.date_range("2015-01-01", periods=len(values), freq=alias).to_numpy()
        )
        parts.append(pd.DataFrame({ID: at, TIME: times, VALUE: values.astype(np.float64)}))
    frame = pd.concat(parts, ignore_index=True)
    return Panel(frame, asked_frequency(alias or "2", frame[TIME].to_numpy()), season, **covariates)


def setting(panel: Panel, horizon: int, **changes: Any) -> ForecastSetting:
    facts = ForecastSetting(
        horizon=horizon,
        gap=0,
        season=panel.season,
        series=len(panel),
        rows=len(panel.frame),
        shortest=int(panel.lengths.min()),
        known=len(panel.known),
        past=len(panel.past),
        seed=3,
        threads=1,
        patience=20,
    )
    return replace(facts, **changes)


def few_steps(forecaster: Forecaster) -> int | None:
    """A network is trained for a moment where it is not its accuracy that is tested."""
    return 3 if forecaster.name == "lstm" else None


def ahead(panel: Panel, horizon: int, params: Mapping[str, Any], forecaster: Forecaster, **fit: Any) -> np.ndarray:
    fitted = forecaster.fit(panel, setting(panel, horizon), params, **fit)
    return fitted.forecast(panel, panel.next_times(horizon), horizon)


def error(panel: Panel, horizon: int, forecaster: Forecaster, params: Mapping[str, Any], **fit: Any) -> float:
    """MASE of the last steps."""
    history = panel.without_last(horizon)
    found = ahead(history, horizon, params, forecaster, **fit)
    actual = np.stack([values[-horizon:] for values in panel.values()])
    return float((np.abs(actual - found).mean(axis=1) / history.scales()).mean())


@pytest.fixture(scope="module")
def airline() -> Panel:
    from statsforecast.utils import AirPassengers

    return make([np.asarray(AirPassengers)], "MS", 12)


@pytest.fixture(scope="module")
def co2() -> Panel:
    from statsmodels.datasets import co2

    return make([co2.load_pandas().data["co2"].interpolate().to_numpy()[-900:]], "W-SAT", 52)


@pytest.fixture(scope="module")
def sunspots() -> Panel:
    from statsmodels.datasets import sunspots

    return make([sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()], None, 11)


@pytest.fixture(scope="module")
def shops() -> Panel:
    """Monthly sales of ten shops of different size, with trend and season."""
    rng = np.random.default_rng(0)
    series = []
    for at in range(10):
        t = np.arange(72 + 4 * at)
        season = 1 + 0.3 * np.sin(2 * np.pi * (t % 12) / 12) + 0.1 * (t % 12 == 11)
        series.append(10.0 ** (1 + at % 3) * (1 + 0.01 * t) * season * rng.normal(1, 0.03, len(t)))
    return make(series, "MS", 12)


@pytest.fixture(scope="module")
def odd() -> Panel:
    """Series that break models: of one step, of a few, without change, of zeros, mostly zeros, negative, and huge."""
    rng = np.random.default_rng(1)
    season = np.sin(2 * np.pi * np.arange(60) / 12)
    series = [
        np.array([5.0]),
        np.array([1.0, 2.0]),
        np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]),
        rng.normal(5, 1, 20),
        np.full(60, 7.0),
        np.zeros(60),
        rng.poisson(0.1, 60).astype(np.float64),
        -100 + 10 * season + rng.normal(0, 1, 60),
        1e12 * (2 + season + rng.normal(0, 0.1, 60)),
        1e-9 * (2 + season + rng.normal(0, 0.1, 60)),
        np.r_[np.zeros(59), 1.0],
    ]
    return make(series, "MS", 12)


def test_each_step_of_the_naive_forecast_is_as_a_season_before() -> None:
    panel = make([np.arange(1.0, 9.0), np.array([4.0, 6.0])], None, 4)
    assert ahead(panel, 6, {}, SeasonalNaive()).tolist() == [[5, 6, 7, 8, 5, 6], [6] * 6]


@by_name(QUICK[1:])
def test_each_start_beats_the_naive_forecast_on_many_series(forecaster: Forecaster, shops: Panel) -> None:
    naive = error(shops, 12, SeasonalNaive(), {})
    starts = forecaster.starts(setting(shops, 12))
    errors = [error(shops, 12, forecaster, params) for params in starts]
    assert max(errors) < naive, errors
    assert min(errors) < 0.5 * naive, errors


@by_name((Theta(), Ets(), LightGBMForecaster(), Arima(), ProphetForecaster()))
def test_a_start_beats_the_naive_forecast_on_passengers(forecaster: Forecaster, airline: Panel) -> None:
    naive = error(airline, 12, SeasonalNaive(), {})
    starts = forecaster.starts(setting(airline, 12))
    assert min(error(airline, 12, forecaster, params) for params in starts) < 0.75 * naive


@by_name((Theta(), Ets(), Arima(), LightGBMForecaster()))
def test_seasons_of_a_year_of_weeks_are_forecast(forecaster: Forecaster, co2: Panel) -> None:
    naive = error(co2, 26, SeasonalNaive(), {})
    best = min(error(co2, 26, forecaster, params) for params in forecaster.starts(setting(co2, 26))[:3])
    assert best < 0.6 * naive


@by_name(ALL)
def test_whole_number_steps_are_forecast(forecaster: Forecaster, sunspots: Panel) -> None:
    params = forecaster.starts(setting(sunspots, 8))[0]
    assert error(sunspots, 8, forecaster, params, iterations=few_steps(forecaster)) < 4


@pytest.mark.slow
@by_name(ALL)
@pytest.mark.parametrize(("alias", "season"), [("h", 24), ("h", 168), ("D", 7), ("YS", 1)])
def test_any_frequency_is_forecast(forecaster: Forecaster, alias: str, season: int) -> None:
    t = np.arange(40 if alias == "YS" else 420)
    panel = make([100 + 10 * np.sin(2 * np.pi * t / max(season, 8)) + np.cos(t)], alias, season)
    params = forecaster.starts(setting(panel, 5))[0]
    found = ahead(panel, 5, params, forecaster, iterations=few_steps(forecaster))
    assert found.shape == (1, 5)
    assert ((found > 60) & (found < 140)).all()


@by_name(ALL)
def test_odd_series_are_forecast_all_the_same(
    forecaster: Forecaster, odd: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for params in forecaster.starts(setting(odd, 6)):
        fitted = forecaster.fit(odd, setting(odd, 6), params, iterations=few_steps(forecaster))
        found = fitted.forecast(odd, odd.next_times(6), 6)
        assert np.isfinite(found).all()
        assert (found[4] == 7).all()
        assert (found[5] == 0).all()
        assert (np.abs(found[7] + 100) < 60).all()
        assert (found[8] > 1e10).all()
        if forecaster.name != "seasonal_naive":
            assert any("of 11 series" in note for note in fitted.notes), fitted.notes
    assert not list(tmp_path.iterdir())


@by_name(ALL)
def test_series_that_are_all_too_short_are_forecast(forecaster: Forecaster) -> None:
    panel = make([np.array([2.0, 3.0]), np.array([4.0])], "MS", 12)
    params = forecaster.starts(setting(panel, 3))[0]
    assert ahead(panel, 3, params, forecaster).tolist() == [[3, 3, 3], [4, 4, 4]]


@by_name(ALL)
def test_the_same_fit_gives_the_same_forecasts(forecaster: Forecaster, airline: Panel) -> None:
    params = forecaster.starts(setting(airline, 6))[0]
    first, second = (ahead(airline, 6, params, forecaster, iterations=few_steps(forecaster)) for _ in range(2))
    assert (first == second).all()


def covariate_panel(rng: np.random.Generator) -> tuple[Panel, pd.DataFrame]:
    """Daily values that a known price and yesterday's visitors drive, the next two weeks of both."""
    n, steps, series = 240, 14, 3
    parts, futures = [], []
    for at in range(series):
        price, visitors = rng.choice([1.0, 2.0, 3.0], n + steps), rng.normal(0, 1, n + steps)
        values = 50 - 10 * price + rng.normal(0, 0.5, n + steps)
        times = pd.date_range("2020-01-01", periods=n + steps, freq="D")
        whole = pd.DataFrame({ID: at, TIME: times, VALUE: values, "price": price, "visitors": visitors})
        parts.append(whole[:n])
        futures.append(whole[n:])
    frame = pd.concat(parts, ignore_index=True)
    frequency = asked_frequency("D", frame[TIME].to_numpy())
    panel = Panel(frame, frequency, 7, known=("price",), past=("visitors",))
    return panel, pd.concat(futures, ignore_index=True)


@by_name((Arima(), ProphetForecaster(), LightGBMForecaster(), XGBoostForecaster(), Lstm()))
def test_known_covariates_are_followed(forecaster: Forecaster) -> None:
    panel, coming = covariate_panel(np.random.default_rng(5))
    facts = setting(panel, 14)
    rounds = 150 if forecaster.name == "lstm" else None
    fitted = forecaster.fit(panel, facts, forecaster.starts(facts)[0], iterations=rounds)
    found = fitted.forecast(panel, coming[[ID, TIME, "price"]], 14)
    actual = coming[VALUE].to_numpy().reshape(3, 14)
    left = np.abs(found - actual).mean() / np.abs(actual - actual.mean()).mean()
    assert left < (0.7 if forecaster.name == "lstm" else 0.35)
    shares = fitted.importance()
    if shares is not None:
        assert sum(shares.values()) == pytest.approx(1)
        assert max(shares, key=shares.__getitem__) == "price"


@by_name((LightGBMForecaster(), XGBoostForecaster()))
def test_boosting_stops_early_and_goes_on_with_rounds_that_are_given(forecaster: Forecaster, shops: Panel) -> None:
    facts = setting(shops, 12)
    params = forecaster.starts(facts)[0]
    fitted = forecaster.fit(shops, facts, params)
    assert fitted.best_iteration is not None
    again = forecaster.fit(shops, facts, params, iterations=fitted.best_iteration)
    assert again.best_iteration is None
    future = shops.next_times(12)
    assert fitted.forecast(shops, future, 12) == pytest.approx(again.forecast(shops, future, 12), rel=0.1)
    assert forecaster.with_iterations(params, 7)["n_estimators"] == 7


@by_name((LightGBMForecaster(), XGBoostForecaster(), Lstm()))
def test_a_deadline_ends_a_fit(forecaster: Forecaster, shops: Panel) -> None:
    facts = setting(shops, 12)
    fitted = forecaster.fit(shops, facts, forecaster.starts(facts)[0], deadline=time.monotonic() - 1)
    assert fitted.cut
    assert np.isfinite(fitted.forecast(shops, shops.next_times(12), 12)).all()


@by_name((LightGBMForecaster(), Theta(), Lstm()))
def test_what_was_fitted_forecasts_from_a_newer_history_and_other_series(forecaster: Forecaster, shops: Panel) -> None:
    facts = setting(shops, 6)
    before = shops.without_last(12)
    fitted = forecaster.fit(before, facts, forecaster.starts(facts)[0], iterations=few_steps(forecaster))
    newer, other = shops.without_last(6), make([1000 + 0 * np.arange(30) + np.arange(30) % 12], "MS", 12)
    late = fitted.forecast(newer, newer.next_times(6), 6)
    assert not np.allclose(late, fitted.forecast(before, before.next_times(6), 6))
    assert (np.abs(fitted.forecast(other, other.next_times(6), 6) - 1005) < 60).all()


def test_the_network_learns_the_season(shops: Panel) -> None:
    params = Lstm().starts(setting(shops, 12))[0]
    assert error(shops, 12, Lstm(), params | {"hidden": 32}, iterations=120) < error(shops, 12, SeasonalNaive(), {})


def stored(forecaster: Forecaster, panel: Panel) -> FittedForecaster:
    facts = setting(panel, 6)
    return forecaster.fit(panel, facts, forecaster.starts(facts)[0], iterations=few_steps(forecaster))


def test_what_was_fitted_is_the_same_in_a_new_process(shops: Panel, tmp_path: Path) -> None:
    kept = {each.name: stored(each, shops) for each in (Theta(), LightGBMForecaster(), XGBoostForecaster(), Lstm())}
    kept["prophet"] = stored(ProphetForecaster(), shops)
    (tmp_path / "fitted").write_bytes(pickle.dumps((kept, shops)))
    program = (
        "import pickle, sys; kept, panel = pickle.load(open('fitted', 'rb'));"
        "found = {name: each.forecast(panel, panel.next_times(6), 6) for name, each in kept.items()};"
        "pickle.dump(found, open('found', 'wb'))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    found = pickle.loads((tmp_path / "found").read_bytes())
    for name, each in kept.items():
        assert (found[name] == each.forecast(shops, shops.next_times(6), 6)).all(), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fitted", "found"]


@by_name(ALL)
def test_starts_are_points_of_the_space(forecaster: Forecaster, shops: Panel) -> None:
    for season in (1, 12, 52):
        facts = setting(shops, 6, season=season, series=500)
        space = forecaster.space(facts)
        for start in forecaster.starts(facts):
            assert set(start) == set(space)
            assert all(space[name]._contains(space[name].to_internal_repr(value)) for name, value in start.items())
            assert forecaster.memory(facts, start) > 0
