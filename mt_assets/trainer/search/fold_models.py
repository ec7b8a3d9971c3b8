"""The fitted models of the folds, kept beside the fold results, so that an ensemble can be made of them.

What belongs here: how a fold's preprocessor and estimator are written, found again, and given up. What does not: which
of them become part of a model (`ensemble.final`).

A file is read only when its digest is that of the fold result that names it, because reading runs what stands in it.
"""

from __future__ import annotations

import copy
import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import joblib
import numpy as np

from mt_assets.trainer.features.preprocessor import TablePreprocessor
from mt_assets.trainer.search.candidate import FoldResult
from mt_assets.trainer.store.atomic import write_atomic

if TYPE_CHECKING:
    from mt_assets.trainer.search.fold_fits import Fitted

MODEL_BYTES: Final = 16 * 1024**2
"""Of one fold's estimator, what is kept. Boosters and linear models stay far below it."""

FOLDER_BYTES: Final = 4 * 1024**3
"""Of all models that a search keeps; beyond it the oldest go. A missing one that is wanted is fitted again."""

REFITTED: Final = "refitted"
"""Stands for the digest of an estimator that is not kept, since a member of an ensemble is fitted once on all learning
rows in place of it: one that is too large, or an average already (`Algorithm.averages`)."""

_ESTIMATOR, _PREPROCESSOR = ".model", ".preprocessor"


@dataclass(frozen=True, eq=False)
class FoldModel:
    """What was fitted on a fold.

    Attributes
    ----------
    preprocessor : TablePreprocessor
    encoding : str
        Digest of the preprocessor: the same one serves many estimators.
    estimator : estimator or None
        None where the training rows were of one class.
    present : tuple of int
        Class codes that it knows; empty for regression.
    """

    preprocessor: TablePreprocessor
    encoding: str
    estimator: Any
    present: tuple[int, ...]


class FoldModels:
    """Files of fold models: estimators named like their fold results, preprocessors by their content.

    Parameters
    ----------
    folder : pathlib.Path
        That of the fold results.
    keep : bool
        Whether anything is written.
    most : int
        Bytes of an estimator that is kept.
    """

    def __init__(self, folder: Path, keep: bool, most: int = MODEL_BYTES) -> None:
        self.folder = folder
        self.keep = keep
        self._most = most

    def put_preprocessor(self, preprocessor: TablePreprocessor) -> str:
        """Store a fitted preprocessor, without the numbers of the rows it saw; its digest, or "" if none are kept."""
        if not self.keep:
            return ""
        light = copy.copy(preprocessor)
        del light.rows_seen_
        content = io.BytesIO()
        joblib.dump(light, content)
        digest = sha256(content.getvalue()).hexdigest()
        if not (self.folder / f"{digest}{_PREPROCESSOR}").exists():
            write_atomic(self.folder / f"{digest}{_PREPROCESSOR}", content.getvalue())
        return digest

    def put(self, key: str, fitted: Fitted, *, averages: bool = False) -> str:
        """Store what was fitted for the fold result `key`; its digest, `REFITTED`, or "" if none are kept.

        Parameters
        ----------
        key : str
        fitted : Fitted
        averages : bool
            That of the algorithm.
        """
        if not self.keep:
            return ""
        if averages:
            return REFITTED
        content = _Bounded(self._most)
        try:
            joblib.dump((fitted.estimator, tuple(int(code) for code in fitted.present)), content)
        except _TooLargeError:
            return REFITTED
        self._make_room(len(content.getvalue()))
        write_atomic(self.folder / f"{key}{_ESTIMATOR}", content.getvalue())
        return sha256(content.getvalue()).hexdigest()

    def get(self, result: FoldResult) -> FoldModel | None:
        """What was fitted for a fold result; None where it is not kept, or not what was stored."""
        preprocessor = self._read(self.folder / f"{result.preprocessor}{_PREPROCESSOR}", result.preprocessor)
        kept = self._read(self.folder / f"{result.key}{_ESTIMATOR}", result.model)
        if preprocessor is None or kept is None:
            return None
        return FoldModel(joblib.load(io.BytesIO(preprocessor)), result.preprocessor, *joblib.load(io.BytesIO(kept)))

    def keep_only(self, keys: set[str], preprocessors: set[str]) -> None:
        """Delete all others."""
        for path in self.folder.glob(f"*{_ESTIMATOR}"):
            if path.stem not in keys:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(f"*{_PREPROCESSOR}"):
            if path.stem not in preprocessors:
                path.unlink(missing_ok=True)

    def _read(self, path: Path, digest: str) -> bytes | None:
        try:
            content = path.read_bytes() if digest else b""
        except OSError:
            return None
        return content if content and sha256(content).hexdigest() == digest else None

    def _make_room(self, wanted: int) -> None:
        kept = []
        for path in self.folder.glob(f"*{_ESTIMATOR}"):
            try:
                found = path.stat()
            except OSError:  # another worker was faster
                continue
            kept.append((found.st_mtime_ns, found.st_size, path))
        excess = sum(size for _, size, _ in kept) + wanted - FOLDER_BYTES
        for _, size, path in sorted(kept):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size


class _TooLargeError(Exception):
    """More than `MODEL_BYTES` were to be written."""


class _Bounded(io.BytesIO):
    """A file that ends the writing as soon as it would become too large, and not only afterwards."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, content: Any) -> int:
        if self.tell() + np.asarray(memoryview(content)).nbytes > self._most:
            raise _TooLargeError
        return super().write(content)
