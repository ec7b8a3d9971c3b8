"""XGBoost with its own handling of categories and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
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

MAX_ROUNDS, USUAL_ROUNDS = 5_000, 2_000
"""Enough for early stopping to be what ends the fit, but at the slowest learning rates; and those that few need more
than, which memory is estimated for."""


DEFAULT_RATE: Final = 0.3
"""The library's."""

SEGMENT: Final = 20
"""Rounds between which a long fit can be gone on with."""


class XGBoost(Algorithm):
    """Gradient-boosted trees grown level by level on histograms."""

    name: ClassVar[str] = "xgboost"
    display: ClassVar[str] = "XGBoost"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "native"
    gradual = True

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> Any:
        import xgboost

        given: dict[str, Any] = {
            "n_estimators": MAX_ROUNDS,
            **params,
            "tree_method": "hist",
            "enable_categorical": True,
            "random_state": setting.seed,
            "n_jobs": setting.threads,
            "importance_type": "total_gain",
            "verbosity": 0,
        }
        if setting.task == "classification":
            return xgboost.XGBClassifier(**given)
        return xgboost.XGBRegressor(**given)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """TabArena's ranges with the library's defaults inside; without its growth policies and category switches."""
        deepest = max(6, min(10, int(np.log2(max(setting.rows, 2)))))
        return {
            "learning_rate": FloatDistribution(slowest_rate(setting), 0.3, log=True),
            "max_depth": IntDistribution(3, deepest, log=True),
            "min_child_weight": FloatDistribution(1e-3, 5.0, log=True),
            "subsample": FloatDistribution(0.6, 1.0),
            "colsample_bytree": FloatDistribution(0.5, 1.0),
            "colsample_bylevel": FloatDistribution(0.6, 1.0),
            "reg_alpha": FloatDistribution(0.0, 5.0),
            "reg_lambda": FloatDistribution(0.0, 5.0),
        }

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """The library's default, AutoGluon's XGB_r89 (`zeroshot_2023`), pytabkit's tuned defaults, and XGB_r33."""
        deepest = max(6, min(10, int(np.log2(max(setting.rows, 2)))))
        tuned = (
            _point(0.08, 6, 1e-3, subsample=0.65, colsample_bylevel=0.9, reg_lambda=0.0)
            if setting.task == "classification"
            else _point(0.05, min(9, deepest), 2.0, subsample=0.70, reg_lambda=0.0)
        )
        points = (
            _point(0.3, 6, 1.0),
            _point(0.08776, 5, 0.6294, colsample_bytree=0.6628),
            tuned,
            _point(0.01806, deepest, 0.6029, colsample_bytree=0.6917),
        )
        return tuple(within(self.space(setting), point) for point in points)

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
        """Fit; with validation rows and patience stop at the best round by log-loss or squared error.

        XGBoost has no class weights, so rows are weighted.
        """
        if categories:
            estimator.set_params(feature_types=["q"] * (X.shape[1] - categories) + ["c"] * categories)
        weights: dict[str, Any] = {}
        if class_weight is not None:
            weights["sample_weight"] = compute_sample_weight(class_weight, y)
        stops = X_valid is not None and y_valid is not None and bool(patience) and len(y_valid) > 0
        if stops:
            stopping = stopping_class_weight(y, class_weight)
            if stopping is not None:
                weights["sample_weight_eval_set"] = [compute_sample_weight(stopping, y_valid)]
            weights |= {"eval_set": [(X_valid, y_valid)], "verbose": False}
            estimator.set_params(early_stopping_rounds=patience)
        progress = Progress(float(estimator.learning_rate or DEFAULT_RATE), bar)
        trees = max(1, len(np.unique(y)) if hasattr(estimator, "predict_proba") else 1)
        if checkpoint is not None and checkpoint.is_long(X, trees if trees > 2 else 1):
            stop_on = (X_valid, y_valid, weights.get("sample_weight_eval_set", [None])[0]) if stops else None
            return _fit_long(
                estimator,
                X,
                y,
                weights.get("sample_weight"),
                stop_on,
                patience or 0,
                trees,
                deadline,
                checkpoint,
                progress,
            )
        clock = _clock(deadline, progress if stops else None)
        estimator.set_params(callbacks=[clock])
        estimator.fit(X, y, **weights)
        estimator.set_params(callbacks=None)  # of this fit alone; a stored model need not carry it
        best = int(estimator.best_iteration) + 1 if stops else None
        return FitReport(best_iteration=best, cut=clock.cut, loss=progress.loss, curve=progress.curve)

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """A copy in single precision beside the bins; every level of a tree has the histograms of its leaves."""
        leaves, rounds = 2 ** int(params["max_depth"]), int(params.get("n_estimators", USUAL_ROUNDS))
        return boosting_bytes(setting, rows, columns, cell=12, leaves=leaves, rounds=rounds, histogram=16)

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "n_estimators": iterations}


