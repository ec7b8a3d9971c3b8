"""Who tells a person how a run stands: by default the run's own log, on the command line the terminal."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.search.result import SearchProgress

EVERY_S = 30.0
"""Seconds between two lines about a search that finds nothing better; a new best score is always told."""


EVERY_TRIAL = 2
"""Verbosity from which each trial is told, not only what is news."""


class Narrator:
    """Tells what has begun, what is waited for, what was decided, and how the search stands."""

    def __init__(self) -> None:
        self._told_at = 0.0
        self._best: float | None = None

    def began(self, phase: str) -> None:
        """A phase has begun. Dagster shows it by itself."""

    def waiting(self, log: dg.DagsterLogManager | None, message: str) -> None:
        """The run waits for a lock."""
        if log:
            log.info(message)

    def decided(self, plan: TrainingPlan, verbosity: int) -> None:
        """The plan is made. Dagster shows it by itself."""

    def progress(self, log: dg.DagsterLogManager, state: SearchProgress, verbosity: int) -> None:
        """A trial has ended."""
        if self.is_due(state, verbosity):
            log.info(progress_line(state))

    def is_due(self, state: SearchProgress, verbosity: int) -> bool:
        """Whether a line is due: for each trial, or for a new best score, the last trial, and every 30 seconds."""
        if verbosity >= EVERY_TRIAL:
            return True
        due = time.monotonic() - self._told_at >= EVERY_S or state.done == state.total
        if not due and state.best == self._best:
            return False
        self._told_at, self._best = time.monotonic(), state.best
        return True


def progress_line(state: SearchProgress) -> str:
    """Say in one line what a trial came to, and how its search stands."""
    score = "" if state.score is None else f" {state.score:.5g}"
    ended = "" if state.state == "complete" else f" {state.state}"
    return f"trial {state.done}/{state.total} ({state.algorithm}{score}{ended}): {score_and_time(state)}"


def score_and_time(state: SearchProgress) -> str:
    """Say the best score so far and how long the search will take."""
    best = f"best {state.metric} {state.best:.5g}" if state.best is not None else "no score yet"
    if state.seconds_left is None:
        return best
    minutes, seconds = divmod(round(state.seconds_left), 60)
    return f"{best}, about {f'{minutes} min ' if minutes else ''}{seconds} s left"


narrator: ContextVar[Narrator | None] = ContextVar("narrator", default=None)
"""The narrator of runs in this context; Dagster makes its resources anew for each run, so it is not a part of one."""


began: ContextVar[float | None] = ContextVar("began", default=None)
"""When what the next run belongs to began, by `time.monotonic()`: a command line counts from its own start. Without it
a run begins when it takes its locks."""
