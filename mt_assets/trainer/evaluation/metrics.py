"""Every metric: its name, its direction, what it is computed from.

Written on numpy alone, because a search calls `score` once for each fold of each trial, and because the degenerate
cases (one class in a fold, a constant target, zeros under a percentage) must come out the same way everywhere:
a metric that the rows cannot tell is None, never NaN and never a convention that looks like a result. Where a value
is defined, it equals scikit-learn's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from mt_assets.trainer.errors import TrainingError

Task = Literal["classification", "regression", "time_series"]
Direction = Literal["maximize", "minimize"]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 under the logarithm, as scikit-learn does: a forest that gives the true
class 0 costs 36 for that row, and not infinity."""


@dataclass(frozen=True, eq=False)
class Terms:
    """What figures about labels depend on besides the rows.

    Attributes
    ----------
    threshold : float or ndarray [n]
        Probability of the positive class from which a row of two classes is labelled as it; one for each row where
        rows have their own.
    beta : float or None
        How much more recall counts than precision in `fbeta` (van Rijsbergen 1979: as many times); None is not asked.
    costs : (float, float) or None
        Of a false positive and of a false negative, for `cost`; None is not asked.
    """

    threshold: float | Floats = 0.5
    beta: float | None = None
    costs: tuple[float, float] | None = None

    @property
    def indifference(self) -> float:
        """The threshold at which either label costs the same, were the probabilities true: c_fp / (c_fp + c_fn).

        Elkan, The Foundations of Cost-Sensitive Learning (2001), with correct labels free. Without costs it is 0.5.
        """
        return 0.5 if self.costs is None else self.costs[0] / (self.costs[0] + self.costs[1])

    def at(self, threshold: float | Floats) -> "Terms":
        """The same with another threshold."""
        return replace(self, threshold=threshold)


USUAL = Terms()
"""Labels as the likeliest class gives them; neither `fbeta` nor `cost` is asked for."""


@dataclass(frozen=True)
class Answers:
    """What a metric may look at, each part computed once for all metrics.

    Attributes
    ----------
    y : ndarray [n]
        Class codes (int64), or target values (float64).
    prediction : ndarray [n, k] or [n]
        Probabilities in the order of the class codes, or predicted values.
    weights : ndarray [n] or None
        Of forecasts 1 / scale of the series; None of everything else.
    predicted : ndarray [n]
        Predicted class codes; the values themselves for regression.
    confusion : ndarray [k, k]
        Rows are the true classes, columns the predicted ones; empty for regression.
    positive : int
        Code of the class that binary precision, recall and curves speak of.
    terms : Terms
    """

    y: npt.NDArray[np.int64] | Floats
    prediction: Floats
    predicted: npt.NDArray[np.int64] | Floats
    confusion: npt.NDArray[np.int64]
    positive: int
    terms: Terms = USUAL
    weights: Floats | None = None

    @property
    def binary(self) -> bool:
        """Whether there are two classes: precision, recall and f1 are then those of the positive one."""
        return len(self.confusion) == 2

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Which classes stand in `y`; bool [k]."""
        return self.confusion.sum(axis=1) > 0

    @property
    def one_class(self) -> bool:
        """Whether `y` holds fewer than two classes, so that nothing can be told apart."""
        return int(self.present.sum()) < 2


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name : str
    direction : "maximize" or "minimize"
    tasks : tuple of str
        Of the plan's tasks, those that have it.
    needs : "labels", "proba" or "values"
        What of the prediction it looks at.
    function : callable
        Answers to a number, or None where the rows cannot tell it.
    undefined : float or None
        The score that every candidate gets on a fold that cannot tell the metric (chance level). The same for all, it
        changes no ranking. None: the metric is always defined on finite input.
    binary_only : bool
        Whether it exists for two classes alone.
    asked : "beta", "costs" or None
        The part of the terms without which it is not reported.
    """

    name: str
    direction: Direction
    tasks: tuple[Task, ...]
    needs: Literal["labels", "proba", "values"]
    function: Callable[[Answers], float | None]
    undefined: float | None = None
    binary_only: bool = False
    asked: Literal["beta", "costs"] | None = None

    @property
    def greater_is_better(self) -> bool:
        return self.direction == "maximize"

    def suits(self, task: Task, n_classes: int) -> bool:
        """Whether the metric is defined for this task with this many classes (ignored for regression)."""
        return task in self.tasks and (n_classes == 2 or not self.binary_only)

    def gain(self, value: float, reference: float) -> float:
        """How much better `value` is than `reference`; negative where it is worse."""
        return value - reference if self.greater_is_better else reference - value


