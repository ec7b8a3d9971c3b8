"""The fit before all trials: what fits cost here, and on how many folds trials run therefore.

Only where time is limited and the plan leaves the folds of a trial to it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from mt_assets.trainer.algorithms.registry import learner
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.predictions import fold_truth
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.planning.ensemble_rules import BAGGED
from mt_assets.trainer.planning.search_rules import RARE_ROWS
from mt_assets.trainer.search.candidate import Candidate, FoldResult
from mt_assets.trainer.search.space import SearchSpace
from mt_assets.trainer.search.tasks import Task
from mt_assets.trainer.search.time_shares import ENOUGH_JUDGED
from mt_assets.trainer.search.workers import WorkerPool

PILOT, EARLY = -1, -2
"""In place of a trial's number: what is fitted before the first trial begins, which then finds its result."""

PILOTS: Final = ("lightgbm", "xgboost", "gradient_boosting", "random_forest")
"""Whose first fit tells what fits cost here: the first of them that is a candidate."""


def pilot_of(algorithms: Sequence[str], space: SearchSpace) -> Candidate:
    """The candidate whose fit on the first fold is measured."""
    name = next((each for each in PILOTS if each in algorithms), algorithms[0])
    return Candidate(name, space.first[name])


def fit_seconds(pilot: Candidate, first: Candidate, pool: WorkerPool, deadline: float) -> float:
    """How long the pilot's fit takes, or took until the deadline; meanwhile others begin with the first trial."""
    began = time.monotonic()
    pool.submit(Task(PILOT, pilot, 0, deadline))
    if pool.idle and first.algorithm != pilot.algorithm:
        pool.submit(Task(EARLY, first, 0))
    while True:
        for task, answer in pool.answers(float("inf")):
            if task.trial == PILOT:
                return answer.seconds if isinstance(answer, FoldResult) else time.monotonic() - began


def ranking_rows(table: Table, profile: DataProfile, splits: Splits) -> int:
    """How many rows a fold ranks candidates by: fewer of a rare class, next to none of groups and of dated rows, which
    resemble each other within a fold."""
    if splits.strategy not in BAGGED or "group" in splits.strategy:
        return 1
    y = fold_truth(table, profile, splits, 1)[0]
    if not profile.target.classes:
        return len(y)
    counts = np.bincount(y.astype(np.int64))
    return min(len(y), int(counts[counts > 0].min()) * ENOUGH_JUDGED // RARE_ROWS)


def folds_used(measured: dict[str, Any], folds: int, task: str) -> Decision:
    """On how many folds trials run in limited time, and by what measurement."""
    used, slow = measured["folds"], measured["folds"] < folds
    return Decision(
        decision="folds_used",
        value=used,
        rule="folds.measured" if slow else "folds.all_in_time",
        reason=f"A fit of {learner(measured['algorithm'], task).display} takes {measured['seconds']:.2g} s here, "
        + (
            f"so that each trial runs on {used} of the {folds} folds, which rank candidates or leave room for a dozen."
            if slow
            else f"and all {folds} folds have time."
        ),
        evidence={"seconds": round(measured["seconds"], 3), "folds": folds},
        override="validationStrategy.folds",
    )
