"""Forecasters that learn from lags, calendar and covariates with boosted trees, through mlforecast.

What belongs here: how a regressor is fitted, and when it stops. What does not: the columns (`lags`), the regressors
(`trainer.algorithms`), and how rows become forecasts (mlforecast).
"""

from __future__ import annotations

import time
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Final, Self

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution
from sklearn.base import BaseEstimator, RegressorMixin

from mt_assets.trainer.algorithms.algorithm import Algorithm, FitSetting, within
from mt_assets.trainer.forecasting.forecaster import FittedForecaster, Forecaster, ForecastSetting, Params
from mt_assets.trainer.forecasting.forecasters.lags import FRAME, MODEL, LagFrame, LagPlan
from mt_assets.trainer.forecasting.forecasters.local import LIBRARY_BYTES, series_bytes, stood_in, too_short
from mt_assets.trainer.forecasting.panel import ID, TIME, VALUE, Panel

MOST_ROWS: Final = 100_000
"""Rows that a regressor is fitted on: of more of them, so many are drawn."""

ROUNDS: Final = 200
"""Of boosting where no series is long enough to stop on its last steps."""

DIRECT_STEPS: Final = 24
"""Steps ahead up to which each may have a model of its own; beyond, their fits would cost more than they gain."""

DIRECT_ROWS: Final = 500_000
"""The same of rows times steps."""

LOCAL_SERIES: Final = 30
"""Series up to which each may have models of its own."""

OWN: Final = ("strategy", "difference", "log", "scope")
"""Parameters that are not the library's."""


class BoostedForecaster(Forecaster):
    """A regressor on lags.

    `strategy` is `recursive` (the next step is predicted, again and again) or `direct` (each step ahead has a model of
    its own), `scope` is `global` (all series are learned from together) or `local` (each by itself). See `LagPlan` for
    `difference` and `log`.
    """

    gradual: ClassVar[bool] = True
    local: ClassVar[bool] = False
    objective: ClassVar[tuple[str, str]]
    """The library's name for the parameter and the value that make it learn absolute errors, as MASE counts them."""

    @abstractmethod
    def algorithm(self) -> Algorithm: ...

    @abstractmethod
    def points(self, rows: int) -> tuple[Params, ...]:
        """The library's parameters to start with, each complete, the one to start with first."""

    def space(self, setting: ForecastSetting) -> dict[str, BaseDistribution]:
        seasonal = setting.season > 1
        direct = setting.steps <= DIRECT_STEPS and setting.steps * setting.rows <= DIRECT_ROWS
        local = 1 < setting.series <= LOCAL_SERIES
        return {
            "strategy": CategoricalDistribution(["recursive", "direct"] if direct else ["recursive"]),
            "difference": CategoricalDistribution(["none", "last", *(["season", "both"] if seasonal else [])]),
            **self.algorithm().space(_fit_setting(setting)),
            "log": CategoricalDistribution([False, True]),
            "scope": CategoricalDistribution(["global", "local"] if local else ["global"]),
        }

    def starts(self, setting: ForecastSetting) -> tuple[Params, ...]:
        space = self.space(setting)
        points = self.points(setting.rows)
        ways = (
            ("recursive", "season", False, "global"),
            ("recursive", "last", False, "global"),
            ("recursive", "both", False, "global"),
            ("direct", "season", False, "global"),
            ("recursive", "last", True, "global"),
            ("recursive", "season", False, "local"),
        )
        made = []
        for at, way in enumerate(ways):
            wanted = dict(zip(OWN, way, strict=True))
            made.append(within(space, {**_possible(space, wanted), **points[at % len(points)]}))
        return tuple(each for at, each in enumerate(made) if each not in made[:at])

    def fit(
        self,
        history: Panel,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        *,
        iterations: int | None = None,
        deadline: float | None = None,
    ) -> FittedForecaster:
        if params["scope"] == "local" and len(history) > 1:
            return EachByItself(self, setting, {**params, "scope": "global"}, iterations)
        steps = setting.steps if params["strategy"] == "direct" else None
        plan = LagPlan.of(history, str(params["difference"]), bool(params["log"]), steps)
        long = history.lengths >= plan.shortest
        short = int((~long).sum())
        notes = (too_short(short, len(history), self.display),) if short else ()
        if not long.any():
            return BoostedFit(plan, None, notes=notes)
        frame = LagFrame(plan, history.only(np.flatnonzero(long))).known
        rounds, best, cut = iterations, None, False
        if iterations is None:
            best, cut = self._stop(plan, frame, setting, params, deadline)
            rounds = best or ROUNDS
        engine = plan.engine(_Learner(self, setting, params, rounds, deadline))
        with _quiet():
            engine.fit(frame, **FRAME, max_horizon=steps, as_numpy=True, cache_train_df=False)
        models = engine.models_[MODEL]
        learners = list(models.values()) if isinstance(models, dict) else [models]
        cut = cut or any(each.cut_ for each in learners)
        return BoostedFit(plan, models, best, cut, notes)

    def _stop(
        self,
        plan: LagPlan,
        frame: pd.DataFrame,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        deadline: float | None,
    ) -> tuple[int | None, bool]:
        """The best round on the last `horizon` steps of each series, None where they are too short for it; and whether
        time was short. Of several steps ahead the middle one is stopped on."""
        with _quiet():
            rows = plan.engine(None).preprocess(frame, **FRAME, max_horizon=plan.steps)
        assert isinstance(rows, pd.DataFrame)
        ahead = (plan.steps or 1) // 2
        target = rows[f"{VALUE}{ahead}" if plan.steps else VALUE].to_numpy()
        columns = [name for name in rows if name not in (ID, TIME) and not str(name).startswith(VALUE)]
        X, known = rows[columns].to_numpy(dtype=np.float64), ~np.isnan(target)
        ends = np.bincount(frame[ID].to_numpy())[rows[ID].to_numpy()]
        held = rows[TIME].to_numpy() + ahead >= ends - setting.horizon
        learning, stopping = np.flatnonzero(known & ~held), np.flatnonzero(known & held)
        if not len(learning) or not len(stopping):
            return None, False
        half = None if deadline is None else (time.monotonic() + deadline) / 2
        learner = _Learner(self, setting, params, None, half)
        learner.fit(X[learning], target[learning], X[stopping], target[stopping])
        return learner.best_, learner.cut_

    def memory(self, setting: ForecastSetting, params: Mapping[str, Any]) -> float:
        """The columns as they are made and as they are fitted on, and the library's own."""
        columns = _fit_setting(setting).features + (setting.steps if params.get("strategy") == "direct" else 1)
        fitted = min(MOST_ROWS, setting.rows)
        boosting = self.algorithm().memory(_fit_setting(setting), _of_library(params), fitted, columns)
        return series_bytes(setting) + 3 * 8.0 * setting.rows * columns + boosting + LIBRARY_BYTES

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return self.algorithm().with_iterations(params, iterations)


