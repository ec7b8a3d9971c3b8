"""Fitting a candidate on a fold: encoding, early stopping, prediction."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from filelock import FileLock
from optuna.distributions import BaseDistribution
from sklearn.base import clone

from mt_assets.trainer.algorithms.algorithm import Algorithm, Encoding, FitReport, FitSetting, Params
from mt_assets.trainer.algorithms.checkpoint import SUFFIX, Checkpoint
from mt_assets.trainer.algorithms.forest import keeping_seconds
from mt_assets.trainer.algorithms.log_target import LogTarget, log_values
from mt_assets.trainer.algorithms.pipeline import LOG_TARGET, encoding_of, own_params
from mt_assets.trainer.algorithms.progress import is_lost
from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.data.assignment import Fold
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table, content_digest
from mt_assets.trainer.data.target import encode_target
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.features.preprocessor import TablePreprocessor, rows_digest
from mt_assets.trainer.features.text import EncodedText
from mt_assets.trainer.memory import give_back
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.planning.search_space import search_space
from mt_assets.trainer.search.candidate import CUT, LOST, Candidate, FoldCache, FoldResult, code_digest, content_key
from mt_assets.trainer.search.fold_models import FoldModels
from mt_assets.trainer.search.ladder import rungs_of
from mt_assets.trainer.search.memory import fit_bytes
from mt_assets.trainer.store.atomic import UNFINISHED

_MATRICES: Final = ("X", "y", "X_valid", "y_valid")
_TOLD: Final = "told.json"

MORE_TIME: Final = 1.5
"""A result that was cut short is not enough where there are so many times the seconds that it took."""


@dataclass(frozen=True, eq=False)
class EncodedFold:
    """The matrices of one fold in one encoding, and the rows that they really came from.

    Attributes
    ----------
    X, X_valid : numpy.ndarray [n, p], [m, p]
    y, y_valid : numpy.ndarray
        Class codes or values.
    categories : int
        How many of the last columns are level numbers of categories.
    encoded, fitted, stopped : str
        `rows_digest`, see `FoldResult`.
    preprocessor : str
        Digest of the fitted preprocessor, see `FoldResult`.
    """

    X: np.ndarray
    y: np.ndarray
    X_valid: np.ndarray
    y_valid: np.ndarray
    categories: int
    encoded: str
    fitted: str
    stopped: str
    preprocessor: str = ""

    @classmethod
    def map(cls, folder: Path) -> Self:
        """Map a saved one into memory, which all processes share; who writes to it (no one, but some estimators refuse
        what they cannot write to) writes to pages of its own."""
        matrices: dict[str, Any] = {
            name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in _MATRICES
        }
        return cls(**matrices, **json.loads((folder / _TOLD).read_text()))


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """A folder for encoded folds, gone afterwards; what a killed process leaves of it is swept by the next run."""
    scratch = folder / f"{UNFINISHED}encoded-{uuid.uuid4().hex}"
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fit_setting(plan: TrainingPlan, profile: DataProfile, splits: Splits) -> FitSetting:
    """The facts of this run that estimators and spaces depend on."""
    roles = list(profile.features.values())
    return FitSetting(
        task="classification" if plan.task == "classification" else "regression",
        n_classes=len(profile.target.classes),
        rows=len(splits.learning),
        features=len(roles),
        seed=plan.seed,
        threads=plan.threads,
        class_weight=plan.class_weight if plan.task == "classification" else None,
        categorical=sum(role == "categorical" for role in roles),
        generation=plan.feature_generation,
        log_target=plan.log_target,
    )


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted estimator and which of the target's classes it knows.

    Attributes
    ----------
    estimator : estimator
        Its classes are 0, 1, ... of `present`.
    present : numpy.ndarray
        Class codes that stood in the training rows, ascending; empty for regression.
    report : FitReport
    """

    estimator: Any
    present: np.ndarray
    report: FitReport

    def predict(self, X: np.ndarray, n_classes: int) -> np.ndarray:
        """Probabilities float64 [n, n_classes] in the order of the class codes, or values [n]."""
        if not n_classes:
            return np.asarray(self.estimator.predict(X), dtype=np.float64).reshape(len(X))
        if self.estimator is None:
            known = np.ones((len(X), 1))
        else:
            known = np.asarray(self.estimator.predict_proba(X), dtype=np.float64)
        if len(self.present) == n_classes:
            return known
        everything = np.zeros((len(X), n_classes))
        everything[:, self.present] = known
        return everything


