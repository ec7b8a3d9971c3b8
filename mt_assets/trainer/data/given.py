"""Given splits: rows to learn from, to validate on and to test on that lie in different places, as one table.

What belongs here: how the parts become one table that remembers them. What does not: how one of them is read
(`reading`), and what a given part means for the split (`splits`).
"""

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mt_assets.trainer.data.table import notes_of, plain, with_notes, with_parts
from mt_assets.trainer.errors import DataError

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

KEYS = {"train": "trainDataPath", "validation": "validationDataPath", "test": "testDataPath"}
"""The spec key that gives each part; the parts stand in the table in this order."""


def read_given(spec: "TrainingSpec", read: Callable[[Any], pa.Table]) -> pa.Table:
    """Read everything that a spec gives: the training rows, and after them given validation and test rows.

    Parameters
    ----------
    spec : TrainingSpec
    read : callable
        Reads one data source of the spec.

    Returns
    -------
    pyarrow.Table
        Plain columns in the order of the training data. With given files each column has the type that holds the
        values of all of them, and the rows of each part travel along (`table.parts_of`).

    Raises
    ------
    DataError
        A source cannot be read, a given file lacks the target or other columns or has more of them, or a column holds
        what cannot be one type.
    """
    parts = {name: _read(KEYS[name], source, read) for name, source in _sources(spec).items()}
    train = parts["train"]
    if len(parts) == 1:
        return train
    for name, part in parts.items():
        _refuse_other_columns(KEYS[name], part, train.column_names, spec.target_column)
    columns, notes = [], [note for name, part in parts.items() for note in _told(KEYS[name], part)]
    for name in train.column_names:
        column, said = _joined(name, {key: part.column(name) for key, part in parts.items()})
        columns.append(column)
        notes += said
    whole = plain(pa.Table.from_arrays(columns, names=train.column_names))
    return with_parts(with_notes(whole, notes), {name: part.num_rows for name, part in parts.items()})


def fingerprint_given(spec: "TrainingSpec", fingerprint: Callable[[Any], str]) -> str:
    """The fingerprint of everything that a spec gives: of the training data alone, or of all parts and what they are.

    Parameters
    ----------
    spec : TrainingSpec
    fingerprint : callable
        Gives the fingerprint of one data source of the spec.
    """
    sources = _sources(spec)
    if len(sources) == 1:
        return fingerprint(sources["train"])
    return sha256(" ".join(f"{name}:{fingerprint(source)}" for name, source in sources.items()).encode()).hexdigest()


def _sources(spec: "TrainingSpec") -> dict[str, Any]:
    given = {"train": spec.train_data_path, "validation": spec.validation_data_path, "test": spec.test_data_path}
    return {name: source for name, source in given.items() if source is not None}


def _read(key: str, source: Any, read: Callable[[Any], pa.Table]) -> pa.Table:
    try:
        return read(source)
    except DataError as error:
        if key == KEYS["train"]:
            raise
        suggestions = tuple(suggestion.replace(KEYS["train"], key) for suggestion in error.suggestions)
        raise DataError(f"{key}: {error.message}", suggestions=suggestions) from error


def _told(key: str, part: pa.Table) -> list[str]:
    return [note if key == KEYS["train"] else f"{key}: {note}" for note in notes_of(part)]


def _refuse_other_columns(key: str, part: pa.Table, names: list[str], target: str) -> None:
    lost = [name for name in names if name not in part.column_names]
    added = [name for name in part.column_names if name not in names]
    if target in lost:
        raise DataError(
            f"{key} has no column '{target}', which is the target: rows without the answer cannot be judged.",
            suggestions=(
                f"Give {key} a table that has '{target}'.",
                f"Leave {key} out, and score its rows with the finished model.",
            ),
        )
    if lost or added:
        facts = [f"lacks {', '.join(map(repr, lost))}"] if lost else []
        facts += [f"has {', '.join(map(repr, added))} besides"] if added else []
        raise DataError(
            f"{key} does not have the columns of {KEYS['train']}: it {' and '.join(facts)}.",
            suggestions=("Give all parts the same columns.",),
        )


def _joined(name: str, columns: dict[str, pa.ChunkedArray]) -> tuple[pa.ChunkedArray, list[str]]:
    """One column of all parts, one after the other, and what a person should know about its type."""
    kinds = {part: column.type for part, column in columns.items()}
    joined, notes = _common(set(kinds.values())), []
    try:
        if joined is None:
            raise pa.ArrowInvalid("no type holds them all")
        chunks = [chunk for column in columns.values() for chunk in column.cast(joined).chunks]
    except pa.ArrowInvalid as error:
        told = "; ".join(f"{KEYS[part]} holds {_shown(column)}" for part, column in columns.items())
        raise DataError(
            f"Column '{name}' cannot be brought to one type: {told}.",
            suggestions=(f"Write '{name}' in the same form in all parts, and check the values that stand out.",),
        ) from error
    if pa.types.is_string(joined) and any(pa.types.is_integer(kind) for kind in kinds.values()):
        text = ", ".join(KEYS[part] for part, kind in kinds.items() if pa.types.is_string(kind))
        notes.append(f"'{name}' is text in {text} and whole numbers elsewhere; it is read as text in all parts.")
    return pa.chunked_array(chunks, joined), notes


def _common(kinds: set[pa.DataType]) -> pa.DataType | None:
    """The type that holds values of all these types without loss, or None.

    Whole numbers may become text, since they have one spelling; fractions, booleans and times have several.
    """
    held = {kind for kind in kinds if not pa.types.is_null(kind)}
    if any(map(pa.types.is_string, held)) and all(
        pa.types.is_string(kind) or pa.types.is_integer(kind) for kind in held
    ):
        return pa.string()
    if (
        all(pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None) for kind in held)
        and len(held) > 1
    ):
        return pa.timestamp("us")
    try:
        fields = [pa.schema([pa.field("column", kind)]) for kind in sorted(held or kinds, key=str)]
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def _shown(column: pa.ChunkedArray) -> str:
    if column.null_count == len(column):
        return "no value"
    return f"{column.type} such as {str(column.drop_null()[0].as_py())[:40]!r}"