class _Learner(BaseEstimator, RegressorMixin):
    """An algorithm's regressor as mlforecast takes it: with the rounds, the rows and the deadline that it is to have.

    Attributes
    ----------
    estimator_ : object
    best_ : int or None
        The best round, where rows to stop on were given.
    cut_ : bool
        Whether the deadline ended the fit.
    """

    def __init__(
        self,
        forecaster: BoostedForecaster,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        rounds: int | None,
        deadline: float | None,
    ) -> None:
        self.forecaster = forecaster
        self.setting = setting
        self.params = params
        self.rounds = rounds
        self.deadline = deadline

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        X_stop: np.ndarray | None = None,
        y_stop: np.ndarray | None = None,
    ) -> Self:
        """Fit on rows [n, columns], or on `MOST_ROWS` of them; where others are given, stop early on those."""
        if len(X) > MOST_ROWS:
            drawn = np.sort(np.random.default_rng(self.setting.seed).choice(len(X), MOST_ROWS, replace=False))
            X, y = X[drawn], y[drawn]
        algorithm = self.forecaster.algorithm()
        name, value = self.forecaster.objective
        given = algorithm.with_iterations({**_of_library(self.params), name: value}, self.rounds)
        self.estimator_ = algorithm.build(_fit_setting(self.setting), given)
        patience = None if X_stop is None else self.setting.patience
        report = algorithm.fit(self.estimator_, X, y, X_stop, y_stop, patience, deadline=self.deadline)
        self.best_, self.cut_ = report.best_iteration, report.cut
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Of rows [n, columns], [n]."""
        return np.asarray(self.estimator_.predict(X), dtype=np.float64)


class BoostedFit(FittedForecaster):
    """Fitted regressors on lags; forecasts of any series that have their covariates.

    Parameters
    ----------
    plan : LagPlan
    models : _Learner, dict of int to _Learner, or None
        By step where each has its own; None where no series was long enough to learn from.
    best_iteration : int or None
    cut : bool
    notes : tuple of str
    """

    def __init__(
        self,
        plan: LagPlan,
        models: Any,
        best_iteration: int | None = None,
        cut: bool = False,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._plan = plan
        self._models = models
        self.best_iteration = best_iteration
        self.cut = cut
        self.notes = notes

    def forecast(self, history: Panel, future: pd.DataFrame, steps: int) -> np.ndarray:
        """See `FittedForecaster.forecast`."""
        forecasts = np.full((len(history), steps), np.nan)
        long = np.flatnonzero(history.lengths >= self._plan.shortest)
        if self._models is not None and len(long):
            own = future[np.isin(future[ID].to_numpy(), long)]
            own = own.assign(**{ID: np.searchsorted(long, own[ID].to_numpy())})
            series = LagFrame(self._plan, history.only(long), own, steps)
            engine = self._plan.engine(None)
            with _quiet():
                engine.preprocess(series.known, **FRAME, max_horizon=self._plan.steps, as_numpy=True, return_X_y=True)
                engine.models_ = {MODEL: self._models}
                made = engine.predict(steps, X_df=series.coming)
            forecasts[long] = series.unscaled(made[MODEL].to_numpy().reshape(len(long), steps))
        return stood_in(forecasts, history, self._plan.shortest)

    def importance(self) -> dict[str, float] | None:
        """Shares in the gain of all splits, by what the columns depend on; of several models their mean."""
        if self._models is None:
            return None
        models = self._models.values() if isinstance(self._models, dict) else [self._models]
        gains = np.sum([_shares(each.estimator_.feature_importances_) for each in models], axis=0)
        if gains.sum() <= 0:
            return None
        shares: dict[str, float] = {}
        for name, gain in zip(self._plan.names, gains / gains.sum(), strict=True):
            shares[name] = shares.get(name, 0.0) + float(gain)
        return dict(sorted(shares.items(), key=lambda each: -each[1]))


class EachByItself(FittedForecaster):
    """A regressor of its own for each series, fitted on its history when a forecast is made.

    Parameters
    ----------
    forecaster : BoostedForecaster
    setting : ForecastSetting
    params : mapping
    iterations : int or None
    """

    def __init__(
        self,
        forecaster: BoostedForecaster,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        iterations: int | None,
    ) -> None:
        self._forecaster = forecaster
        self._setting = replace(setting, series=1)
        self._params = params
        self._iterations = iterations

    def forecast(self, history: Panel, future: pd.DataFrame, steps: int) -> np.ndarray:
        """See `FittedForecaster.forecast`; `notes` are then those of this history."""
        of, forecasts = future[ID].to_numpy(), []
        notes: list[str] = []
        for at in range(len(history)):
            one = history.only(np.array([at]))
            setting = replace(self._setting, rows=len(one.frame))
            fitted = self._forecaster.fit(one, setting, self._params, iterations=self._iterations)
            forecasts.append(fitted.forecast(one, future[of == at].assign(**{ID: 0}), steps))
            notes += fitted.notes
        if notes:
            self.notes = (too_short(len(notes), len(history), self._forecaster.display),)
        return np.concatenate(forecasts)


def _possible(space: Mapping[str, BaseDistribution], wanted: Mapping[str, Any]) -> Params:
    """A way that this table has room for: what it has not is done the simplest way, and a season that it lacks is no
    difference to take."""
    otherwise = {"strategy": "recursive", "scope": "global", "difference": "last"}
    choices = {name: getattr(space[name], "choices") for name in wanted}  # noqa: B009 (all are lists of choices)
    return {name: value if value in choices[name] else otherwise[name] for name, value in wanted.items()}


def _of_library(params: Mapping[str, Any]) -> Params:
    return {name: value for name, value in params.items() if name not in OWN}


def _shares(gains: Any) -> np.ndarray:
    gains = np.asarray(gains, dtype=np.float64)
    return gains / (gains.sum() or 1.0)


def _fit_setting(setting: ForecastSetting) -> FitSetting:
    """The setting as the libraries' own algorithms take it."""
    return FitSetting(
        task="regression",
        n_classes=0,
        rows=setting.rows,
        features=30 + setting.known + 3 * setting.past,
        seed=setting.seed,
        threads=setting.threads,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without mlforecast's remarks on series and columns, which are dealt with here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
