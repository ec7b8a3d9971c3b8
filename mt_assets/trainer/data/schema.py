"""The form that data has to keep: a pandera schema, given or inferred once, and what in a table breaks it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
from pandera.io.pandas_io import from_yaml, to_yaml

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.names import meant
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

MOST_CASES = 50
"""Failure cases that a check carries; the event log keeps them for ever."""

MOST_LABELS = 100
"""Labels of one column that are remembered, to say when new ones come."""

_UNUSED_ROLES = ("id", "constant", "drop")
_KINDS = {"float64": "numbers", "int64": "whole numbers", "bool": "true or false", "object": "text"}


class TableSchema(Record):
    """A pandera schema in YAML.

    Attributes
    ----------
    yaml : str
    labels : dict
        Labels that text columns had when the schema was inferred; others are told of, not refused.
    """

    filename = "schema.json"

    yaml: str
    labels: dict[str, tuple[str, ...]] = {}


def infer_schema(table: Table, profile: DataProfile | None = None) -> TableSchema:
    """Make the schema that a table keeps: its columns, and whether they hold numbers, times or text.

    Missing values and new labels are allowed, further columns as well. Columns that the profile does not use may go.
    """
    frame = table.frame()
    unused = {column.name for column in profile.columns if column.role in _UNUSED_ROLES} if profile else set()
    columns, labels = {}, {}
    for name in table.columns:
        values = frame[name]
        # A column without any value may become anything.
        dtype = None if values.isna().all() else _loose_dtype(values.dtype)
        columns[name] = pandera.Column(dtype, nullable=True, required=name not in unused)
        if dtype == "object":
            distinct = values.dropna().unique()
            if len(distinct) <= MOST_LABELS:
                labels[name] = tuple(sorted(distinct))
    return TableSchema(yaml=to_yaml(pandera.DataFrameSchema(columns, strict=False)), labels=labels)


def read_schema(path: str | Path) -> TableSchema:
    """Read a pandera schema that a person wrote in YAML.

    Raises
    ------
    DataError
        There is no such file, or it is not a pandera schema with columns.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The schema {path} cannot be read: {error}.", suggestions=("Check dataSchema.",)) from error
    try:
        columns = _schema(text).columns
    except Exception as error:  # pandera and yaml raise anything at all for a malformed file
        raise DataError(
            f"The schema {path} is not a pandera schema: {' '.join(str(error).split())[:200]}",
            suggestions=("Write it with pandera's `DataFrameSchema.to_yaml`.",),
        ) from error
    if not columns:
        raise DataError(
            f"The schema {path} describes no columns.",
            suggestions=("Write it with pandera's `DataFrameSchema.to_yaml`.",),
        )
    return TableSchema(yaml=text)


def check_schema(table: Table, schema: TableSchema) -> Check:
    """Hold a table to a schema.

    Returns
    -------
    Check
        `schema`, blocking. Evidence: `failure_cases`, one row for each column, check and value with its count, and
        `notes` on what is new but allowed.
    """
    expected = _schema(schema.yaml)
    frame, empty = _comparable(table.frame(), expected)
    cases = [_case(name, "has_values", "all values are missing", len(frame)) for name in empty]
    # Kinds first: on a column of another kind, pandera lists every value.
    other_kind = {name: _kind(frame[name]) for name in _other_kinds(frame, expected)}
    for name, kind in other_kind.items():
        cases.append(_case(name, f"holds {_named(expected.columns[name].dtype)}", f"holds {kind}", len(frame)))
    try:
        _without(expected, [*other_kind, *empty]).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases += _failure_cases(error.failure_cases)
    notes = _notes(frame, expected, schema.labels)
    return Check(
        name="schema",
        passed=not cases,
        blocking=True,
        message=_message(cases, notes),
        evidence={"failure_cases": cases[:MOST_CASES], "failures": len(cases), "notes": notes},
    )


def check_target(table: Table, spec: "TrainingSpec") -> Check:
    """Whether the column to predict is there and has values: `target_present`, blocking."""
    name = spec.target_column
    if name not in table.columns:
        message = f"The target column '{name}' is not in the data. {meant(name, table.columns)}"
        return Check(name="target_present", passed=False, blocking=True, message=message, evidence={"column": name})
    missing = int(table.frame([name])[name].isna().sum())
    present = missing < len(table)
    message = (
        f"'{name}' has a value in {len(table) - missing:,} of {len(table):,} rows."
        if present
        else f"The target column '{name}' is empty: all {len(table):,} values are missing."
    )
    evidence = {"column": name, "missing": missing}
    return Check(name="target_present", passed=present, blocking=True, message=message, evidence=evidence)


