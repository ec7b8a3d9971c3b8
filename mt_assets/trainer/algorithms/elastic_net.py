"""Linear regression with an L1 and an L2 penalty on one-hot encoded, squashed features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution
from sklearn.linear_model import ElasticNet as SklearnElasticNet

from mt_assets.trainer.algorithms.algorithm import Algorithm, FitReport, FitSetting, Params
from mt_assets.trainer.algorithms.checkpoint import Checkpoint
from mt_assets.trainer.algorithms.convergence import Remedy, fit_until_converged

MAX_ITERATIONS: Final = 1_000
"""scikit-learn's default."""

MORE_ITERATIONS: Final = 20_000
"""For the first retry after no convergence: weak penalties on collinear columns."""

WEAKEST: Final = 1e-4
"""Of the penalties, as a share of the strongest: where the path of glmnet ends for more rows than columns (Friedman,
Hastie and Tibshirani 2010, section 2.5)."""


class ElasticNet(Algorithm):
    """Least squares with a penalty on absolute and on squared coefficients.

    The penalty is searched as a share of the smallest that leaves no coefficient (`alpha_ratio`), as glmnet does, so
    that one range suits every target and any scale of columns. scikit-learn's default, `alpha=1` in units of the
    target, means nothing there and is no start.
    """

    name: ClassVar[str] = "elastic_net"
    display: ClassVar[str] = "Elastic net"
    tasks: ClassVar[frozenset[str]] = frozenset({"regression"})
    encoding = "one_hot"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> SklearnElasticNet:
        """With the share as its `alpha`, which `fit` replaces by the penalty for the rows at hand."""
        return SklearnElasticNet(alpha=params["alpha_ratio"], l1_ratio=params["l1_ratio"], max_iter=MAX_ITERATIONS)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        return {"alpha_ratio": FloatDistribution(WEAKEST, 1.0, log=True), "l1_ratio": FloatDistribution(0.05, 1.0)}

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """Shares along the path, with scikit-learn's default mixture first."""
        return (
            {"alpha_ratio": 0.01, "l1_ratio": 0.5},
            {"alpha_ratio": 0.001, "l1_ratio": 0.5},
            {"alpha_ratio": 0.05, "l1_ratio": 0.9},
        )

    def fit(
        self,
        estimator: SklearnElasticNet,
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
        """Fit with the penalty that the share means here; the squared part as if the target had variance 1.

        With a target y in place of y/s, coefficients are s times as large: the same fit then takes an absolute penalty
        s times as large, and a squared one as large as before.
        """
        deviations = y - y.mean()
        strongest = float(np.abs(deviations @ (X - X.mean(axis=0))).max(initial=0.0)) / len(y)
        spread = float(deviations.std())
        if not strongest:  # nothing to explain, or nothing to explain it with; without any penalty the fit would warn
            strongest = spread = 1.0
        share, mixture = estimator.alpha, estimator.l1_ratio

        def penalty(share: float) -> dict[str, float]:
            absolute = share * strongest
            squared = absolute / spread * (1 - mixture) / mixture
            ratio = {"l1_ratio": absolute / (absolute + squared)} if mixture < 1 else {}
            return {"alpha": absolute + squared, **ratio}

        stronger = max(10 * share, WEAKEST)
        remedy = Remedy(MORE_ITERATIONS, penalty(stronger), f"alpha_ratio={stronger:.3g}")
        # With more rows than columns the products of columns are made once (as scikit-learn's own paths do).
        estimator.set_params(**penalty(share), precompute=len(X) > X.shape[1])
        return fit_until_converged(self.name, estimator, X, y, remedy=remedy)
