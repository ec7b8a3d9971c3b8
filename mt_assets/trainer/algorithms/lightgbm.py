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
    boosting_bytes,
    is_over,
    slowest_rate,
    stopping_class_weight,
    within,
)
from mt_assets.trainer.algorithms.checkpoint import Checkpoint, as_array
from mt_assets.trainer.algorithms.pipeline import GENERATED
from mt_assets.trainer.algorithms.progress import Progress

MAX_ROUNDS, USUAL_ROUNDS = 5_000, 2_000
"""Enough for early stopping to be what ends the fit, but at the slowest learning rates; and those that few need more
than, which memory is estimated for."""

SEGMENT: Final = 20
"""Rounds between which a long fit can be gone on with."""

SMALL_ROWS: Final = 10_000
"""Below, the entries of the portfolio with few leaves and slow learning come in."""

SIZED: Final = (
    (5_000, 0.01, 16, 16, 1.0),
    (10_000, 0.01, 32, 24, 1.0),
    (20_000, 0.02, 64, 32, 0.5),
    (50_000, 0.03, 32, 32, 0.5),
    (100_000, 0.03, 64, 32, 0.5),
    (300_000, 0.04, 128, 64, 0.2),
    (float("inf"), 0.05, 244, 128, 0.2),
)
"""LightAutoML's defaults: rows up to which they hold, learning rate, leaves for classes and for values, L1 penalty."""

PORTFOLIO: Final = (
    # suits, generated, learning_rate, num_leaves, min_data_in_leaf, feature_fraction, bagging_fraction, extra_trees,
    # lambda_l1, lambda_l2
    ("any", False, 0.01786, 39, 3, 0.4622, 0.8769, True, 0.2375, 0.3552),  # GBM_r177
    ("any", True, 0.01932, 64, 28, 0.5534, 0.9923, True, 0.9144, 1.904),  # GBM_PREP_r13
    ("large", False, 0.01139, 84, 3, 0.528, 0.9784, False, 0.02693, 0.8375),  # GBM_r163
    ("small", False, 0.01267, 5, 12, 0.7335, 0.8541, True, 0.2413, 0.2981),  # GBM_r120
    ("small", True, 0.00742, 8, 15, 0.4248, 0.7215, True, 0.113, 0.2623),  # GBM_PREP_r41
    ("large", False, 0.01798, 180, 12, 0.4045, 0.9501, True, 0.7662, 1.604),  # GBM_r72
    ("any", True, 0.03976, 16, 1, 0.5792, 0.9592, False, 0.9385, 0.99),  # GBM_PREP_r31
    ("small", False, 0.01344, 20, 2, 0.4251, 0.7112, False, 0.5141, 0.5134),  # GBM_PREP_r21, which generates nothing
    ("small", False, 0.007897, 8, 24, 0.94, 0.8148, False, 0.4369, 0.2998),  # GBM_r6
    ("any", True, 0.03513, 64, 1, 0.668, 0.9277, False, 0.01251, 0.7157),  # GBM_PREP_r17
)
"""LightGBM's entries in the first half of AutoGluon's portfolio `zeroshot_2025_12_18_cpu`, in its order but for small
ones after larger ones. Its entries that generate features do it with all of TabPrep's generators."""

