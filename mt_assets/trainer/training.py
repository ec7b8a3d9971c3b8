"""The final fit, the proof that the model works elsewhere, and how the score grows with rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import ClassVar, Final

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from mt_assets.trainer.algorithms.algorithm import Encoding
from mt_assets.trainer.algorithms.forest import keeping_seconds
from mt_assets.trainer.algorithms.pipeline import encoding_of
from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.data.target import encode_target
from mt_assets.trainer.ensemble.final import assemble
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.features.preprocessor import TablePreprocessor, rows_digest
from mt_assets.trainer.load_check import check_elsewhere
from mt_assets.trainer.memory import give_back
from mt_assets.trainer.model import ModelFacts, TabularModel, TrainedModel, library_versions, seconds_of
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.search.final_cost import judged_rows, members_at_once
from mt_assets.trainer.search.fold_fits import Fitted, fit_estimator, fit_setting
from mt_assets.trainer.search.result import BestParams, FoldRows, Member, StudyResult
from mt_assets.trainer.store.record import Record

FIXTURE_ROWS: Final = 50

LEARNING_SHARES: Final = (0.25, 0.5, 1.0)
"""Of the training rows of the canonical fold."""

_TIMED_ROWS: Final = 1_000

_LONGER: Final = 2.2
"""Of twice the rows a fit takes about twice as long, or a little longer."""


class LearningCurve(Record):
    """The score of the best single candidate on the canonical fold, by the number of rows that it was fitted on.

    Attributes
    ----------
    metric : str
    algorithm : str
        Of the candidate, also where the model is an ensemble.
    rows : tuple of int
    scores : tuple of float
    """

    filename: ClassVar[str] = "learning_curve.json"

    metric: str
    algorithm: str = ""
    rows: tuple[int, ...]
    scores: tuple[float, ...]


class TrainingHistory(StudyResult):
    """Every trial of the search, and of tables the learning curve of its winner: what `training_history.json` holds."""

    learning_curve: LearningCurve | None = None


def train_final(
    plan: TrainingPlan,
    best: BestParams,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor,
    folder: Path | None = None,
) -> TrainedModel:
    """Fit the best candidate on all learning rows, with nothing held back, or put the ensemble together.

    Boosters run the mean number of rounds that early stopping found on the folds; no row is left to stop on.

    Parameters
    ----------
    preprocessor : TablePreprocessor
        Cloned unfitted; its encoding is replaced by what the algorithm wants.
    folder : pathlib.Path, optional
        That of the search, with the fold models of members that are not fitted again.

    Raises
    ------
    TrainingError
        When the learning rows are of one class only.
    """
    started = time.perf_counter()
    frame = _rows(table, splits.learning, profile)
    give_back()  # what was read of the table's file
    with threadpool_limits(limits=plan.threads):
        if best.ensemble:
            made = _ensemble(plan, best, table, frame, profile, splits, preprocessor, folder)
        else:
            made = _single(plan, best, frame, profile, splits, preprocessor)
    features = tuple(profile.features)
    complete = not profile.target.classes or len(made.known) == len(profile.target.classes)
    model = TabularModel(
        pipeline=made.pipeline,
        features=features,
        classes=tuple(profile.target.classes) or None,
        target=profile.target.column,
        known=None if complete else made.known,
        positive=profile.target.positive,
        threshold=best.delivery.label_threshold,
        calibration=best.delivery.calibration,
    )
    fixture = frame[list(features)].iloc[:FIXTURE_ROWS]
    facts = ModelFacts(
        algorithm=best.trained_as,
        params=best.params,
        members=tuple(member.told for member in best.ensemble),
        features=features,
        classes=model.classes,
        target=model.target,
        rows_seen=rows_digest(made.rows),
        fold_rows=made.fold_rows,
        n_rows=len(made.rows),
        seconds=time.perf_counter() - started,
        versions=library_versions(),
        notes=made.notes,
        delivery=best.delivery,
    )
    return TrainedModel(facts, made.rows, fixture, model.scores(fixture), model=model)


@dataclass(frozen=True, eq=False)
class _Made:
    """A fitted pipeline, the class codes that it knows, and the rows that it really saw."""

    pipeline: Pipeline
    known: tuple[int, ...]
    rows: np.ndarray
    notes: tuple[str, ...]
    fold_rows: tuple[FoldRows, ...] = ()


def _single(
    plan: TrainingPlan,
    best: BestParams,
    frame: pd.DataFrame,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor,
) -> _Made:
    encoded = _encoded(_encoding_for(best), frame, profile, preprocessor)
    fitted = _of_several_classes(_fit(plan, encoded, profile, splits, best), frame, profile)
    rows = encoded.encoder.rows_seen_
    del encoded.encoder.rows_seen_  # stands in `TrainedModel.rows`; a model that is handed out need not carry it
    pipeline = Pipeline([("preprocessor", encoded.encoder), ("model", fitted.estimator)])
    return _Made(pipeline, tuple(int(code) for code in fitted.present), rows, fitted.report.notes)


def _ensemble(
    plan: TrainingPlan,
    best: BestParams,
    table: Table,
    frame: pd.DataFrame,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor,
    folder: Path | None,
) -> _Made:
    def refit(members: Sequence[Member]) -> list[tuple[TablePreprocessor, Fitted]]:
        return _fit_members(plan, members, frame, profile, splits, preprocessor)

    assembly = assemble(plan, best, table, profile, splits, preprocessor, folder, refit)
    n_classes = len(profile.target.classes)
    return _Made(
        Pipeline([("model", assembly.blend(n_classes))]),
        tuple(range(n_classes)),
        np.unique(np.concatenate(assembly.rows)),
        tuple(dict.fromkeys(assembly.notes)),
        tuple(assembly.fold_rows),
    )


def _fit_members(
    plan: TrainingPlan,
    members: Sequence[Member],
    frame: pd.DataFrame,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor,
) -> list[tuple[TablePreprocessor, Fitted]]:
    """Fit members on all learning rows, several at once; those that want rows encoded alike share them."""
    wanted = [_encoding_for(member) for member in members]
    encodings = {encoding: _Shared(wanted.count(encoding)) for encoding in wanted}

    def fit(member: Member, encoding: Encoding) -> tuple[TablePreprocessor, Fitted]:
        shared = encodings[encoding]
        encoded = shared.take(lambda: _encoded(encoding, frame, profile, preprocessor))
        with threadpool_limits(limits=plan.threads):  # each thread has a limit of its own
            made = _fit(plan, encoded, profile, splits, member)
        return encoded.encoder, _of_several_classes(made, frame, profile)

    with ThreadPoolExecutor(members_at_once(plan, splits)) as pool:  # estimators leave Python's lock while they fit
        return list(pool.map(fit, members, wanted))


class _Shared:
    """Encoded rows that so many fits want: made for the first, and forgotten with the last."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self._lock = Lock()
        self._made: _Encoded | None = None

    def take(self, make: Callable[[], _Encoded]) -> _Encoded:
        with self._lock:
            made = self._made or make()
            self._left -= 1
            self._made = made if self._left else None
            return made


