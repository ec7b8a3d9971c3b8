"""Linear regression with an L1 penalty: an elastic net without the squared part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution, FloatDistribution
from sklearn.linear_model import Lasso as SklearnLasso

from mt_assets.trainer.algorithms.algorithm import FitSetting, Params
from mt_assets.trainer.algorithms.elastic_net import MAX_ITERATIONS, WEAKEST, ElasticNet


class Lasso(ElasticNet):
    """Least squares with a penalty on absolute coefficients, which leaves some of them out."""

    name: ClassVar[str] = "lasso"
    display: ClassVar[str] = "Lasso"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> SklearnLasso:
        """With the share as its `alpha`, which `fit` replaces by the penalty for the rows at hand."""
        return SklearnLasso(alpha=params["alpha_ratio"], max_iter=MAX_ITERATIONS)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        return {"alpha_ratio": FloatDistribution(WEAKEST, 1.0, log=True)}

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        return ({"alpha_ratio": 0.01}, {"alpha_ratio": 0.001}, {"alpha_ratio": 0.1})
