"""Linear regression with an L2 penalty on one-hot encoded, squashed features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution, FloatDistribution
from sklearn.linear_model import Ridge as SklearnRidge

from mt_assets.trainer.algorithms.algorithm import Algorithm, FitSetting, Params


class Ridge(Algorithm):
    """Ridge regression."""

    name: ClassVar[str] = "ridge"
    display: ClassVar[str] = "Ridge regression"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})
    encoding = "one_hot"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> SklearnRidge:
        return SklearnRidge(alpha=params["alpha"])

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        return {"alpha": FloatDistribution(1e-3, 1e4, log=True)}

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        return ({"alpha": 1.0}, {"alpha": 10.0}, {"alpha": 100.0})
