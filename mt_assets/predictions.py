"""New rows scored by the champion, how far they have moved, and how right it was once the answers are known.

What belongs here: what the asset `predictions` makes. What does not: scores themselves (`scoring`), and what live
metrics lead to (`evaluation_feedback`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mt_assets import trainer
from mt_assets.evaluation_feedback import LIVE
from mt_assets.model_versions import version_model
from mt_assets.scoring import ScoredTable, score_table
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.frames import as_datetime
from mt_assets.trainer.data.names import meant
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.sources.local_files import local_files
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.data.target import encode_target
from mt_assets.trainer.errors import DataError, StoreError, TrainerError
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import all_metrics
from mt_assets.trainer.evaluation.predicted_plot import predicted_plot
from mt_assets.trainer.features.columns import as_labels
from mt_assets.trainer.model import TabularModel
from mt_assets.trainer.retraining.drift import DriftReport
from mt_assets.trainer.retraining.feedback import EvaluationFeedback, Window
from mt_assets.trainer.store.model_store import ModelStore, ModelVersion, RunStore

LEAST_ANSWERS = 30
"""Rows with a known answer below which live metrics are shown, but are no feedback: chance alone would miss a gate."""

Read = Callable[[Any], pa.Table]


@dataclass(frozen=True, eq=False)
class NewRows:
    """New rows as the champion sees them.

    Attributes
    ----------
    version : int
        Of the champion.
    scored : ScoredTable
    drift : DriftReport
        Of the new rows against those that the champion learned from.
    live, test : dict
        Metric to value on the rows whose answer is known (empty without any), and on the test rows of the training.
    answers : int
        Rows whose answer is known.
    feedback : EvaluationFeedback or None
        What the live metrics say, where there are answers enough.
    plot : bytes
        Small PNG: what is predicted, beside what was learned from.
    notes : tuple of str
    """

    version: int
    scored: ScoredTable
    drift: DriftReport
    live: dict[str, float | None]
    test: dict[str, float | None]
    answers: int
    feedback: EvaluationFeedback | None
    plot: bytes
    notes: tuple[str, ...]


def champion_version(store: ModelStore) -> ModelVersion:
    """The version that serves.

    Raises
    ------
    StoreError
        There is none yet.
    """
    champion = store.champion()
    version = store.version(champion.number) if champion else None
    if version is None:
        trained = bool(store.versions())
        raise StoreError(
            f"{store.name} has no champion that could score the rows: "
            f"{'no version has met its quality gates' if trained else 'it has not been trained yet'}.",
            suggestions=(
                f"`mt-assets models {store.name}` lists the versions, and `mt-assets promote` takes one."
                if trained
                else f"Train it first: materialize {store.name}/training_result with everything upstream.",
            ),
        )
    return version


def rows_to_score(spec: TrainingSpec, read: Read, partition: str | None) -> Table:
    """The new rows, or those of one partition: a day, or a file by its name.

    Raises
    ------
    DataError
        They cannot be read, or there are none.
    """
    asked = spec.predictions
    assert asked is not None
    if partition is None:
        return Table.of(read(asked.data_path))
    if asked.partitions == "file":
        files = [file.path for file in local_files(str(asked.data_path)) if file.path.name == partition]
        if len(files) != 1:
            raise DataError(
                f"{len(files) or 'No'} file{'s' if len(files) > 1 else ''} in {asked.data_path} "
                f"{'are' if len(files) > 1 else 'is'} named {partition}.",
                suggestions=("Give each file a name of its own." if files else "Check `predictions.dataPath`.",),
            )
        return Table.of(read(str(files[0])))
    table = Table.of(read(asked.data_path))
    times = _times(spec, table)
    day = date.fromisoformat(partition)
    begins = pd.Timestamp(day)
    of_day = table.take(table.positions[((times >= begins) & (times < begins + timedelta(days=1))).to_numpy()])
    if not len(of_day):
        raise DataError(f"No row of the {len(table):,} to score is of {partition}, by '{_time_column(spec)}'.")
    return of_day


def score_new_rows(spec: TrainingSpec, store: ModelStore, rows: Table, read: Read) -> NewRows:
    """Score rows by the champion, compare them with what it learned from, and judge it where answers are known.

    Parameters
    ----------
    spec : TrainingSpec
    store : ModelStore
    rows : Table
    read : callable
        Reads a source of the spec.

    Raises
    ------
    StoreError
        There is no champion, or its files are gone.
    DataError
        The rows lack a column that the model needs. Answers that cannot be used stop nothing: a note tells.
    """
    version = champion_version(store)
    trained: dict[str, Any] = {name: store.get(version.addresses[name]) for name in _READ}
    profile, learned = trained["data_profile"], trained["raw_data"].take(trained["folds"].learning)
    model = version_model(store, version).model
    scored = score_table(model, rows)
    drift = trainer.measure_drift(
        learned, rows, profile, trained["feature_importance"].permutation, seed=trained["training_plan"].seed
    )
    told = NewRows(
        version=version.number,
        scored=scored,
        drift=drift,
        live={},
        test=trained["test_metrics"].test,
        answers=0,
        feedback=None,
        plot=_plot(model, scored, learned, profile),
        notes=scored.notes,
    )
    try:
        answers = _answers(spec, rows, read)
        if answers is None:
            return told
        known = answers.notna().to_numpy()
        y = encode_target(answers[known], profile.target)
    except TrainerError as error:
        return replace(told, notes=(*told.notes, f"No live metrics: {error.message}"))
    if not len(y):
        return replace(told, notes=(*told.notes, "No live metrics: no row's answer is known yet."))
    plan = trained["training_plan"]
    terms = Goal.of(plan, profile.target.positive).terms.at(model.threshold)
    live = all_metrics(plan.task, y, _scores(model, scored.table)[known], profile.target.positive, terms)
    return replace(told, live=live, answers=len(y), feedback=_feedback(spec, told, live, rows, known))


_READ = ("raw_data", "data_profile", "folds", "training_plan", "test_metrics", "feature_importance")
"""What of the champion's training is needed."""


