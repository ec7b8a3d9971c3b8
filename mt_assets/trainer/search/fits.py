"""What the search asks of the fits of a run, whatever is fitted: rows of a table, or series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution

from mt_assets.trainer.algorithms.algorithm import Params
from mt_assets.trainer.data.assignment import Fold
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.search.candidate import Candidate, FoldCache, FoldResult

if TYPE_CHECKING:
    from mt_assets.trainer.search.tasks import Job


class Fits(Protocol):
    """Everything needed to fit candidates on the folds of a run.

    Attributes
    ----------
    profile : DataProfile
    folds : sequence of Fold
        Those that a trial runs on.
    rungs : sequence of Fold
        Samples that it is fitted on before, see `ladder`; folds that are numbered from -1 down.
    content : str
        Digest of what is learned from.
    cache : FoldCache
    size : str
        How much that is, in words.
    """

    profile: DataProfile
    folds: tuple[Fold, ...]
    rungs: tuple[Fold, ...]
    content: str
    cache: FoldCache

    @property
    def size(self) -> str: ...

    @property
    def folds_key(self) -> str:
        """Digest of the rows of all folds."""

    @property
    def data_key(self) -> str:
        """Digest of everything that fold results depend on, but the candidate."""

    def space(self, algorithm: str, asked: Mapping[str, Any]) -> tuple[dict[str, BaseDistribution], tuple[Params, ...]]:
        """Space and start configurations of an algorithm, see `planning.search_space`."""

    def bytes(self, candidate: Candidate) -> float:
        """Bytes that a worker takes at its peak to fit a candidate on a fold: an estimate."""

    def key(self, candidate: Candidate, fold: int) -> str:
        """Name of a candidate's result on a fold."""

    def y_valid(self, fold: int) -> np.ndarray:
        """What predictions for a fold's validation rows are held against, in ascending order of the rows."""

    def run(
        self, candidate: Candidate, fold: int, deadline: float | None = None, bar: float | None = None
    ) -> FoldResult:
        """The candidate's result on a fold, from the cache or fitted now and stored."""


def fits_of(job: Job) -> Fits:
    """The fits that a job is about."""
    if job.plan.task == "time_series":
        from mt_assets.trainer.forecasting.window_fits import WindowFits

        return WindowFits(job)
    from mt_assets.trainer.search.fold_fits import FoldFits

    return FoldFits(
        job.plan, job.table, job.profile, job.splits, job.preprocessor, FoldCache(job.cache), job.scratch, job.content
    )
