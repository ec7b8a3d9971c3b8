"""How far a long fit has come, on disk, so that one that is killed goes on there and not at its beginning.

What belongs here: when a checkpoint is written, and how it is kept and found whole. What does not: what a library needs
in order to go on exactly (each algorithm's own module).
"""

from __future__ import annotations

import io
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from mt_assets.trainer.store.atomic import write_atomic

EVERY_S: Final = 30.0
"""Between two checkpoints: a kill costs half of it in the mean, and a write of megabytes is nothing beside it."""

LONG_CELLS: Final = 5_000_000
"""Rows x features x trees a round from which on boosting is prepared to be gone on with. Of smaller tables 2,000
rounds of LightGBM, which few need, take about a minute, and usual fits a few seconds."""

SUFFIX: Final = ".checkpoint"

_DIGEST_BYTES: Final = 32


class Checkpoint:
    """The checkpoint of one fit: a file of plain arrays behind their digest.

    Parameters
    ----------
    path : pathlib.Path
        Named by everything that the fit depends on.
    seconds : float
        Between two checkpoints, and before the first.
    cells : int
        See `is_long`.

    Attributes
    ----------
    resumed : int
        Rounds or epochs that were found done.
    """

    def __init__(self, path: Path, seconds: float = EVERY_S, cells: int = LONG_CELLS) -> None:
        self.path = path
        self.seconds = seconds
        self.resumed = 0
        self._cells = cells
        self._last = time.monotonic()

    def is_long(self, X: np.ndarray, trees: int) -> bool:
        """Whether boosting with so many trees a round takes the path that it can go on with.

        It hangs on sizes alone, so that a fit takes the same path whenever it is begun.
        """
        return X.size * trees >= self._cells

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, rounds: int, **state: np.ndarray) -> None:
        """Replace the checkpoint by the state after so many rounds."""
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, rounds=np.array(rounds), **state)
        write_atomic(self.path, sha256(content.getbuffer()).digest() + content.getvalue())
        self._last = time.monotonic()

    def load(self) -> dict[str, np.ndarray] | None:
        """The state that was saved last; None where there is none, or it is damaged."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if sha256(content).digest() != digest:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            state: dict[str, Any] = dict(stored)
        self.resumed = int(state.pop("rounds"))
        return state

    def drop(self) -> None:
        """Delete it: what was fitted is stored."""
        self.path.unlink(missing_ok=True)


def as_array(content: bytes) -> np.ndarray:
    """Bytes as an array to save; `tobytes` gives them back."""
    return np.frombuffer(content, dtype=np.uint8)
