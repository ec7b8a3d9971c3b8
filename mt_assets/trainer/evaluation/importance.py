"""Which of the user's own columns the model's predictions stand on."""

import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mt_assets.trainer.clock import QUICK_FINAL
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.data.target import encode_target
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import METRICS, score
from mt_assets.trainer.evaluation.plot_style import both_sizes
from mt_assets.trainer.evaluation.plots import importance_bars
from mt_assets.trainer.model import TabularModel, TrainedModel, View, seconds_of
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.final_cost import judged_rows
from mt_assets.trainer.store.record import Record

REPEATS = 5
"""scikit-learn's default for `permutation_importance`; the spread over repeats is reported beside the mean."""
_MOST_ROWS, _LEAST_ROWS, _PREDICTIONS = 5_000, 500, 2_000_000
"""Rows that are permuted: fewer of a wide table, so that a forest that predicts 50,000 rows a second takes no more
than 40 s, but not so few that a metric means nothing."""

_LEAST_ROWS_OF_MANY, _PREDICTIONS_OF_MANY = 200, 800_000
"""The same for an ensemble, counting the predictions of each of its estimators: 20 boosters and linear models on 19
columns take 10 s."""


_LEAST_ROWS_IN_TIME = 50
"""Rows that are shuffled however little time is left: fewer would tell nothing."""


class FeatureImportance(Record):
    """How much worse the model gets when one column is shuffled, and what the model itself says it used.

    Both are by the user's own columns, most important first. The plot `feature_importance.png` is attached.

    Attributes
    ----------
    permutation : dict
        Column to its share of the loss of all columns: not negative, sums to 1.
    std : dict
        Standard deviation of that share over the repeats.
    model : dict or None
        The estimator's own importances (impurity, gain or split counts; or absolute coefficients on scaled columns)
        summed over what each column was encoded into, as shares; None where it has none.
    metric : str
        What gets worse.
    rows : "test" or "learning"
        Which rows were shuffled. Learning rows, where there are no test rows, show what the model uses rather than
        what is of use.
    rows_used, repeats : int
    note : str
        What a reader of the figures has to know; may be empty.
    """

    filename: ClassVar[str] = "feature_importance.json"

    permutation: dict[str, float]
    std: dict[str, float]
    model: dict[str, float] | None
    metric: str
    rows: Literal["test", "learning"]
    rows_used: int
    repeats: int
    note: str = ""

    def table(self) -> list[dict[str, Any]]:
        """One row a column, the most important first."""
        own = self.model or {}
        return [
            {"column": name, "importance": share, "std": self.std[name], "model's own": own.get(name)}
            for name, share in self.permutation.items()
        ]

    def small_plots(self) -> dict[str, bytes]:
        """The plot for metadata."""
        png = self.attachment("small_feature_importance.png")
        return {"feature_importance": png} if png else {}


