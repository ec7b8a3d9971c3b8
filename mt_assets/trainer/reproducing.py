"""A model that was trained again beside the one that is stored: do they predict the same, and if not, what differs?"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.evaluate import Evaluation
from mt_assets.trainer.load_check import TOLERANCE
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.result import StudyResult
from mt_assets.trainer.store.record import Record

OF_THE_MACHINE: Final = frozenset({"decisions", "workers"})
"""What of a plan may differ without any effect on the model."""


class Agreement(Record):
    """How two models agree on rows that both predicted.

    Attributes
    ----------
    rows : int
        Test rows, and those that are stored with the model.
    largest : float
        Difference of probabilities or values; infinite where they cannot be compared.
    identical : bool
        To the last bit.
    same : bool
        Within the tolerance that another number of BLAS threads needs.
    """

    rows: int
    largest: float
    identical: bool
    same: bool


def agreement(
    again: TrainedModel, stored: TrainedModel, evaluation: Evaluation, test: Table, profile: DataProfile, splits: Splits
) -> Agreement:
    """Hold the predictions of a model that was trained again against those that were stored when it was first trained.

    Parameters
    ----------
    again, stored : TrainedModel
    evaluation : Evaluation
        Of the stored model, with its predictions for the test rows.
    test : Table
    profile : DataProfile
    splits : Splits
    """
    pairs = [(again.model.scores(stored.fixture), stored.expected)]
    if len(splits.test):
        pairs.append((_of_test_rows(again, test, profile, splits), evaluation.predicted(splits.test)))
    rows = sum(len(before) for _, before in pairs)
    if any(now.shape != before.shape for now, before in pairs):
        return Agreement(rows=rows, largest=float("inf"), identical=False, same=False)
    return Agreement(
        rows=rows,
        largest=max(_largest(now, before) for now, before in pairs),
        identical=all(np.array_equal(now, before, equal_nan=True) for now, before in pairs),
        same=all(np.allclose(now, before, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True) for now, before in pairs),
    )


def _of_test_rows(again: TrainedModel, test: Table, profile: DataProfile, splits: Splits) -> NDArray[np.float64]:
    if profile.series is not None:
        from mt_assets.trainer.forecasting.evaluate import forecast_test
        from mt_assets.trainer.forecasting.series_data import SeriesData

        return forecast_test(again.model, SeriesData(test, profile.series, splits)).values
    return again.model.scores(test.take(splits.test).frame())


def _largest(now: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    return float(np.nanmax(np.abs(now - before), initial=0.0)) if now.size else 0.0


def plan_differences(before: TrainingPlan, now: TrainingPlan) -> tuple[str, ...]:
    """Which choices of the plan came out otherwise, in sentences."""
    pairs = {name: (getattr(before, name), getattr(now, name)) for name in type(before).model_fields}
    return tuple(
        f"The plan's {name} was {_shown(old)}, and is {_shown(new)} now."
        for name, (old, new) in pairs.items()
        if name not in OF_THE_MACHINE and old != new
    )


def search_difference(before: StudyResult, now: StudyResult) -> tuple[str, ...]:
    """The first trial that came out otherwise, in a sentence; nothing where all are the same."""
    for old, new in zip(before.trials, now.trials, strict=False):
        if (old.algorithm, old.params) != (new.algorithm, new.params):
            return (
                f"Trial {old.number} was proposed otherwise: {_shown(old.params)} before, {_shown(new.params)} now.",
            )
        if (old.state, old.score) != (new.state, new.score):
            return (f"Trial {old.number} ({old.algorithm}) scored {old.score} before ({old.state}), {new.score} now.",)
    if len(before.trials) != len(now.trials):
        return (f"The search had {len(before.trials)} trials before, and has {len(now.trials)} now.",)
    return ()


def _shown(value: Any) -> str:
    text = ", ".join(value) if isinstance(value, tuple) and all(isinstance(each, str) for each in value) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
