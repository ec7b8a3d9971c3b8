"""What boosters note while they learn, and when they give up."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.progress import FIRST_RUNG, Progress, is_lost
from mt_assets.trainer.algorithms.registry import algorithm

WITH_CURVE = ["lightgbm", "xgboost", "catboost"]


def noted(losses: list[float], rate: float, bar: float | None = None) -> Progress:
    progress = Progress(rate, bar)
    for loss in losses:
        if progress.add(loss):
            break
    return progress


def test_the_best_loss_is_noted_at_each_rung() -> None:
    losses = [1 / rounds for rounds in range(1, 81)]
    losses[30] = 0.9  # a bad round does not count
    curve = noted(losses, 0.1).curve
    assert curve == pytest.approx([1 / math.ceil(FIRST_RUNG * 2 ** (at / 2) / 0.1) for at in range(5)])
    assert noted(losses[:19], 0.1).curve == ()
    assert noted([0.5], 1.0 * FIRST_RUNG * 2).curve == (0.5, 0.5, 0.5)  # one round reaches three rungs


def test_slow_and_fast_learners_are_at_the_same_rungs() -> None:
    fast = [math.exp(-0.2 * rounds) for rounds in range(1, 41)]
    slow = [math.exp(-0.02 * rounds) for rounds in range(1, 401)]
    assert noted(fast, 0.2).curve == pytest.approx(noted(slow, 0.02).curve, rel=0.2)


def test_lost_is_what_would_miss_the_bar_with_as_much_again_as_the_last_doubling_brought() -> None:
    assert not is_lost([1.0, 0.9, 0.6, 0.5], 0.2)
    assert is_lost([1.0, 0.9, 0.6, 0.5], 0.09)
    assert not is_lost([1.0, 0.9], -1.0)
    assert not is_lost([], 0.0)


@given(
    st.lists(st.floats(0, 10), max_size=120),
    st.floats(0.01, 4.0),
    st.floats(-1, 10),
)
def test_a_fit_gives_up_exactly_where_its_curve_is_lost(losses: list[float], rate: float, bar: float) -> None:
    """The verdict on a stored curve is the one that the fit itself came to, and a lower bar is never easier."""
    told = noted(losses, rate, bar)
    assert told.lost == is_lost(told.curve, bar)
    whole = noted(losses, rate)
    assert told.lost == is_lost(whole.curve, bar)
    assert whole.curve[: len(told.curve)] == told.curve
    assert is_lost(whole.curve, bar - 1) or not told.lost


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5))
    y = X[:, 0] + np.sin(3 * X[:, 1]) + 0.3 * rng.normal(size=400)
    return X[:300], y[:300], X[300:], y[300:]


def fitted(name: str, **keys: Any) -> tuple[Any, Any]:
    X, y, X_valid, y_valid = rows()
    learner = algorithm(name)
    setting = FitSetting("regression", 0, 300, 5, 0, 1, None)
    estimator = learner.build(setting, {**learner.starts(setting)[0], "learning_rate": 0.05})
    return learner.fit(estimator, X, y, X_valid, y_valid, 200, **keys), estimator.predict(X_valid)


@pytest.mark.parametrize("name", WITH_CURVE)
def test_a_booster_gives_up_where_the_bar_is_out_of_reach(name: str) -> None:
    whole, usual = fitted(name)
    assert whole.loss is not None
    assert min(whole.curve) >= whole.loss
    lost, _ = fitted(name, bar=whole.loss / 100)
    assert is_lost(lost.curve, whole.loss / 100)
    assert len(lost.curve) < len(whole.curve)
    assert lost.curve == whole.curve[: len(lost.curve)]
    assert not lost.cut
    reached, same = fitted(name, bar=whole.loss * 100)
    assert reached == whole
    np.testing.assert_array_equal(same, usual)
