"""One candidate on one fold, and the durable record of how it did."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from mt_assets.trainer.store.atomic import write_atomic

_SUFFIX: Final = ".npz"

LOST: Final = "-lost"
"""Ends the name of a result that was given up while it boosted, because it could not reach the bar."""

CUT: Final = "-cut"
"""Ends the name of a result that a deadline cut short."""


@dataclass(frozen=True)
class Candidate:
    """An algorithm with a full set of parameters."""

    algorithm: str
    params: dict[str, Any]


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What a candidate did on one fold.

    Attributes
    ----------
    key : str
        Name in the cache.
    fold : int
    prediction : numpy.ndarray
        For the fold's validation rows in ascending order: float32 probabilities [n, k], or float64 values [n].
    best_iteration : int or None
    seconds : float
    predicting : float
        Of these, what it took to predict the validation rows.
    keeping : float
        Seconds that storing, proving and tracking such a model would take beyond what they always take.
    encoded, fitted, stopped : str
        `rows_digest` of the rows that the preprocessor was fitted on, that the estimator was fitted on, and that early
        stopping and the score looked at.
    notes : tuple of str
    cut : bool
        Whether boosting was stopped by a deadline. Only a search whose time is limited looks at such results.
    loss : float or None
    curve : tuple of float
        Of a booster, see `FitReport`.
    preprocessor, model : str
        Digests of the fitted preprocessor and estimator, see `fold_models`; empty where they are not kept.
    """

    key: str
    fold: int
    prediction: np.ndarray
    best_iteration: int | None
    seconds: float
    encoded: str
    fitted: str
    stopped: str
    notes: tuple[str, ...] = ()
    cut: bool = False
    preprocessor: str = ""
    model: str = ""
    predicting: float = 0.0
    keeping: float = 0.0
    loss: float | None = None
    curve: tuple[float, ...] = ()


@dataclass(frozen=True)
class CandidateResult:
    """What a candidate did on the folds that it ran on, in their order.

    Attributes
    ----------
    candidate : Candidate
    folds : tuple of FoldResult
    scores : tuple of float
        One for each of them.
    score : float
        Mean of the scores; with folds of one row, the score of all predictions together.
    violation : float
        By how much all predictions together miss the constraints of the goal; 0 where they keep them.
    values : tuple of float
        Every objective over all folds, `score` first; empty where it was given up.
    pruned : bool
        Whether it was given up before the last fold.
    """

    candidate: Candidate
    folds: tuple[FoldResult, ...]
    scores: tuple[float, ...]
    score: float
    violation: float = 0.0
    values: tuple[float, ...] = ()
    pruned: bool = False

    @property
    def score_std(self) -> float | None:
        """Standard deviation of the fold scores; None of a single one."""
        return float(np.std(self.scores)) if len(self.scores) > 1 else None


class FoldCache:
    """Fold results as files, each written whole or not at all, named by everything that they depend on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> FoldResult | None:
        """The stored result, or None where there is none (or one that cannot be read)."""
        try:
            content = io.BytesIO((self.folder / f"{key}{_SUFFIX}").read_bytes())
            with np.load(content, allow_pickle=False) as stored:
                told = json.loads(str(stored["told"]))
                return FoldResult(
                    prediction=stored["prediction"],
                    **{**told, **{name: tuple(told[name]) for name in ("notes", "curve")}},
                )
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError):
            return None

    def drop(self, key: str) -> None:
        """Forget a result, so that it is made again."""
        (self.folder / f"{key}{_SUFFIX}").unlink(missing_ok=True)

    def put(self, result: FoldResult) -> None:
        """Store durably."""
        told = asdict(replace(result, prediction=np.empty(0)))
        del told["prediction"]
        content = io.BytesIO()
        np.savez(content, prediction=result.prediction, told=np.array(json.dumps(told)))
        write_atomic(self.folder / f"{result.key}{_SUFFIX}", content.getvalue())


def content_key(**parts: Any) -> str:
    """Sha256 of everything that a result depends on; parts are JSON values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_digest() -> str:
    """Sha256 of the code that makes fold results and of the versions of the libraries that it stands on."""
    trainer = Path(__file__).resolve().parent.parent
    sources = [*sorted((trainer / "features").glob("*.py")), *sorted((trainer / "algorithms").glob("*.py"))]
    sources += [trainer / "search" / name for name in ("candidate.py", "fold_fits.py")]
    sources += [trainer / "data" / name for name in ("frames.py", "target.py")]
    return made_by(sources, LIBRARIES)


LIBRARIES: Final = (
    "numpy", "pandas", "scikit-learn", "skrub", "lightgbm", "xgboost", "catboost", "optuna", "torch",
)  # fmt: skip
"""What models of tables depend on."""


def made_by(sources: Iterable[Path], libraries: Iterable[str]) -> str:
    """Sha256 of source files and of the versions of libraries."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    for library in libraries:
        digest.update(f"{library}=={_version(library)}\n".encode())
    return digest.hexdigest()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"
