"""Columns made from others: which are made, that they are made again the same, and from which rows they learn."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from mt_assets.trainer.features.generation import MOST_NEW, GeneratedBlock
from mt_assets.trainer.features.preprocessor import TablePreprocessor

ROLES = {"a": "numeric", "b": "numeric", "shop": "categorical", "day": "categorical"}


def table(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.uniform(1, 9, n),
            "b": rng.uniform(1, 9, n),
            "shop": rng.choice(list("pqrs"), n),
            "day": rng.choice(["mo", "tu", "we"], n),
        }
    )
    frame.loc[rng.choice(n, 30, replace=False), "a"] = np.nan
    frame.loc[rng.choice(n, 30, replace=False), "shop"] = None
    return frame


def fitted(frame: pd.DataFrame, y: np.ndarray) -> TablePreprocessor:
    return TablePreprocessor(ROLES, "generated", seed=3).fit(frame, y)


def ratio_of(frame: pd.DataFrame) -> np.ndarray:
    return (frame["a"] / frame["b"]).fillna(1.0).to_numpy()


def test_a_ratio_that_the_target_is_made_of_is_found() -> None:
    frame = table()
    preprocessor = fitted(frame, ratio_of(frame))
    made = pd.DataFrame(preprocessor.transform(frame), columns=preprocessor.get_feature_names_out())
    pd.testing.assert_series_equal(made["a / b"], frame["a"] / frame["b"], check_names=False)
    assert preprocessor.parents_["a / b"] == ("a", "b")
    assert set(preprocessor.parents_) <= set(preprocessor.source_columns_)
    assert 0 < len(preprocessor.parents_) <= MOST_NEW


def test_a_pair_of_categories_is_told_by_the_target_of_other_rows() -> None:
    frame = table(2_000)
    chance = np.random.default_rng(1).random(len(frame))
    y = (((frame["shop"] == "p") == (frame["day"] == "mo")) ^ (chance < 0.1)).to_numpy().astype(np.int64)
    preprocessor = TablePreprocessor(ROLES, "generated", seed=3)
    learned = preprocessor.fit_transform(frame, y)
    names = list(preprocessor.get_feature_names_out())
    crossed = next(name for name in names if name.endswith("target") and " x " in name)
    assert set(preprocessor.parents_[crossed]) == {"shop", "day"}
    later = preprocessor.transform(frame)[:, names.index(crossed)]
    pair = ((frame["shop"] == "p") & (frame["day"] == "mo")).to_numpy()
    mean = (y[pair].sum() + 10 * y.mean()) / (pair.sum() + 10)
    np.testing.assert_allclose(later[pair], mean)
    of_others = learned[:, names.index(crossed)]
    assert len(np.unique(of_others[pair].round(12))) > 1  # a row does not see its own part
    assert not np.isclose(of_others[pair], mean).all()


def test_what_a_row_is_given_does_not_follow_from_its_own_target() -> None:
    """Targets that are noise: told by their own row they would seem to tell it."""
    rng = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame({"shop": rng.integers(0, 150, n).astype(str), "day": rng.integers(0, 30, n).astype(str)})
    y = rng.normal(size=n)
    block = GeneratedBlock([], ["shop", "day"], seed=0)
    learned = block.fit_transform(frame, y)
    told = [at for at, name in enumerate(block.names_) if name.endswith("target")]
    assert told
    for at in told:
        assert np.corrcoef(learned[:, at], y)[0, 1] < 0.1
        assert np.corrcoef(block.transform(frame)[:, at], y)[0, 1] > 0.1


def test_validation_rows_change_nothing_that_is_learned() -> None:
    frame = table()
    y = ratio_of(frame)
    train, validation = frame.iloc[:300], frame.iloc[300:]
    preprocessor = fitted(train, y[:300])
    changed = validation.assign(a=-1e6, shop="new")
    before = preprocessor.transform(train)
    preprocessor.transform(changed)
    np.testing.assert_array_equal(preprocessor.transform(train), before)
    again = clone(preprocessor).fit(pd.concat([train, changed]).iloc[:300], y[:300])
    assert again.parents_ == preprocessor.parents_
    np.testing.assert_array_equal(again.transform(validation), preprocessor.transform(validation))


def test_rows_are_made_again_one_by_one_in_any_order_and_with_what_is_new() -> None:
    frame = table()
    preprocessor = fitted(frame, ratio_of(frame))
    whole = preprocessor.transform(frame)
    order = np.random.default_rng(1).permutation(len(frame))
    np.testing.assert_array_equal(preprocessor.transform(frame.iloc[order][["day", "b", "shop", "a"]]), whole[order])
    np.testing.assert_array_equal(preprocessor.transform(frame.iloc[[5]]), whole[[5]])
    odd = pd.DataFrame(
        {"a": [np.inf, 0.0, np.nan], "b": [0.0, 0.0, 1.0], "shop": ["new", None, "p"], "day": [None] * 3}
    )
    made = preprocessor.transform(odd)
    assert made.shape == (3, whole.shape[1])
    assert not np.isinf(made).any()


@pytest.mark.parametrize(
    "roles", [{"flat": "numeric"}, {"when": "datetime"}, {"flat": "numeric", "one": "categorical"}]
)
def test_where_nothing_can_be_made_it_is_the_native_encoding(roles: dict[str, str]) -> None:
    n = 40
    frame = pd.DataFrame(
        {"flat": np.ones(n), "one": ["x"] * n, "when": pd.date_range("2024-01-01", periods=n, freq="D")}
    )[list(roles)]
    y = np.arange(n) % 2
    made = TablePreprocessor(roles, "generated").fit(frame, y)
    native = TablePreprocessor(roles, "native").fit(frame, y)
    assert not made.parents_
    np.testing.assert_array_equal(made.transform(frame), native.transform(frame))


numbers = st.one_of(st.none(), st.floats(width=32), st.integers(-5, 5).map(float))
labels = st.one_of(st.none(), st.sampled_from(["x", "y", "z", "", " ", "1"]), st.text(max_size=3))


@given(
    rows=st.lists(st.tuples(numbers, numbers, labels, labels), min_size=1, max_size=60),
    kind=st.sampled_from(["value", "two", "many"]),
)
@settings(max_examples=25, deadline=None)
def test_any_frame_is_made_the_same_twice_and_stays_finite(rows: list[tuple[Any, ...]], kind: str) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b", "shop", "day"]).astype({"a": "float64", "b": "float64"})
    frame[["shop", "day"]] = frame[["shop", "day"]].astype(object)
    rng = np.random.default_rng(len(rows))
    y = rng.normal(size=len(rows)) if kind == "value" else rng.integers(0, 2 if kind == "two" else 15, len(rows))
    one, two = (GeneratedBlock(["a", "b"], ["shop", "day"], seed=1) for _ in range(2))
    learned = one.fit_transform(frame, y)
    np.testing.assert_array_equal(learned, two.fit_transform(frame, y))
    assert one.names_ == two.names_ and len(set(one.names_)) == len(one.names_) == learned.shape[1]
    for made in (learned, one.transform(frame)):
        assert made.shape == (len(rows), len(one.parents_))
        assert not np.isinf(made).any()
    arithmetic = [at for at, name in enumerate(one.names_) if not name.endswith("target") and "target " not in name]
    np.testing.assert_array_equal(learned[:, arithmetic], one.transform(frame)[:, arithmetic])
