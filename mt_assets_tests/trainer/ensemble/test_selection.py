"""Greedy selection, on predictions made for the purpose."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_assets.spec_values import Gate
from mt_assets.trainer.ensemble.selection import (
    Judge,
    affordable,
    blend,
    cross_fitted,
    select,
    standing,
    within,
)
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import METRICS, score

GOALS = {
    "roc_auc": Goal("roc_auc", positive=1),
    "log_loss": Goal("log_loss", positive=1),
    "brier": Goal("brier", positive=1),
    "accuracy": Goal("accuracy", positive=1),
    "average_precision": Goal("average_precision", positive=1),
    "f1": Goal("f1", free=True, positive=1),
    "recall": Goal("recall", constraints=(Gate.parse("precision", ">=0.6"),), free=True, positive=1),
    "rmse": Goal("rmse"),
    "mae": Goal("mae"),
    "r2": Goal("r2"),
}


def library(
    goal: Goal, candidates: int, seed: int, rows: int = 120, noise: float = 1.0
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Target, predictions of candidates that err independently (the best first), and the rows of three folds."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=rows)
    guesses = [signal + rng.normal(scale=noise, size=rows) for _ in range(candidates)]
    if "regression" in METRICS[goal.metric].tasks:
        y, predictions = 1e-9 * signal, [1e-9 * guess for guess in guesses]
    else:
        y = (signal > 0.3).astype(np.int64)
        chances = [1 / (1 + np.exp(-guess)) for guess in guesses]
        predictions = [np.column_stack([1 - chance, chance]) for chance in chances]
    parts = np.array_split(np.arange(rows), 3)
    return y, _best_first(goal, y, predictions, parts), parts


def _best_first(goal: Goal, y: Any, predictions: Any, parts: Any) -> Any:
    stands = [standing(goal, y, each, parts)[0] for each in predictions]
    sign = -1 if METRICS[goal.metric].greater_is_better else 1
    order = sorted(range(len(stands)), key=lambda at: (stands[at].violation, sign * stands[at].score))
    return [predictions[at] for at in order]


@pytest.mark.parametrize("metric", GOALS)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000), candidates=st.integers(1, 5))
def test_never_worse_than_the_best_alone_where_it_was_selected(metric: str, seed: int, candidates: int) -> None:
    goal = GOALS[metric]
    y, predictions, parts = library(goal, candidates, seed)
    weights = select(Judge(y, predictions, goal, parts), rounds=6)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    ours = standing(goal, y, blend(predictions, weights), parts)[0]
    for alone in predictions:
        other = standing(goal, y, alone, parts)[0]
        unit = abs(other.score) if METRICS[metric].needs == "values" else 1.0
        assert ours.violation <= other.violation + 1e-6
        if ours.violation >= other.violation - 1e-6:
            assert METRICS[metric].gain(ours.score, other.score) >= -3e-6 * unit


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "rmse", "r2", "accuracy"])
def test_models_that_err_differently_are_better_together(metric: str) -> None:
    goal = GOALS[metric]
    y, predictions, parts = library(goal, 6, seed=1, rows=900)
    judge = Judge(y, predictions, goal, parts)
    weights = select(judge, rounds=25)
    assert (weights > 0).sum() >= 3
    fair = standing(goal, y, cross_fitted(judge, predictions, 25, seed=0), parts)[0]
    assert goal.better(fair, standing(goal, y, predictions[0], parts)[0])
    np.testing.assert_array_equal(select(Judge(y, predictions, goal, parts), rounds=25), weights)


def test_a_twin_brings_no_member_in() -> None:
    goal = GOALS["log_loss"]
    y, (first, *_), parts = library(goal, 1, seed=2)
    weights = select(Judge(y, [first, first.copy(), first.copy()], goal, parts), rounds=10)
    np.testing.assert_array_equal(weights, [1, 0, 0])


def test_more_classes_and_one_fold() -> None:
    rng = np.random.default_rng(5)
    y = rng.integers(0, 4, 400)
    predictions = []
    for _ in range(4):
        logits = np.exp(np.eye(4)[y] + rng.normal(size=(400, 4)))
        predictions.append(logits / logits.sum(axis=1, keepdims=True))
    for metric in ("log_loss", "roc_auc", "accuracy"):
        goal = Goal(metric)
        ordered = _best_first(goal, y, predictions, [np.arange(400)])
        judge = Judge(y, ordered, goal)
        together = cross_fitted(judge, ordered, 10, seed=0)
        gain = METRICS[metric].gain(score(metric, y, together, None), score(metric, y, ordered[0], None))
        assert gain > 0


def test_weights_for_a_fold_do_not_come_from_its_own_rows() -> None:
    goal = GOALS["rmse"]
    y, predictions, parts = library(goal, 3, seed=3)
    before = cross_fitted(Judge(y, predictions, goal, parts), predictions, 10, seed=0)
    changed = y.copy()
    changed[parts[1]] = 7e-9
    after = cross_fitted(Judge(changed, predictions, goal, parts), predictions, 10, seed=0)
    np.testing.assert_array_equal(after[parts[1]], before[parts[1]])
    assert not np.array_equal(after[parts[0]], before[parts[0]])


def test_the_more_rows_the_fewer_candidates() -> None:
    auc, free = GOALS["roc_auc"], GOALS["f1"]
    assert affordable(auc, (1_000, 2), 25) == (100, 25)
    assert affordable(auc, (40_000, 2), 25)[0] < affordable(GOALS["log_loss"], (40_000, 2), 25)[0] < 100
    assert affordable(free, (1_000, 2), 25)[1] < 25
    assert affordable(GOALS["accuracy"], (10**7, 2), 25)[0] >= 2


def test_members_that_weigh_least_for_what_they_cost_go_until_the_rest_has_time() -> None:
    weights, costs = np.array([0.5, 0.3, 0.0, 0.2]), np.array([4.0, 6.0, 1.0, 1.0])
    np.testing.assert_array_equal(within(weights, costs, None), weights)
    np.testing.assert_array_equal(within(weights, costs, 11.0), weights)
    np.testing.assert_allclose(within(weights, costs, 10.9), [5 / 7, 0, 0, 2 / 7])
    np.testing.assert_allclose(within(weights, costs, 4.0), [0, 0, 0, 1])
    np.testing.assert_allclose(within(weights, costs, 0.1), [0, 0, 0, 1])


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 10)), min_size=1, max_size=8), st.floats(0, 20))
def test_what_is_kept_of_an_ensemble_has_time_and_weighs_one(members: list[tuple[int, float]], most: float) -> None:
    counts, costs = (np.array(each, dtype=np.float64) for each in zip(*members, strict=True))
    if not counts.sum():
        return
    kept = within(counts / counts.sum(), costs, most)
    assert kept.sum() == pytest.approx(1)
    assert not kept[counts == 0].any()
    assert costs[kept > 0].sum() <= most or (kept > 0).sum() == 1
