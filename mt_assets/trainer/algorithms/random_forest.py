"""Random forests on ordinal-encoded features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from mt_assets.trainer.algorithms.algorithm import Algorithm, FitSetting, Params


class RandomForest(Algorithm):
    """Bagged deep trees.

    Ordinal codes, with gaps left to the trees, measured no worse than one-hot columns in 3 folds (AUC telco_churn
    .8355 and .8366, adult .9115 and .9113, german_credit .797 and .796; RMSE ames 27,678 and 27,786) and up to 1.4
    times as fast.
    """

    name: ClassVar[str] = "random_forest"
    display: ClassVar[str] = "Random forest"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "ordinal"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> RandomForestClassifier | RandomForestRegressor:
        given = {**params, "random_state": setting.seed, "n_jobs": setting.threads}
        if setting.task == "classification":
            return RandomForestClassifier(class_weight=setting.class_weight, **given)
        return RandomForestRegressor(**given)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        leaf = max(2, min(50, setting.rows // 20))
        return {
            "n_estimators": IntDistribution(50, 500, step=50),
            "max_depth": IntDistribution(3, _full_depth(setting.rows)),
            "min_samples_split": IntDistribution(2, 2 * leaf, log=True),
            "min_samples_leaf": IntDistribution(1, leaf, log=True),
            "max_features": CategoricalDistribution(["sqrt", "log2", 0.5, 0.75, 1.0]),
        }

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """scikit-learn's default, then AutoGluon's RF_r195 and RF_r39 (portfolio `zeroshot_2023`)."""
        deep = _full_depth(setting.rows)
        default = "sqrt" if setting.task == "classification" else 1.0
        return (
            _point(100, deep, leaf=1, features=default),
            _point(300, deep, leaf=1, features=0.75),
            _point(300, deep, leaf=2, features=0.75 if setting.task == "classification" else 0.5),
        )


def _point(trees: int, depth: int, leaf: int, features: float | str) -> Params:
    return {
        "n_estimators": trees,
        "max_depth": depth,
        "min_samples_split": 2,
        "min_samples_leaf": leaf,
        "max_features": features,
    }


def _full_depth(rows: int) -> int:
    """A depth that trees grown without a limit seldom reach: twice that of a balanced tree of single rows."""
    return min(40, max(6, 2 * math.ceil(math.log2(max(rows, 2)))))
