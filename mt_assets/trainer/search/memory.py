"""Whether a fit has room in memory: what it will take, against what it may.

What does not belong here: what the fit of an algorithm takes (`Algorithm.memory`), what is free (`trainer.memory`), and
when a task is given to a worker (`study`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from mt_assets.trainer.algorithms.algorithm import FLOAT, Encoding, FitSetting
from mt_assets.trainer.algorithms.pipeline import encoding_of
from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.features.columns import MAX_ONE_HOT
from mt_assets.trainer.features.generation import MOST_NEW
from mt_assets.trainer.features.text import COMPONENTS
from mt_assets.trainer.memory import GIGABYTE, room
from mt_assets.trainer.search.candidate import Candidate
from mt_assets.trainer.search.fits import Fits
from mt_assets.trainer.search.tasks import Failure, Task

NO_ROOM: Final = "NoRoom"
"""What the error of a trial begins with that was not fitted for lack of memory."""

WORKER_BYTES: Final = 0.05 * GIGABYTE
"""What a worker takes of its own before it fits anything."""

ENCODING_COPIES: Final = 3
"""Matrices that exist at a time while a fold is encoded: of numbers, of categories, and both in one."""

CALENDAR_COLUMNS: Final = 8
"""Columns that a time may become."""


def encoded_columns(profile: DataProfile, encoding: Encoding) -> int:
    """Columns of a table once it is encoded, or a few more."""
    many = {"text": COMPONENTS, "datetime": CALENDAR_COLUMNS}
    columns, features = 0, profile.features
    for column in profile.columns:
        role = features.get(column.name)
        if role == "categorical" and encoding == "one_hot":
            columns += min(column.unique + 1, MAX_ONE_HOT)
        elif role is not None:
            columns += many.get(role, 1) + (encoding == "one_hot" and column.missing > 0)
    return columns + (MOST_NEW if encoding == "generated" else 0)


def fit_bytes(candidate: Candidate, setting: FitSetting, profile: DataProfile) -> float:
    """Bytes that a worker takes at its peak to encode a fold and to fit a candidate on it.

    The fold is taken for as large as all learning rows: what does not train is encoded and predicted.
    """
    learner = algorithm(candidate.algorithm)
    encoding = encoding_of(learner, candidate.params)
    columns = encoded_columns(profile, encoding)
    fit = FLOAT * setting.rows * columns + learner.memory(setting, candidate.params, setting.rows, columns)
    return WORKER_BYTES + max(_encoding_bytes(setting.rows, profile, encoding), fit)


def _encoding_bytes(rows: int, profile: DataProfile, encoding: Encoding) -> float:
    """Bytes of a fold while it is encoded, with the frame that it is made from."""
    return FLOAT * rows * (len(profile.features) + ENCODING_COPIES * encoded_columns(profile, encoding))


def fits_at_once(rows: int, profile: DataProfile, limit: float | None) -> int:
    """How many workers have room to encode a fold in the widest form, and hence to fit most algorithms; at least 1.

    Parameters
    ----------
    rows : int
        To learn from.
    profile : DataProfile
    limit : float or None
        See `room`.
    """
    return max(1, int(room(limit) / (WORKER_BYTES + _encoding_bytes(rows, profile, "one_hot"))))


class Memory:
    """The memory that the fits of one search share.

    Parameters
    ----------
    fits : Fits
    limit : float or None
        See `room`.
    """

    def __init__(self, fits: Fits, limit: float | None) -> None:
        self._fits = fits
        self._limit = limit
        self._room = room(limit)

    def verdict(self, candidate: Candidate, others: Sequence[Task]) -> Literal["now", "alone"] | Failure:
        """Whether a candidate has room beside these tasks, only when none is at work, or not at all.

        What has no room at all is told by what was free when nothing was fitted, so that nothing else is refused.
        """
        if not others:
            self._room = room(self._limit)
        needed = self._needed(candidate)
        if needed > self._room:
            return self._refusal(candidate.algorithm, needed)
        taken = sum(self._needed(task.candidate) for task in others)
        return "alone" if others and taken + needed > self._room else "now"

    def _refusal(self, name: str, needed: float) -> Failure:
        whose = "are free for it" if self._limit is None else f"are left by `options.memoryLimit` of {self._limit:g} GB"
        remedy = "Free some memory" if self._limit is None else "Raise `options.memoryLimit`"
        return Failure(
            f"{NO_ROOM}: {name} would take about {needed / GIGABYTE:.2f} GB of memory for {self._fits.size},"
            f" and {self._room / GIGABYTE:.2f} GB {whose}. {remedy}, name another"
            " `algorithm`, or list fewer `features`."
        )

    def _needed(self, candidate: Candidate) -> float:
        return self._fits.bytes(candidate)
