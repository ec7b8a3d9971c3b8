"""LightGBM with its own handling of categories and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mt_assets.trainer.algorithms.algorithm import (
    Algorithm,
    FitReport,
    FitSetting,
    Params,
    is_over,
    stopping_class_weight,
    within,
)

MAX_ROUNDS: Final = 2_000
"""Enough for early stopping to be what ends the fit, but at the slowest learning rates."""

_SKLEARN_NAMES: Final = {
    "feature_fraction": "colsample_bytree",
    "bagging_fraction": "subsample",
    "min_data_in_leaf": "min_child_samples",
    "lambda_l1": "reg_alpha",
    "lambda_l2": "reg_lambda",
}
"""The search speaks LightGBM's own names, as its literature does; the estimator takes scikit-learn's for these."""


class LightGBM(Algorithm):
    """Gradient-boosted trees grown leaf by leaf."""

    name: ClassVar[str] = "lightgbm"
    display: ClassVar[str] = "LightGBM"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "native"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> Any:
        import lightgbm

        given = {_SKLEARN_NAMES.get(name, name): value for name, value in params.items()}
        fixed: dict[str, Any] = {
            "subsample_freq": 1,
            "random_state": setting.seed,
            "n_jobs": setting.threads,
            "deterministic": True,
            "force_col_wise": True,
            "importance_type": "gain",
            "verbosity": -1,
        }
        given = {"n_estimators": MAX_ROUNDS, **given, **fixed}
        if setting.task == "classification":
            return lightgbm.LGBMClassifier(class_weight=setting.class_weight, **given)
        return lightgbm.LGBMRegressor(**given)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """TabArena's space, widened where the library's defaults lie outside it, with room that depends on rows."""
        space: dict[str, BaseDistribution] = {
            "learning_rate": FloatDistribution(5e-3, 0.1, log=True),
            "num_leaves": IntDistribution(2, max(32, min(200, setting.rows // 4)), log=True),
            "min_data_in_leaf": IntDistribution(1, max(20, min(64, setting.rows // 20)), log=True),
            "feature_fraction": FloatDistribution(0.4, 1.0),
            "bagging_fraction": FloatDistribution(0.7, 1.0),
            "lambda_l1": FloatDistribution(0.0, 1.0),
            "lambda_l2": FloatDistribution(0.0, 2.0),
            "extra_trees": CategoricalDistribution([False, True]),
        }
        if setting.categorical:
            space |= {
                "min_data_per_group": IntDistribution(2, 100, log=True),
                "cat_l2": FloatDistribution(5e-3, 10.0, log=True),
                "cat_smooth": FloatDistribution(1e-3, 100.0, log=True),
                "max_cat_to_onehot": IntDistribution(4, 100, log=True),
            }
        return space

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """The library's default, a published entry for the size, and pytabkit's tuned defaults.

        Small tables: AutoGluon's GBM_r96 (slow, few leaves, extra trees); larger ones: GBM_r131 (`zeroshot_2023`).
        """
        small = setting.rows < 10_000
        published = (
            self._point(setting, 0.01519, 16, 48, feature_fraction=0.5637, extra_trees=True)
            if small
            else self._point(setting, 0.01214, 53, 14, feature_fraction=0.7024)
        )
        tuned = (
            self._point(setting, 0.04, 50, 40, bagging_fraction=0.75)
            if setting.task == "classification"
            else self._point(setting, 0.05, 100, 3, bagging_fraction=0.70)
        )
        return (self._point(setting, 0.1, 31, 20), published, tuned)

    def _point(self, setting: FitSetting, rate: float, leaves: int, leaf_rows: int, **others: Any) -> Params:
        point: Params = {
            "learning_rate": rate,
            "num_leaves": leaves,
            "min_data_in_leaf": leaf_rows,
            "feature_fraction": 1.0,
            "bagging_fraction": 1.0,
            "lambda_l1": 0.0,
            "lambda_l2": 0.0,
            "extra_trees": False,
            **others,
        }
        if setting.categorical:
            point |= {"min_data_per_group": 100, "cat_l2": 10.0, "cat_smooth": 10.0, "max_cat_to_onehot": 4}
        return within(self.space(setting), point)

    def fit(
        self,
        estimator: Any,
        X: np.ndarray,
        y: np.ndarray,
        X_valid: np.ndarray | None = None,
        y_valid: np.ndarray | None = None,
        patience: int | None = None,
        *,
        class_weight: str | None = None,
        categories: int = 0,
        deadline: float | None = None,
    ) -> FitReport:
        """Fit; with validation rows and patience stop at the best round by log-loss or squared error."""
        import lightgbm

        of_categories = list(range(X.shape[1] - categories, X.shape[1])) or "auto"
        clock = _Clock(deadline)
        if X_valid is None or y_valid is None or not patience or not len(y_valid):
            estimator.fit(X, y, categorical_feature=of_categories, callbacks=[clock])
            return FitReport(cut=clock.cut)

        weight = stopping_class_weight(y, class_weight)
        weights = {"eval_class_weight": [weight]} if weight is not None else {}
        stop = lightgbm.early_stopping(patience, first_metric_only=True, verbose=False)
        estimator.fit(
            X, y, eval_X=X_valid, eval_y=y_valid, callbacks=[stop, clock], categorical_feature=of_categories, **weights
        )
        return FitReport(best_iteration=int(estimator.best_iteration_), cut=clock.cut)

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "n_estimators": iterations}


class _Clock:
    """Callback that ends boosting at the deadline, with the best round so far as the best one."""

    order = 40  # after that of early stopping, which may end the fit by itself

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._best: tuple[int, Any] | None = None
        self.cut = False

    def __call__(self, env: Any) -> None:
        from lightgbm.callback import EarlyStopException

        results = env.evaluation_result_list or []
        if self._best is None or not results or _is_better(results[0], self._best[1][0]):
            self._best = (env.iteration, list(results))
        if is_over(self._deadline, env.iteration + 1) and env.iteration + 1 < env.end_iteration:
            self.cut = True
            raise EarlyStopException(*self._best)


def _is_better(new: Any, old: Any) -> bool:
    """Whether a result (data, metric, value, whether higher is better, ...) is better than an earlier one."""
    return bool(new[2] > old[2] if new[3] else new[2] < old[2])
