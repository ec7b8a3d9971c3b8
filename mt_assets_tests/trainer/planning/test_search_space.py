"""Ranges of hyperparameters that a spec sets: their forms, what they become, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mt_assets.spec_ranges import ParameterRange
from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.registry import algorithm, available
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.planning.search_space import search_space

SETTING = FitSetting(task="classification", n_classes=2, rows=2_000, features=8, seed=0, threads=1, categorical=2)

numbers = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6))
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["low", "high", "log", "step", "choices", "x"]), inner, max_size=4)
    ),
)


@given(anything)
def test_any_value_is_a_range_or_is_refused_in_words(value: Any) -> None:
    try:
        asked = ParameterRange.parse(value)
    except ValueError as error:
        assert str(error)
        return
    assert asked.choices or asked.low <= asked.high


@given(numbers, numbers)
def test_two_numbers_are_a_range(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert ParameterRange.parse([low, high]) == ParameterRange(low=low, high=high)
    assert ParameterRange.parse({"low": low, "high": high}) == ParameterRange(low=low, high=high)
    if low < high:
        with pytest.raises(ValueError, match="low must not be above high"):
            ParameterRange.parse([high, low])


@pytest.mark.parametrize("name", [*available("classification")])
@given(data=st.data())
def test_start_configurations_lie_in_the_space(name: str, data: Any) -> None:
    """Whatever a spec asks: it is refused, or every start configuration can be drawn from what it becomes."""
    learner = algorithm(name)
    own = learner.space(SETTING)
    values = st.one_of(numbers, st.lists(numbers, min_size=2, max_size=2).map(sorted), anything)
    asked = data.draw(st.dictionaries(st.sampled_from(sorted(own)), values, max_size=3)) if own else {}
    try:
        space, starts = search_space(learner, SETTING, asked)
    except SpecError as error:
        assert any(f"`hyperparameterSearch.searchSpace.{name}.{parameter}`" in error.message for parameter in asked)
        return
    assert starts
    assert set(space) == set(own)
    for start in starts:
        assert set(start) == set(own)
        assert all(space[each]._contains(space[each].to_internal_repr(value)) for each, value in start.items())
    untouched = set(own) - set(asked)
    assert all(space[each] == own[each] for each in untouched)


def test_ranges_take_the_place_of_the_algorithms_own() -> None:
    asked = {
        "num_leaves": [8, 16],
        "learning_rate": {"low": 0.02, "high": 0.2, "log": False},
        "min_data_in_leaf": {"low": 10, "high": 30, "step": 10},
        "feature_fraction": 0.5,
        "extra_trees": {"choices": [True]},
        "lambda_l1": {"choices": [0, 0.5]},
    }
    space, starts = search_space(algorithm("lightgbm"), SETTING, asked)
    assert space["num_leaves"] == IntDistribution(8, 16, log=True)
    assert space["learning_rate"] == FloatDistribution(0.02, 0.2)
    assert space["min_data_in_leaf"] == IntDistribution(10, 30, step=10)
    assert space["feature_fraction"] == CategoricalDistribution([0.5])
    assert space["extra_trees"] == CategoricalDistribution([True])
    assert space["lambda_l1"] == CategoricalDistribution([0.0, 0.5])
    assert all(start["num_leaves"] in (8, 16) and start["extra_trees"] is True for start in starts)
    assert json.loads(json.dumps(starts)) == list(starts)


def test_start_configurations_that_become_the_same_are_tried_once() -> None:
    _, starts = search_space(algorithm("logistic_regression"), SETTING, {"C": 0.3})
    assert starts == ({"C": 0.3},)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"num_leafs": [2, 8]}, ["num_leafs", "Did you mean 'num_leaves'?", "learning_rate"]),
        ({"num_leaves": [2.5, 8]}, ["num_leaves", "whole numbers", "2.5"]),
        ({"num_leaves": "many"}, ["num_leaves", "takes numbers"]),
        ({"num_leaves": [0, 8]}, ["num_leaves", "cannot be 0"]),
        ({"extra_trees": [0, 1]}, ["extra_trees", "choices"]),
        ({"extra_trees": 1}, ["extra_trees", "false, true"]),
        ({"learning_rate": -0.1}, ["learning_rate", "cannot be -0.1"]),
        ({"learning_rate": [0.2, 0.1]}, ["learning_rate", "low must not be above high"]),
    ],
)
def test_what_an_algorithm_cannot_take_is_refused_by_name(asked: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        search_space(algorithm("lightgbm"), SETTING, asked)
    assert "`hyperparameterSearch.searchSpace.lightgbm." in caught.value.message
    assert all(words in caught.value.message for words in said)
