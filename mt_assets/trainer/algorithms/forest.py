"""What random forests and extra trees share: parameters, ranges, how they are built, and what it takes to keep them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from mt_assets.trainer.algorithms.algorithm import FLOAT, Algorithm, FitReport, FitSetting, Params, is_over, outputs
from mt_assets.trainer.algorithms.checkpoint import Checkpoint
from mt_assets.trainer.algorithms.log_target import LogTarget

MOST_LEAVES: Final = 15_000
"""Of a tree, as AutoGluon bounds them: without it 50 trees on 54,000 rows of `diamonds` are a file of 350 MB."""


class Forest(Algorithm):
    """Bagged deep trees on ordinal codes, with gaps left to the trees.

    Ordinal codes measured no worse than one-hot columns in 3 folds of random forests (AUC telco_churn .8355 and .8366,
    adult .9115 and .9113, german_credit .797 and .796; RMSE ames 27,678 and 27,786) and up to 1.4 times as fast.

    Attributes
    ----------
    draws : bool
        Whether each tree sees rows drawn with replacement, or all.
    classifier, regressor : type
        scikit-learn's estimators of this kind of tree.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "ordinal"
    gradual = True
    averages = True
    draws: ClassVar[bool] = True
    classifier: ClassVar[type]
    regressor: ClassVar[type]

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> Any:
        given = {**params, "random_state": setting.seed, "n_jobs": setting.threads}
        if setting.rows > MOST_LEAVES:
            given["max_leaf_nodes"] = MOST_LEAVES
        if setting.task == "classification":
            return self.classifier(class_weight=setting.class_weight, **given)
        return self.regressor(**given)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """TabArena's ranges, with leaves and depth that depend on rows in place of the least decrease of impurity."""
        leaf = max(2, min(50, setting.rows // 20))
        return {
            "n_estimators": IntDistribution(50, 500, step=50),
            "max_depth": IntDistribution(3, full_depth(setting.rows)),
            "min_samples_split": IntDistribution(2, 2 * leaf, log=True),
            "min_samples_leaf": IntDistribution(1, leaf, log=True),
            "max_features": CategoricalDistribution(["sqrt", "log2", 0.5, 0.75, 1.0]),
        }

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
        checkpoint: Checkpoint | None = None,
        bar: float | None = None,
    ) -> FitReport:
        """Fit; with a deadline a few trees at a time, the same ones, and keep those that there is time for."""
        if deadline is None:
            estimator.fit(X, y)
            return FitReport()
        wanted, grown = estimator.n_estimators, 0
        estimator.set_params(warm_start=True)
        while grown < wanted and not is_over(deadline, grown):
            grown = min(wanted, grown + TREES_AT_ONCE)
            estimator.set_params(n_estimators=grown)
            with warnings.catch_warnings():
                # It doubts class weights that are computed from the rows, which here are the same each time.
                warnings.filterwarnings("ignore", "class_weight presets", UserWarning)
                estimator.fit(X, y)
        estimator.set_params(warm_start=False)
        cut = grown < wanted
        return FitReport(best_iteration=grown if cut else None, cut=cut)

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "n_estimators": iterations}

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """The nodes of all trees, nearly all of what deep ones take, and what is known of each row."""
        leaf, split = int(params["min_samples_leaf"]), int(params["min_samples_split"])
        drawn = DISTINCT if self.draws else 1.0
        pure = PURE if setting.task == "classification" else 1.0
        leaves = min(drawn * pure * rows, rows / max(leaf, split / 2), 2.0 ** int(params["max_depth"]))
        node = NODE + FLOAT * outputs(setting)
        return int(params["n_estimators"]) * 2 * leaves * node + rows * FLOAT * (4 + 2 * setting.n_classes)


TREES_AT_ONCE: Final = 10
"""Between two looks at the clock."""

NODE: Final = 64
"""Bytes of a node in scikit-learn's trees (`sklearn.tree._tree.NODE_DTYPE`), without its values."""

DISTINCT: Final = 0.632
"""Share of the rows that are in a sample of as many, drawn with replacement (1 - 1/e)."""

PURE: Final = 0.25
"""Of the leaves that single rows would be, those that classes need: leaves of one class are not split further. A noisy
target of two classes (30,000 rows, 20 columns) had 0.23 of them."""


MANY_ROWS: Final = 20_000
"""With more rows a start has half of its trees, and a regression draws among half of the columns: on a fold of
`diamonds` (34,521 rows, one thread) a random forest of 100 trees on all columns takes 11 s of CPU."""


def point(setting: FitSetting, trees: int, leaf: int, features: float | str) -> Params:
    """A start configuration of full depth; the leaf as large as the rows allow, fewer trees on large tables."""
    large = setting.rows > MANY_ROWS
    if large and features == 1.0:
        features = 0.5
    return {
        "n_estimators": max(50, trees // 100 * 50) if large else trees,
        "max_depth": full_depth(setting.rows),
        "min_samples_split": 2,
        "min_samples_leaf": min(leaf, max(2, setting.rows // 20)),
        "max_features": features,
    }


def full_depth(rows: int) -> int:
    """A depth that trees grown without a limit seldom reach: twice that of a balanced tree of single rows."""
    return min(40, max(6, 2 * math.ceil(math.log2(max(rows, 2)))))


def keeping_seconds(estimator: Any) -> float:
    """How many seconds more than usual it takes to store a fitted model, to prove it elsewhere and to track it.

    Only those with forests take more: skops writes their trees one by one, and reads them to prove them.
    """
    inner = estimator.estimator_ if isinstance(estimator, LogTarget) else estimator
    trees = [tree.tree_.node_count for tree in getattr(inner, "estimators_", ()) if hasattr(tree, "tree_")]
    return _TREE_SECONDS * len(trees) + _NODE_SECONDS * sum(trees)


_TREE_SECONDS, _NODE_SECONDS = 8e-3, 2e-6
"""See `keeping_seconds`: 80 trees of 30,000 nodes took 6.4 s in the whole (`bike_hourly`), 1,600 of 200 nodes, of two
forests on eight folds, 15 s (`german_credit`)."""
