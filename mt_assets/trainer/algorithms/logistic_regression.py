"""Logistic regression on one-hot encoded, squashed features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from mt_assets.trainer.algorithms.algorithm import Algorithm, FitReport, FitSetting, Params
from mt_assets.trainer.algorithms.checkpoint import Checkpoint
from mt_assets.trainer.algorithms.convergence import Remedy, fit_until_converged

MAX_ITERATIONS: Final = 500
"""Squashed features need 20 to 150 iterations of lbfgs in the space below (telco_churn, adult, german_credit)."""

MORE_ITERATIONS: Final = 5_000
"""For the first retry after no convergence."""

WEAKEST: Final = 1e3
"""The largest `C` that is searched."""


class LogisticRegression(Algorithm):
    """Linear log-odds with an L2 penalty of strength 1/C."""

    name: ClassVar[str] = "logistic_regression"
    display: ClassVar[str] = "Logistic regression"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})
    encoding = "one_hot"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> SklearnLogisticRegression:
        return SklearnLogisticRegression(
            C=params["C"], solver="lbfgs", max_iter=MAX_ITERATIONS, class_weight=setting.class_weight
        )

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """TabArena's range of C is 0.1 to 1000; small tables with many levels want stronger penalties as well."""
        return {"C": FloatDistribution(1e-3, WEAKEST, log=True)}

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        return ({"C": 1.0}, {"C": 0.1}, {"C": 10.0})

    def fit(
        self,
        estimator: SklearnLogisticRegression,
        X: np.ndarray,
        y: np.ndarray,
        X_valid: np.ndarray | None = None,
        y_valid: np.ndarray | None = None,
        patience: int | None = None,
        *,
        class_weight: str | None = None,
        categories: int = 0,
        deadline: float | None = None,
        checkpoint: Checkpoint | None = None,
        bar: float | None = None,
    ) -> FitReport:
        gentler = min(estimator.C / 10, WEAKEST)
        remedy = Remedy(MORE_ITERATIONS, {"C": gentler}, f"C={gentler:.3g}")
        return fit_until_converged(self.name, estimator, X, y, remedy=remedy)
