"""How predictions are judged by a goal, and the threshold that serves it best."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_assets.spec_values import Gate
from mt_assets.trainer.evaluation.goal import Goal, label_scores
from mt_assets.trainer.evaluation.metrics import METRICS, Terms, score

LABELS = [name for name, metric in METRICS.items() if metric.needs == "labels"]


def proba(of_positive: list[float]) -> np.ndarray:
    return np.column_stack([1 - np.array(of_positive), of_positive])


Y = np.array([0, 0, 0, 0, 1, 0, 1, 1])
P = proba([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.9])
PRECISE = (Gate.parse("precision", ">=0.75"),)


def test_most_recall_at_a_precision() -> None:
    # from 0.3 on all three are found at precision 3/4; below, precision falls
    found = Goal("recall", PRECISE, free=True, positive=1).best(Y, P)
    assert (found.score, found.violation) == (1.0, 0.0)
    assert 0.2 < found.threshold <= 0.3
    fixed = Goal("recall", PRECISE, positive=1).judge(Y, P)
    assert (fixed.score, fixed.violation, fixed.threshold) == (pytest.approx(2 / 3), 0.0, 0.5)


def test_where_no_threshold_keeps_the_constraints_the_closest_is_taken() -> None:
    upside_down = proba((1 - P[:, 1]).tolist())
    goal = Goal("recall", PRECISE, free=True, positive=1)
    found = goal.best(Y, upside_down)
    assert found.violation == pytest.approx((0.75 - 3 / 8) / 0.75)  # everything is taken for positive
    assert goal.better(goal.judge_at(Y, P, 0.5), found)


def test_a_constraint_comes_before_the_metric() -> None:
    goal = Goal("recall", PRECISE, positive=1)
    low = goal.judge_at(Y, P, 0.01)
    assert low.score == 1.0 and low.violation > 0
    assert goal.better(goal.judge_at(Y, P, 0.5), low)
    assert goal.violation({"precision": 0.7}, {"precision": 0.06}) == 0.0
    assert goal.violation({"precision": 0.6}) == pytest.approx(0.2)
    assert Goal("recall", (Gate.parse("precision", ">0.5"),)).violation({"precision": 0.5}) > 0


def test_of_equal_thresholds_the_nearest_to_the_point_of_indifference_is_taken() -> None:
    y, p = np.array([0, 1]), proba([0.1, 0.9])
    assert Goal("f1", free=True, positive=1).best(y, p).threshold == 0.5
    costs = Terms(costs=(1.0, 4.0))
    assert Goal("cost", free=True, positive=1, terms=costs).best(y, p).threshold == pytest.approx(0.2)


def test_the_other_class_may_be_the_positive_one() -> None:
    first = Goal("recall", PRECISE, free=True, positive=1).best(Y, P)
    second = Goal("recall", PRECISE, free=True, positive=0).best(1 - Y, P[:, ::-1])
    assert first == second


def test_a_rare_class_is_reached_between_the_points_of_an_even_scan() -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(4000) % 100 == 0).astype(np.int64)
    p = proba((0.001 + 0.004 * y + 0.0005 * rng.random(4000)).tolist())  # all below the first even point
    found = Goal("f1", free=True, positive=1).best(y, p)
    assert found.score == 1.0
    assert found.threshold < 0.006


def test_constraints_without_a_threshold() -> None:
    y, values = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])
    goal = Goal("r2", (Gate.parse("mae", "<=0.5"),))
    assert goal.judge(y, values).violation == pytest.approx(1.0)
    assert goal.judge(y, y + 0.1).violation == 0.0


answers = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 1), min_size=n, max_size=n), st.lists(st.floats(0, 1), min_size=n, max_size=n)
    )
)


@settings(max_examples=40)
@given(answers, st.sampled_from(LABELS), st.sampled_from([0, 1]), st.sampled_from([None, ">=0.3", ">0.9"]))
def test_the_best_threshold_is_never_worse_than_the_usual_one(drawn, metric, positive, bound) -> None:
    y, p = np.array(drawn[0]), proba(drawn[1])
    constraints = (Gate.parse("precision", bound),) if bound and metric != "precision" else ()
    goal = Goal(metric, constraints, free=True, positive=positive, terms=Terms(beta=2.0, costs=(1.0, 3.0)))
    found, usual = goal.best(y, p), goal.judge_at(y, p, 0.5)
    again = goal.judge_at(y, p, found.threshold)
    assert (again.score, again.violation) == (pytest.approx(found.score), pytest.approx(found.violation))
    assert not goal.better(usual, again) or usual.score == pytest.approx(again.score)
    assert 0 < found.threshold < 1


@settings(max_examples=40)
@given(answers, st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5), st.sampled_from([0, 1]))
def test_many_thresholds_at_once_give_what_each_gives_alone(drawn, thresholds, positive) -> None:
    y, p = np.array(drawn[0]), proba(drawn[1])
    terms = Terms(beta=0.5, costs=(2.0, 1.0))
    found = label_scores(LABELS, y, p[:, positive], positive, np.array(thresholds), terms)
    for name in LABELS:
        alone = [score(name, y, p, positive, terms.at(threshold)) for threshold in thresholds]
        assert found[name] == pytest.approx(alone)
