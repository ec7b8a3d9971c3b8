"""Support vector machines on one-hot encoded, squashed features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR
from sklearn.utils.class_weight import compute_sample_weight

from mt_assets.trainer.algorithms.algorithm import FLOAT, Algorithm, FitReport, FitSetting, Params
from mt_assets.trainer.algorithms.checkpoint import Checkpoint
from mt_assets.trainer.algorithms.convergence import fit_until_converged

EXACT_ROWS: Final = 10_000
"""Learning rows up to which the kernel is computed between all of them, which grows with their square and more. With
8,000 rows and one thread: adult 1.7 s a fit (AUC .8806), diamonds 0.8 s (R² .970). Beyond it the kernel is
approximated: on the same rows 0.9 s (AUC .8843) and 0.6 s (R² .950), growing no faster than the rows."""

COMPONENTS: Final = 300
"""Directions of the approximated kernel (2.4 kB a row). 1,000 gave AUC .8907 on adult, at five times the time."""

ITERATIONS: Final = 100_000
"""Where an exact fit ends at the latest. Usual ones take 1,000 to 60,000; noisy targets with a narrow tube need
millions (diamonds, C=100: 136 s), and predict no better for it. With 8,000 rows of adult a fit with its probabilities
takes 3 s, and at the corners of the space 9 s (two classes) and 11 s (pure noise as a number, stopped)."""

LINEAR_TOLERANCE: Final = 1e-2
"""Of the linear machine on the approximated kernel: the same AUC as at scikit-learn's 1e-4 in half the time (adult)."""

CALIBRATION_FOLDS: Final = 2
"""For probabilities. Log-loss with 2, 3 and 5 folds: breast_cancer .077, .080, .080; wine .089, .092, .089 (Platt);
digits .195, .195, .196 (temperature); two fits of half the rows cost half of one of all."""

CACHE_MB: Final = 500
"""Kernel values kept by libsvm: those of 8,000 rows fit in half of it."""


LIBLINEAR_CELL: Final = 16
"""Bytes of a number in liblinear's copy of a matrix (`struct feature_node`)."""


class SVM(Algorithm):
    """A machine with a Gaussian kernel, exact for small tables and approximated (Nyström) for larger ones.

    Probabilities come from Platt's sigmoid of the decision function, of more than two classes from a temperature
    (log-loss on wine .071 against .089, on digits .195 against .280), fitted on folds within the training rows. The
    target of a regression is scaled inside, so that `C` and `epsilon` mean the same whatever its unit.
    """

    name: ClassVar[str] = "svm"
    display: ClassVar[str] = "Support vector machine"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "one_hot"

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> Any:
        """With `gamma_ratio` as the kernel's `gamma`, which `fit` replaces by that multiple of scikit-learn's default.

        That default, "scale", suits the scale of the columns, but takes no factor.
        """
        exact = setting.rows <= EXACT_ROWS
        kernel = {"gamma": params["gamma_ratio"], "cache_size": CACHE_MB, "max_iter": ITERATIONS}
        linear = {"dual": False, "tol": LINEAR_TOLERANCE, "random_state": setting.seed}
        machine: Any
        if setting.task == "classification":
            machine = CalibratedClassifierCV(
                SVC(C=params["C"], **kernel) if exact else LinearSVC(C=params["C"], **linear),
                method="sigmoid" if setting.n_classes == 2 else "temperature",
                cv=StratifiedKFold(CALIBRATION_FOLDS, shuffle=True, random_state=setting.seed),
                ensemble=False,
            )
        else:
            tube = {"C": params["C"], "epsilon": params["epsilon"]}
            machine = TransformedTargetRegressor(
                SVR(**tube, **kernel) if exact else LinearSVR(**tube, **linear, loss="squared_epsilon_insensitive"),
                transformer=StandardScaler(),
                check_inverse=False,
            )
        if exact:
            return machine
        mapping = Nystroem(gamma=params["gamma_ratio"], n_components=COMPONENTS, random_state=setting.seed)
        return Pipeline([("kernel", mapping), ("machine", machine)])

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """Three decades around scikit-learn's defaults; a larger `C` costs time and seldom helps on scaled columns."""
        space: dict[str, BaseDistribution] = {
            "C": FloatDistribution(0.03, 100.0, log=True),
            "gamma_ratio": FloatDistribution(0.03, 10.0, log=True),
        }
        if setting.task == "regression":
            space["epsilon"] = FloatDistribution(0.01, 0.5, log=True)
        return space

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """scikit-learn's default, a smoother and stricter machine, and one with a wider kernel."""
        tube = {"epsilon": 0.1} if setting.task == "regression" else {}
        return tuple({"C": C, "gamma_ratio": ratio, **tube} for C, ratio in ((1.0, 1.0), (10.0, 0.3), (1.0, 0.1)))

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """The kernel's cache in single precision; or its approximation in two steps, and liblinear's copy of it."""
        if setting.rows <= EXACT_ROWS:
            return FLOAT * rows * 2 * columns + min(CACHE_MB * 1e6, 4.0 * rows**2)
        return rows * COMPONENTS * (2 * FLOAT + LIBLINEAR_CELL)

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
        """Fit machine and probabilities, both on weighted rows where classes are weighted.

        Weights of classes alone would reach the machine and not the probabilities, which would undo them.
        """
        gamma = next(name for name in estimator.get_params() if name.endswith("gamma"))
        estimator.set_params(**{gamma: estimator.get_params()[gamma] * scale_gamma(X)})
        machine = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        weights: dict[str, Any] = {}
        if isinstance(machine, CalibratedClassifierCV):
            X, y = _for_each_fold(X, y)
            if class_weight is not None:
                step = "" if machine is estimator else "machine__"
                weights = {f"{step}sample_weight": compute_sample_weight(class_weight, y)}
        return fit_until_converged(self.name, estimator, X, y, **weights)


def scale_gamma(X: np.ndarray) -> float:
    """scikit-learn's `gamma="scale"`: one over the columns times their common variance."""
    variance = float(X.var())
    return 1.0 / (X.shape[1] * variance) if variance else 1.0


def _for_each_fold(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows, with those of classes that have fewer than `CALIBRATION_FOLDS` once more, so that each fold has one."""
    lone = np.flatnonzero(np.bincount(y)[y] < CALIBRATION_FOLDS)
    again = np.concatenate([np.arange(len(y)), lone])
    return X[again], y[again]
