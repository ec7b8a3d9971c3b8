"""How good forecasts are: on the last horizon, beside the seasonal naive forecast, overall and series by series."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.evaluation.evaluate import Evaluation, Values, check_beats_baseline, over_folds
from mt_assets.trainer.evaluation.groups import drawn_together
from mt_assets.trainer.evaluation.metrics import METRICS, all_metrics, score
from mt_assets.trainer.evaluation.predictions import FoldPrediction
from mt_assets.trainer.forecasting.forecasters.local import naive_forecasts
from mt_assets.trainer.forecasting.intervals import LEVEL, coverage, weighted_quantile_loss
from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.forecasting.model import ForecastModel
from mt_assets.trainer.forecasting.plots import ForecastView, forecast_plots
from mt_assets.trainer.forecasting.series_data import SeriesData
from mt_assets.trainer.forecasting.window_fits import layout_of
from mt_assets.trainer.forecasting.windows import TEST
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan

SERIES_FILE: Final = "series_metrics.json"
"""Attached file: one entry a series."""

RESAMPLES: Final = 200
"""Bootstrap for standard errors, of whole series where there are several: the errors of one go together."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Forecasts for rows, by position.

    Attributes
    ----------
    positions, codes, ahead : ndarray [n]
        Row, series, and step ahead from 0.
    truth : ndarray [n, 2]
        See `SeriesData.truth`.
    values, naive : ndarray [n]
        What was forecast, and the seasonal naive forecast.
    quantiles : ndarray [n, len(QUANTILES)]
    """

    positions: NDArray[np.int64]
    codes: NDArray[np.int64]
    ahead: NDArray[np.int64]
    truth: NDArray[np.float64]
    values: NDArray[np.float64]
    naive: NDArray[np.float64]
    quantiles: NDArray[np.float64]


def forecast_test(model: ForecastModel, data: SeriesData) -> Judged:
    """What a model forecasts for the test rows from what is known before them.

    Raises
    ------
    DataError
        It forecasts another number of steps, or from columns that are not there.
    """
    ours, layout = model.layout, data.layout
    if (ours.horizon, ours.gap, ours.frequency) != (layout.horizon, layout.gap, layout.frequency):
        raise DataError(
            f"it forecasts {ours.horizon} steps of {ours.frequency.freq} after a gap of {ours.gap}, not"
            f" {layout.horizon} steps of {layout.frequency.freq} after a gap of {layout.gap}"
        )
    missing = [name for name in (*ours.known, *ours.past) if name not in data.frame.columns]
    if missing:
        raise DataError(f"it forecasts from {', '.join(map(repr, missing))}, which is not there any more")
    own = model.preprocessor.on(ours.model_copy(update={"names": layout.names}))
    history = data.history(TEST, own)
    forecasts = model.ahead(history, data.future(TEST, history, own), own)
    return _judged(data, TEST, forecasts.values, forecasts.quantiles)


def _judged(data: SeriesData, window: int, values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> Judged:
    """Of forecasts [s, horizon] those for the scored rows."""
    rows, gap = data.scored(window), data.layout.gap
    ahead = data.origins.ahead(rows, window) - gap
    naive = naive_forecasts(data.values(window), data.layout.steps)[:, gap:]
    at = rows.codes, ahead
    return Judged(rows.positions, rows.codes, ahead, data.truth(window), values[at], naive[at], quantiles[at])


def evaluate_forecasts(
    *,
    plan: TrainingPlan,
    trained: TrainedModel,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    out_of_fold: Sequence[FoldPrediction],
) -> Evaluation:
    """Judge the final model on the last horizon; where there is no test, what was forecast at the origins.

    Parameters
    ----------
    table : Table
        Any handle on the table that the splits are of.
    out_of_fold : sequence of FoldPrediction
        What the choice forecast at each origin.
    """
    layout, model = layout_of(profile), trained.model
    data = SeriesData(table, layout, splits)
    folds = [_at_origin(data, model, fold) for fold in out_of_fold]
    tested = bool(len(splits.test))
    started = perf_counter()
    judged = forecast_test(model, data) if tested else _together(folds)
    seconds = perf_counter() - started
    started = perf_counter()
    model.scores(trained.fixture)
    latency = (perf_counter() - started) / len(set(judged.codes[judged.codes < 3].tolist()) or {0})
    metrics = _metrics(judged.truth, judged.values, judged.quantiles)
    gain, gain_error, test_error = _errors(plan, judged)
    by_fold = [_metrics(each.truth, each.values, each.quantiles) for each in folds]
    evaluation = Evaluation(
        metric=plan.metric,
        test=metrics,
        baseline=_metrics(judged.truth, judged.naive, None),
        validation=by_fold[0],
        cross_validation=over_folds(by_fold, by_fold[0]),
        folds=len(folds),
        n_test=len(judged.values),
        out_of_fold=not tested,
        gain=gain,
        gain_error=gain_error,
        test_error=test_error,
        latency_ms=1000 * latency,
        predict_rows_per_second=len(judged.values) / max(seconds, 1e-9),
        size_mb=trained.size_mb,
        note=_note(layout, model, judged, tested=tested),
    )
    evaluation.keep(judged.positions, judged.values)
    evaluation.attach(SERIES_FILE, json.dumps(_by_series(judged, layout), indent=1).encode())
    view = ForecastView(data, TEST if tested else 0, judged if tested else folds[0])
    for name, png in forecast_plots(view).items():
        evaluation.attach(name, png)
    return evaluation


def series_table(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a series, the worst first: its metrics and those of the seasonal naive forecast."""
    rows: list[dict[str, Any]] = json.loads(evaluation.attachment(SERIES_FILE) or b"[]")
    return sorted(rows, key=lambda row: -(row["mase"] or 0.0))


