"""How good the final model is: on rows that nothing has touched, beside a baseline, and against its own folds."""

from collections.abc import Iterable
from io import BytesIO
from statistics import median
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.delivery import cross_fitted, pooled_delivery
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import (
    METRICS,
    Task,
    Terms,
    all_metrics,
    confusion_matrix,
    metric_names,
    predicted_codes,
    score,
)
from mt_assets.trainer.evaluation.plots import PLOTS, plot_files
from mt_assets.trainer.evaluation.predictions import FoldPrediction, pooled, targets
from mt_assets.trainer.model import TabularModel, TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.final_cost import judged_rows
from mt_assets.trainer.store.record import Record

_LISTED_CLASSES = 50
"""With more classes the confusion matrix is a plot alone: as figures nobody reads it, and it outgrows the rest."""
_RESAMPLES, _RESAMPLED_ROWS = 100, 4_000
"""Bootstrap for standard errors. With 100 resamples a standard error is itself known to about 7 % (1/sqrt(2 * 100));
above 4,000 rows a resample has 4,000 and the error shrinks with the root of the rows. At most 0.3 s for two classes."""
_SINGLE_ROWS, _LEAST_SINGLE_ROWS, _SINGLE_SECONDS = 30, 5, 1.0
"""How many rows are predicted one by one for the latency: fewer of a slow model, but not too few for a median."""
_GAP_ERRORS = 3.0
"""How far the test score may fall behind the folds, in standard errors: by chance alone once in hundreds of models."""

_PREDICTIONS, _POSITIONS = "test_predictions.npy", "test_positions.npy"

Values = dict[str, float | None]