def _schema(text: str) -> pandera.DataFrameSchema:
    return from_yaml(text)


def _loose_dtype(dtype: Any) -> str:
    """Numbers of every kind are one: whole numbers become float64 with the first gap, booleans too."""
    return "float64" if dtype.kind in "ifb" else str(dtype)


def _comparable(frame: pd.DataFrame, expected: pandera.DataFrameSchema) -> tuple[pd.DataFrame, list[str]]:
    """The frame with whole numbers as float64 where those are expected, and its columns that have no value any more."""
    typed = [name for name in frame.columns if name in expected.columns and expected.columns[name].dtype]
    empty = [name for name in typed if len(frame) and frame[name].isna().all()]
    loose = [
        name
        for name in typed
        if str(expected.columns[name].dtype) == "float64" and _loose_dtype(frame[name].dtype) == "float64"
    ]
    return frame.astype(dict.fromkeys(loose, np.float64)), empty


def _other_kinds(frame: pd.DataFrame, expected: pandera.DataFrameSchema) -> list[str]:
    """Columns of text where numbers are expected, of times where text is, and so on."""
    other = []
    for name, column in expected.columns.items():
        if name not in frame.columns or column.dtype is None or column.coerce or frame[name].isna().all():
            continue
        wanted = getattr(column.dtype, "type", None)
        letter = getattr(wanted, "kind", "O")
        if _family(letter) != _family(frame[name].dtype.kind):
            other.append(name)
    return other


def _family(letter: str) -> str:
    return {"i": "number", "u": "number", "f": "number", "b": "number", "M": "time"}.get(letter, "text")


def _kind(values: pd.Series) -> str:
    example = values.dropna().iloc[0]
    return f"{_named(values.dtype)} such as {str(example)[:40]!r}"


def _named(dtype: Any) -> str:
    return "times" if "datetime" in str(dtype) else _KINDS.get(str(dtype), str(dtype))


def _without(expected: pandera.DataFrameSchema, names: list[str]) -> pandera.DataFrameSchema:
    return expected.remove_columns([name for name in names if name in expected.columns])


def _failure_cases(found: pd.DataFrame) -> list[dict[str, Any]]:
    """pandera's failure cases, one row for each column, check and value."""
    lost = found["check"] == "column_in_dataframe"
    column = found["column"].where(~lost, found["failure_case"]).astype(str)
    case = found["failure_case"].where(~lost, "the column is gone").astype(str).str.slice(0, 80)
    grouped = pd.DataFrame({"column": column, "check": found["check"].astype(str), "failure_case": case})
    counts = grouped.value_counts(sort=False).reset_index(name="count")
    counts = counts.sort_values(["column", "check", "count", "failure_case"], ascending=[True, True, False, True])
    rows = counts.to_dict("records")
    return [_case(row["column"], row["check"], row["failure_case"], int(row["count"])) for row in rows]


def _case(column: str, check: str, failure_case: str, count: int) -> dict[str, Any]:
    return {"column": column, "check": check, "failure_case": failure_case, "count": count}


def _notes(frame: pd.DataFrame, expected: pandera.DataFrameSchema, labels: dict[str, tuple[str, ...]]) -> list[str]:
    added = [str(name) for name in frame.columns if name not in expected.columns]
    notes = [f"New columns: {', '.join(map(repr, added[:20]))}."] if added else []
    for name, known in labels.items():
        if name in frame.columns and frame[name].dtype == object:
            new = sorted(set(frame[name].dropna().unique()) - set(known))
            if new:
                notes.append(f"New labels in '{name}': {', '.join(map(repr, new[:10]))}.")
    return notes


def _message(cases: list[dict[str, Any]], notes: list[str]) -> str:
    columns = list(dict.fromkeys(case["column"] for case in cases))
    if not columns:
        return " ".join(["The data has the form that it should have.", *notes])
    firsts = [next(case for case in cases if case["column"] == name) for name in columns[:5]]
    told = "; ".join(f"'{case['column']}' {case['check']}: {case['failure_case']}" for case in firsts)
    more = f"; and {len(columns) - 5} more" if len(columns) > 5 else ""
    return f"The data breaks its schema in {len(columns)} column{'s' if len(columns) > 1 else ''}: {told}{more}."
