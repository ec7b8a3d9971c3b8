"""CatBoost, told of the categories of the encoded matrix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.base import BaseEstimator
from sklearn.utils.class_weight import compute_sample_weight

from mt_assets.trainer.algorithms.algorithm import (
    Algorithm,
    FitReport,
    FitSetting,
    Params,
    boosting_bytes,
    is_over,
    slowest_rate,
    stopping_class_weight,
    within,
)
from mt_assets.trainer.algorithms.checkpoint import Checkpoint, as_array
from mt_assets.trainer.algorithms.progress import Progress
from mt_assets.trainer.store.atomic import unfinished_folder

MAX_ROUNDS: Final = 1_000
"""The library's own. A round takes about 15 ms on 5,600 rows with 16 categories (telco_churn), ten times LightGBM's, so
that early stopping should end most fits: rates below 0.02 are not searched."""


MANY_NUMBERS, FEW_BORDERS = 100, 64
"""With more numbers than that (text becomes 100 each), each is cut at so few places in place of the library's 254.
Measured on 570 rows of 205 numbers (`titanic` with its text, one thread): 200 rounds take 2.6 s in place of 7.3 s at an
AUC of .906 against .892; on tables of 10 to 40 numbers it saves a tenth and loses .002 of AUC or 3 % of RMSE."""

MANY_CATEGORIES = 15
"""With more categories than that, combinations of them are not built to start with: on `ames` (40 categories) 250
rounds take 2.3 s without, 6.4 s with pairs and more than 30 s with the library's default of four, at no better RMSE;
on `telco_churn` (10 categories) combinations cost 1.5 s and gain .003 of AUC."""


MANY_CLASSES, FEW_ROUNDS = 10, 500
"""Of more classes than that a fit has so many rounds at most: each takes 60 ms with the 26 of `letter`."""

MANY_ROWS = 10_000
"""With more rows combinations of categories are not built to start with either: on a fold of `adult` (31,259 rows, one
thread) a fit takes 36 s of CPU with them at a rate of 0.05 and 13 s without at 0.1, at an AUC of .9270 and .9269."""


class _Clock:
    """Callback that ends boosting at the deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self.cut = False

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on."""
        self.cut = self.cut or is_over(self._deadline, info.iteration)
        return not self.cut


class _Losses:
    """Callback that notes the losses on the rows that a fit stops on, and gives up where they leave no hope."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on."""
        losses = next(iter(info.metrics["validation"].values()))
        return not self._progress.add(float(losses[-1]))


class _Snapshots:
    """Callback that takes the library's snapshots over, which hold all that a fit needs to go on exactly.

    A damaged snapshot may be read without an error, to other trees; so each is kept behind a digest.
    """

    def __init__(self, path: Path, checkpoint: Checkpoint) -> None:
        self._path = path
        self._checkpoint = checkpoint
        self._seen = 0
        state = checkpoint.load()
        if state is not None:
            path.write_bytes(state["snapshot"].tobytes())
            self._seen = path.stat().st_mtime_ns

    def after_iteration(self, info: Any) -> bool:
        """Keep the latest snapshot; always go on."""
        if self._path.exists() and self._path.stat().st_mtime_ns != self._seen:
            self._seen = self._path.stat().st_mtime_ns
            self._checkpoint.save(info.iteration, snapshot=as_array(self._path.read_bytes()))
        return True


