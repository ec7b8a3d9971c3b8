"""Encoded rows that come in parts, so that a matrix need not be in memory to be made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """A matrix that is made while it is taken, once: `whole` or `save`.

    Attributes
    ----------
    shape : tuple of int
        (rows, features).
    dtype : numpy.dtype
    parts : iterator of numpy.ndarray
        The next rows in their order, [some, features].
    """

    shape: tuple[int, int]
    dtype: np.dtype
    parts: Iterator[np.ndarray]

    def whole(self) -> np.ndarray:
        """The matrix in memory."""
        made, start = np.empty(self.shape, self.dtype), 0
        for part in self.parts:
            made[start : start + len(part)] = part
            start += len(part)
        return made

    def save(self, path: Path) -> None:
        """Write the matrix as `numpy.save` does, with no more of it in memory than a part."""
        told = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, told)
            for part in self.parts:
                file.write(np.ascontiguousarray(part, self.dtype).data)
