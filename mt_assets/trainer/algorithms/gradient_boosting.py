"""scikit-learn's gradient boosting on histograms, with its own handling of categories and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
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


class _Packed:
    """Is stored with all its trees in three arrays: a file of each of thousands would take longer than the fit."""

    _predictors: list[list[TreePredictor]]

    def keep_rounds(self, rounds: int) -> None:
        """Forget the trees that were grown while waiting for a better round than this one, counted from 1."""
        del self._predictors[rounds:]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {**state, "_predictors": _pack(state["_predictors"])} if "_predictors" in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_predictors" in state:
            state = {**state, "_predictors": _unpack(state["_predictors"])}
        super().__setstate__(state)  # type: ignore[misc]


def _pack(rounds: list[list[TreePredictor]]) -> dict[str, Any]:
    trees = [tree for trees in rounds for tree in trees]
    parts = {
        "nodes": [tree.nodes for tree in trees],
        "binned": [tree.binned_left_cat_bitsets for tree in trees],
        "raw": [tree.raw_left_cat_bitsets for tree in trees],
    }
    packed: dict[str, Any] = {name: np.concatenate(arrays) for name, arrays in parts.items() if arrays}
    ends = {name: np.cumsum([len(array) for array in arrays]) for name, arrays in parts.items()}
    return {**packed, "ends": ends, "trees_a_round": len(rounds[0]) if rounds else 1}


def _unpack(packed: dict[str, Any]) -> list[list[TreePredictor]]:
    parts = [np.split(packed[name], ends[:-1]) for name, ends in packed["ends"].items() if len(ends)]
    trees = [TreePredictor(*arrays) for arrays in zip(*parts, strict=True)]
    step = packed["trees_a_round"]
    return [trees[at : at + step] for at in range(0, len(trees), step)]


class BestRoundClassifier(_Timed, _Packed, HistGradientBoostingClassifier):
    """Ends at a deadline, and keeps the trees up to its best round."""


class BestRoundRegressor(_Timed, _Packed, HistGradientBoostingRegressor):
    """The same for values."""


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
        bar: float | None = None,
    ) -> FitReport:
        """Fit; with validation rows and patience keep the best round by log-loss or squared error.

        Rows are weighted, not classes: scikit-learn would not weight the validation rows with the classes.
        """
        # scikit-learn cannot bin a column without a value; one that is constant is never split on.
        empty = np.isnan(X).all(axis=0)
        if empty.any():
            X = np.where(empty, 0.0, X)
        of_categories = list(range(X.shape[1] - categories, X.shape[1])) or None
        estimator.set_params(categorical_features=of_categories)
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
        best = int(np.argmax(estimator.validation_score_[1:])) + 1  # the first score is that of no tree at all
        estimator.keep_rounds(best)
        return FitReport(best_iteration=best, cut=estimator.cut_)

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """Bins of one byte for each cell, and of the rows that it stops on."""
        leaves, rounds = int(params["max_leaf_nodes"]), int(params.get("max_iter", MAX_ROUNDS))
        return boosting_bytes(setting, rows, columns, cell=2, leaves=leaves, rounds=rounds, histogram=20)

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "max_iter": iterations}
