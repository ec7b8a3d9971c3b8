"""Training a network with PyTorch: members that share most weights, trained together, with AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch.nn import functional

from mt_assets.trainer.algorithms.neural_network_forward import Data, Weights, forward

if TYPE_CHECKING:
    from mt_assets.trainer.algorithms.neural_network_estimator import Network

WAVES, EMBEDDED = 16, 4
"""Cosines of a number, and what they are mixed to: sizes of RealMLP's embedding (Holzmüller et al. 2024)."""

MOST_EMBEDDED: Final = 200
"""Columns of numbers that are embedded at most; beyond it the first layer, five times as wide, would be most of the
work."""

BETAS: Final = (0.9, 0.95)
"""Of AdamW; the second as in RealMLP's tuned defaults."""

LARGEST_GRADIENT: Final = 1.0
"""Norm that gradients are clipped to, as TabM's authors do."""


class TorchTraining:
    """A network in training; see `Training`."""

    def __init__(self, network: Network, data: Data) -> None:
        self._network, self._data = network, data
        self._random = torch.Generator().manual_seed(network.seed)
        self._X, self._y = torch.from_numpy(data.X), torch.from_numpy(data.y)
        self._row_weights = None if data.row_weights is None else torch.from_numpy(data.row_weights)
        self._fixed: dict[str, Any] = {}
        self._weights = self._first_weights()
        for tensor in self._weights.values():
            tensor.requires_grad_(True)
        decaying = [each for name, each in self._weights.items() if name.endswith((".weight", "embedding"))]
        others = [each for name, each in self._weights.items() if not name.endswith((".weight", "embedding"))]
        self._optimizer = torch.optim.AdamW(
            [{"params": decaying, "weight_decay": network.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=network.learning_rate,
            betas=BETAS,
            fused=True,
        )

    def run_epoch(self) -> None:
        order = torch.randperm(len(self._X), generator=self._random)
        with torch.enable_grad():
            for rows in order.split(self._data.batch):
                self._optimizer.zero_grad()
                self._loss(rows).backward()
                torch.nn.utils.clip_grad_norm_(list(self._weights.values()), LARGEST_GRADIENT)
                self._optimizer.step()

    def weights(self) -> Weights:
        return {name: each.detach().numpy().copy() for name, each in {**self._fixed, **self._weights}.items()}

    def state(self) -> dict[str, np.ndarray]:
        state = {f"weight.{name}": each.detach().numpy() for name, each in self._weights.items()}
        for at, kept in self._optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{at}.{name}": each.numpy() for name, each in kept.items()}
        return {**state, "chance": self._random.get_state().numpy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        with torch.no_grad():
            for name, each in self._weights.items():
                each.copy_(torch.from_numpy(state[f"weight.{name}"]))
        whole = self._optimizer.state_dict()
        for name, array in state.items():
            if name.startswith("optimizer."):
                _, at, kept = name.split(".")
                whole["state"].setdefault(int(at), {})[kept] = torch.from_numpy(array)
        self._optimizer.load_state_dict(whole)
        self._random.set_state(torch.from_numpy(state["chance"]))

    def _loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Mean of the members' losses: each learns on its own, whatever the others know."""
        outputs = forward({**self._fixed, **self._weights}, self._X[rows], torch, functional.relu, self._drop)
        members, y = len(outputs), self._y[rows]
        if self._data.outputs > 1:
            losses = functional.cross_entropy(outputs.flatten(0, 1), y.repeat(members), reduction="none")
        else:
            losses = (outputs[..., 0] - y).square().flatten()
        if self._row_weights is not None:
            losses = losses * self._row_weights[rows].repeat(members)
        return losses.mean()

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        kept = 1 - self._network.dropout
        if kept == 1:
            return x
        # One mask for all members: drawing a mask for each took a fifth of the time of a step.
        return x * (torch.empty(x.shape[1:]).bernoulli_(kept, generator=self._random) / kept)

    def _first_weights(self) -> dict[str, torch.Tensor]:
        network, members = self._network, self._network.members
        weights: dict[str, torch.Tensor] = {}
        inputs = self._X.shape[1]
        columns = _numbers(self._data.X) if network.frequencies else np.empty(0, dtype=np.int64)
        if 0 < len(columns) <= MOST_EMBEDDED:
            q = len(columns)
            self._fixed["columns"] = torch.from_numpy(columns)
            weights["frequency"] = torch.randn(q, 1, WAVES, generator=self._random) * network.frequencies * 2 * math.pi
            weights["phase"] = (torch.rand(q, 1, WAVES, generator=self._random) * 2 - 1) * math.pi
            weights["embedding"] = self._uniform(q, WAVES, EMBEDDED, fan=WAVES)
            inputs += q * EMBEDDED
        sizes = [inputs] + [network.width] * network.depth
        for layer, (fan, width) in enumerate(pairwise(sizes)):
            signs = torch.randint(0, 2, (members, 1, fan), generator=self._random) * 2.0 - 1.0
            weights[f"{layer}.scale"] = signs if layer == 0 else torch.ones(members, 1, fan)
            weights[f"{layer}.weight"] = self._uniform(fan, width, fan=fan)
            weights[f"{layer}.bias"] = self._uniform(members, 1, width, fan=fan)
        weights[f"{network.depth}.weight"] = self._uniform(
            members, network.width, self._data.outputs, fan=network.width
        )
        weights[f"{network.depth}.bias"] = torch.zeros(members, 1, self._data.outputs)
        return weights

    def _uniform(self, *shape: int, fan: int) -> torch.Tensor:
        return (torch.rand(*shape, generator=self._random) * 2 - 1) / math.sqrt(fan)


def _numbers(X: np.ndarray) -> np.ndarray:
    """Columns with more than two values, int64."""
    low, high = X.min(axis=0), X.max(axis=0)
    return np.flatnonzero(((low < X) & (high > X)).any(axis=0))


@contextmanager
def torch_training(network: Network, data: Data) -> Iterator[TorchTraining]:
    """Train on the threads of the network, and leave PyTorch's setting as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(network.threads)
    try:
        yield TorchTraining(network, data)
    finally:
        torch.set_num_threads(before)
