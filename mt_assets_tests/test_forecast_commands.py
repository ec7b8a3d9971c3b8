"""Forecasts from the command line: `predict` on history, in the form of the history, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec_reading import load_spec
from mt_assets.training_run import train


def history(shops: int = 3, days: int = 60) -> pd.DataFrame:
    """Sales of shops, numbered, by day of Vienna; `sale` is known ahead."""
    at = np.arange(days)
    zone = pd.date_range("2024-03-01", periods=days, tz="Europe/Vienna")
    parts = [
        pd.DataFrame(
            {"day": zone, "shop": 10 + shop, "sale": at % 5 == 0, "sold": 50 + shop * 10 + 9 * (at % 7) + at / 9}
        )
        for shop in range(shops)
    ]
    return pd.concat(parts, ignore_index=True)


def with_future(frame: pd.DataFrame, days: int = 4) -> pd.DataFrame:
    """Its rows and, without values, those that follow."""
    last = frame.groupby("shop")["day"].max()
    ahead = [
        pd.DataFrame({"day": pd.date_range(end, periods=days + 1)[1:], "shop": shop, "sale": False})
        for shop, end in last.items()
    ]
    return pd.concat([frame, *ahead], ignore_index=True)


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory, write_spec: Any, at_home: Callable[[Path], Any]) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("forecasts")
    common = {
        "modelType": "time_series",
        "algorithm": "seasonal_naive",
        "horizon": 4,
        "validationStrategy": {"folds": 2},
    }
    with at_home(folder / "home"):
        shops, plain = folder / "shops", folder / "plain"
        shops.mkdir()
        history().to_parquet(shops / "train.parquet")
        keys = {"targetColumn": "sold", "timeColumn": "day", "seriesColumn": "shop", "knownAhead": ["sale"]}
        assert train(load_spec(write_spec(shops, "train.parquet", **common, **keys))).exit_code == 0
        frame = pd.DataFrame({"month": pd.date_range("2015-01-31", periods=60, freq="ME"), "sold": np.arange(60.0)})
        keys = {"targetColumn": "sold", "timeColumn": "month"}
        assert train(load_spec(write_spec(plain, frame, **common, **keys))).exit_code == 0
        yield


@pytest.fixture
def forecast(mt_assets: Callable[..., Any], tmp_path: Path) -> Callable[..., tuple[Any, pd.DataFrame]]:
    """`forecast(name, frame, suffix)`: what the command said, and the table that it wrote."""

    def run(name: str, frame: pd.DataFrame, suffix: str = ".parquet") -> tuple[Any, pd.DataFrame]:
        source, output = tmp_path / f"history{suffix}", tmp_path / f"out{suffix}"
        write = {".csv": lambda: frame.to_csv(source, index=False), ".parquet": lambda: frame.to_parquet(source)}
        write[suffix]()
        answer = mt_assets("predict", name, source, "--output", output)
        assert answer.code == 0, answer.err
        return answer, {".csv": pd.read_csv, ".parquet": pd.read_parquet}[suffix](output)

    return run


def test_the_steps_that_follow_come_in_the_form_of_the_history(forecast: Any) -> None:
    answer, made = forecast("shops", with_future(history()))
    assert answer.out.startswith("12 rows")
    assert list(made) == ["shop", "day", "predicted_sold", "lower_sold", "upper_sold"]
    assert list(made["shop"]) == [10] * 4 + [11] * 4 + [12] * 4
    assert str(made["day"].dtype.tz) == "Europe/Vienna"
    expected = pd.date_range("2024-04-30", periods=4, tz="Europe/Vienna")
    assert list(made["day"][:4]) == list(expected)
    assert (made["lower_sold"] < made["upper_sold"]).all()
    assert "Note" not in answer.out


def test_another_zone_is_answered_in_that_zone_and_none_in_the_models(forecast: Any) -> None:
    frame = with_future(history())
    _, own = forecast("shops", frame)
    _, utc = forecast("shops", frame.assign(day=frame["day"].dt.tz_convert("UTC")))
    assert (utc["day"] == own["day"]).all()
    assert str(utc["day"].dtype.tz) == "UTC"
    answer, naive = forecast("shops", frame.assign(day=frame["day"].dt.tz_localize(None)))
    assert (naive["day"] == own["day"].dt.tz_localize(None)).all()
    assert "Times without a zone are taken as those of Europe/Vienna" in answer.out
    assert np.allclose(naive["predicted_sold"], own["predicted_sold"])


def test_months_by_their_last_day_stay_dates_in_csv(forecast: Any) -> None:
    frame = pd.DataFrame({"month": pd.date_range("2020-01-31", periods=30, freq="ME"), "sold": np.arange(30.0)})
    _, made = forecast("plain", frame, ".csv")
    assert list(made) == ["month", "predicted_sold", "lower_sold", "upper_sold"]
    assert list(made["month"]) == ["2022-07-31", "2022-08-31", "2022-09-30", "2022-10-31"]


def test_what_is_left_out_new_gone_and_repaired_is_told(forecast: Any) -> None:
    frame = history()
    frame = frame[frame["shop"] != 12]
    new = frame[frame["shop"] == 10].assign(shop=99)
    empty = frame[frame["shop"] == 10].assign(shop=98, sold=np.nan)
    short = frame[(frame["shop"] == 11) & (frame["day"] < "2024-04-20")].drop(index=frame.index[70])
    frame = pd.concat([frame[frame["shop"] == 10], short, new, empty], ignore_index=True)
    answer, made = forecast("shops", with_future(frame))
    assert set(made["shop"]) == {10, 11, 99}
    assert made.loc[made["shop"] == 11, "day"].min() == pd.Timestamp("2024-04-20", tz="Europe/Vienna")
    for told in (
        "1 series are new to the model: '99'",
        "1 series that the model knows have no forecast here: '12'",
        "1 series left out: '98'",
        "1 series repaired: '11' (1 of 50 steps are missing)",
        "1 series end before the newest one ('11')",
    ):
        assert told in answer.out


GOOD = pd.DataFrame({"month": pd.date_range("2020-01-31", periods=30, freq="ME").astype(str), "sold": np.arange(30.0)})

BAD: dict[str, tuple[str, pd.DataFrame, list[str]]] = {
    # what is wrong: (model, history, what the message has to name)
    "no time column": ("plain", GOOD.drop(columns="month"), ["no column 'month'", "month, sold"]),
    "no target": ("plain", GOOD.drop(columns="sold"), ["no column 'sold'"]),
    "no dates": (
        "plain",
        GOOD.assign(month=GOOD["month"].mask(GOOD.index == 4, "soon")),
        ["'month' cannot be read", "1 of 30 values", "'soon' in row 5"],
    ),
    "numbers for dates": ("plain", GOOD.assign(month=range(30)), ["holds whole numbers", "has learned from dates"]),
    "no history": ("plain", GOOD.assign(sold=None), ["no history"]),
    "no dates at all": ("plain", GOOD.assign(month=None), ["no history"]),
    "text": (
        "plain",
        GOOD.assign(sold=GOOD["sold"].astype(object).mask(GOOD.index == 7, "7 kg")),
        ["'sold' cannot be read", "1 of 30 values are no numbers", "'7 kg' in row 8"],
    ),
    "two values for a month": ("plain", pd.concat([GOOD, GOOD.assign(sold=1.5)]), ["same time as another row"]),
    "another step": ("plain", GOOD.assign(month=[f"{1980 + at}-01-01" for at in range(30)]), ["model's, MS"]),
    "nothing known ahead": ("shops", history(), ["'sale'", "3 of 3 series lack rows there", "'10' lacks 4"]),
    "too little known ahead": ("shops", with_future(history(), 3), ["'sale'", "'10' lacks 1", "left empty"]),
}


@pytest.mark.parametrize("case", BAD)
def test_history_that_cannot_be_forecast_from_is_refused_in_a_sentence(
    case: str, mt_assets: Callable[..., Any], tmp_path: Path
) -> None:
    name, frame, named = BAD[case]
    frame.to_csv(tmp_path / "history.csv", index=False)
    answer = mt_assets("predict", name, tmp_path / "history.csv", "--output", tmp_path / "out.csv")
    assert answer.code == 2, answer.out + answer.err
    assert all(each in answer.err for each in named), answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "out.csv").exists()
