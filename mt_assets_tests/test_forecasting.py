"""Series through the whole graph: forecasts, their registration, and the same model again when months have passed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import Outcome, train

HORIZON, SERIES = 6, 6


def months(count: int, seed: int = 0) -> pd.DataFrame:
    """Sales of six shops by month: a trend, a season, noise of a tenth, and a price that is known ahead."""
    rng = np.random.default_rng(seed)
    at = np.arange(count)
    shops = []
    for shop in range(SERIES):
        price = 1 + 0.2 * np.cos(at * (shop + 1))
        level = (shop + 1) * 100 * (1 + 0.004 * at) * (1 + 0.3 * np.sin(2 * np.pi * at / 12 + shop))
        noise = rng.normal(0, 0.02, 200)[:count]
        times = pd.date_range("2012-01-31", periods=count, freq="ME")
        shops.append(pd.DataFrame({"month": times, "shop": f"s{shop}", "price": price, "sales": level / price + noise}))
    return pd.concat(shops, ignore_index=True)


class Model:
    """A forecasting model that was trained once, and its data."""

    first: Outcome

    def __init__(self, spec: Path, home: Path) -> None:
        self.path = spec
        self.data = spec.parent / "train.csv"
        self.store = ModelStore(home, "shops")

    def train(self) -> Outcome:
        return train(load_spec(self.path))

    def stored(self, name: str) -> Any:
        version = self.store.current(name)
        assert version is not None
        return self.store.get(version.address)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_spec: Any, at_home: Callable[[Path], Any]) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("forecasting")
    with at_home(folder / "home") as home:
        spec = write_spec(
            folder / "shops",
            months(96),
            modelType="time_series",
            algorithm=["seasonal_naive", "theta", "lightgbm"],
            targetColumn="sales",
            timeColumn="month",
            seriesColumn="shop",
            knownAhead=["price"],
            horizon=HORIZON,
            validationStrategy={"folds": 3},
            hyperparameterSearch={"nTrials": 5},
            experimentTracking=...,
        )
        model = Model(spec, home)
        model.first = model.train()
        assert model.first.exit_code == 0, model.first.result.error
        yield model


def test_forecasts_beat_the_seasonal_naive_forecast_and_the_result_tells_all_of_it(model: Model) -> None:
    result = json.loads(model.first.result.model_dump_json(by_alias=True))
    assert set(result["metrics"]["test"]) == {"mase", "smape", "rmse", "mae", "wql", "coverage"}
    assert result["metrics"]["test"]["mase"] < 0.7 * result["metrics"]["baseline"]["mase"]
    assert 0.7 <= result["metrics"]["test"]["coverage"] <= 1
    assert np.isclose(sum(result["featureImportance"].values()), 1)
    assert "price" in result["featureImportance"]
    decided = {each["decision"]: each["value"] for each in result["decisions"]}
    assert (decided["frequency"], decided["season"], decided["horizon"]) == ("MS", 12, HORIZON)
    assert decided["validation"] == "time_series_split"
    assert {row["algorithm"] for row in result["leaderboard"]} >= {"seasonal_naive", "theta", "lightgbm"}


def test_the_test_is_the_last_horizon_and_nothing_fitted_saw_it(model: Model) -> None:
    splits, frame = model.stored("folds"), pd.read_csv(model.data, parse_dates=["month"])
    last = sorted(frame["month"].unique())[-HORIZON:]
    assert set(frame.loc[splits.test, "month"]) == set(last)
    assert len(splits.test) == SERIES * HORIZON
    assert not set(splits.learning) & set(splits.test)
    assert list(model.stored("trained_model").rows) == list(splits.learning)
    per_series = json.loads(model.stored("test_metrics").attachment("series_metrics.json"))
    assert [row["series"] for row in per_series] == [f"s{shop}" for shop in range(SERIES)]


def test_mlflow_forecasts_from_new_history_with_intervals(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.pyfunc

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{model.store.folder.parent.parent / 'mlflow.db'}")
    loaded = mlflow.pyfunc.load_model("models:/shops@champion")
    frame = months(100)
    later = frame["month"] > pd.Timestamp("2019-12-31") + pd.DateOffset(months=4)
    history = frame[~later].assign(sales=frame["sales"].where(frame["month"] <= "2019-12-31"))
    history = pd.concat([history, months(102).loc[lambda f: f["month"] > history["month"].max()].assign(sales=np.nan)])
    forecasts = loaded.predict(history)
    assert list(forecasts.columns) == ["shop", "month", "predicted_sales", "lower_sales", "upper_sales"]
    assert forecasts["month"].dt.is_month_end.all()
    assert forecasts["month"].min() == pd.Timestamp("2020-01-31")
    assert (forecasts["lower_sales"] <= forecasts["upper_sales"]).all()
    came = months(102).merge(forecasts, on=["shop", "month"])
    assert len(came) == SERIES * HORIZON
    assert (np.abs(came["predicted_sales"] / came["sales"] - 1)).median() < 0.15


def test_when_months_have_passed_the_newest_are_the_test_and_the_champion_is_met_on_them(model: Model) -> None:
    before = model.stored("folds")
    champion = model.store.champion()
    assert champion is not None
    months(99).to_csv(model.data, index=False)
    outcome = model.train()
    assert outcome.exit_code == 0, outcome.result.error
    after: Splits = model.stored("folds")
    known = before.identities[before.learning]
    assert not np.isin(after.identities[after.test], known).any()
    decision = model.stored("promotion_decision")
    assert decision.champion_version == champion.number
    assert decision.comparison is not None
    assert decision.comparison.rows == SERIES * HORIZON
    assert decision.comparison.metric == "mase"
    assert decision.verdict in ("promoted", "kept_challenger")
