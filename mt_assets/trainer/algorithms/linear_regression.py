"""Least squares on one-hot encoded, squashed features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution
from sklearn.linear_model import LinearRegression as SklearnLinearRegression

from mt_assets.trainer.algorithms.algorithm import Algorithm, FitSetting, Params


class LinearRegression(Algorithm):
    """Ordinary least squares; of coefficients that fit equally well the smallest."""

    name: ClassVar[str] = "linear_regression"
    display: ClassVar[str] = "Linear regression"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})
    encoding = "one_hot"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> SklearnLinearRegression:
        return SklearnLinearRegression()

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """Nothing is searched: with a penalty it would be `ridge`."""
        return {}

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        return ({},)