def explain(
    *,
    plan: TrainingPlan,
    trained: TrainedModel,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    deadline: float | None = None,
) -> FeatureImportance:
    """Measure how the plan's metric suffers when one column at a time is shuffled (Breiman 2001).

    Rows are encoded once (by each preprocessor of an ensemble), and what a column was encoded into is shuffled
    together: encoding is row by row, so this equals shuffling the column itself. Where features are made from several
    columns, the column itself is shuffled and the rows are encoded again. A column that the model's own importance says
    it never used cannot matter, and is not tried.

    Parameters
    ----------
    plan : TrainingPlan
    trained : TrainedModel
    table : Table
        Any handle on the table that the splits are of.
    profile : DataProfile
    splits : Splits
        The test rows are shuffled, or the learning rows where there are none.
    deadline : float, optional
        By `time.monotonic()`: as many rows are shuffled as there is time for, by how long one prediction takes.

    Raises
    ------
    TrainingError
        The model predicts NaN or infinity.
    """
    model, target = trained.model, profile.target
    columns = list(model.features)
    rng = np.random.default_rng(plan.seed)
    of: Literal["test", "learning"] = "test" if len(splits.test) else "learning"
    rows = splits.test if of == "test" else splits.learning
    estimators = len(model.estimators)
    least, affordable = (_LEAST_ROWS, _PREDICTIONS) if estimators == 1 else (_LEAST_ROWS_OF_MANY, _PREDICTIONS_OF_MANY)
    most = int(np.clip(affordable // (REPEATS * len(columns) * estimators), least, _MOST_ROWS))
    if len(rows) > most:
        rows = np.sort(rng.choice(rows, most, replace=False))
    frame = table.take(rows).frame([*columns, target.column])
    if deadline is not None:
        most, deadline = _affordable(model, frame, REPEATS * len(columns), deadline, judged_rows(splits))
        frame = frame.iloc[np.sort(rng.permutation(len(frame))[:most])]
    y = encode_target(frame[target.column], target)

    terms = Goal.of(plan, target.positive).terms.at(model.threshold)
    views = model.views(frame)
    own = _shares_of_all(
        [
            (part.weight, _model_importance(part.estimator, views[part.view].sources, columns))
            for part in model.estimators
        ],
        columns,
    )
    losses = _losses(
        model,
        frame[columns],
        views,
        [name for name in own or columns if own is None or own[name] > 0],
        lambda prediction: score(plan.metric, y, prediction, target.positive, terms),
        METRICS[plan.metric].gain,
        rng,
        deadline,
    )
    return _shares(losses, columns, own, plan.metric, of, len(frame))


def _affordable(
    model: TabularModel, frame: pd.DataFrame, predictions: int, deadline: float, judged: int
) -> tuple[int, float]:
    """For how many of the rows there is time to predict so often, and until when: the judged rows come after that."""
    seconds = seconds_of(model, frame)
    deadline -= max(seconds * judged / len(frame) - QUICK_FINAL, 0.0)
    left = deadline - time.monotonic()
    rows = np.clip(len(frame) * left / max(predictions * seconds, 1e-9), _LEAST_ROWS_IN_TIME, len(frame))
    return int(rows), deadline


def _losses(
    model: TabularModel,
    frame: pd.DataFrame,
    views: list[View],
    columns: list[str],
    judge: Callable[[npt.NDArray], float],
    gain: Callable[[float, float], float],
    rng: np.random.Generator,
    deadline: float | None,
) -> dict[str, npt.NDArray[np.float64]]:
    """How much each column's shuffling costs, [REPEATS] for each; all repeats of a column are predicted at once.

    Columns for which there is no time are not there; the first is always.
    """
    n = len(frame)
    before = judge(model.scores_of_views([view.encoded for view in views]))
    repeated = np.tile(np.arange(n), REPEATS)
    rows = frame.iloc[repeated]
    stacks = [view.encoded[repeated] for view in views]

    def shuffled(number: int, name: str, order: npt.NDArray[np.int64]) -> npt.NDArray:
        sources = views[number].sources
        if any(name in of and len(of) > 1 for of in sources):
            other = rows.assign(**{name: rows[name].array.take(order)})
            return model.view(other, number).encoded
        return _shuffled(stacks[number], np.flatnonzero([of == (name,) for of in sources]), order)

    losses: dict[str, npt.NDArray[np.float64]] = {}
    for name in columns:
        if losses and deadline is not None and time.monotonic() > deadline:
            break
        order = np.concatenate([rng.permutation(n) + n * repeat for repeat in range(REPEATS)])
        prediction = model.scores_of_views([shuffled(number, name, order) for number in range(len(views))])
        parts = (judge(prediction[n * repeat : n * (repeat + 1)]) for repeat in range(REPEATS))
        losses[name] = np.array([gain(before, after) for after in parts])
    return losses


def _shuffled(stack: npt.NDArray, at: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> npt.NDArray:
    other = stack.copy()
    other[:, at] = stack[np.ix_(order, at)]
    return other


def _shares_of_all(
    of_parts: list[tuple[float, dict[str, float] | None]], columns: list[str]
) -> dict[str, float] | None:
    """The weighted mean of the own importances of all parts; None where one has none."""
    known = [(weight, own) for weight, own in of_parts if own is not None]
    if len(known) < len(of_parts):
        return None
    shares = {name: sum(weight * own[name] for weight, own in known) for name in columns}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _model_importance(
    estimator: Any, sources: tuple[tuple[str, ...], ...], columns: list[str]
) -> dict[str, float] | None:
    """The estimator's own importance of each output feature, summed over each original column; shares of the whole.

    That of a feature that is made from several columns counts for them in equal parts.
    """
    if hasattr(estimator, "feature_importances_"):
        weights = np.asarray(estimator.feature_importances_, dtype=np.float64)
    elif hasattr(estimator, "coef_"):
        weights = np.atleast_2d(np.abs(np.asarray(estimator.coef_, dtype=np.float64))).mean(axis=0)
    else:
        return None
    total = weights.sum()
    if len(weights) != len(sources) or not np.isfinite(total) or total <= 0:
        return None
    shares = dict.fromkeys(columns, 0.0)
    for weight, parents in zip(weights, sources, strict=True):
        for name in parents:
            shares[name] += float(weight / total) / len(parents)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _shares(
    losses: dict[str, npt.NDArray[np.float64]],
    columns: list[str],
    own: dict[str, float] | None,
    metric: str,
    of: Literal["test", "learning"],
    rows_used: int,
) -> FeatureImportance:
    nothing = np.zeros(REPEATS)
    means = {name: max(0.0, float(losses.get(name, nothing).mean())) for name in columns}
    total = sum(means.values())
    notes = []
    untold = [name for name in columns if name not in losses and (own is None or own[name] > 0)]
    if untold:
        notes.append(f"There was no time to shuffle {len(untold)} of {len(columns)} columns; they count as unused.")
    if of == "learning":
        notes.append("There are no test rows (`testSize` is 0), so rows that the model was fitted on were shuffled.")
    if total <= 0:
        notes.append(f"Shuffling no column makes {metric} worse, so every column has the same share.")
    shares = {name: means[name] / total if total > 0 else 1 / len(columns) for name in columns}
    spread = {name: float(losses.get(name, nothing).std()) / total if total > 0 else 0.0 for name in columns}
    ranked = sorted(columns, key=lambda name: -shares[name])
    importance = FeatureImportance(
        permutation={name: shares[name] for name in ranked},
        std={name: spread[name] for name in ranked},
        model=own,
        metric=metric,
        rows=of,
        rows_used=rows_used,
        repeats=REPEATS,
        note=" ".join(notes),
    )
    for name, png in both_sizes(
        "feature_importance",
        lambda small: importance_bars(
            importance.permutation,
            deviation=importance.std,
            title="Permutation importance",
            measure=f"Share of the loss in {metric} by shuffling, {of} rows",
            small=small,
        ),
    ).items():
        importance.attach(name, png)
    return importance
