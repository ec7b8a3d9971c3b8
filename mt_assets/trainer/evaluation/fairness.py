"""How the model treats the groups of the sensitive columns, on the rows that it is tested on.

What belongs here: figures of each group and how far they lie apart, by fairlearn. What does not: whether they stop a
promotion (`promotion.fairness`, quality gates).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from mt_assets.spec_values import FAIRNESS_FIGURES
from mt_assets.trainer.data.profile import DataProfile, encode_target
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.evaluate import Evaluation
from mt_assets.trainer.evaluation.fairness_plot import fairness_bars
from mt_assets.trainer.evaluation.groups import LEAST_OF_CLASS, QUARTILES, Grouping, group_rows
from mt_assets.trainer.evaluation.metrics import predicted_codes
from mt_assets.trainer.evaluation.plot_style import both_sizes
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.store.record import Record

Figures = dict[str, float | None]
Metric = Callable[[npt.NDArray, npt.NDArray], float]


class GroupFigures(Record):
    """One group of one sensitive column.

    Attributes
    ----------
    column, group : str
    rows : int
    judged : bool
        Whether it has rows enough (`promotion.minSegment`) to count in the differences.
    figures : dict
        Two classes: `selection_rate`, `accuracy`, `recall`, `false_positive_rate`. More: `accuracy`, `recall` (mean
        over the classes). Regression: `mean_error` (above 0 where too much is predicted), `mae`. None where the rows
        cannot tell.
    """

    column: str
    group: str
    rows: int
    judged: bool
    figures: Figures


class Fairness(Record):
    """The model by groups of sensitive columns. The plot `fairness.png` is attached.

    Attributes
    ----------
    groups : tuple of GroupFigures
    columns : dict
        Of each column how far its judged groups lie apart. Two classes: `demographic_parity_difference` and `_ratio`
        (of selection rates) and `equalized_odds_difference` (the larger of those of recall and false positive rate).
        More: `accuracy_difference`, `recall_difference`. Regression: `mean_error_difference`, `mae_difference`.
    worst : dict
        The same of the column where it is worst; None where no column has two groups to tell it.
    rows : int
    out_of_fold : bool
        There are no test rows: the rows are then those that were learned from, predicted out of fold.
    note : str
        What a reader of the figures has to know.
    """

    filename: ClassVar[str] = "fairness.json"

    groups: tuple[GroupFigures, ...]
    columns: dict[str, Figures]
    worst: Figures
    rows: int
    out_of_fold: bool = False
    note: str = ""

    def table(self) -> list[dict[str, Any]]:
        """One row a group."""
        return [
            {"column": each.column, "group": each.group, "rows": each.rows, "judged": each.judged, **each.figures}
            for each in self.groups
        ]

    def differences(self) -> list[dict[str, Any]]:
        """One row a column."""
        return [{"column": column, **figures} for column, figures in self.columns.items()]

    def small_plots(self) -> dict[str, bytes]:
        """The plot for metadata."""
        png = self.attachment("small_fairness.png")
        return {"fairness": png} if png else {}


def assess_fairness(
    sensitive: Sequence[str],
    *,
    least: int,
    trained: TrainedModel,
    evaluation: Evaluation,
    table: Table,
    profile: DataProfile,
) -> Fairness:
    """Compute the figures of each group on the rows, and from the predictions, of the evaluation.

    Parameters
    ----------
    sensitive : sequence of str
        Columns, features or not.
    least : int
        Rows that a group needs to count.
    trained : TrainedModel
        Labels are by its threshold.
    evaluation : Evaluation
    table : Table
        Any handle on the table that was learned from.
    profile : DataProfile
    """
    target = profile.target
    positions, predicted = evaluation.judged()
    frame = table.take(positions).frame([*sensitive, target.column])
    y = encode_target(frame[target.column], target)
    prediction: npt.NDArray = predicted
    if predicted.ndim == 2:
        prediction = predicted_codes(predicted, target.positive, trained.facts.delivery.label_threshold)
    binary = len(target.classes) == 2
    if binary:
        y, prediction = (np.asarray(codes == (target.positive or 0)).astype(int) for codes in (y, prediction))
    metrics = _metrics(len(target.classes))
    groupings = [group_rows(frame[column], QUARTILES) for column in sensitive]
    groups = [each for grouping in groupings for each in _groups(grouping, metrics, y, prediction, least)]
    columns = {grouping.column: _apart(grouping, metrics, y, prediction, least, binary) for grouping in groupings}
    fairness = Fairness(
        groups=tuple(groups),
        columns=columns,
        worst=_worst(columns),
        rows=len(y),
        out_of_fold=evaluation.out_of_fold,
        note=_note(groupings, groups, least, evaluation, str(target.classes[target.positive or 0]) if binary else None),
    )
    draw = partial(fairness_bars, [(f"{each.column}: {each.group}", each.rows, each.figures) for each in groups])
    for name, png in both_sizes("fairness", draw).items():
        fairness.attach(name, png)
    return fairness


def _metrics(n_classes: int) -> dict[str, Metric]:
    """Figures of a group, as fairlearn takes them: by truth and label, 1 being the positive class of two."""
    from fairlearn.metrics import false_positive_rate, mean_prediction, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score, mean_absolute_error

    if not n_classes:
        return {"mean_error": lambda y, p: mean_prediction(y, p) - float(np.mean(y)), "mae": mean_absolute_error}
    if n_classes > 2:
        return {"accuracy": accuracy_score, "recall": _mean_recall}
    return {
        "selection_rate": partial(selection_rate, pos_label=1),
        "accuracy": accuracy_score,
        "recall": _told_by(1, partial(true_positive_rate, pos_label=1)),
        "false_positive_rate": _told_by(0, partial(false_positive_rate, pos_label=1)),
    }


def _mean_recall(y: npt.NDArray, prediction: npt.NDArray) -> float:
    """Mean over the classes that the group has, of the share that is found."""
    return float(np.mean([np.mean(prediction[y == code] == code) for code in np.unique(y)]))


def _told_by(code: int, metric: Metric) -> Metric:
    """The metric, or NaN where there are too few rows of a class: fairlearn would say 0 of none."""
    return lambda y, p: metric(y, p) if np.sum(y == code) >= LEAST_OF_CLASS else float("nan")


def _groups(
    grouping: Grouping, metrics: Mapping[str, Metric], y: npt.NDArray, prediction: npt.NDArray, least: int
) -> list[GroupFigures]:
    by_group = _frame(grouping.codes, metrics, y, prediction).by_group
    return [
        GroupFigures(
            column=grouping.column,
            group=name,
            rows=int(rows),
            judged=bool(rows >= least),
            figures={metric: _plain(by_group.loc[code, metric]) for metric in metrics},
        )
        for code, (name, rows) in enumerate(zip(grouping.names, grouping.counts, strict=True))
    ]


def _apart(
    grouping: Grouping,
    metrics: Mapping[str, Metric],
    y: npt.NDArray,
    prediction: npt.NDArray,
    least: int,
    binary: bool,
) -> Figures:
    """How far the groups of enough rows lie apart; None where fewer than two can tell."""
    judged = np.isin(grouping.codes, np.flatnonzero(grouping.counts >= least))
    if len(np.unique(grouping.codes[judged])) < 2:
        return dict.fromkeys(FAIRNESS_FIGURES if binary else [f"{name}_difference" for name in metrics])
    frame = _frame(grouping.codes[judged], metrics, y[judged], prediction[judged])
    known = frame.by_group.count() > 1
    apart = {name: value if known[name] else None for name, value in frame.difference().items()}
    if not binary:
        return {f"{name}_difference": _plain(value) for name, value in apart.items()}
    odds = [value for name in ("recall", "false_positive_rate") if (value := apart[name]) is not None]
    values = (apart["selection_rate"], frame.ratio()["selection_rate"], max(odds) if odds else None)
    return dict(zip(FAIRNESS_FIGURES, map(_plain, values), strict=True))


def _frame(codes: npt.NDArray, metrics: Mapping[str, Metric], y: npt.NDArray, prediction: npt.NDArray) -> Any:
    from fairlearn.metrics import MetricFrame

    return MetricFrame(
        metrics=dict(metrics), y_true=y, y_pred=prediction, sensitive_features=pd.Series(codes, name="group")
    )


def _plain(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _worst(columns: Mapping[str, Figures]) -> Figures:
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    known = {name: [value for each in columns.values() if (value := each.get(name)) is not None] for name in names}
    return {
        name: (min if name.endswith("_ratio") else max)(values) if values else None for name, values in known.items()
    }


def _note(
    groupings: Sequence[Grouping],
    groups: Sequence[GroupFigures],
    least: int,
    evaluation: Evaluation,
    positive: str | None,
) -> str:
    notes = [f"'{grouping.column}' is grouped by {grouping.rule}." for grouping in groupings]
    if positive is not None:
        notes.append(f"Selected are the rows that are labelled {positive!r}.")
    small = sum(not each.judged for each in groups)
    if small:
        notes.append(
            f"{small} of {len(groups)} groups have fewer than {least} rows (`promotion.minSegment`): shown, not judged."
        )
    if evaluation.out_of_fold:
        notes.append("There are no test rows (`testSize` is 0): the figures are out of fold.")
    return " ".join(notes)
