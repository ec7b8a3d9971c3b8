"""What is to be predicted: its task, its classes, and the class that precision and recall speak of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mt_assets.trainer.data.choice import Choice, choose
from mt_assets.trainer.data.names import meant
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

Label = bool | int | float | str

MOST_CLASSES = 1000
"""AutoGluon's `MULTICLASS_UPPER_LIMIT`."""

MOST_NUMBERED_CLASSES = 50
"""Whole numbers with more different values than this are amounts. AutoGluon's rule alone, which allows 1000, calls the
minutes of delay of 336,776 flights 577 classes and hourly particulate matter 581."""

LARGEST_AMOUNT = 1e37
"""Largest number that is predicted: single precision, in which boosted trees and networks compute, ends at 3.4e38."""

LARGEST_EXACT = 2**53
"""Largest whole number up to which double precision holds each one."""

POSITIVE_WORDS = frozenset({"1", "true", "t", "yes", "y", "positive", "pos", "+"})


class TargetProfile(Record):
    """What is to be predicted.

    Attributes
    ----------
    column : str
    task : str
        `classification`, `regression` or `time_series`.
    classes : tuple
        Original labels in ascending order; a class code is an index into it. Empty for numbers.
    counts : tuple of int
        Rows of each class.
    positive : int or None
        Index of the positive class of a binary target.
    missing : int
        Rows without a target; they are never used.
    decisions : tuple of Decision
        How the task and the positive label were chosen.
    """

    column: str
    task: str
    classes: tuple[Label, ...] = ()
    counts: tuple[int, ...] = ()
    positive: int | None = None
    missing: int = 0
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class TargetFacts:
    """What the task is decided from: what the spec asks, what the column holds, rows with a value, different values."""

    asked: str
    kind: str
    whole: bool
    rows: int
    unique: int

    @property
    def unique_share(self) -> float:
        """Different values by rows with a value."""
        return round(self.unique / max(self.rows, 1), 6)

    @property
    def few(self) -> bool:
        """AutoGluon's rule (`infer_problem_type`): at most 5 % different values above 1000 rows, else 10 %."""
        return self.unique_share <= (0.05 if self.rows > 1000 else 0.1)


_FACTS = ("rows", "unique", "unique_share")
TASK_RULES: tuple[Choice[TargetFacts], ...] = (
    Choice("task.asked", "time_series", lambda f: f.asked == "time_series", "The spec asks for it.", ("asked",)),
    Choice("task.asked", "classification", lambda f: f.asked == "classification", "The spec asks for it.", ("asked",)),
    Choice("task.asked", "regression", lambda f: f.asked != "auto", "The spec asks for it.", ("asked",)),
    Choice("task.text", "classification", lambda f: f.kind == "string", "The target is text.", ("unique",)),
    Choice("task.boolean", "classification", lambda f: f.kind == "boolean", "The target is true or false.", ()),
    Choice("task.two_values", "classification", lambda f: f.unique <= 2, "The target has two values.", ("unique",)),
    Choice("task.fractions", "regression", lambda f: not f.whole, "The target has fractions.", _FACTS),
    Choice(
        "task.amount",
        "regression",
        lambda f: f.unique > MOST_NUMBERED_CLASSES,
        "The target has {facts.unique:,} different whole numbers, too many for classes.",
        _FACTS,
    ),
    Choice(
        "task.few_numbers",
        "classification",
        lambda f: f.few,
        "The target has only {facts.unique:,} different whole numbers in {facts.rows:,} rows.",
        _FACTS,
    ),
    Choice(
        "task.many_numbers",
        "regression",
        lambda f: True,
        "The target has {facts.unique:,} different whole numbers in only {facts.rows:,} rows.",
        _FACTS,
    ),
)


