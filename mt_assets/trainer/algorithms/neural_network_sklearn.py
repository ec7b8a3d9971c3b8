"""Training networks with scikit-learn alone: independent members, one epoch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_random_state

from mt_assets.trainer.algorithms.neural_network_forward import Data, Weights

if TYPE_CHECKING:
    from mt_assets.trainer.algorithms.neural_network_estimator import Network


class SklearnTraining:
    """Members in training; see `Training`."""

    def __init__(self, network: Network, data: Data) -> None:
        self._data = data
        self._members = [self._member(network, data, network.seed + at) for at in range(network.members)]

    @staticmethod
    def _member(network: Network, data: Data, seed: int) -> Any:
        kind = MLPClassifier if data.outputs > 1 else MLPRegressor
        return kind(
            hidden_layer_sizes=(network.width,) * network.depth,
            alpha=network.weight_decay,
            learning_rate_init=network.learning_rate,
            batch_size=min(data.batch, len(data.X)),
            # An object, because a number would draw the same order of rows in each epoch.
            random_state=check_random_state(seed),
        )

    def run_epoch(self) -> None:
        options: dict[str, Any] = {"classes": np.arange(self._data.outputs)} if self._data.outputs > 1 else {}
        for member in self._members:
            member.partial_fit(self._data.X, self._data.y, sample_weight=self._data.row_weights, **options)

    def weights(self) -> Weights:
        weights: Weights = {}
        last = len(self._members[0].coefs_) - 1
        for layer in range(last + 1):
            weights[f"{layer}.weight"] = np.stack([member.coefs_[layer] for member in self._members])
            weights[f"{layer}.bias"] = np.stack([member.intercepts_[layer][None] for member in self._members])
        if self._data.outputs == 2:  # one log-odds becomes two outputs, the first of them zero
            for part in ("weight", "bias"):
                log_odds = weights[f"{last}.{part}"]
                weights[f"{last}.{part}"] = np.concatenate([np.zeros_like(log_odds), log_odds], axis=2)
        return weights


@contextmanager
def sklearn_training(network: Network, data: Data) -> Iterator[SklearnTraining]:
    """Train on the threads that BLAS was given by the caller."""
    yield SklearnTraining(network, data)