def fit_estimator(
    learner: Algorithm,
    setting: FitSetting,
    params: Mapping[str, Any],
    X: np.ndarray,
    y: np.ndarray,
    X_valid: np.ndarray | None = None,
    y_valid: np.ndarray | None = None,
    patience: int | None = None,
    categories: int = 0,
    deadline: float | None = None,
    checkpoint: Checkpoint | None = None,
    bar: float | None = None,
) -> Fitted:
    """Build and fit; a class that the training rows lack is predicted with probability 0.

    Estimators see gapless codes, and stop early on rows of classes that they know. Training rows of one single class
    leave nothing to learn: that class is then predicted for certain (the estimator is None). A logarithm of the target
    that is to be learned is also what is stopped on; predictions are values again.

    Parameters
    ----------
    deadline : float, optional
    checkpoint : Checkpoint, optional
    bar : float, optional
        See `Algorithm.fit`.
    """
    estimator = learner.build(setting, own_params(params))
    if setting.task == "regression":
        logs = bool(params.get(LOG_TARGET))
        goal, goal_valid = (log_values(y), None if y_valid is None else log_values(y_valid)) if logs else (y, y_valid)
        report = learner.fit(
            estimator, X, goal, X_valid, goal_valid, patience,
            categories=categories, deadline=deadline, checkpoint=checkpoint, bar=bar,
        )  # fmt: skip
        made = LogTarget.around(estimator, y) if logs else estimator
        return Fitted(made, np.empty(0, dtype=np.int64), report)
    present, codes = np.unique(y, return_inverse=True)
    if len(present) == 1:
        return Fitted(None, present, FitReport(notes=("a fold has training rows of one class only",)))
    if X_valid is not None and y_valid is not None:
        known = np.isin(y_valid, present)
        if not known.all():
            X_valid, y_valid = X_valid[known], y_valid[known]
        y_valid = np.searchsorted(present, y_valid)
    report = learner.fit(
        estimator, X, codes, X_valid, y_valid, patience,
        class_weight=setting.class_weight, categories=categories, deadline=deadline, checkpoint=checkpoint, bar=bar,
    )  # fmt: skip
    return Fitted(estimator, present, report)


