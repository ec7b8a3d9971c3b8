"""Forecasters that learn from all series at once with boosted trees: on lags, calendar and covariates.

What belongs here: which rows are fitted on and stopped on, and how rows become forecasts. What does not: the columns
(`lags`), and the libraries (`trainer.algorithms`).
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution

from mt_assets.trainer.algorithms.algorithm import Algorithm, FitSetting, within
from mt_assets.trainer.forecasting.forecaster import FittedForecaster, Forecaster, ForecastSetting, Params
from mt_assets.trainer.forecasting.forecasters.lags import LagPlan, LagTable
from mt_assets.trainer.forecasting.forecasters.local import series_bytes, stood_in, too_short
from mt_assets.trainer.forecasting.panel import Panel

MOST_ROWS: Final = 100_000
"""Rows that are fitted on: with more of them, they are drawn."""

STOPPING_ROWS: Final = 5_000
"""Rows that are stopped on, but for one origin of each series."""

ROUNDS: Final = 200
"""Of boosting where no series is long enough to stop on its last steps."""

SHORTEST: Final = 4
"""Steps of the shortest series that is learned from and forecast by what was learned."""

OWN: Final = ("strategy", "difference", "log")
"""Parameters that are not the library's."""


class BoostedForecaster(Forecaster):
    """A regressor on lags, one for all series.

    `strategy` is `direct` (each step is predicted from what is known, with its distance as a column) or `recursive`
    (the next step is predicted, again and again). See `LagPlan` for `difference` and `log`.
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
        differences = ["none", "last", "season"] if setting.season > 1 else ["none", "last"]
        return {
            "strategy": CategoricalDistribution(["direct", "recursive"]),
            "difference": CategoricalDistribution(differences),
            "log": CategoricalDistribution([False, True]),
            **self.algorithm().space(_fit_setting(setting, setting.rows)),
        }

    def starts(self, setting: ForecastSetting) -> tuple[Params, ...]:
        space = self.space(setting)
        season = "season" if setting.season > 1 else "last"
        points = self.points(setting.rows)
        ways = (
            ("direct", "last", True),
            ("recursive", season, True),
            ("direct", season, False),
            ("recursive", "last", False),
            ("direct", "none", False),
        )
        return tuple(
            within(space, {"strategy": strategy, "difference": difference, "log": log, **points[at % len(points)]})
            for at, (strategy, difference, log) in enumerate(ways)
        )

    def fit(
        self,
        history: Panel,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        *,
        iterations: int | None = None,
        deadline: float | None = None,
    ) -> BoostedFit:
        plan = LagPlan.of(history, str(params["difference"]), bool(params["log"]))
        rng = np.random.default_rng(setting.seed)
        direct = params["strategy"] == "direct"
        steps = setting.steps if direct else 1
        cut, best = False, iterations
        if iterations is None:
            best, cut = self._stop(plan, history, setting, params, steps, rng, _half(deadline))
        rows = _learning_rows(plan, history, steps, 0, rng)
        if rows is None:
            return BoostedFit(plan, None, direct, None, False, _said(self.display, history))
        estimator = self._build(setting, params, best or ROUNDS)
        report = self.algorithm().fit(estimator, *rows, deadline=deadline)
        return BoostedFit(
            plan, estimator, direct, best if iterations is None else None, cut or report.cut,
            _said(self.display, history),
        )  # fmt: skip

    def _stop(
        self,
        plan: LagPlan,
        history: Panel,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        steps: int,
        rng: np.random.Generator,
        deadline: float | None,
    ) -> tuple[int | None, bool]:
        """The best round on the last `horizon` steps of each series, None without any; and whether time was short."""
        held = setting.horizon
        learning = _learning_rows(plan, history, steps, held, rng)
        stopping = _stopping_rows(plan, history, steps, held)
        if learning is None or stopping is None:
            return None, False
        estimator = self._build(setting, params, None)
        algorithm = self.algorithm()
        report = algorithm.fit(estimator, *learning, *stopping, setting.patience, deadline=deadline)
        return report.best_iteration, report.cut

    def _build(self, setting: ForecastSetting, params: Mapping[str, Any], rounds: int | None) -> Any:
        of_library = {name: value for name, value in params.items() if name not in OWN}
        given = {**of_library, self.objective[0]: self.objective[1]}
        return self.algorithm().build(
            _fit_setting(setting, setting.rows), self.algorithm().with_iterations(given, rounds)
        )

    def memory(self, setting: ForecastSetting, params: Mapping[str, Any]) -> float:
        """The rows twice, as they are made and as they are fitted on, and the library's own."""
        ahead = setting.steps if params.get("strategy") == "direct" else 1
        rows = min(MOST_ROWS, setting.rows * ahead)
        columns = 30 + setting.known + 3 * setting.past
        of_library = {name: value for name, value in params.items() if name not in OWN}
        boosting = self.algorithm().memory(_fit_setting(setting, rows), of_library, rows, columns)
        return series_bytes(setting) + 2 * 8.0 * rows * columns + boosting

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        return self.algorithm().with_iterations(params, iterations)


