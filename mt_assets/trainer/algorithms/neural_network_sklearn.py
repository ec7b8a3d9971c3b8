"""Training networks with scikit-learn alone: independent members, one epoch at a time, with averaged weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_random_state

from mt_assets.trainer.algorithms.neural_network_forward import Data, Weights

if TYPE_CHECKING:
    from mt_assets.trainer.algorithms.neural_network_estimator import Network

MEMORY: Final = 0.8
"""Of the running average of weights over epochs. scikit-learn's Adam cannot lower its learning rate; the average
settles instead."""


class SklearnTraining:
    """Members in training; see `Training`."""

    def __init__(self, network: Network, data: Data) -> None:
        self._data, self._epochs = data, 0
        self._members = [self._member(network, data, network.seed + at) for at in range(network.members)]
        self._mean: list[np.ndarray] = []

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
        self._epochs += 1
        now = [each for member in self._members for each in (*member.coefs_, *member.intercepts_)]
        # A plain mean at first, so that the random start is soon forgotten.
        memory = min(MEMORY, 1 - 1 / self._epochs)
        before = self._mean or now
        self._mean = [memory * old + (1 - memory) * new for old, new in zip(before, now, strict=True)]

    def weights(self) -> Weights:
        layers = len(self._members[0].coefs_)
        per_member = [self._mean[at : at + 2 * layers] for at in range(0, len(self._mean), 2 * layers)]
        weights: Weights = {}
        for layer in range(layers):
            weights[f"{layer}.weight"] = np.stack([each[layer] for each in per_member])
            weights[f"{layer}.bias"] = np.stack([each[layers + layer][None] for each in per_member])
        if self._data.outputs == 2:  # one log-odds becomes two outputs, the first of them zero
            for part in ("weight", "bias"):
                log_odds = weights[f"{layers - 1}.{part}"]
                weights[f"{layers - 1}.{part}"] = np.concatenate([np.zeros_like(log_odds), log_odds], axis=2)
        return weights


@contextmanager
def sklearn_training(network: Network, data: Data) -> Iterator[SklearnTraining]:
    """Train on the threads that BLAS was given by the caller."""
    yield SklearnTraining(network, data)
