"""scikit-learn's gradient boosting on histograms, with its own handling of categories and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.utils.class_weight import compute_sample_weight

from mt_assets.trainer.algorithms.algorithm import (
    Algorithm,
    FitReport,
    FitSetting,
    Params,
    boosting_bytes,
    is_over,
    stopping_class_weight,
    within,
)
from mt_assets.trainer.algorithms.checkpoint import Checkpoint

MAX_ROUNDS: Final = 1_000
"""Enough for early stopping to be what ends the fit, but at the slowest learning rates."""


class _Timed:
    """Ends boosting at `deadline_` as well, where there is one.

    scikit-learn has no callback here; it asks `_should_stop` after each round of a fit that stops early.
    """

    deadline_: float | None = None
    cut_ = False

    def _should_stop(self, scores: list[float]) -> bool:
        self.cut_ = is_over(self.deadline_, len(scores) - 1)
        return self.cut_ or bool(super()._should_stop(scores))  # type: ignore[misc]


class BestRoundClassifier(_Timed, HistGradientBoostingClassifier):
    """Predict with the trees up to the best round; scikit-learn keeps those that were grown while waiting for a better.

    Attributes
    ----------
    best_round_ : int or None
        Counted from 1; None where nothing was stopped on: all trees then.
    """

    def predict_proba(self, X: Any) -> np.ndarray:
        if self.best_round_ is None:
            return super().predict_proba(X)
        return next(islice(self.staged_predict_proba(X), self.best_round_ - 1, None))

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class BestRoundRegressor(_Timed, HistGradientBoostingRegressor):
    """The same for values."""

    def predict(self, X: Any) -> np.ndarray:
        if self.best_round_ is None:
            return super().predict(X)
        return next(islice(self.staged_predict(X), self.best_round_ - 1, None))


class GradientBoosting(Algorithm):
    """Gradient-boosted trees grown leaf by leaf on binned columns.

    Of scikit-learn's two it is `HistGradientBoosting`: the older `GradientBoosting` takes neither gaps nor categories
    nor validation rows of one's own, and its time grows with rows times their logarithm for every tree.
    """

    name: ClassVar[str] = "gradient_boosting"
    display: ClassVar[str] = "Gradient boosting"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "native"
    gradual = True

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> BestRoundClassifier | BestRoundRegressor:
        kind = BestRoundClassifier if setting.task == "classification" else BestRoundRegressor
        return kind(**{"max_iter": MAX_ROUNDS, **params}, early_stopping=False, random_state=setting.seed)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """TabArena's ranges for LightGBM, whose method this is; rates that are slower cost more than they gain."""
        return {
            "learning_rate": FloatDistribution(0.01, 0.2, log=True),
            "max_leaf_nodes": IntDistribution(2, max(32, min(200, setting.rows // 4)), log=True),
            "min_samples_leaf": IntDistribution(1, max(20, min(64, setting.rows // 20)), log=True),
            "l2_regularization": FloatDistribution(0.0, 2.0),
            "max_features": FloatDistribution(0.4, 1.0),
        }

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """scikit-learn's default, then what LightGBM starts with: AutoGluon's GBM_r96 or GBM_r131, and pytabkit's."""
        published = (0.01519, 16, 48, 0.5637) if setting.rows < 10_000 else (0.01214, 53, 14, 0.7024)
        tuned = (0.04, 50, 40, 1.0) if setting.task == "classification" else (0.05, 100, 3, 1.0)
        return tuple(
            within(
                self.space(setting),
                {
                    "learning_rate": rate,
                    "max_leaf_nodes": leaves,
                    "min_samples_leaf": leaf_rows,
                    "l2_regularization": 0.0,
                    "max_features": features,
                },
            )
            for rate, leaves, leaf_rows, features in ((0.1, 31, 20, 1.0), published, tuned)
        )

    def fit(
        self,
        estimator: BestRoundClassifier | BestRoundRegressor,
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
    ) -> FitReport:
        """Fit; with validation rows and patience predict with the best round by log-loss or squared error.

        Rows are weighted, not classes: scikit-learn would not weight the validation rows with the classes.
        """
        # scikit-learn cannot bin a column without a value; one that is constant is never split on.
        X = np.where(np.isnan(X).all(axis=0), 0.0, X)
        of_categories = list(range(X.shape[1] - categories, X.shape[1])) or None
        estimator.set_params(categorical_features=of_categories)
        estimator.best_round_ = None
        weights: dict[str, Any] = {}
        if class_weight is not None:
            weights["sample_weight"] = compute_sample_weight(class_weight, y)
        if X_valid is None or y_valid is None or not patience or not len(y_valid):
            estimator.fit(X, y, **weights)
            return FitReport()
        stopping = stopping_class_weight(y, class_weight)
        if stopping is not None:
            weights["sample_weight_val"] = compute_sample_weight(stopping, y_valid)
        estimator.set_params(early_stopping=True, n_iter_no_change=patience)
        estimator.deadline_ = deadline
        estimator.fit(X, y, X_val=X_valid, y_val=y_valid, **weights)
        del estimator.deadline_  # of this fit alone
        # The first score is that of no tree at all.
        estimator.best_round_ = int(np.argmax(estimator.validation_score_[1:])) + 1
        return FitReport(best_iteration=estimator.best_round_, cut=estimator.cut_)

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """Bins of one byte for each cell, and of the rows that it stops on."""
        leaves, rounds = int(params["max_leaf_nodes"]), int(params.get("max_iter", MAX_ROUNDS))
        return boosting_bytes(setting, rows, columns, cell=2, leaves=leaves, rounds=rounds, histogram=20)

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "max_iter": iterations}