class BoostedFit(FittedForecaster):
    """A fitted regressor on lags; forecasts of any series that have its covariates.

    Parameters
    ----------
    plan : LagPlan
    estimator : object or None
        None where no series was long enough to learn from.
    direct : bool
    best_iteration : int or None
    cut : bool
    notes : tuple of str
    """

    def __init__(
        self,
        plan: LagPlan,
        estimator: Any,
        direct: bool,
        best_iteration: int | None,
        cut: bool,
        notes: tuple[str, ...],
    ) -> None:
        self._plan = plan
        self._estimator = estimator
        self._direct = direct
        self.best_iteration = best_iteration
        self.cut = cut
        self.notes = notes

    def forecast(self, history: Panel, future: pd.DataFrame, steps: int) -> np.ndarray:
        """See `FittedForecaster.forecast`."""
        forecasts = np.full((len(history), steps), np.nan)
        if self._estimator is not None:
            table = LagTable(self._plan, history, future, steps)
            forecasts = table.unscaled(self._ahead(table, steps))
        return stood_in(forecasts, history, SHORTEST)

    def _ahead(self, table: LagTable, steps: int) -> np.ndarray:
        """The next steps on the scale of the table, [s, steps]."""
        ends = table.ends
        if self._direct:
            origins = np.repeat(ends, steps)
            X, anchor = table.rows(origins, np.tile(np.arange(1, steps + 1), len(ends)))
            return (np.asarray(self._estimator.predict(X), dtype=np.float64) + anchor).reshape(len(ends), steps)
        found = np.empty((len(ends), steps))
        one = np.ones(len(ends), dtype=np.int64)
        for step in range(steps):
            X, anchor = table.rows(ends + step, one)
            found[:, step] = np.asarray(self._estimator.predict(X), dtype=np.float64) + anchor
            table.put(ends + step + 1, found[:, step])
        return found

    def importance(self) -> dict[str, float] | None:
        """Shares in the gain of all splits, by what the columns depend on."""
        if self._estimator is None:
            return None
        gains = np.asarray(self._estimator.feature_importances_, dtype=np.float64)
        if gains.sum() <= 0:
            return None
        shares: dict[str, float] = {}
        for name, gain in zip(self._plan.names, gains / gains.sum(), strict=True):
            shares[name] = shares.get(name, 0.0) + float(gain)
        return dict(sorted(shares.items(), key=lambda each: -each[1]))


def _learning_rows(
    plan: LagPlan, history: Panel, steps: int, held: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns and targets that are not among the last `held` steps of their series; None without any.

    A series starts to be learned from when half of it, or all that its lags reach back to, is known.
    """
    table = LagTable(plan, history)
    counts = table.lengths - held
    first = np.minimum(plan.reach, np.maximum(counts // 2, 1)) - 1
    spans = np.where(table.lengths >= SHORTEST, np.maximum(counts - 1 - first, 0), 0)
    if not spans.sum():
        return None
    origins = (
        np.repeat(table.starts + first, spans) + np.arange(spans.sum()) - np.repeat(np.cumsum(spans) - spans, spans)
    )
    last = np.repeat(table.starts + counts - 1, spans)
    each = int(np.clip(MOST_ROWS // len(origins), 1, steps))
    ahead = np.tile(np.arange(1, steps + 1), (len(origins), 1))
    if each < steps:
        ahead = rng.permuted(ahead, axis=1)[:, :each]
    origins, last, ahead = np.repeat(origins, each), np.repeat(last, each), ahead.reshape(-1)
    inside = np.flatnonzero(origins + ahead <= last)
    if len(inside) > MOST_ROWS:
        inside = np.sort(rng.choice(inside, MOST_ROWS, replace=False))
    return _made(table, origins[inside], ahead[inside])


def _stopping_rows(plan: LagPlan, history: Panel, steps: int, held: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Columns and targets among the last `held` steps of each series, from the last origins before them."""
    table = LagTable(plan, history)
    long = np.flatnonzero(table.lengths - held >= SHORTEST)
    if not len(long):
        return None
    if steps == 1:
        origins = (table.ends[long][:, None] - np.arange(held, 0, -1)[None, :]).reshape(-1)
        return _made(table, origins, np.ones(len(origins), dtype=np.int64))
    back = int(np.clip(STOPPING_ROWS // (len(long) * held), 1, held))
    edge = table.ends[long] - held
    pairs = [(edge - b, np.full(len(long), ahead)) for b in range(back) for ahead in range(b + 1, steps + 1)]
    origins, ahead = (np.concatenate(part) for part in zip(*pairs, strict=True))
    ends = np.tile(table.ends[long], len(pairs))
    within_series = (origins + ahead <= ends) & (table.place[origins] <= origins) & (ahead <= steps)
    begins = np.tile(table.starts[long], len(pairs))
    usable = within_series & (origins >= begins)
    return _made(table, origins[usable], ahead[usable])


def _made(table: LagTable, origins: np.ndarray, ahead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X, anchor = table.rows(origins, ahead)
    return X, table.targets(origins, ahead, anchor)


def _fit_setting(setting: ForecastSetting, rows: int) -> FitSetting:
    """The setting as the libraries' own algorithms take it."""
    return FitSetting(
        task="regression",
        n_classes=0,
        rows=rows,
        features=30 + setting.known + 3 * setting.past,
        seed=setting.seed,
        threads=setting.threads,
    )


def _half(deadline: float | None) -> float | None:
    """Half of the time, for the first of two fits."""
    return None if deadline is None else (time.monotonic() + deadline) / 2


def _said(display: str, history: Panel) -> tuple[str, ...]:
    short = int((history.lengths < SHORTEST).sum())
    return (too_short(short, len(history), display),) if short else ()