LARGE: Final = (0.03, 128, 3, 0.9)
"""AutoGluon's `GBMLarge`, tried early on large tables: learning rate, leaves, rows of a leaf and share of columns.

Where there is that much to learn it is far ahead of the library's default, and elsewhere not far behind: RMSE
bike_hourly 56.5 and 60.8, beijing_pm25 28.6 and 30.0, diamonds 559 and 551, AUC adult .9296 and .9300.
"""

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
    gradual = True

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
            "learning_rate": FloatDistribution(slowest_rate(setting), 0.2, log=True),
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
        """The library's default, AutoGluon's for much to learn, LightAutoML's for the size, and AutoGluon's portfolio.

        Entries that learn too slowly for the size are moved to the slowest rate of the space.
        """
        small = setting.rows < SMALL_ROWS
        points = [self._point(setting, 0.1, 31, 20)]
        if not small:
            rate, leaves, leaf_rows, columns = LARGE
            points.append(self._point(setting, rate, leaves, leaf_rows, feature_fraction=columns))
        points.append(self._sized(setting))
        points += [
            self._point(
                setting, rate, leaves, leaf_rows,
                feature_fraction=columns, bagging_fraction=rows, extra_trees=extra, lambda_l1=l1, lambda_l2=l2,
            ) | ({GENERATED: True} if generated and setting.generation else {})
            for suits, generated, rate, leaves, leaf_rows, columns, rows, extra, l1, l2 in PORTFOLIO
            if suits in ("any", "small" if small else "large")
        ]  # fmt: skip
        return tuple(points)

    def _sized(self, setting: FitSetting) -> Params:
        """LightAutoML's default for so many rows."""
        rate, of_classes, of_values, penalty = next(row[1:] for row in SIZED if setting.rows <= row[0])
        leaves = of_classes if setting.task == "classification" else of_values
        return self._point(setting, rate, leaves, 20, feature_fraction=0.7, bagging_fraction=0.7, lambda_l1=penalty)

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
        checkpoint: Checkpoint | None = None,
        bar: float | None = None,
    ) -> FitReport:
        """Fit; with validation rows and patience stop at the best round by log-loss or squared error."""
        import lightgbm

        of_categories = list(range(X.shape[1] - categories, X.shape[1])) or "auto"
        clock, progress = _Clock(deadline), Progress(float(estimator.learning_rate), bar)
        callbacks: list[Any] = [clock]
        options: dict[str, Any] = {"categorical_feature": of_categories}
        stops = X_valid is not None and y_valid is not None and bool(patience) and len(y_valid) > 0
        if stops:
            weight = stopping_class_weight(y, class_weight)
            options |= {"eval_X": X_valid, "eval_y": y_valid}
            options |= {"eval_class_weight": [weight]} if weight is not None else {}
            callbacks.append(_Losses(progress))
        rounds = estimator.n_estimators
        if checkpoint is not None and checkpoint.is_long(X, _trees(estimator, y)):
            state = checkpoint.load()
            if state is not None:
                progress.losses = state["losses"].tolist()
                options["init_model"] = lightgbm.Booster(model_str=state["model"].tobytes().decode())
                estimator.set_params(n_estimators=rounds - checkpoint.resumed)
            callbacks += [_Renewal(estimator), _Stop(patience if stops else None, progress, checkpoint)]
        elif stops:
            callbacks.append(lightgbm.early_stopping(patience or 0, first_metric_only=True, verbose=False))
        estimator.fit(X, y, callbacks=callbacks, **options)
        estimator.set_params(n_estimators=rounds)
        estimator._evals_result = {}  # a number for each round, of each of which skops would make a file
        best = int(estimator.best_iteration_) if stops else None
        return FitReport(best_iteration=best, cut=clock.cut, loss=progress.loss, curve=progress.curve)

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """Bins of one byte for each cell, and of the rows that it stops on; sums of gradients in double precision."""
        leaves, rounds = int(params["num_leaves"]), int(params.get("n_estimators", USUAL_ROUNDS))
        return boosting_bytes(setting, rows, columns, cell=2, leaves=leaves, rounds=rounds, histogram=16)

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "n_estimators": iterations}


def _trees(estimator: Any, y: np.ndarray) -> int:
    """Trees of a round."""
    classes = len(np.unique(y)) if hasattr(estimator, "predict_proba") else 1
    return classes if classes > 2 else 1


class _Renewal:
    """Callback that begins all random states of a long fit anew with each segment.

    LightGBM goes on from a model with exact scores, but with new random states: a fit that was killed is the same as
    one that was not only if both have new ones at the same rounds. Columns and thresholds are drawn anew when their
    seed changes; rows only when their fraction does, so it changes by a billionth, to another one in each segment.
    """

    order = 10
    before_iteration = True

    def __init__(self, estimator: Any) -> None:
        self._seed = int(estimator.random_state)
        self._fraction = float(estimator.subsample)

    def __call__(self, env: Any) -> None:
        segment, rest = divmod(env.iteration, SEGMENT)
        if rest or not segment:
            return
        seeds = np.random.SeedSequence([self._seed, segment]).generate_state(3) >> 2
        changes: dict[str, Any] = dict(
            zip(("feature_fraction_seed", "extra_seed", "bagging_seed"), map(int, seeds), strict=True)
        )
        if self._fraction < 1:
            changes["bagging_fraction"] = self._fraction * (1 - 1e-9 * (1 + segment % 2))
        env.model.reset_parameter(changes)


class _Losses:
    """Callback that notes the losses on the rows that a fit stops on, and gives up where they leave no hope."""

    order = 20

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, env: Any) -> None:
        from lightgbm.callback import EarlyStopException

        if self._progress.add(env.evaluation_result_list[0][2]):
            raise EarlyStopException(int(np.argmin(self._progress.losses)), [env.evaluation_result_list[0]])


class _Stop:
    """Callback that stops a long fit early, like the library's, and writes its checkpoints between segments."""

    order = 30

    def __init__(self, patience: int | None, progress: Progress, checkpoint: Checkpoint) -> None:
        self._patience = patience
        self._progress = progress
        self._checkpoint = checkpoint

    def __call__(self, env: Any) -> None:
        from lightgbm.callback import EarlyStopException

        rounds = env.iteration + 1
        if self._patience:
            best = int(np.argmin(self._progress.losses))
            if env.iteration - best >= self._patience or rounds == env.end_iteration:
                raise EarlyStopException(best, [env.evaluation_result_list[0]])
        if rounds % SEGMENT == 0 and rounds < env.end_iteration and self._checkpoint.due():
            model = env.model.model_to_string(num_iteration=-1).encode()
            self._checkpoint.save(rounds, model=as_array(model), losses=np.array(self._progress.losses))


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
