"""A neural network for tables: trained by PyTorch where it is installed, else by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, ClassVar, Final

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mt_assets.trainer.algorithms.algorithm import FLOAT, Algorithm, FitReport, FitSetting, Params, outputs
from mt_assets.trainer.algorithms.checkpoint import Checkpoint
from mt_assets.trainer.algorithms.neural_network_estimator import Backend, NetworkClassifier, NetworkRegressor

MOST_EPOCHS, FEWEST_EPOCHS = 100, 3
"""Of small and of huge tables; early stopping ends most fits between the 5th and the 60th."""

MOST_VISITS: Final = 2_500_000
"""Rows times epochs of a fit: what keeps it bounded on large tables."""

MANY_ROWS: Final = 10_000
"""From which on members cost more than they bring to a first fit: with 2 and a rate of .005 in place of 4 and .002 RMSE
541.1 and 541.9 on diamonds in half the time, AUC .9168 and .9173 on adult in a third, log-loss .192 and .259 on
storms."""

LEAST_PATIENCE: Final = 8
"""Epochs; the running average of weights, five epochs long, answers a change only after as many."""

GENTLE_RATE: Final = 1e-3
"""At most, for the one retry of a network whose numbers grow beyond all bounds: Adam's default (Kingma and Ba 2015)."""

LIBRARY_BYTES: Final = 100e6
"""What PyTorch takes of its own for a first fit."""


class NeuralNetwork(Algorithm):
    """Several small networks, averaged, on one-hot encoded, squashed features."""

    name: ClassVar[str] = "neural_network"
    display: ClassVar[str] = "Neural network"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    encoding = "one_hot"
    gradual = True

    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> NetworkClassifier | NetworkRegressor:
        given = {
            "epochs": epochs_for_rows(setting.rows),
            **params,
            "backend": backend(),
            "seed": setting.seed,
            "threads": setting.threads,
        }
        return NetworkClassifier(**given) if setting.task == "classification" else NetworkRegressor(**given)

    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """Ranges after those of TabM and RealMLP, narrowed to what one CPU thread fits in seconds."""
        space: dict[str, BaseDistribution] = {
            "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
            "width": IntDistribution(32, 256, step=32),
            "depth": IntDistribution(1, 3),
            "weight_decay": FloatDistribution(1e-4, 1.0, log=True),
            "members": IntDistribution(2, 8, step=2),
        }
        if backend() == "torch":
            space["dropout"] = FloatDistribution(0.0, 0.5)
            space["frequencies"] = CategoricalDistribution([0.0, 0.05, 0.1, 0.3, 1.0])
        return space

    def fit(
        self,
        estimator: NetworkClassifier | NetworkRegressor,
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
        """Fit; with validation rows and patience, keep the weights of the best epoch.

        Where that does not converge it is fitted once more with a gentler learning rate, without checkpoints: those of
        the first try would lead back to it.
        """
        stop: dict[str, Any] = {}
        if X_valid is not None and y_valid is not None and patience and len(y_valid):
            stop = {
                "X_valid": X_valid,
                "y_valid": y_valid,
                "patience": epochs_of_patience(patience, estimator.epochs),
            }
        if isinstance(estimator, NetworkClassifier):
            stop["class_weight"] = class_weight
        notes = [_made_with(estimator.backend)]
        try:
            estimator.fit(X, y, deadline=deadline, checkpoint=checkpoint, **stop)
        except FloatingPointError:
            rate, gentle = estimator.learning_rate, min(estimator.learning_rate / 10, GENTLE_RATE)
            estimator.set_params(learning_rate=gentle).fit(X, y, deadline=deadline, **stop)
            notes.append(
                f"neural_network did not converge at a learning rate of {rate:.3g};"
                f" it was trained at {gentle:.3g} instead"
            )
        best = estimator.best_epoch_ if "patience" in stop else None
        return FitReport(best_iteration=best, notes=tuple(notes), cut=estimator.cut_)

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """A shallow network first; then one held back harder, or of many rows a wider one, and a deeper one that learns
        slowly.

        Measured with PyTorch: 8 members against 4, AUC german_credit .7945 against .7875 (4 folds; 2.0 s against 1.5 s
        a fit). Several classes want to be learned faster: at a rate of .005 and of .002 log-loss .988 and 1.002 on
        wine_quality, .084 and .112 on letter, where epochs end before a slower network has learned enough.
        """
        many = setting.rows >= MANY_ROWS
        rate = 5e-3 if many or setting.n_classes > 2 else 2e-3
        wide = self._point(0.8 * rate, 256, 2, 4, weight_decay=1e-3, dropout=0.1, frequencies=0.1)
        held_back = self._point(0.8 * rate, 64, 2, 8, weight_decay=3e-2, dropout=0.3, frequencies=0.1)
        points = (
            self._point(rate, 128, 2, 2 if many else 8, weight_decay=1e-3, dropout=0.1, frequencies=0.1),
            wide if many else held_back,
            self._point(5e-4, 192, 3, 4, weight_decay=1e-2, dropout=0.2, frequencies=0.0),
        )
        space = self.space(setting)
        return tuple({name: value for name, value in point.items() if name in space} for point in points)

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """Two copies in single precision; batches and weights are small beside what the library takes."""
        return LIBRARY_BYTES + rows * (2 * 4 * columns + 4 * FLOAT * outputs(setting))

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return dict(params) if iterations is None else {**params, "epochs": iterations}

    @staticmethod
    def _point(rate: float, width: int, depth: int, members: int, **others: Any) -> Params:
        return {"learning_rate": rate, "width": width, "depth": depth, "members": members, **others}


def backend() -> Backend:
    """PyTorch where it can be imported, else scikit-learn."""
    return "torch" if find_spec("torch") else "sklearn"


def epochs_for_rows(rows: int) -> int:
    """Epochs of a full fit by learning rows: fewer as tables grow, for each has more steps."""
    return int(max(FEWEST_EPOCHS, min(MOST_EPOCHS * (500 / max(rows, 500)) ** 0.25, MOST_VISITS / max(rows, 1))))


def epochs_of_patience(patience: int, epochs: int) -> int:
    """Epochs without improvement after which training stops.

    The plan counts in boosting rounds, of which there are thousands, so that its own choice would never stop a network:
    a quarter of the epochs is the most. A smaller number that somebody asked for counts epochs as it stands.
    """
    return min(patience, max(LEAST_PATIENCE, epochs // 4))


def _made_with(name: Backend) -> str:
    if name == "torch":
        return f"neural_network was trained with PyTorch {version('torch')}"
    return "neural_network was trained with scikit-learn; `pip install 'mt_assets[deep]'` brings a better one"
