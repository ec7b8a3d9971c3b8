"""Bad specs and bad data of forecasts: one clear paragraph, exit code 2, no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

TIMES = pd.date_range("2018-01-01", periods=60, freq="MS").astype(str)
GOOD = pd.DataFrame({"month": TIMES, "y": np.arange(60.0) % 12, "price": 1.5})
SERIES = {"modelType": "time_series", "timeColumn": "month", "targetColumn": "y", "algorithm": "seasonal_naive"}

BAD_SPECS: dict[str, tuple[dict[str, Any], list[str]]] = {
    # what is wrong: (keys of the spec, what the message has to name)
    "no time column": ({"timeColumn": ...}, ["`timeColumn`", "`modelType: time_series` needs it"]),
    "series without forecasts": (
        {"modelType": "regression", "seriesColumn": "shop", "algorithm": "ridge"},
        ["`seriesColumn`", "`modelType: time_series`"],
    ),
    "horizon without forecasts": (
        {"modelType": "auto", "horizon": 3, "algorithm": "ridge"},
        ["`horizon`", "time_series"],
    ),
    "no horizon": ({"horizon": 0}, ["`horizon`", "0"]),
    "no season": ({"seasonality": 0}, ["`seasonality`", "0"]),
    "drawn test": ({"testSize": 0.3}, ["`testSize`", "0.3", "last `horizon` steps"]),
    "folds of classes": (
        {"validationStrategy": {"type": "stratified_kfold"}},
        ["`validationStrategy.type`", "stratified_kfold", "`time_series_split`"],
    ),
    "coverage as objective": ({"objective": {"metric": "coverage"}}, ["`objective.metric`", "coverage", "gate"]),
    "a metric of classes": ({"objective": {"metric": "roc_auc"}}, ["`objective.metric`", "roc_auc", "mase"]),
    "groups": ({"groupColumn": "shop"}, ["`groupColumn`", "time_series"]),
    "test data": ({"testDataPath": "test.csv"}, ["`testDataPath`", "time_series"]),
    "an algorithm of tables": ({"algorithm": "random_forest"}, ["`algorithm`", "random_forest", "seasonal_naive"]),
    "the target ahead": ({"knownAhead": ["y"]}, ["`knownAhead`", "not known ahead"]),
    "ahead but no feature": ({"knownAhead": ["price"], "features": ["size"]}, ["`knownAhead`", "price", "`features`"]),
    "series by time": ({"seriesColumn": "month"}, ["`seriesColumn`", "`timeColumn`"]),
    "classes": ({"classImbalance": "class_weight"}, ["`classImbalance`"]),
    "generated columns": ({"options": {"featureGeneration": True}}, ["`options.featureGeneration`"]),
}

twice = pd.concat([GOOD, GOOD.assign(y=1.5)])
daily = pd.DataFrame(
    {"month": pd.date_range("2018-01-01", periods=60).astype(str), "y": 1.0 * np.arange(60), "shop": "b"}
)

BAD_DATA: dict[str, tuple[pd.DataFrame, dict[str, Any], list[str]]] = {
    # what is wrong: (table, keys of the spec, what the message has to name)
    "horizon beyond the series": (
        GOOD,
        {"horizon": 70},
        ["horizon of 70 steps", "60 steps", "Set a smaller `horizon`"],
    ),
    "no such time column": (GOOD, {"timeColumn": "mnth"}, ["timeColumn", "'mnth'", "'month'"]),
    "no such series": (GOOD, {"seriesColumn": "shop"}, ["seriesColumn", "'shop'"]),
    "not known ahead": (GOOD, {"knownAhead": ["prise"]}, ["knownAhead", "'prise'", "'price'"]),
    "frequency nonsense": (GOOD, {"frequency": "monthly-ish"}, ["`frequency`", "monthly-ish", "`MS`"]),
    "text target": (GOOD.assign(y=["low", "high"] * 30), {}, ["'y'", "text"]),
    "text among numbers": (GOOD.assign(y=["many", *range(59)]), {}, ["'y'", "text"]),
    "two series as one": (twice, {}, ["same time as another row", "`seriesColumn`"]),
    "mixed steps": (
        pd.concat([GOOD.assign(shop="a"), daily]),
        {"seriesColumn": "shop"},
        ["mixed frequencies", "'a' has steps of a month", "'b' has steps of 1 day"],
    ),
    "irregular": (
        GOOD.assign(
            month=(pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(60) ** 2 * 777, unit="s")).astype(str)
        ),
        {},
        ["no regular step", "`frequency`"],
    ),
    "no dates": (GOOD.assign(month=["soon", *TIMES[1:]]), {}, ["'month' cannot be read", "'soon' in row 1"]),
    "fractions for times": (GOOD.assign(month=np.arange(60) + 0.5), {}, ["'month' cannot be read", "'0.5' in row 1"]),
    "mostly gaps": (
        GOOD.assign(month=[f"{1900 + at}-01-01" for at in range(60)]),
        {"frequency": "MS"},
        ["are missing"],
    ),
    "empty": (GOOD.assign(y=None), {}, ["'y'", "missing"]),
    "constant": (GOOD.assign(y=3.0), {}, ["'y'", "nothing to predict"]),
}


@pytest.mark.parametrize("case", BAD_SPECS)
def test_a_spec_that_contradicts_itself_is_refused_before_anything_is_read(
    case: str, tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    keys, named = BAD_SPECS[case]
    spec = write_spec(tmp_path / "sales", "there_is_no_such_file.csv", **{"validationStrategy": {}, **SERIES, **keys})
    answer = mt_assets("train", spec)
    assert answer.code == 2
    assert answer.err.startswith("SpecError ")
    assert all(each in answer.err for each in named), answer.err
    assert "Traceback" not in answer.err
    assert not home.exists()


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_cannot_be_forecast_is_refused_in_a_sentence(
    case: str, tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    frame, keys, named = BAD_DATA[case]
    spec = write_spec(tmp_path / "sales", frame, **{"validationStrategy": {}, **SERIES, **keys})
    answer = mt_assets("plan", spec)
    assert answer.code == 2, answer.out
    assert all(each in answer.err for each in named), answer.err
    assert "Traceback" not in answer.err
    assert "one class" not in answer.err
