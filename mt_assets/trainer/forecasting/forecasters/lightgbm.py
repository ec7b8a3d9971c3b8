"""LightGBM on lags of all series."""

from __future__ import annotations

from typing import ClassVar

from mt_assets.trainer.algorithms.algorithm import Algorithm
from mt_assets.trainer.algorithms.lightgbm import LightGBM
from mt_assets.trainer.forecasting.forecaster import Params
from mt_assets.trainer.forecasting.forecasters.boosted import BoostedForecaster


class LightGBMForecaster(BoostedForecaster):
    """Gradient-boosted trees grown leaf by leaf, on lags."""

    name: ClassVar[str] = "lightgbm"
    display: ClassVar[str] = "LightGBM"
    objective: ClassVar[tuple[str, str]] = ("objective", "regression_l1")

    def algorithm(self) -> Algorithm:
        return LightGBM()

    def points(self, rows: int) -> tuple[Params, ...]:
        return (_point(0.05, 31, 20, 0.8, 0.9), _point(0.05, 15, 20, 0.6, 0.8), _point(0.1, 63, 40, 0.8, 0.9))


def _point(rate: float, leaves: int, leaf_rows: int, columns: float, rows: float) -> Params:
    return {
        "learning_rate": rate,
        "num_leaves": leaves,
        "min_data_in_leaf": leaf_rows,
        "feature_fraction": columns,
        "bagging_fraction": rows,
        "lambda_l1": 0.0,
        "lambda_l2": 0.0,
        "extra_trees": False,
    }