def check_beats_naive(evaluation: Evaluation) -> Check:
    """`beats_baseline` of forecasts: better than the seasonal naive forecast overall, by more than one standard error
    of the difference; which series it is worse for is told."""
    overall = check_beats_baseline(evaluation)
    rows = series_table(evaluation)
    worse = [row for row in rows if (row["mase"] or 0.0) > (row["naive_mase"] or 0.0)]
    told = f" {len(rows) - len(worse):,} of {len(rows):,} series are forecast at least as well as by the seasonal naive"
    shown = [{name: row[name] for name in ("series", "mase", "naive_mase")} for row in worse[:20]]
    return overall.model_copy(
        update={
            "message": overall.message + told + " forecast.",
            "evidence": overall.evidence | {"series": len(rows), "series_worse": len(worse), "worse": shown},
        }
    )


def _at_origin(data: SeriesData, model: ForecastModel, fold: FoldPrediction) -> Judged:
    """What was forecast at an origin, with the intervals that the model gives."""
    rows, layout = data.scored(fold.fold), data.layout
    truth = data.truth(fold.fold)
    grid = np.zeros((len(layout.names), layout.horizon))
    scales = np.ones(len(layout.names))
    scales[rows.codes] = 1.0 / truth[:, 1]
    grid[rows.codes, data.origins.ahead(rows, fold.fold) - layout.gap] = fold.prediction
    return _judged(data, fold.fold, grid, model.intervals.quantiles(grid, scales))


def _together(folds: Sequence[Judged]) -> Judged:
    """All origins as one; rows are those of one after the other."""
    fields = Judged.__dataclass_fields__
    return Judged(**{name: np.concatenate([getattr(fold, name) for fold in folds]) for name in fields})


def _metrics(truth: NDArray[np.float64], values: NDArray[np.float64], quantiles: NDArray[np.float64] | None) -> Values:
    metrics = all_metrics("time_series", truth, values)
    of_interval: Values = {"wql": None, "coverage": None}
    if quantiles is not None:
        of_interval = {
            "wql": weighted_quantile_loss(truth[:, 0], quantiles),
            "coverage": coverage(truth[:, 0], quantiles),
        }
    return metrics | of_interval


def _errors(plan: TrainingPlan, judged: Judged) -> tuple[float, float, float]:
    """Gain over the naive forecast, its standard error, and that of the score, by drawing series (or rows)."""
    metric = METRICS[plan.metric]
    rng = np.random.default_rng(plan.seed)
    members = drawn_together(judged.codes)

    def scores(rows: NDArray[np.int64]) -> tuple[float, float]:
        of = (judged.values, judged.naive)
        ours, theirs = (score(plan.metric, judged.truth[rows], each[rows], None) for each in of)
        return ours, metric.gain(ours, theirs)

    drawn = [
        scores(np.concatenate([members[at] for at in rng.integers(0, len(members), len(members))]))
        for _ in range(RESAMPLES)
    ]
    of_scores, of_gains = np.array(drawn).T
    return scores(np.arange(len(judged.codes)))[1], float(of_gains.std()), float(of_scores.std())


def _by_series(judged: Judged, layout: SeriesLayout) -> list[dict[str, Any]]:
    found = []
    order = np.argsort(judged.codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(judged.codes[order])) + 1):
        ours = _metrics(judged.truth[rows], judged.values[rows], judged.quantiles[rows])
        naive = all_metrics("time_series", judged.truth[rows], judged.naive[rows])
        found.append(
            {"series": layout.names[judged.codes[rows[0]]], "rows": len(rows), **ours}
            | {f"naive_{name}": value for name, value in naive.items()}
        )
    return found


def _note(layout: SeriesLayout, model: ForecastModel, judged: Judged, *, tested: bool) -> str:
    notes = []
    if not tested:
        notes.append(
            f"There are no test rows (`testSize` is 0): the figures are those of {len(judged.values):,} forecasts at"
            " the origins, by which the model was also chosen, so they are somewhat too good."
        )
    if model.intervals.errors < 2 / (1 - LEVEL):
        notes.append(
            f"Intervals rest on {model.intervals.errors} errors, which is too few for {LEVEL:.0%}; set more"
            " `validationStrategy.folds` where the series are long enough."
        )
    if layout.past:
        notes.append("Covariates that are not known ahead count by their past values alone.")
    return " ".join(notes)
