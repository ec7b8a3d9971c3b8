"""What workers are told, and what they answer besides results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.search.candidate import Candidate


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to fit: told once, before the first task.

    Attributes
    ----------
    plan, table, profile, splits
        Of the same run.
    preprocessor : TablePreprocessor or SeriesPreprocessor
    cache, scratch : pathlib.Path
        Of fold results, and for what the workers of a run share.
    content : str or None
        See `Fits.content`, where it is known already.
    """

    plan: TrainingPlan
    table: Table
    profile: DataProfile
    splits: Splits
    preprocessor: Any
    cache: Path
    scratch: Path
    content: str | None = None


@dataclass(frozen=True)
class Task:
    """One candidate on one fold.

    Attributes
    ----------
    trial : int
    candidate : Candidate
    fold : int
    deadline : float or None
        When boosting stops at the best round so far, by `time.monotonic()`, which all processes share.
    must_end : bool
        Whether the process is ended that has no answer then.
    bar : float or None
        See `Algorithm.fit`.
    """

    trial: int
    candidate: Candidate
    fold: int
    deadline: float | None = None
    must_end: bool = False
    bar: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why there is no result: class and message of the error, or how the process ended.

    Attributes
    ----------
    error : str
    cause : str
        Name of the root cause in `recovery.causes`; empty where it is not known.
    of_machine : bool
        Whether every candidate would fail by it as well, so that this one is not to be judged by it.
    """

    error: str
    cause: str = ""
    of_machine: bool = False
