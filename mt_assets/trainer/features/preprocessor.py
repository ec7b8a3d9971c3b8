"""From a canonical frame to the matrix that an estimator takes, learned from given rows and from no others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast, get_args

import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.target import encode_target
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.features.columns import (
    MAX_LEVELS,
    MAX_ONE_HOT,
    CalendarBlock,
    CategoryBlock,
    DatetimeBlock,
    NumberBlock,
    OneHotBlock,
    SquashedNumbers,
    unique_names,
)
from mt_assets.trainer.features.encoded_rows import EncodedRows
from mt_assets.trainer.features.generation import GeneratedBlock
from mt_assets.trainer.features.target_encoding import TargetBlock, can_tell
from mt_assets.trainer.features.text import EncodedText, TextBlock

if TYPE_CHECKING:
    from mt_assets.trainer.algorithms.algorithm import Encoding
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.recommendations import Transformation
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.forecasting.preprocessing import FittedSeriesPreprocessor
    from mt_assets.trainer.model import TrainedModel
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.search.result import FoldRows, StudyResult

_FILE: Final = "preprocessor.joblib"

ROWS_AT_ONCE: Final = 50_000
"""Rows that are put together at a time; more are no faster, and 100 columns of them are 40 MB."""

_Kind = Literal["number", "datetime", "text", "category", "told", "spelled"]
"""How a column is encoded; the last two are categories of many levels, by the target and by their letters."""


class TablePreprocessor(TransformerMixin, BaseEstimator):
    """Turn feature columns into what an estimator takes.

    Parameters
    ----------
    columns : dict of str to role
        Feature columns with their roles (`numeric`, `boolean`, `categorical`, `datetime`, `text`).
    encoding : {"native", "generated", "all_levels", "ordinal", "one_hot"}
        `native`: float64 with categories as level numbers in the last columns, which boosters are told of.
        `generated`: the same with columns made from others before them, see `generation`.
        `all_levels`: the same without a bound on the levels, for boosters with a way of their own with many.
        `ordinal`: as `native` in float32, for forests, which are not told. `one_hot`: float64 without gaps, scaled,
        for linear models. What is missing is NaN in all but the last.
    seed : int
        For the directions that text is projected on.
    transforms : dict of str to transformation, optional
        Of numeric columns, see `recommendations.Transformation`; applied before everything else.

    Attributes
    ----------
    rows_seen_ : numpy.ndarray
        Row positions (the index) of the frame it was fitted on, int64 [n].
    source_columns_ : dict of str to str
        The original column of each output feature; of one that is made from several the first.
    parents_ : dict of str to tuple of str
        The original columns of each output feature that is made from others.
    n_categories_ : int
        How many of the last output columns are level numbers of categories; 0 for `one_hot`.
    feature_names_in_ : numpy.ndarray
    """

    def __init__(
        self,
        columns: dict[str, str],
        encoding: Encoding = "native",
        seed: int = 0,
        transforms: dict[str, Transformation] | None = None,
    ) -> None:
        self.columns = columns
        self.encoding = encoding
        self.seed = seed
        self.transforms = transforms

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learn levels, medians, scales and text directions from canonical rows.

        Parameters
        ----------
        X : pandas.DataFrame
            Canonical.
        y : numpy.ndarray, optional
            Their target, as `target.encode_target` gives it: class codes (integers) or values (floats).

        Raises
        ------
        DataError
            When a column is missing.
        """
        self._learn(X, y, None)
        return self

    def fit_transform(self, X: pd.DataFrame, y: Any = None, text: EncodedText | None = None) -> np.ndarray:
        """Fit, and return the rows encoded, those that the target tells of by the targets of other rows.

        Parameters
        ----------
        X, y
            As for `fit`.
        text : EncodedText, optional
            What `encode_text` made of the same rows.
        """
        return self.fit_encode(X, y, text).whole()

    def fit_encode(self, X: pd.DataFrame, y: Any = None, text: EncodedText | None = None) -> EncodedRows:
        """As `fit_transform`; rows are encoded when they are taken."""
        frame, told = self._learn(X, y, text)
        return self._encode(frame, told)

    def _learn(self, X: pd.DataFrame, y: Any, text: EncodedText | None) -> tuple[pd.DataFrame, list[np.ndarray | None]]:
        """Fit all blocks; the columns that are read, and what `_encode` wants of them."""
        frame = self._own_columns(X)
        whole = pd.api.types.is_integer_dtype(frame.index.dtype)
        self.rows_seen_ = frame.index.to_numpy(dtype=np.int64) if whole else np.arange(len(frame), dtype=np.int64)
        self.feature_names_in_ = np.array(list(self.columns), dtype=object)
        self.n_features_in_ = len(self.columns)
        kinds = {column: self._kind(frame[column], role, y) for column, role in self.columns.items()}
        of = {kind: [name for name, each in kinds.items() if each == kind] for kind in get_args(_Kind)}
        self.text_ = self._text_block() if text is None else text.block
        numbers, dates = NumberBlock(of["number"], self.transforms), DatetimeBlock(of["datetime"])
        spelled, told = TextBlock(of["spelled"], self.seed), TargetBlock(of["told"], self.seed)
        makes = self.encoding == "generated"
        plain = [name for name in of["number"] if self.columns[name] == "numeric"]
        generated = GeneratedBlock(plain, of["category"], self.seed) if makes else None
        self.numbers_: list[NumberBlock | DatetimeBlock | TextBlock | TargetBlock | GeneratedBlock] = [
            numbers, dates, spelled, told, *([generated] if generated else []),
        ]  # fmt: skip
        numbers.fit(frame)
        dates.fit(frame)
        # What can be made of a row at any time is made when it is taken.
        told_rows: list[np.ndarray | None] = [
            None,
            None,
            spelled.fit_transform(frame),
            told.fit_transform(frame, y),
            *([generated.fit_transform(frame, y)] if generated else []),
            self.text_.fit_transform(frame) if text is None else text.train,
        ]
        one_hot = self.encoding == "one_hot"
        most = None if self.encoding == "all_levels" else MAX_LEVELS
        self.categories_: OneHotBlock | CategoryBlock = (
            OneHotBlock(of["category"]) if one_hot else CategoryBlock(of["category"], most)
        )
        self.categories_.fit(frame)
        self.calendar_ = CalendarBlock(of["datetime"] if one_hot else []).fit(frame)
        names = [name for block in (*self.numbers_, self.text_) for name in block.names_]
        self.scaler_ = SquashedNumbers().fit(self._columns(frame, told_rows)) if one_hot and names else None
        self.n_categories_ = 0 if one_hot else len(self.categories_.columns)
        self._name_outputs()
        return frame, told_rows

    def transform(self, X: pd.DataFrame, text: EncodedText | None = None) -> np.ndarray:
        """Encode rows.

        Parameters
        ----------
        X : pandas.DataFrame
            Canonical; columns in any order, others are ignored. Unseen categories and new gaps are allowed.
        text : EncodedText, optional
            What `encode_text` made of the same rows (its `others`).

        Returns
        -------
        numpy.ndarray
            [n, features].

        Raises
        ------
        DataError
            When a column is missing.
        """
        return self.encode(X, text).whole()

    def encode(self, X: pd.DataFrame, text: EncodedText | None = None) -> EncodedRows:
        """As `transform`; rows are encoded when they are taken."""
        check_is_fitted(self, "source_columns_")
        told = [None] * len(self.numbers_)
        return self._encode(self._own_columns(X), [*told, None if text is None else text.others])

    def encode_text(self, train: pd.DataFrame, others: pd.DataFrame) -> EncodedText:
        """Encode the text of a fold: learned from `train`. It is the same for all encodings of the other columns."""
        block = self._text_block()
        return EncodedText(block, block.fit_transform(train), block.transform(others))

    def _text_block(self) -> TextBlock:
        return TextBlock([column for column, role in self.columns.items() if role == "text"], self.seed)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the output features, object [features]."""
        check_is_fitted(self, "source_columns_")
        return np.array(list(self.source_columns_), dtype=object)

    def _own_columns(self, X: pd.DataFrame) -> pd.DataFrame:
        if not isinstance(X, pd.DataFrame):
            raise DataError(f"Features must come as a pandas frame with named columns, not as {type(X).__name__}.")
        missing = [column for column in self.columns if column not in X.columns]
        if missing:
            names = ", ".join(repr(column) for column in missing)
            raise DataError(
                f"The data lacks {names}, which the model was trained on.",
                suggestions=(f"Add {names}; values may be missing.",),
            )
        # X[[...]] would copy all of them.
        return pd.DataFrame({column: X[column] for column in self.columns}, index=X.index, copy=False)

    def _kind(self, column: pd.Series, role: str, y: Any) -> _Kind:
        """How a column is encoded. Booleans written as words are categories of two levels."""
        if role in ("datetime", "text"):
            return cast(_Kind, role)
        if role == "numeric" or (role == "boolean" and column.dtype != object):
            return "number"
        if self.encoding not in ("ordinal", "one_hot") or y is None or column.nunique() <= MAX_ONE_HOT:
            return "category"
        if can_tell(y):
            return "told"
        return "spelled" if self.encoding == "one_hot" else "category"

    def _name_outputs(self) -> None:
        made = [block for block in self.numbers_ if isinstance(block, GeneratedBlock)]
        names = [name for block in (*self.numbers_, self.text_) for name in block.names_]
        sources = [source for block in (*self.numbers_, self.text_) for source in block.sources_]
        if self.scaler_ is not None:
            gaps = self.scaler_.indicators_
            names, sources = (
                names + [f"{names[at]}_missing" for at in gaps],
                sources + [sources[at] for at in gaps],
            )
        for block in (self.calendar_, self.categories_):
            names, sources = names + list(block.names_), sources + list(block.sources_)
        names = unique_names(names)
        self.source_columns_ = dict(zip(names, sources, strict=True))
        several = [parents for block in made for parents in block.parents_]
        end = sum(len(block.names_) for block in self.numbers_)  # generated columns are the last of them
        self.parents_ = dict(zip(names[end - len(several) : end], several, strict=True))

    def _columns(self, frame: pd.DataFrame, told: list[np.ndarray | None]) -> Iterator[np.ndarray]:
        """The outputs that are no categories, one by one, before they are scaled."""
        for block, rows in zip((*self.numbers_, self.text_), told, strict=True):
            if rows is None and isinstance(block, NumberBlock):
                yield from block.each(frame)
            else:
                yield from (block.transform(frame) if rows is None else rows).T

    def _encode(self, frame: pd.DataFrame, told: list[np.ndarray | None]) -> EncodedRows:
        """All outputs of the rows: of each block what was told of them when it was fitted, or what it makes of them."""
        kind = np.dtype(np.float32 if self.encoding == "ordinal" else np.float64)
        parts = (slice(start, start + ROWS_AT_ONCE) for start in range(0, len(frame), ROWS_AT_ONCE))
        return EncodedRows(
            (len(frame), len(self.source_columns_)),
            kind,
            (
                self._outputs(frame.iloc[part], [None if rows is None else rows[part] for rows in told])
                for part in parts
            ),
        )

    def _outputs(self, frame: pd.DataFrame, told: list[np.ndarray | None]) -> np.ndarray:
        blocks = zip((*self.numbers_, self.text_), told, strict=True)
        numbers = np.hstack([block.transform(frame) if rows is None else rows for block, rows in blocks])
        if self.encoding == "one_hot":
            scaled = numbers if self.scaler_ is None else self.scaler_.transform(numbers)
            return np.hstack([scaled, self.calendar_.transform(frame), self.categories_.transform(frame)])
        return np.hstack([numbers, self.categories_.transform(frame)])


def rows_digest(positions: np.ndarray) -> str:
    """A short name for a set of rows: blake2b (16 bytes, hexadecimal) over the sorted positions."""
    ordered = np.sort(np.asarray(positions, dtype="<i8"))
    return hashlib.blake2b(ordered.tobytes(), digest_size=16).hexdigest()


class FittedPreprocessor:
    """The preprocessor fitted on the training rows, for people to inspect and reuse; `Storable`.

    Attributes
    ----------
    transformer : TablePreprocessor
    """

    def __init__(self, transformer: TablePreprocessor) -> None:
        self.transformer = transformer

    @property
    def rows(self) -> np.ndarray:
        """Positions that it was fitted on, int64."""
        rows: np.ndarray = self.transformer.rows_seen_
        return rows

    @property
    def digest(self) -> str:
        """`rows_digest` of them."""
        return rows_digest(self.rows)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What comes out."""
        return tuple(self.transformer.source_columns_)

    def table(self) -> list[dict[str, Any]]:
        """One row an original column: its role, and how many features it becomes, with the first of them."""
        of: dict[str, list[str]] = {column: [] for column in self.transformer.columns}
        for name, column in self.transformer.source_columns_.items():
            of[column].append(name)
        return [
            {
                "column": column,
                "role": self.transformer.columns[column],
                "features": len(names),
                "names": ", ".join(names[:5]) + (", …" if len(names) > 5 else ""),
            }
            for column, names in of.items()
        ]

    def save(self, folder: Path) -> None:
        joblib.dump(self.transformer, folder / _FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(joblib.load(folder / _FILE))


def fit_preprocessor(plan: TrainingPlan, table: Table, splits: Splits, profile: DataProfile) -> FittedPreprocessor:
    """Fit the preprocessor of the recommended algorithm on `splits.train`, and on nothing else."""
    from mt_assets.trainer.algorithms.registry import algorithm

    features: Mapping[str, str] = profile.features
    target = profile.target
    preprocessor = TablePreprocessor(
        dict(features), algorithm(plan.recommended).encoding, plan.seed, profile.transforms
    )
    frame = table.take(splits.train).frame([*features, target.column])
    return FittedPreprocessor(preprocessor.fit(frame, encode_target(frame[target.column], target)))


def check_fit_rows(
    splits: Splits,
    preprocessor: FittedPreprocessor | FittedSeriesPreprocessor | None = None,
    study: StudyResult | None = None,
    trained: TrainedModel | None = None,
) -> Check:
    """Hold the rows that fits were really given against the split.

    Parameters
    ----------
    splits : Splits
    preprocessor : FittedPreprocessor or FittedSeriesPreprocessor, optional
        Must have seen `train` exactly.
    study : StudyResult, optional
        Each fold fit must have seen its fold's training rows exactly, and early stopping and score its validation rows.
    trained : TrainedModel, optional
        Must have seen all learning rows and no others, or those of its folds where it is made of fold models; these
        must have seen what they would have in a study.

    Returns
    -------
    Check
        `fit_on_train_only`, blocking; evidence: `fits` (how many were held against the split) and `wrong`, a table.
    """
    wrong: list[dict[str, Any]] = []
    fits = 0
    if preprocessor is not None:
        fits += 1
        if preprocessor.digest != rows_digest(splits.train):
            wrong.append(_wrong("the preprocessor", preprocessor.rows, splits.train, splits.test))
    if study is not None:
        fits += sum(seen.fits for seen in study.fold_rows)
        wrong += _wrong_folds(splits, study.fold_rows)
    if trained is not None:
        fits += len(trained.facts.fold_rows) or 1
        wrong += _wrong_folds(splits, trained.facts.fold_rows)
        meant = [splits.learning]
        if trained.facts.fold_rows:
            meant.append(np.unique(np.concatenate([splits.folds[seen.fold].train for seen in trained.facts.fold_rows])))
        if all({rows_digest(trained.rows), trained.rows_seen} != {rows_digest(rows)} for rows in meant):
            wrong.append(_wrong("the final fit", trained.rows, meant[-1], splits.test))
    message = f"All {fits} fits saw the rows meant for them and no others."
    if wrong:
        where = ", ".join(entry["where"] for entry in wrong[:5])
        message = f"Not every one of {fits} fits saw the rows meant for it and no others: {where}."
    evidence = {"fits": fits, "wrong": wrong[:50]}
    return Check(name="fit_on_train_only", passed=not wrong, blocking=True, message=message, evidence=evidence)


def _wrong_folds(splits: Splits, fold_rows: tuple[FoldRows, ...]) -> list[dict[str, Any]]:
    wrong = []
    for seen in fold_rows:
        fold = splits.folds[seen.fold]
        train, validation = rows_digest(fold.train), rows_digest(fold.validation)
        for what, saw, meant in (
            ("preprocessor", seen.encoded, train),
            ("fit", seen.fitted, train),
            ("early stopping and score", seen.stopped, validation),
        ):
            if saw != meant:
                wrong.append({"where": f"{what} in fold {seen.fold}", "fits": seen.fits, "saw": saw, "meant": meant})
    return wrong


def _wrong(where: str, saw: np.ndarray, meant: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    return {
        "where": where,
        "rows": len(saw),
        "meant": len(meant),
        "too_many": len(np.setdiff1d(saw, meant)),
        "lacking": len(np.setdiff1d(meant, saw)),
        "test_rows": len(np.intersect1d(saw, test)),
    }