def keep_feedback(run: RunStore, feedback: EvaluationFeedback) -> bool:
    """Keep what live metrics say for whoever decides about retraining, unless newer rows have spoken of the version."""
    before = run.kept(LIVE)
    if isinstance(before, EvaluationFeedback) and before.version == feedback.version:
        ends = [each.window.to if each.window else None for each in (before, feedback)]
        if ends[0] and ends[1] and ends[1] < ends[0]:
            return False
    run.keep(LIVE, feedback)
    return True


def _time_column(spec: TrainingSpec) -> str | None:
    asked = spec.predictions
    return (asked.time_column if asked else None) or spec.time_column


def _times(spec: TrainingSpec, table: Table) -> pd.Series:
    name = _time_column(spec)
    if name not in table.columns:
        raise DataError(
            f"The rows to score have no column '{name}', which `predictions.timeColumn` names.",
            suggestions=(meant(str(name), table.columns),),
        )
    return as_datetime(table.frame([name])[name])


def _answers(spec: TrainingSpec, rows: Table, read: Read) -> pd.Series | None:
    """The target of each row, missing where it is not known; None where nobody asks for answers.

    Raises
    ------
    DataError
        The table of answers cannot be read or matched.
    """
    asked, target = spec.predictions, spec.target_column
    assert asked is not None
    if target in rows.columns:
        return rows.frame([target])[target]
    if asked.labels_path is None:
        return None
    labels = Table.of(read(asked.labels_path))
    for table, what in ((rows, "The rows to score"), (labels, "The table of answers")):
        lost = [name for name in asked.key_columns if name not in table.columns]
        if lost:
            raise DataError(f"{what} lack the key column {lost[0]!r}.", suggestions=(meant(lost[0], table.columns),))
    if target not in labels.columns:
        raise DataError(
            f"The table of answers lacks the target {target!r}.", suggestions=(meant(target, labels.columns),)
        )
    known = labels.frame([target])[target].set_axis(_keys(labels, asked.key_columns))
    twice = known.index[known.index.duplicated()]
    if len(twice):
        shown = ", ".join(map(str, twice[0]))
        raise DataError(f"The table of answers has more than one row for {', '.join(asked.key_columns)} = {shown}.")
    return known.reindex(_keys(rows, asked.key_columns)).set_axis(rows.positions)


def _keys(table: Table, columns: tuple[str, ...]) -> pd.MultiIndex:
    frame = table.frame(columns)
    return pd.MultiIndex.from_arrays([as_labels(frame[name]) for name in columns])


def _scores(model: TabularModel, scored: pa.Table) -> NDArray[np.float64]:
    """What metrics look at, read back from the columns that were added."""
    if model.classes is None:
        return scored[f"predicted_{model.target}"].to_numpy()
    return np.stack([scored[f"probability_{label}"].to_numpy() for label in model.classes], axis=1)


def _feedback(
    spec: TrainingSpec, told: NewRows, live: dict[str, float | None], rows: Table, known: NDArray[np.bool_]
) -> EvaluationFeedback | None:
    figures = {name: value for name, value in live.items() if value is not None}
    if known.sum() < LEAST_ANSWERS or not figures:
        return None
    return EvaluationFeedback(
        model=spec.name,
        version=told.version,
        window=_window(spec, rows.take(rows.positions[known])),
        rows=int(known.sum()),
        metrics=figures,
        drift=told.drift.score,
    )


def _window(spec: TrainingSpec, rows: Table) -> Window | None:
    """When the rows were due; None where no column tells. The time of scoring would make the same answers new ones."""
    if _time_column(spec) not in rows.columns:
        return None
    times = _times(spec, rows).dropna()
    if times.empty:
        return None
    moments: list[datetime] = [times.min().to_pydatetime(), times.max().to_pydatetime()]
    return Window.model_validate({"from": moments[0], "to": moments[1]})


def _plot(model: TabularModel, scored: ScoredTable, learned: Table, profile: DataProfile) -> bytes:
    target = profile.target.column
    before = learned.frame([target])[target].dropna()
    predicted = scored.table[f"predicted_{model.target}"].to_numpy(zero_copy_only=False)
    return predicted_plot(before.to_numpy(), predicted, model.classes, target)


def place_of(spec: TrainingSpec, store: ModelStore, partition: str | None) -> Path:
    """The file that scored rows go to."""
    asked = spec.predictions
    assert asked is not None
    if partition is None:
        return Path(asked.output) if asked.output else store.folder / "predictions" / "predictions.parquet"
    folder = Path(asked.output) if asked.output else store.folder / "predictions"
    return folder / f"{partition}.parquet"
