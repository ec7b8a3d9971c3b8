"""Importance: by the user's own columns, and only what really matters."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.trainer.evaluation.importance import FeatureImportance

Train = Callable[..., Any]


def made(rows: int = 400) -> pd.DataFrame:
    """`city` alone tells the target; every other column, of every kind, is noise."""
    rng = np.random.default_rng(0)
    city = rng.choice(["bern", "kyiv", "oslo", "rome"], rows)
    return pd.DataFrame(
        {
            "city": city,
            "colour": rng.choice(["red", "green", "blue"], rows),
            "weight": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "member": rng.random(rows) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), unit="D"),
            "churn": np.where(np.isin(city, ["bern", "rome"]) ^ (rng.random(rows) < 0.03), "yes", "no"),
        }
    )


@pytest.fixture(scope="module", params=["logistic_regression", "random_forest", "lightgbm"])
def of_each_encoding(request: pytest.FixtureRequest, train: Train) -> Any:
    return train(made(), "churn", request.param)


@pytest.fixture(scope="module")
def training(train: Train) -> Any:
    return train(made(), "churn", "xgboost")


def shares_are_sound(importance: FeatureImportance, columns: set[str]) -> None:
    for shares in (importance.permutation, importance.model or {"": 1.0}):
        assert sum(shares.values()) == pytest.approx(1.0)
        assert min(shares.values()) >= 0
    assert set(importance.permutation) == columns


def test_finds_the_only_column_that_matters(of_each_encoding: Any) -> None:
    importance = of_each_encoding.explain()
    shares_are_sound(importance, {"city", "colour", "weight", "member", "since"})
    assert next(iter(importance.permutation)) == "city"
    assert importance.permutation["city"] > 0.9
    assert importance.model is not None
    assert set(importance.model) == set(importance.permutation)
    assert importance.rows == "test"
    assert importance.table()[0]["column"] == "city"
    assert set(importance.small_plots()) == {"feature_importance"}


def test_regression(train: Train) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    frame["y"] = 3 * frame["b"] + rng.normal(scale=0.1, size=300)
    importance = train(frame, "y", "ridge").explain()
    shares_are_sound(importance, {"a", "b", "c"})
    assert importance.permutation["b"] > 0.95


def test_same_twice_and_from_any_handle_on_the_table(training: Any) -> None:
    part = replace(training, table=training.table.take(training.splits.test))
    assert training.explain() == part.explain()


def test_shuffling_what_a_column_became_is_shuffling_the_column(of_each_encoding: Any) -> None:
    training = of_each_encoding
    model = training.trained.model
    frame = training.table.take(training.splits.test).frame([*model.features])
    order = np.random.default_rng(1).permutation(len(frame))
    encoded = pd.DataFrame(np.asarray(model.encode(frame)), columns=model.encoded_names)
    for column in model.features:
        raw = frame.assign(**{column: frame[column].to_numpy()[order]})
        own = [name for name, source in model.source_columns.items() if source == column]
        shuffled = encoded.assign(**{name: encoded[name].to_numpy()[order] for name in own})
        of_raw = pd.DataFrame(np.asarray(model.encode(raw)), columns=model.encoded_names)
        pd.testing.assert_frame_equal(of_raw, shuffled)


def test_without_test_rows_it_is_on_learning_rows_and_says_so(training: Any) -> None:
    none = replace(training.splits, test=training.splits.test[:0])
    importance = replace(training, splits=none).explain()
    assert importance.rows == "learning"
    assert "no test rows" in importance.note
    assert importance.permutation["city"] > 0.9


def test_rows_that_tell_nothing_give_equal_shares(training: Any) -> None:
    y = training.table.take(training.splits.test).frame(["churn"])["churn"]
    one_class = replace(training.splits, test=y.index[y == "yes"].to_numpy())
    importance = replace(training, splits=one_class).explain()
    assert set(importance.permutation.values()) == {1 / 5}
    assert "same share" in importance.note
