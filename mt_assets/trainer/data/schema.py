"""The form that data has to keep: a pandera schema, given or inferred once, and what in a table breaks it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
from pandera.io.pandas_io import from_yaml, to_yaml

from mt_assets.spec_reading import parse_yaml, read_text
from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.names import is_frame_index, meant
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError, SpecError
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

MOST_CASES = 50
"""Failure cases that a check carries; the event log keeps them for ever."""

MOST_LABELS = 100
"""Labels of one column that are remembered, to say when new ones come."""

MISSING_RISE = 0.1
"""Rise of the share of missing values that is told. From 100 rows on a share varies by less than this from sample to
sample (two standard errors, sqrt(p (1 - p) / n), are at most 0.1), so that more is a change in the data."""

_GONE, _EMPTY, _NEW = "column_in_dataframe", "has_values", "known_column"
"""Names of the checks that a column is there (pandera's), that it is not empty and that it was there before (ours)."""

_UNUSED_ROLES = ("id", "constant", "drop")
_KINDS = {"float64": "numbers", "int64": "whole numbers", "bool": "true or false", "object": "text"}


class TableSchema(Record):
    """A pandera schema in YAML.

    Attributes
    ----------
    yaml : str
    labels : dict
        Labels that text columns had when the schema was inferred; others are told of, not refused.
    missing : dict
        Share of missing values of each column then; many more are told of, not refused.
    closed : bool
        Whether columns that are not in it are refused. A person's own schema says so itself (pandera's `strict`).
    """

    filename = "schema.json"

    yaml: str
    labels: dict[str, tuple[str, ...]] = {}
    missing: dict[str, float] = {}
    closed: bool = False


def infer_schema(table: Table, profile: DataProfile | None = None) -> TableSchema:
    """Make the schema that a table keeps: its columns, and whether they hold numbers, times or text.

    Missing values and new labels are allowed: they are told of. Columns that the profile does not use may go; a new
    column is refused until a person accepts it, since it may say what is only known after the answer.
    """
    unused = {column.name for column in profile.columns if column.role in _UNUSED_ROLES} if profile else set()
    unique = {column.name: column.unique for column in profile.columns} if profile else {}
    columns, labels, missing = {}, {}, {}
    for name in table.columns:
        kind, missing[name] = _form(table, name)
        # A column without any value may become anything.
        dtype = None if missing[name] == 1 else kind
        columns[name] = pandera.Column(dtype, nullable=True, required=name not in unused)
        if dtype == "object" and unique.get(name, 0) <= MOST_LABELS:
            _, distinct = table.labels(name)
            if len(distinct) <= MOST_LABELS:
                labels[name] = tuple(sorted(distinct))
    schema = pandera.DataFrameSchema(columns, strict=False)
    return TableSchema(yaml=to_yaml(schema), labels=labels, missing=missing, closed=True)


def schema_changes(before: TableSchema | None, now: TableSchema) -> list[str]:
    """Tell in sentences what one schema asks for that another did not; empty where both ask for the same."""
    old = _schema(before.yaml).columns if before else {}
    new = _schema(now.yaml).columns
    changes = [f"'{name}' is new: {_asked(new[name])}." for name in new if name not in old]
    changes += [f"'{name}' is gone." for name in old if name not in new]
    for name in (name for name in new if name in old):
        if _asked(old[name]) != _asked(new[name]):
            changes.append(f"'{name}' is {_asked(new[name])}; before it was {_asked(old[name])}.")
        known, found = (set(each.labels.get(name, ())) if each else set() for each in (before, now))
        for labels, told in ((found - known, "has the new labels"), (known - found, "has lost the labels")):
            if labels and known and found:
                shown = sorted(labels)[:10]
                more = f" and {len(labels) - len(shown)} more" if len(labels) > len(shown) else ""
                changes.append(f"'{name}' {told} {', '.join(map(repr, shown))}{more}.")
    return changes


def _asked(column: pandera.Column) -> str:
    """What a schema asks of a column, in words."""
    kind = "anything" if column.dtype is None else _named(column.dtype)
    may = [said for said, is_so in (("may be missing", column.nullable), ("may go", not column.required)) if is_so]
    return f"{kind} ({', '.join(may)})" if may else kind


def read_schema(path: str | Path) -> TableSchema:
    """Read a pandera schema that a person wrote in YAML.

    Raises
    ------
    DataError
        There is no such file, or it is not a pandera schema with columns.
    """
    try:
        text = read_text(Path(path), "schema")
    except SpecError as error:
        raise DataError(error.message, suggestions=("Check dataSchema.", *error.suggestions)) from None
    try:
        parse_yaml(text)  # which refuses aliases that unfold without end; pandera's own reading follows them
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
        `notes` on what is new but allowed: columns, labels, many more missing values.
    """
    expected = _schema(schema.yaml)
    cases = [case for part, names in _parts(expected, table) for case in _broken(table.frame(names), part)]
    added = [name for name in table.columns if name not in expected.columns and not is_frame_index(name)]
    if schema.closed:
        cases += [_case(name, _NEW, "the column is new", len(table)) for name in added]
    notes = _notes(table, [] if schema.closed else added, schema)
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


def _parts(expected: pandera.DataFrameSchema, table: Table) -> Iterator[tuple[pandera.DataFrameSchema, Sequence[str]]]:
    """The schema in parts with the columns that each speaks of.

    One column after the other, since a frame of all columns takes several times the memory of the table; at once where
    the schema says something about rows or about the columns together.
    """
    together = (expected.checks, expected.index, expected.strict, expected.ordered, expected.unique, expected.parsers)
    if any(together) or any(column.regex for column in expected.columns.values()):
        yield expected, table.columns
        return
    held = set(table.columns)
    for name, column in expected.columns.items():
        # Made anew: `select_columns` copies all columns for each one, which takes minutes for a thousand.
        part = pandera.DataFrameSchema({name: column}, dtype=expected.dtype, coerce=expected.coerce)
        yield part, [name] if name in held else table.columns[:1]


def _broken(values: pd.DataFrame, expected: pandera.DataFrameSchema) -> list[dict[str, Any]]:
    """Failure cases of these columns."""
    frame, empty = _comparable(values, expected)
    columns = expected.columns
    cases = [_case(name, _EMPTY, "all values are missing", len(frame)) for name in empty]
    # Kinds first: on a column of another kind, pandera lists every value.
    other_kind = {name: _kind(frame[name]) for name in _other_kinds(frame, expected)}
    for name, kind in other_kind.items():
        cases.append(_case(name, f"holds {_named(expected.columns[name].dtype)}", f"holds {kind}", len(frame)))
    if all(name in empty or (name in frame.columns and _kept(frame[name], column)) for name, column in columns.items()):
        return cases
    try:
        _without(expected, [*other_kind, *empty]).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases += _failure_cases(error.failure_cases)
    return cases


def _kept(values: pd.Series, column: pandera.Column) -> bool:
    """Whether values are of the very type asked for, and nothing else is asked: pandera takes 10 ms to see that."""
    plain = column.nullable and not (column.checks or column.unique or column.coerce or column.parsers)
    return bool(plain) and (column.dtype is None or str(column.dtype) == str(values.dtype))


def _form(table: Table, name: str) -> tuple[str, float]:
    """Kind of a column's canonical values, and which share of them is missing."""
    if pa.types.is_string(table.schema.field(name).type):  # without an object for each row
        return "object", table.arrow([name]).column(0).null_count / max(len(table), 1)
    values = table.frame([name])[name]
    return _loose_dtype(values.dtype), float(values.isna().mean()) if len(values) else 0.0


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


def _told(column: str, check: str, failure_case: str, count: int) -> str:
    """A failure case as part of a sentence."""
    if check in (_GONE, _EMPTY, _NEW):
        return f"'{column}': {failure_case}"
    if check.startswith("holds "):
        return f"'{column}' {failure_case}, where {check.removeprefix('holds ')} are expected"
    return f"'{column}' breaks {check} in {count:,} row{'' if count == 1 else 's'}, such as {failure_case}"


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
    lost = found["check"] == _GONE
    column = found["column"].where(~lost, found["failure_case"]).astype(str)
    case = found["failure_case"].where(~lost, "the column is gone").astype(str).str.slice(0, 80)
    grouped = pd.DataFrame({"column": column, "check": found["check"].astype(str), "failure_case": case})
    counts = grouped.value_counts(sort=False).reset_index(name="count")
    counts = counts.sort_values(["column", "check", "count", "failure_case"], ascending=[True, True, False, True])
    rows = counts.to_dict("records")
    return [_case(row["column"], row["check"], row["failure_case"], int(row["count"])) for row in rows]


def _case(column: str, check: str, failure_case: str, count: int) -> dict[str, Any]:
    return {"column": column, "check": check, "failure_case": failure_case, "count": count}


def _notes(table: Table, added: list[str], schema: TableSchema) -> list[str]:
    """What is new but allowed: columns, labels, and many more gaps."""
    held = set(table.columns)
    more = f" and {len(added) - 20} more" if len(added) > 20 else ""
    notes = [f"New columns: {', '.join(map(repr, added[:20]))}{more}."] if added else []
    for name, known in schema.labels.items():
        if name in held and pa.types.is_string(table.schema.field(name).type):
            new = sorted(set(table.labels(name)[1]) - set(known))
            if new:
                more = f" and {len(new) - 10} more" if len(new) > 10 else ""
                notes.append(f"New labels in '{name}': {', '.join(map(repr, new[:10]))}{more}.")
    for name, before in schema.missing.items():
        now = _form(table, name)[1] if name in held else 0.0
        if now - before > MISSING_RISE and now < 1:
            notes.append(
                f"'{name}' lacks {now:.0%} of its values; it was {before:.0%} when the schema was kept, and a rise of "
                f"more than {MISSING_RISE:.0%} is told."
            )
    return notes


def _message(cases: list[dict[str, Any]], notes: list[str]) -> str:
    columns = list(dict.fromkeys(case["column"] for case in cases))
    if not columns:
        return " ".join(["The data has the form that it should have.", *notes])
    firsts = [next(case for case in cases if case["column"] == name) for name in columns[:5]]
    told = "; ".join(_told(**case) for case in firsts)
    more = f"; and {len(columns) - 5} more" if len(columns) > 5 else ""
    return f"The data breaks its schema in {len(columns)} column{'s' if len(columns) > 1 else ''}: {told}{more}."