def _accuracy(a: Answers) -> float:
    return float(np.trace(a.confusion) / len(a.y))


def _per_class(a: Answers) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and f1 of each class that is true or predicted anywhere; 0 where nothing was predicted."""
    hits, predicted, true = np.diag(a.confusion), a.confusion.sum(axis=0), a.confusion.sum(axis=1)
    seen = (predicted + true) > 0
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / np.maximum(predicted + true, 1)
    return precision[seen], recall[seen], f1[seen]


def _share_of_positive(a: Answers, which: int) -> float | None:
    if not a.binary:
        return float(_per_class(a)[which].mean())
    hits = int(a.confusion[a.positive, a.positive])
    true, predicted = int(a.confusion[a.positive].sum()), int(a.confusion[:, a.positive].sum())
    if true == 0:
        return None
    return (hits / max(predicted, 1), hits / true, 2 * hits / (true + predicted))[which]


def _precision(a: Answers) -> float | None:
    return _share_of_positive(a, 0)


def _recall(a: Answers) -> float | None:
    return _share_of_positive(a, 1)


def _f1(a: Answers) -> float | None:
    return _share_of_positive(a, 2)


def _fbeta(a: Answers) -> float | None:
    """(1 + b²) hits / ((1 + b²) hits + b² missed + false alarms), of the positive class or the mean of all."""
    weight = (a.terms.beta or 1.0) ** 2
    hits, predicted, true = np.diag(a.confusion), a.confusion.sum(axis=0), a.confusion.sum(axis=1)
    values = (1 + weight) * hits / np.maximum(weight * true + predicted, EPSILON)
    if not a.binary:
        return float(values[(predicted + true) > 0].mean())
    return float(values[a.positive]) if true[a.positive] else None


def _cost(a: Answers) -> float:
    """Mean cost of a row."""
    false_positive, false_negative = a.terms.costs or (1.0, 1.0)
    other = 1 - a.positive
    total = false_positive * a.confusion[other, a.positive] + false_negative * a.confusion[a.positive, other]
    return float(total / len(a.y))


def _balanced_accuracy(a: Answers) -> float | None:
    if a.one_class:
        return None
    present = a.present
    return float((np.diag(a.confusion)[present] / a.confusion.sum(axis=1)[present]).mean())


def _mcc(a: Answers) -> float | None:
    if a.one_class:
        return None
    counts = a.confusion.astype(np.float64)
    true, predicted, n = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    spread = (n**2 - predicted @ predicted) * (n**2 - true @ true)
    return float((np.trace(counts) * n - true @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def _ranking(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs in the right order, ties counting half."""
    up, down = np.sort(scores[positive]), np.sort(scores[~positive])
    below = np.searchsorted(down, up, "left") + np.searchsorted(down, up, "right")
    return float(below.mean() / (2 * len(down)))


def _roc_auc(a: Answers) -> float | None:
    """Binary: of the positive class. More classes: one against the rest, mean over the classes that stand in `y`."""
    if a.one_class:
        return None
    classes = [a.positive] if a.binary else np.flatnonzero(a.present)
    return float(np.mean([_ranking(a.prediction[:, c], a.y == c) for c in classes]))


def _average_precision(a: Answers) -> float | None:
    if a.one_class:
        return None
    order = np.argsort(-a.prediction[:, a.positive], kind="stable")
    scores, hits = a.prediction[order, a.positive], np.cumsum(a.y[order] == a.positive)
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # equal scores enter together
    recall = hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * hits[last] / (last + 1)))


def _log_loss(a: Answers) -> float:
    true = a.prediction[np.arange(len(a.y)), a.y.astype(np.int64)]
    return float(-np.log(np.clip(true, EPSILON, 1.0)).mean())


def _brier(a: Answers) -> float:
    return float(np.mean((a.prediction[:, a.positive] - (a.y == a.positive)) ** 2))