def _fit_long(
    estimator: Any,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None,
    stop_on: tuple[Any, Any, Any] | None,
    patience: int,
    classes: int,
    deadline: float | None,
    checkpoint: Checkpoint,
    progress: Progress,
) -> FitReport:
    """Fit in a way that goes on where it was killed, to the very trees that it would have had.

    XGBoost goes on from a model with exact scores, but with new random states: a fit that was killed is the same as one
    that was not only if both have new ones at the same rounds. Rows are drawn from a seed of the round
    (`seed_per_iteration`); columns by the tree updater, which is made anew for each segment by a detour over another
    tree method, that grows nothing.
    """
    import xgboost

    params = {**estimator.get_xgb_params(), "seed_per_iteration": True}
    if classes > 2:
        params |= {"objective": "multi:softprob", "num_class": classes}
    kinds = {
        "feature_types": params.pop("feature_types", None),
        "enable_categorical": params.pop("enable_categorical", True),
    }
    threads = params["n_jobs"]
    data = xgboost.QuantileDMatrix(X, y, weight=weight, nthread=threads, **kinds)
    watched = []
    if stop_on is not None:
        Xv, yv, wv = stop_on
        watched = [(xgboost.QuantileDMatrix(Xv, yv, weight=wv, ref=data, nthread=threads, **kinds), "validation")]
    booster = xgboost.Booster(params, [data, *(each for each, _ in watched)])
    state = checkpoint.load()
    if state is not None:
        booster.load_model(bytearray(state["model"].tobytes()))
        booster.set_param(params)
        progress.losses = state["losses"].tolist()
    losses = progress.losses
    best, cut = int(np.argmin(losses)) if losses else 0, False
    for at in range(checkpoint.resumed, estimator.n_estimators):
        if at % SEGMENT == 0:
            for method in ("approx", params["tree_method"]):
                booster.set_param({"tree_method": method})
                booster.save_config()  # which is when a change is carried out
        booster.update(data, at)
        if watched:
            lost = progress.add(float(booster.eval_set(watched, at).rsplit(":", 1)[1]))
            best = best if losses[best] <= losses[-1] else at
            if at - best >= patience or lost:
                break
        if is_over(deadline, at + 1) and at + 1 < estimator.n_estimators:
            cut = True
            break
        if (at + 1) % SEGMENT == 0 and checkpoint.due():
            checkpoint.save(at + 1, model=as_array(bytes(booster.save_raw("ubj"))), losses=np.array(losses))
    if watched:
        booster.set_attr(best_iteration=str(best), best_score=str(losses[best]))
    estimator.load_model(booster.save_raw("ubj"))
    return FitReport(best_iteration=best + 1 if watched else None, cut=cut, loss=progress.loss, curve=progress.curve)


def _point(rate: float, depth: int, child: float, **others: Any) -> Params:
    return {
        "learning_rate": rate,
        "max_depth": depth,
        "min_child_weight": child,
        "subsample": 1.0,
        "colsample_bytree": 1.0,
        "colsample_bylevel": 1.0,
        "reg_alpha": 0.0,
        "reg_lambda": 1.0,
        **others,
    }


def _clock(deadline: float | None, progress: Progress | None) -> Any:
    """A callback that ends boosting where there is no hope, and at the deadline; its `cut` tells whether it was that.

    Progress is that of a fit with rows to stop on.
    """
    from xgboost.callback import TrainingCallback

    class Clock(TrainingCallback):
        cut = False

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if progress is not None:
                ((losses,),) = (metrics.values() for metrics in evals_log.values())
                if progress.add(float(losses[-1])):
                    return True
            self.cut = self.cut or is_over(deadline, epoch + 1)
            return self.cut

    return Clock()