def _of_several_classes(fitted: Fitted, frame: pd.DataFrame, profile: DataProfile) -> Fitted:
    if fitted.estimator is None:
        raise TrainingError(
            f"All {len(frame)} rows to learn from have the same class of {profile.target.column!r}; the others are all "
            "among the test rows.",
            suggestions=("Set a smaller `testSize`.", "Get more rows of the rare class."),
        )
    return fitted


def check_loads_elsewhere(trained: TrainedModel) -> Check:
    """Read the model in a fresh process and hold its predictions against those of the fit.

    Returns
    -------
    Check
        `artifact_loads_elsewhere`, blocking.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trained.save(folder)
        verdict = check_elsewhere(folder)
    return Check(
        name="artifact_loads_elsewhere",
        passed=bool(verdict["passed"]),
        blocking=True,
        message=verdict["message"],
        evidence=verdict.get("evidence", {}),
    )


def learning_curve(
    plan: TrainingPlan,
    best: BestParams,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor,
    shares: tuple[float, ...] = LEARNING_SHARES,
    deadline: float | None = None,
    fit_seconds: float = 0.0,
) -> LearningCurve:
    """Score the best single candidate on the canonical fold when it is fitted on a part of the training rows.

    The parts lie in each other: random ones (seeded by the plan), or of dated data the most recent. Boosters run as
    many rounds as the final fit.

    Parameters
    ----------
    deadline : float, optional
        By `time.monotonic()`: parts that would end later, by how long the one before took, are left out, and all of
        them where it has passed.
    fit_seconds : float
        What a fit of the candidate takes on a fold, by which the first part is judged.
    """
    train = np.sort(splits.train)
    if splits.strategy == "time_series_split":
        order = train[::-1]
    else:
        order = np.random.default_rng(plan.seed).permutation(train)
    validation = _rows(table, splits.validation, profile)
    y = encode_target(validation[profile.target.column], profile.target)
    goal, counts, scores = Goal.of(plan, profile.target.positive), [], []
    with threadpool_limits(limits=plan.threads):
        expected = shares[0] * fit_seconds
        for share in shares:
            began = time.monotonic()
            if deadline is not None and began + expected > deadline:
                break
            frame = _rows(table, order[: max(2, round(share * len(order)))], profile)
            encoded = _encoded(_encoding_for(best), frame, profile, preprocessor)
            fitted = _fit(plan, encoded, profile, splits, best)
            prediction = fitted.predict(encoded.encoder.transform(validation), len(profile.target.classes))
            counts.append(len(frame))
            scores.append(goal.judge(y, prediction).score)
            expected = _LONGER * (time.monotonic() - began)
    return LearningCurve(metric=plan.metric, algorithm=best.algorithm, rows=tuple(counts), scores=tuple(scores))


def judging_seconds(trained: TrainedModel, table: Table, profile: DataProfile, splits: Splits) -> float:
    """How long it will take to predict the rows that the model is judged on, told by some that it learned from."""
    rows = _rows(table, splits.learning[:_TIMED_ROWS], profile)
    return seconds_of(trained.model, rows) * judged_rows(splits) / len(rows)


def tracking_seconds(trained: TrainedModel) -> float:
    """How many seconds more than usual it takes to store, to prove and to track this model."""
    return sum(keeping_seconds(part.estimator) for part in trained.model.estimators)


def training_history(study: StudyResult, curve: LearningCurve | None = None) -> bytes:
    """Content of `training_history.json`, see `TrainingHistory`."""
    history = TrainingHistory(**dict(study), learning_curve=curve)
    return history.model_dump_json(indent=1).encode()


def _rows(table: Table, positions: np.ndarray, profile: DataProfile) -> pd.DataFrame:
    return table.take(positions).frame([*profile.features, profile.target.column])


@dataclass(frozen=True, eq=False)
class _Encoded:
    """The rows of a frame, [n, p] and [n], and the preprocessor that was fitted on them."""

    encoder: TablePreprocessor
    X: np.ndarray
    y: np.ndarray


def _encoding_for(best: BestParams | Member) -> Encoding:
    return encoding_of(algorithm(best.algorithm), best.params)


def _encoded(
    encoding: Encoding, frame: pd.DataFrame, profile: DataProfile, preprocessor: TablePreprocessor
) -> _Encoded:
    encoder: TablePreprocessor = clone(preprocessor).set_params(encoding=encoding)
    y = encode_target(frame[profile.target.column], profile.target)
    return _Encoded(encoder, encoder.fit_transform(frame, y), y)


def _fit(
    plan: TrainingPlan, encoded: _Encoded, profile: DataProfile, splits: Splits, best: BestParams | Member
) -> Fitted:
    learner, setting = algorithm(best.algorithm), fit_setting(plan, profile, splits)
    params = learner.with_iterations(best.params, best.iterations)
    return fit_estimator(learner, setting, params, encoded.X, encoded.y, categories=encoded.encoder.n_categories_)