def _root_mean_square(values: Floats) -> np.float64:
    """Scaled by the largest value, so that neither very large nor very small errors are lost in the square."""
    largest = np.abs(values).max()
    return largest * np.sqrt(np.mean((values / largest) ** 2)) if largest > 0 else np.float64(0)


def _rmse(a: Answers) -> float:
    return float(_root_mean_square(a.y - a.prediction))


def _mae(a: Answers) -> float:
    return float(np.mean(np.abs(a.y - a.prediction)))


def _median_ae(a: Answers) -> float:
    return float(np.median(np.abs(a.y - a.prediction)))


def _r2(a: Answers) -> float | None:
    if np.ptp(a.y) == 0:
        return None
    return float(1.0 - (_root_mean_square(a.y - a.prediction) / _root_mean_square(a.y - a.y.mean())) ** 2)


def _mape(a: Answers) -> float | None:
    """Mean of |error| / |y| as a share, over the rows where y is not 0: there, no percentage exists."""
    rows = a.y != 0
    return float(np.mean(np.abs((a.y - a.prediction)[rows] / a.y[rows]))) if rows.any() else None


def _mase(a: Answers) -> float | None:
    """Mean absolute error, each divided by that of the seasonal naive forecast within its series.

    Hyndman and Koehler, Another look at measures of forecast accuracy (2006).
    """
    return None if a.weights is None else float(np.mean(np.abs(a.y - a.prediction) * a.weights))


def _smape(a: Answers) -> float:
    """Mean of 2 |error| / (|y| + |forecast|) as a share, 0 to 2; 0 where both are 0 (M3 competition)."""
    size = np.abs(a.y) + np.abs(a.prediction)
    return float(np.mean(np.divide(2 * np.abs(a.y - a.prediction), size, out=np.zeros_like(size), where=size > 0)))


_C: tuple[Task, ...] = ("classification",)
_R: tuple[Task, ...] = ("regression",)
_T: tuple[Task, ...] = ("time_series",)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "maximize", _C, "labels", _accuracy),
        Metric("precision", "maximize", _C, "labels", _precision, undefined=0.0),
        Metric("recall", "maximize", _C, "labels", _recall, undefined=0.0),
        Metric("f1", "maximize", _C, "labels", _f1, undefined=0.0),
        Metric("roc_auc", "maximize", _C, "proba", _roc_auc, undefined=0.5),
        Metric("average_precision", "maximize", _C, "proba", _average_precision, undefined=0.0, binary_only=True),
        Metric("log_loss", "minimize", _C, "proba", _log_loss),
        Metric("brier", "minimize", _C, "proba", _brier, binary_only=True),
        Metric("balanced_accuracy", "maximize", _C, "labels", _balanced_accuracy, undefined=0.5),
        Metric("mcc", "maximize", _C, "labels", _mcc, undefined=0.0),
        Metric("fbeta", "maximize", _C, "labels", _fbeta, undefined=0.0, asked="beta"),
        Metric("cost", "minimize", _C, "labels", _cost, binary_only=True, asked="costs"),
        Metric("mase", "minimize", _T, "values", _mase),
        Metric("smape", "minimize", _T, "values", _smape),
        Metric("rmse", "minimize", (*_R, *_T), "values", _rmse),
        Metric("mae", "minimize", (*_R, *_T), "values", _mae),
        Metric("r2", "maximize", _R, "values", _r2, undefined=0.0),
        Metric("mape", "minimize", _R, "values", _mape, undefined=0.0),
        Metric("median_ae", "minimize", _R, "values", _median_ae),
    )
}
"""Every metric by name, in the order in which they are reported."""

DIRECTION: dict[str, Direction] = {name: metric.direction for name, metric in METRICS.items()}


def metric_names(task: Task, n_classes: int = 0, terms: Terms = USUAL) -> tuple[str, ...]:
    """The metrics of a task that are reported, in their order.

    Parameters
    ----------
    task : "classification" or "regression"
    n_classes : int
        Number of classes; ignored for regression.
    terms : Terms
    """
    return tuple(
        name
        for name, metric in METRICS.items()
        if metric.suits(task, n_classes) and (metric.asked is None or getattr(terms, metric.asked) is not None)
    )


