"""Fitting a forecaster at an origin: what the search knows as a candidate on a fold."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution

from mt_assets.trainer.algorithms.algorithm import FLOAT
from mt_assets.trainer.algorithms.registry import forecaster
from mt_assets.trainer.data.assignment import Fold
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import content_digest
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.features.preprocessor import rows_digest
from mt_assets.trainer.forecasting.forecaster import ForecastSetting, Params
from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.forecasting.panel import Panel
from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor
from mt_assets.trainer.forecasting.series_data import SeriesData
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.planning.search_space import forecaster_space
from mt_assets.trainer.search.candidate import CUT, Candidate, FoldCache, FoldResult, content_key, made_by
from mt_assets.trainer.search.memory import WORKER_BYTES
from mt_assets.trainer.search.tasks import Job


def layout_of(profile: DataProfile) -> SeriesLayout:
    """The series of a forecasting run."""
    assert profile.series is not None
    return profile.series


def forecast_setting(plan: TrainingPlan, profile: DataProfile, splits: Splits) -> ForecastSetting:
    """The facts of this run that forecasters and spaces depend on."""
    layout = layout_of(profile)
    held_back = (layout.windows + (1 if len(splits.test) else 0)) * layout.horizon + layout.gap
    return ForecastSetting(
        horizon=layout.horizon,
        gap=layout.gap,
        season=layout.season,
        series=len(layout.names),
        rows=len(splits.learning),
        shortest=max(1, layout.shortest - held_back),
        known=len(layout.known),
        past=len(layout.past),
        seed=plan.seed,
        threads=plan.threads,
        patience=plan.early_stopping_rounds,
    )


class WindowFits:
    """Everything needed to fit forecasters at the origins of a run; see `search.fits.Fits`.

    Parameters
    ----------
    job : Job
        Its preprocessor's kinds of covariates are learned anew at every origin.
    """

    def __init__(self, job: Job) -> None:
        self.plan: TrainingPlan = job.plan
        self.profile = job.profile
        self.layout = layout_of(job.profile)
        self.folds = job.splits.folds[: job.plan.folds_per_trial]
        self.rungs: tuple[Fold, ...] = ()
        self.setting = forecast_setting(job.plan, job.profile, job.splits)
        self.cache = FoldCache(job.cache)
        self._data = SeriesData(job.table, self.layout, job.splits)
        self._table = job.table
        self._known: dict[int, tuple[Panel, pd.DataFrame]] = {}
        self._y_valid: dict[int, np.ndarray] = {}
        self.content = job.content or self._content(job.splits)

    def _content(self, splits: Splits) -> str:
        """Digest of what is learned from: every used column of the learning rows."""
        rows = self._table.take(splits.learning)
        return content_key(
            rows=rows_digest(splits.learning),
            columns=[content_digest(rows.arrow([name])) for name in self.layout.columns],
        )

    @cached_property
    def _common(self) -> dict[str, Any]:
        return {
            "content": self.content,
            "code": forecasting_digest(),
            "layout": self.layout.model_dump(mode="json", exclude={"troubles", "decisions"}),
            # Rows that are to be predicted tell the covariates that are known ahead.
            "ahead": self._known_ahead,
            "setting": [getattr(self.setting, name) for name in ForecastSetting.__dataclass_fields__],
        }

    @cached_property
    def _known_ahead(self) -> str:
        if not self.layout.known:
            return ""
        rows = self._table.take(np.concatenate([fold.validation for fold in self.folds]))
        return content_digest(rows.arrow(list(self.layout.known)))

    @property
    def size(self) -> str:
        return f"{self.setting.series:,} series of {self.setting.rows:,} rows"

    @cached_property
    def _fold_digests(self) -> list[tuple[str, str]]:
        return [(rows_digest(fold.train), rows_digest(fold.validation)) for fold in self.folds]

    @property
    def folds_key(self) -> str:
        return content_key(folds=self._fold_digests)

    @property
    def data_key(self) -> str:
        return content_key(common=self._common, folds=self._fold_digests)

    def space(self, algorithm: str, asked: Mapping[str, Any]) -> tuple[dict[str, BaseDistribution], tuple[Params, ...]]:
        return forecaster_space(forecaster(algorithm), self.setting, asked)

    def bytes(self, candidate: Candidate) -> float:
        columns = 3 + self.setting.known + self.setting.past
        panel = FLOAT * self.setting.rows * columns * len(self.folds)
        return WORKER_BYTES + panel + forecaster(candidate.algorithm).memory(self.setting, candidate.params)

    def key(self, candidate: Candidate, fold: int) -> str:
        """Name of a candidate's result on a fold."""
        return content_key(
            **self._common,
            rows=self._fold_digests[fold],
            algorithm=candidate.algorithm,
            params=candidate.params,
        )

    def y_valid(self, fold: int) -> np.ndarray:
        """Value and 1 / scale of the series of each validation row, [n, 2]."""
        if fold not in self._y_valid:
            self._y_valid[fold] = self._data.truth(fold)
        return self._y_valid[fold]

    def run(
        self, candidate: Candidate, fold: int, deadline: float | None = None, bar: float | None = None
    ) -> FoldResult:
        """The candidate's result on a fold, from the cache or fitted now and stored.

        Raises
        ------
        TrainingError
            When forecasts are not finite.
        Exception
            Whatever the forecaster raises.
        """
        key = self.key(candidate, fold)
        stored = self.cache.get(key)
        if stored is None and deadline is not None:
            stored = self.cache.get(f"{key}{CUT}")
        if stored is not None:
            return replace(stored, fold=fold)
        history, future = self._window(fold)
        started = time.perf_counter()
        fitted = forecaster(candidate.algorithm).fit(history, self.setting, candidate.params, deadline=deadline)
        forecasts = fitted.forecast(history, future, self.setting.steps)
        seconds = time.perf_counter() - started
        prediction = self._data.forecasts_at(fold, forecasts)
        if not np.isfinite(prediction).all():
            raise TrainingError(f"{candidate.algorithm} forecast values that are not finite.")
        known = self._data.known(fold)
        seen = rows_digest(known.positions[known.observed])
        result = FoldResult(
            key=f"{key}{CUT}" if fitted.cut else key,
            fold=fold,
            prediction=prediction,
            best_iteration=fitted.best_iteration,
            seconds=seconds,
            encoded=seen,
            fitted=seen,
            stopped=rows_digest(self._data.scored(fold).positions),
            notes=fitted.notes,
            cut=fitted.cut,
        )
        self.cache.put(result)
        return result

    def _window(self, fold: int) -> tuple[Panel, pd.DataFrame]:
        """History at the origin of a fold, and the steps ahead."""
        if fold not in self._known:
            rows = self._data.known(fold)
            preprocessor = SeriesPreprocessor.learn(self.layout, self._table, rows.positions)
            history = self._data.history(fold, preprocessor)
            self._known[fold] = history, self._data.future(fold, history, preprocessor)
        return self._known[fold]


LIBRARIES: Final = (
    "numpy", "pandas", "scikit-learn", "lightgbm", "xgboost", "mlforecast", "statsforecast", "coreforecast",
    "utilsforecast", "prophet", "neuralforecast", "torch",
)  # fmt: skip
"""What forecasts depend on."""


@cache
def forecasting_digest() -> str:
    """Sha256 of the code that makes forecasts and of the versions of the libraries that it stands on.

    The boosters among the algorithms are part of it: forecasters on lags fit with them.
    """
    here = Path(__file__).resolve().parent
    return made_by([*sorted(here.rglob("*.py")), *sorted((here.parent / "algorithms").glob("*.py"))], LIBRARIES)
