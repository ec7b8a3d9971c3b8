"""The final fit: the chosen forecasters on everything before the test, with intervals from what they erred at the
origins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mt_assets.trainer.algorithms.registry import forecaster
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.predictions import FoldPrediction
from mt_assets.trainer.features.preprocessor import rows_digest
from mt_assets.trainer.forecasting.intervals import Intervals
from mt_assets.trainer.forecasting.model import ForecastModel, ForecastPart
from mt_assets.trainer.forecasting.preprocessing import FittedSeriesPreprocessor, SeriesPreprocessor
from mt_assets.trainer.forecasting.series_data import SeriesData
from mt_assets.trainer.forecasting.window_fits import forecast_setting, layout_of
from mt_assets.trainer.forecasting.windows import TEST
from mt_assets.trainer.model import ModelFacts, TrainedModel, library_versions
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.result import BestParams, Member

FIXTURE_SERIES: Final = 3
FIXTURE_STEPS: Final = 200
"""Series, and the last steps of each, that prove the stored model: enough for the lags of any season up to a week of
hours."""


def fit_series_preprocessor(table: Table, splits: Splits, profile: DataProfile) -> FittedSeriesPreprocessor:
    """Fit the preprocessor on `splits.train`, and on nothing else."""
    return FittedSeriesPreprocessor(SeriesPreprocessor.learn(layout_of(profile), table, splits.train))


def train_final_forecaster(
    plan: TrainingPlan,
    best: BestParams,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    out_of_fold: Sequence[FoldPrediction],
) -> TrainedModel:
    """Fit the best candidate, or each member of the ensemble, on all learning rows.

    Boosters run the mean number of rounds that early stopping found at the origins.

    Parameters
    ----------
    out_of_fold : sequence of FoldPrediction
        What the choice forecast at each origin; intervals are made of its errors.
    """
    started = time.perf_counter()
    layout, setting = layout_of(profile), forecast_setting(plan, profile, splits)
    data = SeriesData(table, layout, splits)
    preprocessor = SeriesPreprocessor.learn(layout, table, splits.learning)
    history = data.history(TEST, preprocessor)
    parts: list[ForecastPart] = []
    notes: list[str] = []
    for member in best.ensemble or (best,):
        learner = forecaster(member.algorithm)
        params = member.searched if isinstance(member, Member) else best.params
        searched = {name: params[name] for name in learner.space(setting)}
        fitted = learner.fit(history, setting, searched, iterations=member.iterations)
        weight = member.weight if isinstance(member, Member) else 1.0
        parts.append(ForecastPart(weight, member.algorithm, fitted))
        notes += fitted.notes
    model = ForecastModel(tuple(parts), preprocessor, learn_intervals(data, out_of_fold))
    known = data.known(TEST)
    rows = np.sort(known.positions[known.observed])
    fixture = _fixture(data)
    facts = ModelFacts(
        algorithm=best.trained_as,
        params=best.params,
        members=tuple(member.told for member in best.ensemble),
        features=model.features,
        classes=None,
        target=model.target,
        rows_seen=rows_digest(rows),
        n_rows=len(rows),
        seconds=time.perf_counter() - started,
        versions=library_versions(),
        notes=tuple(dict.fromkeys(notes)),
    )
    return TrainedModel(facts, rows, fixture, model.scores(fixture), model=model)


def learn_intervals(data: SeriesData, out_of_fold: Sequence[FoldPrediction]) -> Intervals:
    """From the errors at the origins."""
    errors: list[NDArray[np.float64]] = []
    steps: list[NDArray[np.int64]] = []
    for fold in out_of_fold:
        truth, rows = data.truth(fold.fold), data.scored(fold.fold)
        errors.append((truth[:, 0] - fold.prediction) * truth[:, 1])
        steps.append(data.origins.ahead(rows, fold.fold) - data.layout.gap)
    return Intervals.learn(np.concatenate(errors), np.concatenate(steps), data.layout.horizon)


def _fixture(data: SeriesData) -> pd.DataFrame:
    """The last steps before the test of a few series, and what is known ahead, without values of the target."""
    last = data.origins.ends(TEST)
    rows = data.rows.part(data.rows.codes < FIXTURE_SERIES)
    back = last[rows.codes] - rows.steps
    rows = rows.part((back < FIXTURE_STEPS) & (back >= -data.layout.steps))
    frame = data.frame.loc[rows.positions].copy()
    ahead = rows.steps > last[rows.codes]
    frame[data.layout.target] = frame[data.layout.target].astype(np.float64).mask(ahead)
    if data.layout.zone is not None:  # as people hand it over
        frame[data.layout.time] = frame[data.layout.time].dt.tz_localize("UTC").dt.tz_convert(data.layout.zone)
    return frame.reset_index(drop=True)