def predicted_codes(
    prediction: npt.NDArray[np.floating], positive: int | None = None, threshold: float | Floats = 0.5
) -> Codes:
    """The class code that each row of probabilities [n, k] is labelled with.

    Of two classes the positive one (code 1 unless it is named) where its probability is at least the threshold; of
    more the likeliest, the first of equal ones.
    """
    if prediction.shape[1] != 2:
        return np.argmax(prediction, axis=1).astype(np.int64)
    code = 1 if positive is None else positive
    return np.where(prediction[:, code] >= threshold, code, 1 - code).astype(np.int64)


def confusion_matrix(y: npt.NDArray, predicted: npt.NDArray, n_classes: int) -> npt.NDArray[np.int64]:
    """Count rows by true (first axis) and predicted class code (second axis); int64 [n_classes, n_classes]."""
    pairs = y.astype(np.int64) * n_classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.int64)


def _answers(y: npt.NDArray, prediction: npt.NDArray, positive: int | None, terms: Terms) -> Answers:
    values = np.asarray(prediction, dtype=np.float64)
    if values.ndim == 1:
        known = np.asarray(y, dtype=np.float64)
        held, weights = (known, None) if known.ndim == 1 else (known[:, 0], known[:, 1])
        return Answers(held, values, values, np.empty((0, 0), dtype=np.int64), 0, weights=weights)
    codes, predicted = np.asarray(y).astype(np.int64), predicted_codes(values, positive, terms.threshold)
    counts = confusion_matrix(codes, predicted, values.shape[1])
    return Answers(codes, values, predicted, counts, 1 if positive is None else positive, terms)


def score(metric: str, y: npt.NDArray, prediction: npt.NDArray, positive: int | None, terms: Terms = USUAL) -> float:
    """Compute one metric for comparing candidates.

    Parameters
    ----------
    metric : str
        A name of `METRICS`.
    y : ndarray [n] or [n, 2]
        Class codes 0..k-1, or target values; of forecasts values and 1 / scale, see `SeriesData.truth`.
    prediction : ndarray [n, k] or [n]
        Probabilities in the order of the class codes, or predicted values.
    positive : int or None
        Code of the positive class where there are two.
    terms : Terms
        Threshold, and what `fbeta` and `cost` depend on.

    Returns
    -------
    float
        Always finite, in the metric's own direction. On rows that cannot tell the metric, its `undefined` value.

    Raises
    ------
    TrainingError
        The predictions hold NaN or infinity, or the errors are too large for a number.
    """
    if not np.isfinite(prediction).all():
        bad = int((~np.isfinite(prediction).reshape(len(prediction), -1)).any(axis=1).sum())
        raise TrainingError(f"The model predicted NaN or infinity for {bad} of {len(prediction)} rows.")
    with np.errstate(all="ignore"):
        value = METRICS[metric].function(_answers(y, prediction, positive, terms)) if len(y) else None
    return defined(metric, value, len(y))


def defined(metric: str, value: float | None, rows: int) -> float:
    """The value, or what stands for it where the rows cannot tell it.

    Raises
    ------
    TrainingError
        There is no finite one.
    """
    if value is None:
        value = METRICS[metric].undefined
    if value is None or not np.isfinite(value):
        raise TrainingError(f"The metric {metric} has no finite value on these {rows} rows.")
    return value


def all_metrics(
    task: Task, y: npt.NDArray, prediction: npt.NDArray, positive: int | None = None, terms: Terms = USUAL
) -> dict[str, float | None]:
    """Compute every metric of the task.

    Parameters
    ----------
    task : "classification" or "regression"
    y, prediction, positive, terms
        As for `score`.

    Returns
    -------
    dict
        Name to value, finite or None. Precision, recall and f1 are those of the positive class for two classes, and
        macro averages for more. With fewer than two classes in `y`, what tells classes apart is None.
    """
    names = metric_names(task, prediction.shape[1] if prediction.ndim == 2 else 0, terms)
    if not len(y) or not np.isfinite(prediction).all():
        return dict.fromkeys(names)
    with np.errstate(all="ignore"):
        answers = _answers(y, prediction, positive, terms)
        values = {name: METRICS[name].function(answers) for name in names}
    return {name: value if value is not None and np.isfinite(value) else None for name, value in values.items()}
