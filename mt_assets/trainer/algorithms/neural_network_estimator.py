"""The fitted form of a neural network: its weights as plain arrays, and predictions from them with NumPy alone.

What belongs here: the two estimators and their loop over epochs. What does not: how an epoch changes the weights
(`neural_network_torch`, with the `[deep]` extra, and `neural_network_sklearn`), nor what is searched
(`neural_network`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Literal, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from mt_assets.trainer.algorithms.algorithm import stopping_class_weight
from mt_assets.trainer.algorithms.checkpoint import Checkpoint
from mt_assets.trainer.algorithms.neural_network_forward import Data, Training, Weights, forward

Backend = Literal["torch", "sklearn"]

MEMORY: Final = 0.8
"""Of the running average of weights over epochs, which is what is kept. It settles where a constant learning rate does
not, so that each epoch is a good place to stop. With PyTorch, against half a cosine down to zero over all epochs (2
folds of 2,400 rows): AUC telco_churn .8516 and .8507, log-loss wine_quality .6616 and .6616."""

PREDICTED_NUMBERS: Final = 2**22
"""Inputs of all members that go through the network at once: 16 MiB, and no more of activations."""

LEAST_EPOCHS: Final = 2
"""That a deadline leaves at least; none is begun that would end after it."""

LEAST_BATCH, MOST_BATCH = 32, 1_024
ROWS_PER_BATCH: Final = 32
"""An epoch has 32 to 64 steps between these bounds: small tables need the steps, large ones are faster in large batches
(PyTorch, 40 columns: 16,000 rows a second in batches of 64, 26,000 in batches of 256)."""


class Network(BaseEstimator):
    """What both estimators share.

    Parameters
    ----------
    backend : {"torch", "sklearn"}
        What trains it; prediction needs neither.
    learning_rate : float
        Of Adam, constant.
    weight_decay : float
        With torch, the share of the learning rate by which weights shrink in a step (AdamW); with sklearn, the strength
        of an L2 penalty that is divided by the rows of a step.
    dropout : float
        Share of hidden units that a step leaves out. Only with torch.
    width, depth : int
        Units of a hidden layer and hidden layers.
    members : int
        Networks whose outputs are averaged.
    frequencies : float
        Standard deviation of the first frequencies of periodic features; 0 for none. Only with torch.
    epochs : int
        Where training ends at the latest.
    seed, threads : int

    Attributes
    ----------
    weights_ : dict of str to numpy.ndarray
        float32, averaged over the epochs up to the best.
    best_epoch_ : int
        From 1; the last one where there were no rows to stop on.
    cut_ : bool
        Whether the deadline ended training.
    n_features_in_ : int
    """

    def __init__(
        self,
        backend: Backend = "sklearn",
        learning_rate: float = 1e-3,
        width: int = 128,
        depth: int = 2,
        members: int = 4,
        weight_decay: float = 1e-3,
        dropout: float = 0.0,
        frequencies: float = 0.0,
        epochs: int = 50,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.backend = backend
        self.learning_rate = learning_rate
        self.width = width
        self.depth = depth
        self.members = members
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.frequencies = frequencies
        self.epochs = epochs
        self.seed = seed
        self.threads = threads

    def _train(
        self,
        data: Data,
        loss: Callable[[np.ndarray], float] | None,
        X_valid: Any,
        patience: int,
        deadline: float | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        """Run the epochs and keep the weights of the best by `loss` of the outputs [k, m, outputs] of `X_valid`.

        Raises
        ------
        FloatingPointError
            When the weights grow beyond all bounds before there is a best epoch to keep.
        """
        self.n_features_in_ = data.X.shape[1]
        self.cut_ = False
        with _training(self, data) as training:
            lowest, mean = np.inf, Weights()
            begun, started = 0, time.monotonic()
            state = None if checkpoint is None else checkpoint.load()
            if checkpoint is not None and state is not None:
                begun = checkpoint.resumed
                training.restore(_taken(state, "training."))
                mean, self.weights_ = _taken(state, "mean."), _taken(state, "best.")
                lowest, self.best_epoch_ = float(state["lowest"]), int(state["best_epoch"])
            for epoch in range(begun + 1, self.epochs + 1):
                try:
                    training.run_epoch()
                    mean = _averaged(mean, _finite(training.weights()), epoch)
                except FloatingPointError:
                    if loss is None or epoch == 1:
                        raise
                    break  # an earlier epoch was the best
                now = -np.inf if loss is None else loss(self._outputs(X_valid, mean))
                if epoch == 1 or now < lowest or loss is None:
                    lowest, self.weights_, self.best_epoch_ = now, mean, epoch
                elif epoch - self.best_epoch_ >= patience:
                    break
                pace = (time.monotonic() - started) / (epoch - begun)
                late = deadline is not None and epoch >= LEAST_EPOCHS and time.monotonic() + pace > deadline
                self.cut_ = late and epoch < self.epochs
                if self.cut_:
                    break
                if checkpoint is not None and checkpoint.due():
                    parts = {"training.": training.state(), "mean.": mean, "best.": self.weights_}
                    checkpoint.save(
                        epoch,
                        lowest=np.array(lowest),
                        best_epoch=np.array(self.best_epoch_),
                        **{part + name: each for part, arrays in parts.items() for name, each in arrays.items()},
                    )

    def _outputs(self, X: np.ndarray, weights: Weights) -> np.ndarray:
        wide = max(each.shape[-2] for name, each in weights.items() if name.endswith(".weight"))
        rows = max(1, PREDICTED_NUMBERS // (self.members * wide))
        parts = [X[at : at + rows].astype(np.float32, copy=False) for at in range(0, len(X), rows)]
        return np.concatenate([forward(weights, part, np, _relu, _keep) for part in parts], axis=1)


class NetworkClassifier(ClassifierMixin, Network):
    """A network that outputs probabilities."""

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        X_valid: np.ndarray | None = None,
        y_valid: np.ndarray | None = None,
        patience: int = 0,
        class_weight: str | None = None,
        deadline: float | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Fit to codes 0..k-1; with validation rows, keep the epoch of the least log-loss."""
        self.classes_ = np.unique(y)
        row_weights = None if class_weight is None else compute_sample_weight(class_weight, y).astype(np.float32)
        data = Data(_narrow(X), np.asarray(y, dtype=np.int64), row_weights, len(self.classes_), batch_rows(len(X)))
        if X_valid is None or y_valid is None or not len(y_valid):
            self._train(data, None, None, patience, deadline, checkpoint)
            return self
        stopping = stopping_class_weight(y, class_weight)
        weights = None if stopping is None else compute_sample_weight(stopping, y_valid)

        def loss(outputs: np.ndarray) -> float:
            chance = _probabilities(outputs)[np.arange(len(y_valid)), y_valid]
            return float(np.average(-np.log(np.maximum(chance, 1e-12)), weights=weights))

        self._train(data, loss, _narrow(X_valid), patience, deadline, checkpoint)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities float64 [n, k], the mean of the members'."""
        check_is_fitted(self, "weights_")
        return _probabilities(self._outputs(X, self.weights_))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class [n]."""
        likeliest: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return likeliest


class NetworkRegressor(RegressorMixin, Network):
    """A network that outputs values, learned on a standardized target.

    Attributes
    ----------
    mean_, spread_ : float
        Of the training target.
    bounds_ : tuple of float
        Least and greatest standardized target; predictions stay within (as in RealMLP).
    """

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        X_valid: np.ndarray | None = None,
        y_valid: np.ndarray | None = None,
        patience: int = 0,
        deadline: float | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Fit to values; with validation rows, keep the epoch of the least squared error."""
        y = np.asarray(y, dtype=np.float64)
        self.mean_, self.spread_ = float(y.mean()), float(y.std()) or 1.0
        scaled = ((y - self.mean_) / self.spread_).astype(np.float32)
        self.bounds_ = (float(scaled.min()), float(scaled.max()))
        data = Data(_narrow(X), scaled, None, 1, batch_rows(len(X)))
        if X_valid is None or y_valid is None or not len(y_valid):
            self._train(data, None, None, patience, deadline, checkpoint)
            return self
        goal = (np.asarray(y_valid, dtype=np.float64) - self.mean_) / self.spread_

        def loss(outputs: np.ndarray) -> float:
            return float(np.mean((self._values(outputs) - goal) ** 2))

        self._train(data, loss, _narrow(X_valid), patience, deadline, checkpoint)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Values float64 [n], the mean of the members'."""
        check_is_fitted(self, "weights_")
        return self._values(self._outputs(X, self.weights_)) * self.spread_ + self.mean_

    def _values(self, outputs: np.ndarray) -> np.ndarray:
        values: np.ndarray = np.clip(outputs[..., 0].mean(axis=0, dtype=np.float64), *self.bounds_)
        return values


