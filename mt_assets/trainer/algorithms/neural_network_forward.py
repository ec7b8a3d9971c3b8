"""What a neural network computes, in NumPy or PyTorch alike, and what a backend that trains it is given and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Weights = dict[str, np.ndarray]
"""By name: `{layer}.scale` [k, 1, in] (optional), `{layer}.weight` [in, out] or [k, in, out], `{layer}.bias`
[k, 1, out], of layers 0, 1, ..., where k counts the members; and where numbers are embedded `columns` [q], `frequency`
and `phase` [q, 1, f], `embedding` [q, f, d]."""


def forward(weights: Any, x: Any, library: Any, activation: Callable[[Any], Any], drop: Callable[[Any], Any]) -> Any:
    """Outputs of every member.

    Numbers may get periodic features beside themselves: cosines of learned frequencies, mixed linearly for each column
    (Gorishniy et al. 2022, arXiv 2203.05556; dense form of Holzmüller et al. 2024, arXiv 2407.04491). The members may
    share a layer's weights and differ in how they scale its inputs (Gorishniy et al. 2025, TabM, arXiv 2410.24210).

    Parameters
    ----------
    weights : mapping
        Arrays or tensors, see `Weights`.
    x : array or tensor [n, p]
    library : module
        `numpy` or `torch`; what is used of either goes by one name in both.
    activation, drop : callable
        Applied after each layer but the last.

    Returns
    -------
    array or tensor [k, n, outputs]
    """
    if "columns" in weights:
        numbers = x[:, weights["columns"]].T[..., None]
        waves = library.cos(numbers * weights["frequency"] + weights["phase"]) @ weights["embedding"]
        x = library.concatenate([x, library.swapaxes(waves, 0, 1).reshape(len(x), -1)], axis=1)
    last = sum(name.endswith(".weight") for name in weights) - 1
    for layer in range(last + 1):
        if f"{layer}.scale" in weights:
            x = x * weights[f"{layer}.scale"]
        x = x @ weights[f"{layer}.weight"] + weights[f"{layer}.bias"]
        if layer < last:
            x = drop(activation(x))
    return x


class Training(Protocol):
    """Weights that a backend changes epoch by epoch. All that an interrupted training needs lies in its attributes."""

    def run_epoch(self) -> None:
        """Go once over all training rows.

        May raise FloatingPointError where the weights grow beyond all bounds.
        """

    def weights(self) -> Weights:
        """A copy of the weights as they are now."""

    def state(self) -> dict[str, np.ndarray]:
        """All that the next epochs depend on: weights, what the optimizer keeps, and the state of chance."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a state, before the first epoch."""


@dataclass(frozen=True)
class Data:
    """What a backend trains on.

    Attributes
    ----------
    X : numpy.ndarray
        float32 [n, p].
    y : numpy.ndarray
        Class codes int64 [n], or standardized values float32 [n].
    row_weights : numpy.ndarray or None
        float32 [n] with a mean of 1.
    outputs : int
        Classes, or 1 for regression.
    batch : int
        Rows of a step.
    """

    X: np.ndarray
    y: np.ndarray
    row_weights: np.ndarray | None
    outputs: int
    batch: int