class Evaluation(Record):
    """Every metric of the final model, and what the figures are to be held against.

    The files `test_predictions.npy` (probabilities [n, k] or values [n]) and `test_positions.npy` (int64 [n]) and the
    plots of `plots.plot_files` are attached.

    Attributes
    ----------
    metric : str
        The plan's metric, which the checks speak of.
    test, baseline : dict
        Metric to value, on the same rows. The baseline predicts the share of each class, or the mean, of the rows
        that were learned from. A metric that the rows cannot tell is None.
    validation : dict
        The same of the best candidate on the canonical fold, which it was not fitted on.
    cross_validation : dict
        `<metric>_mean` and `<metric>_std` of the best candidate over all folds that can tell the metric; the standard
        deviation divides by the number of folds, and is None for a single one.
    folds : int
    n_test : int
        Rows behind `test`.
    out_of_fold : bool
        There are no test rows: `test` is then of the pooled out-of-fold predictions of the best candidate.
    gain, gain_error : float or None
        By how much the test score is better than the baseline's, and the standard error of that difference.
    test_error : float or None
        Standard error of the test score.
    confusion : tuple of tuple of int
        Rows by true and predicted class; empty for regression and for more than 50 classes.
    classes : tuple of str
        Labels in the order of `confusion`.
    latency_ms : float
        Median time of predicting one row.
    predict_rows_per_second : float
        When predicting many rows at once.
    size_mb : float
        Of the model file, in megabytes (10^6 bytes).
    note : str
        What a reader of the figures has to know; may be empty.
    """

    filename: ClassVar[str] = "test_metrics.json"

    metric: str
    test: Values
    baseline: Values
    validation: Values
    cross_validation: Values
    folds: int
    n_test: int
    out_of_fold: bool = False
    gain: float | None
    gain_error: float | None
    test_error: float | None
    confusion: tuple[tuple[int, ...], ...] = ()
    classes: tuple[str, ...] = ()
    latency_ms: float
    predict_rows_per_second: float
    size_mb: float
    note: str = ""

    def table(self) -> list[dict[str, Any]]:
        """One row a metric: test, baseline, validation, and over the folds mean and standard deviation."""
        return [
            {
                "metric": name,
                "test": value,
                "baseline": self.baseline.get(name),
                "validation": self.validation.get(name),
                "cv mean": self.cross_validation.get(f"{name}_mean"),
                "cv std": self.cross_validation.get(f"{name}_std"),
            }
            for name, value in self.test.items()
        ]

    def judged(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Positions [n] of the rows behind `test`, and what was predicted for them: probabilities [n, k] or values."""
        stored = (self.attachment(name) for name in (_POSITIONS, _PREDICTIONS))
        positions, predictions = (np.load(BytesIO(each or b""), allow_pickle=False) for each in stored)
        return positions, predictions

    def keep(self, positions: npt.NDArray[np.int64], predictions: npt.NDArray[np.floating]) -> None:
        """Attach what `judged` gives back."""
        for name, array in ((_PREDICTIONS, predictions), (_POSITIONS, positions)):
            out = BytesIO()
            np.save(out, array, allow_pickle=False)
            self.attach(name, out.getvalue())

    def predicted(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """What the model predicted for some of the test rows, probabilities [n, k] or values [n]."""
        known, predictions = self.judged()
        if self.out_of_fold:  # there are no test rows
            return predictions[:0]
        order = np.argsort(known)
        return predictions[order[np.searchsorted(known, positions, sorter=order)]]

    def small_plots(self) -> dict[str, bytes]:
        """The plots for metadata by name, palette PNGs of at most 60 KB together."""
        return {name: png for name in PLOTS if (png := self.attachment(f"small_{name}.png")) is not None}


def evaluate(
    *,
    plan: TrainingPlan,
    trained: TrainedModel,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    out_of_fold: tuple[FoldPrediction, ...],
) -> Evaluation:
    """Judge the final model on the test rows; where there are none, the best candidate out of fold.

    Parameters
    ----------
    plan : TrainingPlan
    trained : TrainedModel
        Fitted on `splits.learning`.
    table : Table
        Any handle on the table that the splits are of.
    profile : DataProfile
    splits : Splits
    out_of_fold : tuple of FoldPrediction
        What the best candidate predicted for the validation rows of each fold, at least one.
    """
    model, target = trained.model, profile.target
    truth = targets(table, profile, np.concatenate([splits.learning, splits.test]))
    frame = table.take(splits.test if len(splits.test) else splits.learning[: judged_rows(splits)]).frame(
        [*profile.features]
    )
    latency_ms = _latency_ms(model, frame)
    start = perf_counter()
    before = model.uncalibrated(model.encode(frame))
    prediction = model.calibrated(before)
    seconds = perf_counter() - start
    rows_per_second = len(frame) / max(seconds, 1e-9)

    goal = Goal.of(plan, target.positive)
    of_folds = cross_fitted(goal, trained.facts.delivery, out_of_fold, truth, plan.seed)
    judged, terms = FoldPrediction(fold=0, positions=splits.test, prediction=prediction), goal.terms.at(model.threshold)
    if not len(splits.test):
        together = pooled_delivery(of_folds)
        judged, terms = together.fold, together.terms
    y = _of(truth, judged.positions)
    baseline = _baseline(_of(truth, splits.learning), len(y), len(target.classes))
    test = all_metrics(plan.task, y, judged.prediction, target.positive, terms)
    # What a constant answer is best labelled as does not depend on the model's threshold.
    base = all_metrics(plan.task, y, baseline, target.positive, terms.at(terms.indifference))
    gain, gain_error, test_error = _errors(goal, plan.seed, y, judged.prediction, baseline, terms)
    by_fold = [
        all_metrics(plan.task, _of(truth, each.fold.positions), each.fold.prediction, target.positive, each.terms)
        for each in of_folds
    ]
    counts: list[list[int]] = []
    if 0 < len(target.classes) <= _LISTED_CLASSES:
        labels = predicted_codes(judged.prediction, target.positive, terms.threshold)
        counts = confusion_matrix(y, labels, len(target.classes)).tolist()
    evaluation = Evaluation(
        metric=plan.metric,
        test=test,
        baseline=base,
        validation=dict(zip((fold.fold for fold in out_of_fold), by_fold, strict=True)).get(0, {}),
        cross_validation=over_folds(by_fold, metric_names(plan.task, len(target.classes), terms)),
        folds=len(by_fold),
        n_test=len(y),
        out_of_fold=not len(splits.test),
        gain=gain,
        gain_error=gain_error,
        test_error=test_error,
        confusion=tuple(tuple(row) for row in counts),
        classes=tuple(str(label) for label in target.classes) if counts else (),
        latency_ms=latency_ms,
        predict_rows_per_second=rows_per_second,
        size_mb=trained.size_mb,
        note=_note(splits, len(y), test, goal),
    )
    if not len(splits.test):
        before = pooled(out_of_fold).prediction
    uncalibrated = None if model.calibration is None else before
    _attach(evaluation, judged, uncalibrated, y, profile, goal, terms.threshold)
    return evaluation


def _of(truth: "pd.Series[Any]", positions: npt.NDArray[np.int64]) -> npt.NDArray:
    return truth.loc[pd.Index(positions)].to_numpy()


def _baseline(learned: npt.NDArray, rows: int, n_classes: int) -> npt.NDArray[np.float64]:
    """What would be predicted for every row knowing the target alone: the share of each class, or the mean."""
    if not n_classes:
        return np.full(rows, learned.mean())
    return np.tile(np.bincount(learned, minlength=n_classes) / len(learned), (rows, 1))


def _errors(
    goal: Goal, seed: int, y: npt.NDArray, prediction: npt.NDArray, baseline: npt.NDArray, terms: Terms
) -> tuple[float | None, float | None, float | None]:
    """Gain over the baseline, its standard error, and that of the score: bootstrap of rows, both models on the same."""
    metric, positive, constant = METRICS[goal.metric], goal.positive, terms.at(terms.indifference)
    task: Task = "classification" if prediction.ndim == 2 else "regression"
    values = [
        all_metrics(task, y, p, positive, at)[metric.name] for p, at in ((prediction, terms), (baseline, constant))
    ]
    if values[0] is None or values[1] is None:
        return None, None, None
    rng = np.random.default_rng(seed)
    size = min(len(y), _RESAMPLED_ROWS)
    scores, gains = np.empty(_RESAMPLES), np.empty(_RESAMPLES)
    for at in range(_RESAMPLES):
        rows = rng.integers(0, len(y), size)
        own = terms if np.ndim(terms.threshold) == 0 else terms.at(np.asarray(terms.threshold)[rows])
        scores[at] = score(metric.name, y[rows], prediction[rows], positive, own)
        gains[at] = metric.gain(scores[at], score(metric.name, y[rows], baseline[rows], positive, constant))
    shrink = np.sqrt(size / len(y))
    return metric.gain(values[0], values[1]), float(gains.std() * shrink), float(scores.std() * shrink)


def over_folds(by_fold: list[Values], names: Iterable[str]) -> Values:
    """Mean and standard deviation of each metric over the folds that can tell it, see `Evaluation.cross_validation`."""
    summary: Values = {}
    for name in names:
        known = [value for fold in by_fold if (value := fold[name]) is not None]
        summary[f"{name}_mean"] = float(np.mean(known)) if known else None
        summary[f"{name}_std"] = float(np.std(known)) if len(known) > 1 else None
    return summary


def _latency_ms(model: TabularModel, frame: pd.DataFrame) -> float:
    model.predict(frame.iloc[:1])  # the first call of a process loads libraries
    times: list[float] = []
    while len(times) < min(_SINGLE_ROWS, len(frame)):
        row = frame.iloc[len(times) : len(times) + 1]
        start = perf_counter()
        model.predict(row)
        times.append(perf_counter() - start)
        if len(times) >= _LEAST_SINGLE_ROWS and sum(times) > _SINGLE_SECONDS:
            break
    return 1000 * median(times)


def _note(splits: Splits, rows: int, test: Values, goal: Goal) -> str:
    known = {bound: value for bound in goal.constraints if (value := test[bound.metric]) is not None}
    notes = [
        f"On these rows {bound.metric} is {value:.4g}, and {bound.operator} {bound.bound:g} is asked for."
        for bound, value in known.items()
        if not bound.holds(value)
    ]
    if not len(splits.test):
        notes.append(
            f"There are no test rows (`testSize` is 0): the test metrics are those of the {rows:,} out-of-fold "
            "predictions of the best candidate. They were also used to choose it, so they are somewhat too good."
        )
    undefined = [name for name, value in test.items() if value is None]
    if undefined:
        notes.append(f"These rows cannot tell {', '.join(undefined)} (too few classes or values among them).")
    return " ".join(notes)


def _attach(
    evaluation: Evaluation,
    judged: FoldPrediction,
    before: npt.NDArray | None,
    y: npt.NDArray,
    profile: DataProfile,
    goal: Goal,
    threshold: float | npt.NDArray[np.float64],
) -> None:
    evaluation.keep(judged.positions, judged.prediction)
    if not np.isfinite(judged.prediction).all():
        return
    plots = plot_files(
        y,
        judged.prediction,
        classes=profile.target.classes,
        target=profile.target.column,
        goal=goal,
        threshold=threshold,
        before=before,
        rows="out-of-fold rows" if evaluation.out_of_fold else "test rows",
    )
    for name, png in plots.items():
        evaluation.attach(name, png)


def check_beats_baseline(evaluation: Evaluation) -> Check:
    """Is the model better than its baseline, in the plan's metric, by more than one standard error of the difference?

    The standard error is that of a bootstrap of the judged rows in which both are scored on the same rows.
    """
    metric, gain, error = evaluation.metric, evaluation.gain, evaluation.gain_error
    evidence = {
        "metric": metric,
        "model": evaluation.test.get(metric),
        "baseline": evaluation.baseline.get(metric),
        "gain": gain,
        "standard_error": error,
        "rows": evaluation.n_test,
    }
    if gain is None or error is None:
        message = f"Whether the baseline is beaten is unknown: the {evaluation.n_test:,} rows cannot tell {metric}."
        return Check(name="beats_baseline", passed=False, message=message, evidence=evidence)
    passed = gain > error
    message = (
        f"{metric} is {evaluation.test[metric]:.4g}, the baseline's {evaluation.baseline[metric]:.4g}: "
        f"{'better' if gain > 0 else 'worse'} by {abs(gain):.3g}, with a standard error of {error:.2g}."
    )
    if not passed:
        message += " The columns may hold nothing about the target, or too few rows are left to show it."
    return Check(name="beats_baseline", passed=passed, message=message, evidence=evidence)


def check_cv_test_gap(evaluation: Evaluation) -> Check:
    """Is the test score no worse than the folds promise, by more than three standard errors?

    The error is the root of the summed squares of the folds' standard deviation (dividing by folds - 1), which is how
    far one fold's worth of rows wanders, and the test score's bootstrap error. With one fold, whose spread is unknown,
    the test score's error counts twice. A better test score passes: the final model learned from more rows than those
    of the folds did.
    """
    metric = evaluation.metric
    test, mean = evaluation.test.get(metric), evaluation.cross_validation.get(f"{metric}_mean")
    spread, error = evaluation.cross_validation.get(f"{metric}_std"), evaluation.test_error
    evidence: dict[str, Any] = {"metric": metric, "test": test, "cross_validation": mean, "folds": evaluation.folds}
    if evaluation.out_of_fold:
        message = "There are no test rows (`testSize` is 0), so there is nothing to hold the folds against."
        return Check(name="cv_test_gap", passed=True, message=message, evidence=evidence)
    if test is None or mean is None or error is None:
        message = f"The rows cannot tell {metric}, so test and cross-validation cannot be compared."
        return Check(name="cv_test_gap", passed=False, message=message, evidence=evidence)
    of_folds = spread * np.sqrt(evaluation.folds / (evaluation.folds - 1)) if spread is not None else error
    allowed = float(_GAP_ERRORS * np.hypot(of_folds, error))
    gap = METRICS[metric].gain(test, mean)
    passed = gap >= -allowed
    message = (
        f"{metric} is {test:.4g} on the test rows and {mean:.4g} in cross-validation: "
        f"{'better' if gap >= 0 else 'worse'} by {abs(gap):.3g}, and {allowed:.3g} can be chance."
    )
    if not passed:
        message += " The test rows may be of another kind than the others, or the search has fitted the folds."
    evidence |= {"gap": gap, "allowed": allowed}
    return Check(name="cv_test_gap", passed=passed, message=message, evidence=evidence)