class FoldFits:
    """Everything needed to fit candidates on the folds of a run, each fold encoded once for each encoding.

    Only learning rows are read from the table; test rows never enter.

    Parameters
    ----------
    plan, table, profile, splits
        Of the same run.
    preprocessor : TablePreprocessor
        Cloned unfitted into every fold; its encoding is replaced by what each algorithm wants.
    cache : FoldCache
    scratch : pathlib.Path
        For encoded folds. Processes that fit the same job share it, so that a fold is encoded by one of them and
        mapped into memory by all.
    content : str, optional
        What `content` of this job is, where it is known already.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        table: Table,
        profile: DataProfile,
        splits: Splits,
        preprocessor: TablePreprocessor,
        cache: FoldCache,
        scratch: Path,
        content: str | None = None,
    ) -> None:
        self.plan = plan
        self.profile = profile
        self.folds = splits.folds[: plan.folds_per_trial]
        self.rungs = rungs_of(splits.folds[0], plan.ladder, plan.seed)
        self.setting = fit_setting(plan, profile, splits)
        self.cache = cache
        self.models = FoldModels(cache.folder, keep=plan.ensemble and plan.final_fit != "refit")
        self._preprocessor = preprocessor
        self._table = table
        self._scratch = scratch
        self._texts: dict[int, EncodedText] = {}
        self._fold_digests = [(rows_digest(fold.train), rows_digest(fold.validation)) for fold in self.folds]
        self._rung_digests = [(rows_digest(rung.train), rows_digest(rung.validation)) for rung in self.rungs]
        self._y_valid: dict[int, np.ndarray] = {}
        self.content = content or self._content(splits.learning)
        self._common = {
            "content": self.content,
            "code": code_digest(),
            "target": [profile.target.column, [str(label) for label in profile.target.classes]],
            "columns": list(preprocessor.columns.items()),
            "transforms": preprocessor.transforms,
            "encoder_seed": preprocessor.seed,
            "setting": [getattr(self.setting, name) for name in FitSetting.__dataclass_fields__],
            "patience": plan.early_stopping_rounds,
        }

    def _content(self, learning: np.ndarray) -> str:
        """Digest of what is learned from: the used columns of the learning rows, one column at a time."""
        rows, names = self._table.take(learning), [*self._preprocessor.columns, self.profile.target.column]
        return content_key(rows=rows_digest(learning), columns=[content_digest(rows.arrow([name])) for name in names])

    @property
    def folds_key(self) -> str:
        """Digest of the rows of all folds."""
        return content_key(folds=self._fold_digests)

    @property
    def data_key(self) -> str:
        """Digest of everything that fold results depend on, but the candidate."""
        return content_key(common=self._common, folds=self._fold_digests, rungs=self._rung_digests)

    @property
    def size(self) -> str:
        """What is learned from, in words."""
        return f"{self.setting.rows:,} rows of {self.setting.features} features"

    def space(
        self, algorithm_name: str, asked: Mapping[str, Any]
    ) -> tuple[dict[str, BaseDistribution], tuple[Params, ...]]:
        """Space and start configurations of an algorithm."""
        return search_space(algorithm(algorithm_name), self.setting, asked)

    def bytes(self, candidate: Candidate) -> float:
        """Bytes that a worker takes at its peak to encode a fold and to fit a candidate on it."""
        return fit_bytes(candidate, self.setting, self.profile)

    def key(self, candidate: Candidate, fold: int) -> str:
        """Name of a candidate's result on a fold."""
        return content_key(
            **self._common,
            rows=(self._fold_digests if fold >= 0 else self._rung_digests)[fold],
            algorithm=candidate.algorithm,
            encoding=encoding_of(algorithm(candidate.algorithm), candidate.params),
            params=candidate.params,
        )

    def y_valid(self, fold: int) -> np.ndarray:
        """Target of a fold's validation rows in ascending order: class codes or values."""
        if fold not in self._y_valid:
            self._y_valid[fold] = self._targets(self._take(self._fold(fold).validation, features=False))
        return self._y_valid[fold]

    def run(
        self, candidate: Candidate, fold: int, deadline: float | None = None, bar: float | None = None
    ) -> FoldResult:
        """The candidate's result on a fold, from the cache or fitted now and stored.

        Parameters
        ----------
        candidate : Candidate
        fold : int
        deadline : float, optional
            When boosting stops at the best round so far, by `time.monotonic()`.
        bar : float, optional
            See `Algorithm.fit`. Whether it was reached is told by the curve of the result.

        Raises
        ------
        TrainingError
            When the estimator's predictions are not finite.
        Exception
            Whatever the estimator raises.
        """
        key = self.key(candidate, fold)
        cut = f"{key}{CUT}"
        stored = self.cache.get(key)
        if stored is None and bar is not None and (lost := self.cache.get(f"{key}{LOST}")):
            stored = lost if is_lost(lost.curve, bar) else None
        if stored is None and deadline is not None and (short := self.cache.get(cut)):
            # One that has more time now is fitted anew.
            stored = short if deadline - time.monotonic() < MORE_TIME * short.seconds else None
        if stored is not None:
            return replace(stored, fold=fold)
        learner = algorithm(candidate.algorithm)
        data = self._encode(fold, encoding_of(learner, candidate.params))
        # Where time is limited a fit is short, and nobody is promised the same one again.
        checkpoint = None if deadline is not None else Checkpoint(self.cache.folder / f"{key}{SUFFIX}")
        started = time.perf_counter()
        fitted = fit_estimator(
            learner, self.setting, candidate.params, data.X, data.y, data.X_valid, data.y_valid,
            self.plan.early_stopping_rounds, data.categories, deadline, checkpoint, bar,
        )  # fmt: skip
        fit_ended = time.perf_counter()
        prediction = fitted.predict(data.X_valid, self.setting.n_classes)
        ended = time.perf_counter()
        if not np.isfinite(prediction).all():
            raise TrainingError(f"{candidate.algorithm} predicted values that are not finite.")
        given_up = bar is not None and is_lost(fitted.report.curve, bar)
        key = f"{key}{LOST}" if given_up else cut if fitted.report.cut else key
        result = FoldResult(
            key=key,
            fold=fold,
            prediction=prediction.astype(np.float32) if self.setting.n_classes else prediction,
            best_iteration=fitted.report.best_iteration,
            seconds=ended - started,
            predicting=ended - fit_ended,
            keeping=keeping_seconds(fitted.estimator),
            encoded=data.encoded,
            fitted=data.fitted,
            stopped=data.stopped,
            notes=fitted.report.notes,
            cut=fitted.report.cut,
            preprocessor=data.preprocessor,
            loss=fitted.report.loss,
            curve=fitted.report.curve,
            # Of a sample none is wanted.
            model=self.models.put(key, fitted, averages=learner.averages) if fold >= 0 and not given_up else "",
        )
        self.cache.put(result)
        if checkpoint is not None:
            checkpoint.drop()
        return result

    def _fold(self, fold: int) -> Fold:
        """A fold by its number, or a rung by its own."""
        return (self.folds if fold >= 0 else self.rungs)[fold]

    def _encode(self, fold: int, encoding: Encoding) -> EncodedFold:
        """The fold's matrices, encoded by whichever process needs them first, in memory as long as they are held."""
        place = self._scratch / f"{fold}-{encoding}"
        if not place.exists():
            self._scratch.mkdir(parents=True, exist_ok=True)
            with FileLock(place.with_suffix(".lock")):
                if not place.exists():
                    self._write_encoded(fold, encoding, place)
                    give_back()
        return EncodedFold.map(place)

    def _write_encoded(self, fold: int, encoding: Encoding, place: Path) -> None:
        """Encode the fold, with a preprocessor fitted on its training rows; others see all of it or nothing."""
        unfinished = place.with_name(f"{place.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        train, validation = self._take(self._fold(fold).train), self._take(self._fold(fold).validation)
        give_back()  # what was read of the table's file
        preprocessor: TablePreprocessor = clone(self._preprocessor).set_params(encoding=encoding)
        y = self._targets(train)
        if fold not in self._texts:
            self._texts[fold] = preprocessor.encode_text(train, validation)
        preprocessor.fit_encode(train, y, self._texts[fold]).save(unfinished / "X.npy")
        np.save(unfinished / "y.npy", y)
        preprocessor.encode(validation, self._texts[fold]).save(unfinished / "X_valid.npy")
        np.save(unfinished / "y_valid.npy", self.y_valid(fold))
        told = {
            "categories": preprocessor.n_categories_,
            "encoded": rows_digest(preprocessor.rows_seen_),
            "fitted": rows_digest(train.index.to_numpy()),
            "stopped": rows_digest(validation.index.to_numpy()),
            "preprocessor": self.models.put_preprocessor(preprocessor),
        }
        (unfinished / _TOLD).write_text(json.dumps(told))
        unfinished.rename(place)

    def _take(self, positions: np.ndarray, *, features: bool = True) -> pd.DataFrame:
        """Features and target of rows, or the target alone, in ascending order."""
        columns = [*self._preprocessor.columns] if features else []
        return self._table.take(positions).frame([*columns, self.profile.target.column])

    def _targets(self, frame: pd.DataFrame) -> np.ndarray:
        return encode_target(frame[self.profile.target.column], self.profile.target)
