"""Intervals and the measures of forecasts, against hand calculation and the reference library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.trainer.evaluation.metrics import all_metrics
from mt_assets.trainer.forecasting.intervals import (
    LEAST_ERRORS,
    QUANTILES,
    Intervals,
    conformal_quantiles,
    coverage,
    weighted_quantile_loss,
)
from mt_assets.trainer.forecasting.windows import TEST

DECILES = QUANTILES[1:-1]


def test_quantiles_are_the_ranks_that_a_new_error_needs() -> None:
    errors = np.random.default_rng(0).permutation(np.arange(1.0, 40.0))  # 39 errors: the k-th smallest is k
    found = dict(zip(QUANTILES, conformal_quantiles(errors), strict=True))
    # (n + 1) q = 40 q: exact at every quantile here.
    assert [found[q] for q in (0.05, 0.1, 0.3, 0.5, 0.9, 0.95)] == [2, 4, 12, 20, 36, 38]
    found = dict(zip(QUANTILES, conformal_quantiles(np.arange(1.0, 25.0)), strict=True))  # 25 q
    assert [found[q] for q in (0.05, 0.1, 0.5, 0.9, 0.95)] == [1, 2, 12.5, 23, 24]


def test_of_few_errors_the_ends_are_the_extremes_and_of_none_there_is_no_interval() -> None:
    found = conformal_quantiles(np.array([3.0, -1.0, 2.0]))
    assert (found[0], found[-1]) == (-1.0, 3.0)
    assert (np.diff(found) >= 0).all()
    assert (conformal_quantiles(np.empty(0)) == 0).all()


@pytest.mark.parametrize("n", [39, 60, 200])
def test_the_interval_holds_nine_of_ten_exchangeable_values(n: int) -> None:
    rng = np.random.default_rng(n)
    inside = []
    for _ in range(800):
        errors = rng.standard_t(3, n + 5) * 2 + 1  # heavy tails, off centre
        quantiles = conformal_quantiles(errors[:n])
        inside += ((errors[n:] >= quantiles[0]) & (errors[n:] <= quantiles[-1])).tolist()
    # At least nominal; above it by less than 2 / (n + 1).
    assert 0.9 - 0.015 < np.mean(inside) < 0.9 + 2 / (n + 1) + 0.015


def test_each_step_has_its_own_errors_and_scales_are_given_back() -> None:
    steps = np.repeat(np.arange(3), 60)
    errors = np.random.default_rng(0).normal(size=180) * (1 + 10 * steps)
    intervals = Intervals.learn(errors, steps, horizon=3)
    widths = intervals.offsets[:, -1] - intervals.offsets[:, 0]
    assert widths[0] * 5 < widths[1] < widths[2]
    assert intervals.errors == 60
    forecasts, scales = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([2.0, 0.5])
    made = intervals.quantiles(forecasts, scales)
    assert made.shape == (2, 3, len(QUANTILES))
    assert np.allclose(made[1, 2], 6.0 + 0.5 * intervals.offsets[2])


def test_a_step_with_few_errors_borrows_from_its_neighbours_alone() -> None:
    steps = np.repeat(np.arange(5), LEAST_ERRORS // 2)
    errors = np.where(steps >= 3, 1000.0, 1.0)
    intervals = Intervals.learn(errors, steps, horizon=5)
    assert intervals.offsets[0, -1] == 1.0
    assert intervals.offsets[4, 0] == 1000.0


def test_weighted_quantile_loss_and_coverage_by_hand_and_by_the_reference() -> None:
    losses = pytest.importorskip("utilsforecast.losses")
    rng = np.random.default_rng(4)
    values = rng.normal(20, 5, 50)
    quantiles = np.sort(rng.normal(20, 6, (50, len(QUANTILES))), axis=1)
    frame = pd.DataFrame({"unique_id": 0, "ds": range(50), "y": values})
    frame = frame.assign(**{f"q{at}": quantiles[:, at] for at in range(len(QUANTILES))})
    pinball = [
        losses.quantile_loss(frame, models={"m": f"q{at}"}, q=q)["m"].iloc[0]
        for at, q in enumerate(QUANTILES)
        if q in DECILES
    ]
    expected = 2 * np.mean(pinball) * len(values) / np.abs(values).sum()
    assert weighted_quantile_loss(values, quantiles) == pytest.approx(expected, rel=1e-12)
    # One value of 10, all quantiles at 8: pinball is 2 q, its mean over the deciles 1, and WQL 2 * 1 / 10.
    assert weighted_quantile_loss(np.array([10.0]), np.full((1, len(QUANTILES)), 8.0)) == pytest.approx(0.2)
    assert weighted_quantile_loss(np.zeros(3), quantiles[:3]) is None
    ends = frame.assign(m=0.0, **{"m-lo-90": quantiles[:, 0], "m-hi-90": quantiles[:, -1]})
    assert coverage(values, quantiles) == losses.coverage(ends, models=["m"], level=90)["m"].iloc[0]
    unit = np.linspace(0, 1, len(QUANTILES))[None].repeat(4, axis=0)
    assert coverage(np.array([0.0, 0.5, 1.0, 1.1]), unit) == 0.75
    assert coverage(np.empty(0), unit[:0]) is None


def test_mase_and_smape_by_hand_and_by_the_reference(forecasting: Any, panel: Any) -> None:
    losses = pytest.importorskip("utilsforecast.losses")
    frame = panel(a=80, b=80)
    work = forecasting(frame)
    scored, truth = work.data.scored(TEST), work.data.truth(TEST)
    forecasts = truth[:, 0] + np.random.default_rng(0).normal(size=len(truth)) * 5
    found = all_metrics("time_series", truth, forecasts)
    rows = frame.loc[scored.positions].rename(columns={"series": "unique_id", "time": "ds"}).assign(m=forecasts)
    train = frame.loc[np.sort(work.splits.learning)].rename(columns={"series": "unique_id", "time": "ds"})
    reference = losses.mase(rows, models=["m"], seasonality=12, train_df=train)["m"].mean()
    assert found["mase"] == pytest.approx(reference, rel=1e-9)
    # utilsforecast divides by |y| + |f| and not by half of it.
    assert found["smape"] == pytest.approx(2 * losses.smape(rows, models=["m"])["m"].mean(), rel=1e-9)
    assert found["mae"] == pytest.approx(losses.mae(rows, models=["m"])["m"].mean(), rel=1e-9)
    by_hand = all_metrics("time_series", np.array([[10.0, 0.5], [0.0, 0.5]]), np.array([12.0, 0.0]))
    assert by_hand["mase"] == 0.5  # (2 * 0.5 + 0) / 2
    assert by_hand["smape"] == pytest.approx(2 * 2 / 22 / 2)  # a pair of zeros is no error


@pytest.mark.parametrize(
    ("values", "season", "scale"),
    [
        ([1.0, 2.0, 4.0, 7.0], 1, 2.0),
        ([1.0, 5.0, 2.0, 7.0], 2, 1.5),
        ([1.0, 5.0, 1.0, 5.0], 2, 4.0),  # a season that repeats exactly: the naive forecast
        ([3.0, 3.0, 3.0, 3.0], 2, 3.0),  # a constant: its size
        ([0.0, 0.0, 0.0, 0.0], 2, 1.0),
    ],
)
def test_the_scale_of_a_series(values: list[float], season: int, scale: float) -> None:
    from mt_assets.trainer.forecasting.frequency import Frequency
    from mt_assets.trainer.forecasting.panel import Panel

    frame = pd.DataFrame({"unique_id": 0, "ds": np.arange(len(values)), "y": values})
    assert Panel(frame, Frequency(), season).scales() == [scale]
