"""XGBoost on lags of all series."""

from __future__ import annotations

from typing import ClassVar

from mt_assets.trainer.algorithms.algorithm import Algorithm
from mt_assets.trainer.algorithms.xgboost import XGBoost
from mt_assets.trainer.forecasting.forecaster import Params
from mt_assets.trainer.forecasting.forecasters.boosted import BoostedForecaster


class XGBoostForecaster(BoostedForecaster):
    """Gradient-boosted trees grown level by level, on lags."""

    name: ClassVar[str] = "xgboost"
    display: ClassVar[str] = "XGBoost"
    objective: ClassVar[tuple[str, str]] = ("objective", "reg:absoluteerror")

    def algorithm(self) -> Algorithm:
        return XGBoost()

    def points(self, rows: int) -> tuple[Params, ...]:
        return (_point(0.05, 6, 0.8, 0.8), _point(0.05, 4, 0.8, 0.6), _point(0.1, 6, 0.9, 0.8))


def _point(rate: float, depth: int, rows: float, columns: float) -> Params:
    return {
        "learning_rate": rate,
        "max_depth": depth,
        "min_child_weight": 1.0,
        "subsample": rows,
        "colsample_bytree": columns,
        "colsample_bylevel": 1.0,
        "reg_alpha": 0.0,
        "reg_lambda": 1.0,
    }
