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
        try:
            self._partial_fit(len(self._data.X))
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            raise FloatingPointError(str(error)) from error

    def _partial_fit(self, rows: int) -> None:
        options: dict[str, Any] = {"classes": np.arange(self._data.outputs)} if self._data.outputs > 1 else {}
        X, y, weights = self._data.X[:rows], self._data.y[:rows], self._data.row_weights
        weights = None if weights is None else weights[:rows]
        for member in self._members:
            member.partial_fit(X, y, sample_weight=weights, **options)

    def state(self) -> dict[str, np.ndarray]:
        return {
            f"{at}.{name}": np.array(each)
            for at, member in enumerate(self._members)
            for name, each in _state(member).items()
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        self._partial_fit(self._members[0].batch_size)  # makes everything that is filled here
        for at, member in enumerate(self._members):
            for name, array in _state(member).items():
                if isinstance(array, np.ndarray) and array.ndim:
                    array[...] = state[f"{at}.{name}"]
            member._optimizer.t = int(state[f"{at}.steps"])
            key = state[f"{at}.key"]
            position, has_gauss = (int(each) for each in state[f"{at}.position"])
            member._random_state.set_state(("MT19937", key, position, has_gauss, float(state[f"{at}.gauss"])))

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


def _state(member: Any) -> dict[str, Any]:
    """The arrays that a member's next epochs depend on, its own ones and not copies, and numbers."""
    optimizer = member._optimizer
    lists = {"weight": member.coefs_, "bias": member.intercepts_, "first": optimizer.ms, "second": optimizer.vs}
    _, key, position, has_gauss, gauss = member._random_state.get_state()
    arrays = {f"{name}.{at}": each for name, own in lists.items() for at, each in enumerate(own)}
    return {**arrays, "steps": optimizer.t, "key": key, "position": (position, has_gauss), "gauss": gauss}


@contextmanager
def sklearn_training(network: Network, data: Data) -> Iterator[SklearnTraining]:
    """Train on the threads that BLAS was given by the caller."""
    yield SklearnTraining(network, data)