class CatBoostEstimator(BaseEstimator):
    """CatBoost for matrices of float64 whose last columns may be level numbers.

    CatBoost itself takes categories as whole numbers or text alone; a gap is a level of its own here.

    Parameters
    ----------
    params : dict
        Of `catboost.CatBoostClassifier` or `catboost.CatBoostRegressor`.
    classification : bool
    categories : int
        How many of the last columns are level numbers.

    Attributes
    ----------
    model_ : catboost.CatBoostClassifier or catboost.CatBoostRegressor
    classes_ : numpy.ndarray
        Of a classification.
    """

    def __init__(self, params: dict[str, Any], classification: bool, categories: int = 0) -> None:
        self.params = params
        self.classification = classification
        self.categories = categories

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray | None = None,
        stop_on: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None = None,
        patience: int | None = None,
        clock: _Clock | None = None,
        checkpoint: Checkpoint | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Fit; with validation rows (features, target, weight) keep the rounds up to the best one."""
        import catboost

        if self.classification:
            self.classes_ = np.unique(y)
        kind = catboost.CatBoostClassifier if self.classification else catboost.CatBoostRegressor
        wide = X.shape[1] - self.categories > MANY_NUMBERS
        params = {**self.params, **({"border_count": FEW_BORDERS} if wide else {})}
        callbacks: list[Any] = [] if clock is None else [clock]
        callbacks += [] if progress is None else [_Losses(progress)]
        stopping: dict[str, Any] = {}
        if stop_on is not None:
            stopping |= {"eval_set": self._pool(*stop_on), "early_stopping_rounds": patience, "use_best_model": True}
        pool = self._pool(X, y, weight)
        if checkpoint is None:
            self.model_ = kind(**params)
            self.model_.fit(pool, callbacks=callbacks or None, **stopping)
            return self
        with unfinished_folder(checkpoint.path.parent) as folder:
            path = folder / "snapshot"
            callbacks.append(_Snapshots(path, checkpoint))
            self.model_ = kind(**{**params, "allow_writing_files": True, "train_dir": str(folder)})
            self.model_.fit(
                pool,
                callbacks=callbacks,
                save_snapshot=True,
                snapshot_file=str(path),
                snapshot_interval=round(checkpoint.seconds),
                **stopping,
            )
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Classes or values, [n]."""
        if self.classification:
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        return np.asarray(self.model_.predict(self._pool(X), thread_count=self.params["thread_count"]))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, k] of a classification."""
        return np.asarray(self.model_.predict_proba(self._pool(X), thread_count=self.params["thread_count"]))

    @property
    def feature_importances_(self) -> np.ndarray:
        """How much predictions change with each feature, by the trees themselves."""
        return np.asarray(self.model_.feature_importances_)

    def _pool(self, X: np.ndarray, y: np.ndarray | None = None, weight: np.ndarray | None = None) -> Any:
        import catboost

        numbers = X.shape[1] - self.categories
        columns = {at: X[:, at] for at in range(numbers)}
        columns |= {at: np.nan_to_num(X[:, at], nan=-1).astype(np.int32) for at in range(numbers, X.shape[1])}
        frame = pd.DataFrame(columns, copy=False)
        return catboost.Pool(
            frame,
            y,
            cat_features=list(range(numbers, X.shape[1])),
            weight=weight,
            thread_count=self.params["thread_count"],
        )


class CatBoost(Algorithm):
    """Gradient-boosted symmetric trees, with categories as statistics of the target over the rows before."""

    name: ClassVar[str] = "catboost"
    display: ClassVar[str] = "CatBoost"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "all_levels"
    gradual = True

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> CatBoostEstimator:
        fixed = {
            "bootstrap_type": "Bernoulli",
            "boosting_type": "Plain",
            "random_seed": setting.seed,
            "thread_count": setting.threads,
            "logging_level": "Silent",
            "allow_writing_files": False,
        }
        rounds = MAX_ROUNDS if setting.n_classes <= MANY_CLASSES else FEW_ROUNDS
        return CatBoostEstimator({"iterations": rounds, **params, **fixed}, setting.task == "classification")

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """TabArena's, with stronger penalties and narrower sizes as in AutoGluon's entries, and no rate below 0.02.

        A round costs several times LightGBM's, so rates begin at twice the slowest of large tables.
        """
        space: dict[str, BaseDistribution] = {
            "learning_rate": FloatDistribution(min(0.2, max(0.02, 2 * slowest_rate(setting))), 0.3, log=True),
            "depth": IntDistribution(4, max(6, min(8, int(np.log2(max(setting.rows, 2)))))),
            "l2_leaf_reg": FloatDistribution(1e-5, 10.0, log=True),
            "subsample": FloatDistribution(0.7, 1.0),
            "colsample_bylevel": FloatDistribution(0.85, 1.0),
            "leaf_estimation_iterations": IntDistribution(1, 20, log=True),
            "random_strength": FloatDistribution(0.0, 1.0),
            "grow_policy": CategoricalDistribution(["SymmetricTree", "Depthwise"]),
        }
        if setting.categorical:
            space |= {
                "one_hot_max_size": IntDistribution(2, 100, log=True),
                "max_ctr_complexity": IntDistribution(1, 2 if _is_costly(setting) else 5),
            }
        return space

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """The library's default, AutoGluon's CAT_r177 and CAT_r137 (`zeroshot_2023`), and pytabkit's tuned defaults.

        The library chooses its default rate by rows and rounds, another one for the final fit than on the folds;
        AutoGluon's default of 0.05 takes its place. Categories of up to 10 levels are one-hot columns, as in CAT_r177:
        on a fold of `telco_churn` statistics of the target take 6 s of CPU and give an AUC of .850, one-hot columns
        0.3 s and .851 (at the rate of 0.07).
        """
        classification = setting.task == "classification"
        default = _point(setting, 0.05, 6, 3.0, one_hot=10)
        published = _point(setting, 0.06864, 6, 2.154, one_hot=10)
        tuned = (
            _point(setting, 0.08, 7, 1e-5, one_hot=15, subsample=0.9, random_strength=0.8)
            if classification
            else _point(setting, 0.09, 8, 1e-5, one_hot=20, subsample=0.9, random_strength=0.0, steps=20)
        )
        shallow = _point(setting, 0.0494, 4, 4.559, one_hot=3)
        space = self.space(setting)
        return tuple(within(space, point) for point in (default, published, shallow, tuned))

    def fit(
        self,
        estimator: CatBoostEstimator,
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
        """Fit; with validation rows and patience stop at the best round by log-loss or squared error.

        Rows are weighted: classes with weights would be weighted among the validation rows as well, always.
        """
        estimator.set_params(categories=categories)
        weight = None if class_weight is None else compute_sample_weight(class_weight, y)
        clock = None if deadline is None else _Clock(deadline)
        classes = len(np.unique(y)) if estimator.classification else 1
        if checkpoint is not None and not checkpoint.is_long(X, classes if classes > 2 else 1):
            checkpoint = None
        if X_valid is None or y_valid is None or not patience or not len(y_valid):
            estimator.fit(X, y, weight, clock=clock, checkpoint=checkpoint)
            return FitReport(cut=clock is not None and clock.cut)
        stopping = stopping_class_weight(y, class_weight)
        weight_valid = None if stopping is None else compute_sample_weight(stopping, y_valid)
        # A long fit that goes on from a snapshot is told of the losses since then alone, so that it has none.
        progress = Progress(estimator.params["learning_rate"], bar) if checkpoint is None else None
        estimator.fit(X, y, weight, (X_valid, y_valid, weight_valid), patience, clock, checkpoint, progress)
        best, cut = int(estimator.model_.get_best_iteration()) + 1, clock is not None and clock.cut
        if progress is None:
            return FitReport(best_iteration=best, cut=cut)
        return FitReport(best_iteration=best, cut=cut, loss=progress.loss, curve=progress.curve)

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """Its frame of numbers and levels is made in two steps, and copied by the library, before there are bins."""
        leaves, rounds = 2 ** int(params["depth"]), int(params.get("iterations", MAX_ROUNDS))
        return boosting_bytes(setting, rows, columns, cell=32, leaves=leaves, rounds=rounds, histogram=16)

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "iterations": iterations}


def _is_costly(setting: FitSetting) -> bool:
    """Whether combinations of categories would take most of a fit's time."""
    return setting.categorical > MANY_CATEGORIES or setting.rows > MANY_ROWS


def _point(
    setting: FitSetting,
    rate: float,
    depth: int,
    l2: float,
    *,
    one_hot: int = 2,
    subsample: float = 0.8,
    random_strength: float = 1.0,
    steps: int = 1,
) -> Params:
    point: Params = {
        "learning_rate": rate,
        "depth": depth,
        "l2_leaf_reg": l2,
        "subsample": subsample,
        "colsample_bylevel": 1.0,
        "leaf_estimation_iterations": steps,
        "random_strength": random_strength,
        "grow_policy": "SymmetricTree",
    }
    if setting.categorical:
        combined = 1 if _is_costly(setting) else 4
        point |= {"one_hot_max_size": one_hot, "max_ctr_complexity": combined}
    return point