def describe_target(table: Table, spec: "TrainingSpec") -> TargetProfile:
    """Decide the task, list the classes and choose the positive one.

    Raises
    ------
    DataError
        The column is not there, has no value, one class, more classes than can be learned, text where numbers are
        needed, or not the positive label that the spec names.
    """
    name = spec.target_column
    if name not in table.columns:
        raise DataError(
            f"The target column '{name}' is not in the data.",
            suggestions=(meant(name, table.columns), "Set targetColumn to the column that is to be predicted."),
        )
    values = table.frame([name])[name]
    known = values.dropna()
    missing = len(values) - len(known)
    if not len(known):
        raise DataError(
            f"The target column '{name}' is empty: all {len(values)} values are missing.",
            suggestions=("Choose another targetColumn, or data in which it is filled.",),
        )
    _refuse_merged(table, name, missing)
    facts = _facts(known, str(table.schema.field(name).type), spec.model_type)
    if facts.unique == 1:
        what = "class" if facts.asked in ("auto", "classification") else "value"
        raise DataError(
            f"The target column '{name}' has one {what} only, {str(known.iloc[0])!r}, in all {len(known)} rows that "
            "have a value; there is nothing to predict.",
            suggestions=("Choose another targetColumn, or data in which it varies.",),
        )
    task = choose("task", TASK_RULES, facts, "modelType")
    if task.value != "classification" or facts.kind == "datetime":
        _refuse_text(name, facts, known)
        _refuse_huge(name, known)
        numbers = "regression" if task.value == "classification" else task.value
        return TargetProfile(column=name, task=numbers, missing=missing, decisions=(task,))
    _refuse_many(name, facts)
    classes, counts = _classes(known, facts)
    positive = _positive(name, classes, counts, spec.positive_label)
    return TargetProfile(
        column=name,
        task="classification",
        classes=classes,
        counts=counts,
        positive=None if positive is None else positive.evidence["index"],
        missing=missing,
        decisions=(task,) if positive is None else (task, positive),
    )


def encode_target(values: pd.Series, target: TargetProfile) -> np.ndarray:
    """The target as models take it.

    Parameters
    ----------
    values : pandas.Series
        Canonical target column, without missing values.
    target : TargetProfile

    Returns
    -------
    numpy.ndarray
        int64 class codes (indices into `target.classes`), or float64 values; same order as `values`.

    Raises
    ------
    DataError
        A value is missing, is no number, or is a label that the target does not have.
    """
    if values.isna().any():
        raise DataError(f"{int(values.isna().sum())} of {len(values)} rows have no value in '{target.column}'.")
    numeric = values.dtype != object
    if target.task != "classification":
        if not numeric:
            raise DataError(f"The target '{target.column}' holds text ({values.iloc[0]!r}) where numbers are needed.")
        return values.to_numpy(dtype=np.float64)
    labels_are_text = isinstance(target.classes[0], str)
    if labels_are_text == numeric:
        codes = np.full(len(values), -1)
    elif labels_are_text:
        codes = pd.Index(target.classes, dtype=object).get_indexer(pd.Index(values, dtype=object))
    elif values.dtype.kind == "i":  # as they are: from 2^53 on, two whole numbers may be one in double precision
        codes = pd.Index(target.classes, dtype=object).get_indexer(pd.Index(values.to_numpy(), dtype=object))
    else:
        codes = pd.Index([float(label) for label in target.classes]).get_indexer(
            pd.Index(values.to_numpy(dtype=np.float64))
        )
    if (codes < 0).any():
        unseen = sorted({str(value) for value in values[codes < 0]})
        raise DataError(
            f"The target '{target.column}' holds {', '.join(map(repr, unseen[:5]))}, which the model does not know; it "
            f"knows {', '.join(repr(label) for label in target.classes[:10])}.",
        )
    return codes.astype(np.int64)


def _facts(known: pd.Series, dtype: str, asked: str) -> TargetFacts:
    kind = "string" if known.dtype == object else "boolean" if dtype == "bool" else "number"
    if pd.api.types.is_datetime64_any_dtype(known.dtype):
        kind = "datetime"
    whole = kind == "number" and bool((known % 1 == 0).all())
    return TargetFacts(asked, kind, whole, len(known), int(known.nunique()))


