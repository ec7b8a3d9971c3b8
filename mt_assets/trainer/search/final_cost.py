"""What a candidate costs once the search is over: its final fit, predicting the rows that the model is judged on, and
keeping a model of its size.

All are told by what its fits on the folds took, so that a limited time can be kept for them, and an ensemble be made
of no more than there is time for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import joblib

from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.planning.ensemble_rules import LEAST_FOLDS
from mt_assets.trainer.planning.model_rules import MANY_ROWS
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.candidate import FoldResult
from mt_assets.trainer.search.fold_models import REFITTED

SPEED_UP: Final = 1.5
"""Of a fit by its second thread, at least."""

EFFICIENCY: Final = 0.9
"""Of a core that fits beside others; what it is compared with, fits of the search, was measured beside others too."""

AROUND: Final = 2.0
"""How many times the prediction of the judged rows a model costs: once to judge it, and about as much again to store,
read, prove and explain one of that size."""

JUDGED_WITHOUT_TEST: Final = 5_000
"""Learning rows that are predicted, to tell the speed, where there are no test rows."""


@dataclass(frozen=True)
class FinalCost:
    """Estimates seconds after the search.

    Attributes
    ----------
    growth : float
        How many times the rows of a fit on a fold the final fit has.
    judged : float
        How many times the rows that are predicted on a fold are predicted afterwards.
    final_fit : {"bag", "refit", "by_time"}
        See `TrainingPlan`.
    threads : int
        Of a final fit; those on folds have one.
    at_once : int
        Members of an ensemble that are fitted, and predict, at the same time.
    """

    growth: float
    judged: float
    final_fit: Literal["bag", "refit", "by_time"]
    threads: int
    at_once: int

    @classmethod
    def of(cls, plan: TrainingPlan, splits: Splits) -> FinalCost:
        """That of a plan."""
        train, validation = (
            sum(len(getattr(fold, part)) for fold in splits.folds) / len(splits.folds)
            for part in ("train", "validation")
        )
        return cls(
            growth=len(splits.learning) / train,
            judged=judged_rows(splits) / validation,
            final_fit=plan.final_fit,
            threads=plan.threads,
            at_once=members_at_once(plan, splits),
        )

    def better_refitted(self, folds: int) -> bool:
        """Whether the models of so many folds are not as good, averaged, as one that is fitted on all learning rows."""
        return self.final_fit == "refit" or (self.final_fit == "by_time" and folds < LEAST_FOLDS)

    def member(self, results: Sequence[FoldResult]) -> float:
        """Of a candidate in an ensemble, at least: the folds' models predict, where they are kept; such as take long to
        keep, forests, never are."""
        if self.final_fit == "refit" or any(result.model == REFITTED for result in results):
            return self.refitted(results)
        predicting = sum(result.predicting for result in results)
        return self._judging(predicting, self._faster)

    def refitted(self, results: Sequence[FoldResult]) -> float:
        """Of a candidate in an ensemble that is fitted once on all learning rows, while others are."""
        judging = self._judging(_mean_predicting(results), self._faster)
        return self._fitting(results) / self._faster + judging + self._keeping(results)

    def single(self, results: Sequence[FoldResult]) -> float:
        """Of a candidate alone, fitted once on all learning rows."""
        return self._fitting(results) + self._judging(_mean_predicting(results)) + self._keeping(results)

    @property
    def _faster(self) -> float:
        return max(1.0, EFFICIENCY * self.at_once)

    def _fitting(self, results: Sequence[FoldResult]) -> float:
        fitting = sum(result.seconds for result in results) / len(results) - _mean_predicting(results)
        return fitting * self.growth / (SPEED_UP if self.threads > 1 else 1.0)

    def _keeping(self, results: Sequence[FoldResult]) -> float:
        return sum(result.keeping for result in results) / len(results) * self.growth

    def _judging(self, predicting: float, faster: float = 1.0) -> float:
        """What is stored, read and explained goes at its own pace, however many models predict at once."""
        return (AROUND - 1 + 1 / faster) * predicting * self.judged


def _mean_predicting(results: Sequence[FoldResult]) -> float:
    return sum(result.predicting for result in results) / len(results)


def members_at_once(plan: TrainingPlan, splits: Splits) -> int:
    """How many members of an ensemble are fitted at the same time: as many as in the search, but one by one of series
    and of so many rows that their matrices would fill the memory.
    """
    if plan.task == "time_series" or len(splits.learning) > MANY_ROWS:
        return 1
    return min(plan.workers, joblib.cpu_count())


def judged_rows(splits: Splits) -> int:
    """How many rows are predicted when the model is judged."""
    return len(splits.test) or min(JUDGED_WITHOUT_TEST, len(splits.learning))
