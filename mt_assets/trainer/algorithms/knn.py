"""Nearest neighbours on one-hot encoded, squashed features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from mt_assets.trainer.algorithms.algorithm import FLOAT, Algorithm, FitReport, FitSetting, Params, within
from mt_assets.trainer.algorithms.checkpoint import Checkpoint

ASKED_PART: Final = 4
"""One row is predicted for so many that are kept, or fewer: folds are four or more on all but small tables."""


class NearestNeighbours(Algorithm):
    """The mean of the nearest rows, in the scaled space that linear models see."""

    name: ClassVar[str] = "knn"
    display: ClassVar[str] = "Nearest neighbours"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "one_hot"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> KNeighborsClassifier | KNeighborsRegressor:
        kind = KNeighborsClassifier if setting.task == "classification" else KNeighborsRegressor
        return kind(**params, n_jobs=setting.threads)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """TabArena's ranges (up to 500 neighbours), a tenth of the rows at most.

        Its `p` of 1.5 is left out: no fast way exists to compute that distance.
        """
        return {
            "n_neighbors": IntDistribution(1, max(5, min(500, setting.rows // 10)), log=True),
            "weights": CategoricalDistribution(["uniform", "distance"]),
            "p": IntDistribution(1, 2),
        }

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """scikit-learn's default, the first entry of TabArena's lists, and the same with absolute differences."""
        points = (
            {"n_neighbors": 5, "weights": "uniform", "p": 2},
            {"n_neighbors": 20, "weights": "distance", "p": 2},
            {"n_neighbors": 20, "weights": "distance", "p": 1},
        )
        return tuple(within(self.space(setting), point) for point in points)

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """A tree with a copy of the rows, and neighbours, distances and targets of each row that is predicted."""
        tree = FLOAT * rows * columns
        return tree + rows / ASKED_PART * int(params["n_neighbors"]) * 4 * FLOAT

    def fit(
        self,
        estimator: KNeighborsClassifier | KNeighborsRegressor,
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
        """Keep the rows; where they are fewer than the neighbours, all of them are neighbours."""
        notes = []
        if class_weight is not None:
            notes.append("knn takes no class weights: it is fitted without them")
        if estimator.n_neighbors > len(X):
            notes.append(f"knn has {len(X)} rows to look at, fewer than {estimator.n_neighbors} neighbours")
            estimator.set_params(n_neighbors=len(X))
        estimator.fit(X, y)
        return FitReport(notes=tuple(notes))