def _refuse_merged(table: Table, name: str, missing: int) -> None:
    """Refuse whole numbers that missing values between them would turn into fractions, of which several become one."""
    column = table.arrow([name]).column(0)
    if not missing or not pa.types.is_integer(column.type):
        return
    bounds = pc.min_max(column).as_py()
    if max(abs(bounds["min"]), abs(bounds["max"])) > LARGEST_EXACT:
        raise DataError(
            f"The target column '{name}' holds whole numbers beyond 2^53 (such as {bounds['max']}) and {missing} "
            "missing values; together they cannot be told apart exactly.",
            suggestions=("Write them as text, such as with a letter in front.", "Leave out the rows without a value."),
        )


def _refuse_huge(name: str, known: pd.Series) -> None:
    """Refuse amounts whose squares and sums are no numbers any more."""
    beyond = known[known.abs() > LARGEST_AMOUNT]
    if len(beyond):
        raise DataError(
            f"The target column '{name}' holds numbers beyond ±{LARGEST_AMOUNT:.0e} in {len(beyond)} rows (such as "
            f"{beyond.iloc[0]:.3g}), with whose errors no model can be judged.",
            suggestions=(f"Divide '{name}' by a power of ten.", "Leave out rows whose value is an error."),
        )


def _refuse_text(name: str, facts: TargetFacts, known: pd.Series) -> None:
    if facts.kind in ("string", "datetime"):
        what = "text" if facts.kind == "string" else "dates"
        raise DataError(
            f"The target column '{name}' holds {what} (such as {str(known.iloc[0])!r}), which cannot be "
            "predicted as a number.",
            suggestions=(
                "Set modelType to classification, or leave it out." if facts.kind == "string" else "Use a number.",
                f"If '{name}' is meant as numbers, write them without units and thousands separators.",
            ),
        )


def _refuse_many(name: str, facts: TargetFacts) -> None:
    if facts.kind == "number" and not facts.whole and facts.unique > 2:
        raise DataError(
            f"The target column '{name}' holds numbers with fractions ({facts.unique:,} different ones), which are no "
            "classes.",
            suggestions=("Set modelType to regression, or leave it out.",),
        )
    if facts.unique > MOST_CLASSES:
        raise DataError(
            f"The target column '{name}' has {facts.unique:,} different values in {facts.rows:,} rows; more than "
            f"{MOST_CLASSES} classes cannot be learned.",
            suggestions=("For amounts, set modelType to regression.", "Choose another target, or group its values."),
        )


def _classes(known: pd.Series, facts: TargetFacts) -> tuple[tuple[Label, ...], tuple[int, ...]]:
    counts = known.value_counts().sort_index()
    convert = {"boolean": bool, "string": str}.get(facts.kind, int if facts.whole else float)
    return tuple(convert(label) for label in counts.index), tuple(int(count) for count in counts)


def _positive(name: str, classes: tuple[Label, ...], counts: tuple[int, ...], asked: Label | None) -> Decision | None:
    """Which of two classes is the positive one; None where there are more."""
    shown = ", ".join(repr(label) for label in classes[:20])
    if asked is not None:
        matches = [index for index, label in enumerate(classes) if label == asked or str(label) == str(asked)]
        if not matches:
            raise DataError(
                f"positiveLabel {asked!r} is not a class of '{name}'; its classes are {shown}.",
                suggestions=("Set positiveLabel to one of them, or leave it out: a recorded rule then decides.",),
            )
    if len(classes) != 2:
        return None
    words = [index for index, label in enumerate(classes) if _word(label) in POSITIVE_WORDS]
    if asked is not None:
        rule, index, reason = "positive.asked", matches[0], "The spec names it."
    elif len(words) == 1:
        rule, index, reason = "positive.word", words[0], "Its label says so."
    else:
        # Of equally frequent classes the later label, as in scikit-learn.
        index = 0 if counts[0] < counts[1] else 1
        rule, reason = "positive.rarer", "It is the rarer class, or of two equal ones the later label."
    return Decision(
        decision="positive_label",
        value=classes[index],
        rule=rule,
        reason=reason,
        evidence={"index": index, "classes": {str(label): count for label, count in zip(classes, counts, strict=True)}},
        override="positiveLabel",
    )


def _word(label: Label) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label).strip().lower()