def batch_rows(rows: int) -> int:
    """Rows of a step: a power of two that grows with the table."""
    largest_power = 2 ** int(np.log2(max(rows // ROWS_PER_BATCH, 1)))
    return min(max(largest_power, LEAST_BATCH), MOST_BATCH)


def _averaged(mean: Weights, now: Weights, epoch: int) -> Weights:
    """The running average after an epoch: a plain mean at first, so that the random start is soon forgotten."""
    memory = min(MEMORY, 1 - 1 / epoch)
    return {
        name: memory * mean[name] + (1 - memory) * new if mean and np.issubdtype(new.dtype, np.floating) else new
        for name, new in now.items()
    }


def _finite(weights: Weights) -> Weights:
    """The weights, as long as they are finite."""
    if not all(np.isfinite(each).all() for each in weights.values()):
        raise FloatingPointError("The weights of the network are not finite.")
    return weights


def _taken(state: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """The arrays of one part, by their names in it."""
    return {name.removeprefix(part): each for name, each in state.items() if name.startswith(part)}


def _narrow(X: np.ndarray) -> np.ndarray:
    """An own copy: PyTorch warns of arrays that it may not write to."""
    return np.array(X, dtype=np.float32, order="C")


def _probabilities(outputs: np.ndarray) -> np.ndarray:
    mean: np.ndarray = np.exp(log_softmax(outputs.astype(np.float64), axis=2)).mean(axis=0)
    return mean


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _keep(x: np.ndarray) -> np.ndarray:
    return x


def _training(network: Network, data: Data) -> AbstractContextManager[Training]:
    if network.backend == "torch":
        from mt_assets.trainer.algorithms.neural_network_torch import torch_training

        return torch_training(network, data)
    from mt_assets.trainer.algorithms.neural_network_sklearn import sklearn_training

    return sklearn_training(network, data)
