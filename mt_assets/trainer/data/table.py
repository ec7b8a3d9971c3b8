"""A table as it passes between steps: an immutable Arrow file and the rows of it that are meant."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mt_assets.trainer.data.frames import canonical_column, in_utc
from mt_assets.trainer.errors import DataError, StoreError
from mt_assets.trainer.memory import map_file

_FILE = "table.arrow"
_ROWS = "rows.npy"
_SOURCE = "source.json"
_NOTES = b"mt_assets.notes"
_PARTS = b"mt_assets.parts"


class Table:
    """A handle on rows of an immutable Arrow table.

    Rows are known by their position in the full table, whatever part of it a handle means, and every frame taken from
    a handle has the positions as its index. Make one with `Table.of` or read one with `Table.load`.
    """

    def __init__(self, source: pa.Table, rows: np.ndarray | None = None, folder: Path | None = None) -> None:
        self._source = source
        self._rows = rows
        self._folder = folder

    @classmethod
    def of(cls, data: pa.Table | pd.DataFrame) -> Self:
        """Hold a table in memory, brought to plain columns (see `plain`).

        Raises
        ------
        DataError
            A column is nested or binary, has no name, or shares its name with another.
        """
        return cls(plain(arrow_of(data) if isinstance(data, pd.DataFrame) else data))

    def __len__(self) -> int:
        return self._source.num_rows if self._rows is None else len(self._rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """A stored table goes to other processes as the place where it lies, and is mapped there as well."""
        digest = self.__dict__.get("digest")
        if self._folder is None:
            return _received, (self._source, self._rows, None, digest)
        return _received, (None, self._rows, self._folder, digest)

    def __repr__(self) -> str:
        return f"Table({len(self)} of {self._source.num_rows} rows, {len(self.columns)} columns)"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Column names in the order of the file."""
        return tuple(self._source.column_names)

    @property
    def schema(self) -> pa.Schema:
        """Column names and Arrow types."""
        return self._source.schema

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about how the table was read."""
        return notes_of(self._source)

    @property
    def parts(self) -> Mapping[str, int]:
        """Rows of each given part of the full table (`train`, `validation`, `test`) in their order; else empty."""
        return parts_of(self._source)

    def part(self, name: str) -> np.ndarray:
        """Row numbers, in the full table, of one of the given parts: int64, ascending, none where it was not given."""
        names = list(self.parts)
        if name not in names:
            return np.empty(0, dtype=np.int64)
        start = sum(self.parts[before] for before in names[: names.index(name)])
        return np.arange(start, start + self.parts[name], dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """Sha256 of the full table's content: names, types and values of all rows, and which parts were given."""
        return content_digest(self._source)

    @cached_property
    def positions(self) -> np.ndarray:
        """Row numbers in the full table, int64, ascending."""
        return np.arange(self._source.num_rows, dtype=np.int64) if self._rows is None else self._rows

    def take(self, positions: np.ndarray | Sequence[int]) -> "Table":
        """The handle on these rows of the full table, sorted, each once.

        Raises
        ------
        IndexError
            A position lies outside the full table.
        """
        rows = np.unique(np.asarray(positions, dtype=np.int64))
        if len(rows) and (rows[0] < 0 or rows[-1] >= self._source.num_rows):
            raise IndexError(f"positions {rows[0]} to {rows[-1]} of a table of {self._source.num_rows} rows")
        part = Table(self._source, rows, self._folder)
        if "digest" in self.__dict__:
            part.__dict__["digest"] = self.digest
        return part

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows as Arrow; without a row filter nothing is copied."""
        chosen = self._source if columns is None else self._source.select(list(columns))
        return chosen if self._rows is None else chosen.take(pa.array(self._rows))

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows as a canonical pandas frame (see `frames.canonical`) whose index is the positions."""
        index, made = pd.Index(self.positions), {}
        for name in self.columns if columns is None else dict.fromkeys(columns):
            # One by one, so that no more than a column is there twice.
            column = self.arrow([name]).column(0).to_pandas(date_as_object=False, timestamp_as_object=False)
            column.index = index
            made[name] = canonical_column(column)
        return pd.DataFrame(made, index=index, copy=False)

    def labels(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A text column as numbers of its distinct values, which are far fewer, without an object for each row.

        Returns
        -------
        codes : numpy.ndarray
            int32 [n], index into `values`; -1 where missing.
        values : numpy.ndarray
            Object of str, in the order in which they first occur.
        """
        column = self.arrow([name]).column(0)
        if pa.types.is_null(column.type):
            return np.full(len(self), -1, dtype=np.int32), np.empty(0, dtype=object)
        encoded = pc.dictionary_encode(column).unify_dictionaries()
        codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
        values = encoded.chunk(0).dictionary.to_pandas().to_numpy(dtype=object) if encoded.num_chunks else []
        return np.concatenate([np.empty(0, dtype=np.int32), *codes]), np.asarray(values, dtype=object)

    def noted(self, notes: Sequence[str]) -> "Table":
        """The handle with these notes after those that it has."""
        return Table(with_notes(self._source, [*self.notes, *notes]), self._rows, self._folder)

    def save(self, folder: Path) -> None:
        """Write the table, or for a part of a stored table the rows and where the table lies.

        Raises
        ------
        StoreError
            A part of a table that was never stored.
        """
        if self._rows is None:
            with pa.OSFile(str(folder / _FILE), "wb") as sink, pa.ipc.new_file(sink, self.schema) as writer:
                writer.write_table(self._source.combine_chunks())
            return
        if self._folder is None:
            raise StoreError(
                f"A part of {len(self)} rows cannot be stored, since the table that it is a part of is not stored.",
                suggestions=("Store the full table first and take the rows from the stored one.",),
            )
        np.save(folder / _ROWS, self._rows)
        (folder / _SOURCE).write_text(json.dumps({"object": self._folder.name, "digest": self.digest}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open a stored table without reading it into memory (the file is memory-mapped).

        Raises
        ------
        StoreError
            The file, or the full table that a part refers to, is missing or damaged.
        """
        if (folder / _FILE).is_file():
            return cls(_open(folder / _FILE), folder=folder)
        try:
            source = json.loads((folder / _SOURCE).read_text())
            rows = np.load(folder / _ROWS)
        except (OSError, ValueError) as error:
            raise StoreError(f"The stored table in {folder} is missing or damaged: {error}") from error
        full = folder.parent / source["object"]
        part = cls(_open(full / _FILE), rows, full)
        part.__dict__["digest"] = source["digest"]
        return part


def _received(source: pa.Table | None, rows: np.ndarray | None, folder: Path | None, digest: str | None) -> Table:
    if source is None:
        assert folder is not None
        source = _open(folder / _FILE)
    table = Table(source, rows, folder)
    if digest is not None:
        table.__dict__["digest"] = digest
    return table


def arrow_of(frame: pd.DataFrame) -> pa.Table:
    """A pandas frame as Arrow; what Arrow cannot type (mixed objects) goes in as text.

    Raises
    ------
    DataError
        Two columns share a name.
    """
    names = [str(name) for name in frame.columns]
    arrays = [_arrow_column(frame.iloc[:, at]) for at in range(frame.shape[1])]
    return pa.Table.from_arrays(arrays, names=names)


def plain(table: pa.Table) -> pa.Table:
    """Check names and bring columns to plain types: no dictionaries, one text type, no metadata but notes and parts.

    Raises
    ------
    DataError
        A column is nested or binary, has no name, or shares its name with another.
    """
    names = table.column_names
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise DataError(
            f"The data has more than one column named {', '.join(map(repr, twice))}.",
            suggestions=("Rename the columns so that each name occurs once.",),
        )
    blank = [at + 1 for at, name in enumerate(names) if not name.strip()]
    if blank:
        raise DataError(
            f"Column number {blank[0]} of the data has no name (its header is empty or only blanks).",
            suggestions=(
                "Give every column a name in the header.",
                *(("Write a pandas frame without its index: `to_csv(…, index=False)`.",) if blank == [1] else ()),
            ),
        )
    columns = [_plain_column(name, column) for name, column in zip(names, table.columns, strict=True)]
    return with_parts(with_notes(pa.Table.from_arrays(columns, names=names), notes_of(table)), parts_of(table))


def with_notes(table: pa.Table, notes: Sequence[str]) -> pa.Table:
    """The table with these notes travelling along (in the schema's metadata; they are no part of the digest)."""
    return _marked(table, _NOTES, list(notes))


def notes_of(table: pa.Table) -> tuple[str, ...]:
    """The notes that travel with a table."""
    return tuple(json.loads((table.schema.metadata or {}).get(_NOTES, b"[]")))


def with_parts(table: pa.Table, parts: Mapping[str, int]) -> pa.Table:
    """The table with the rows of each given part travelling along (in the schema's metadata)."""
    return _marked(table, _PARTS, dict(parts))


def parts_of(table: pa.Table) -> dict[str, int]:
    """Rows of each given part of a table, one after the other; empty where nothing but one table was given."""
    return dict(json.loads((table.schema.metadata or {}).get(_PARTS, b"{}")))


def _marked(table: pa.Table, mark: bytes, value: Any) -> pa.Table:
    """The table with this mark set, or gone where the value is empty, and no metadata but marks of ours."""
    held = {key: old for key, old in (table.schema.metadata or {}).items() if key in (_NOTES, _PARTS) and key != mark}
    return table.replace_schema_metadata((held | {mark: json.dumps(value).encode()} if value else held) or None)


def content_digest(table: pa.Table) -> str:
    """Sha256 over names, types, which values are missing, the values, and given parts.

    Chunks, notes and what lies under nulls leave no mark.
    """
    parts = parts_of(table)
    whole = sha256(f"{table.num_rows} {table.num_columns}{' ' + json.dumps(parts) if parts else ''}".encode())
    for field, column in zip(table.schema, table.columns, strict=True):
        whole.update(f"\0{field.name}\0{field.type}\0".encode())
        for part in _column_digests(column):
            whole.update(part)
    return whole.hexdigest()


def _open(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_file(pa.py_buffer(map_file(path))).read_all()
    except (OSError, ValueError) as error:
        raise StoreError(f"The stored table {path} is missing or damaged: {error}") from error


def _arrow_column(column: pd.Series) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.Array.from_pandas(in_utc(column) if column.dtype == object else column)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        values = column.astype(object)
        return pa.array([None if gone else str(value) for value, gone in zip(values, values.isna(), strict=True)])


def _plain_column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain_column(name, column.cast(kind.value_type))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if pa.types.is_float16(kind):
        return column.cast(pa.float32())
    if pa.types.is_time(kind):
        return column.cast(pa.string())
    scalar = (
        pa.types.is_null(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_string(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_duration(kind)
    )
    if not scalar:
        raise DataError(
            f"Column '{name}' holds {kind} values; a column must hold numbers, text, booleans, dates or timestamps.",
            suggestions=(f"Unpack '{name}' into plain columns, or leave it out of the data.",),
        )
    return column


def _column_digests(column: pa.ChunkedArray) -> list[bytes]:
    """One digest each of validity, lengths (of text) and values, so that chunk borders leave no mark."""
    validity, lengths, values = sha256(), sha256(), sha256()
    for chunk in column.chunks:
        validity.update(chunk.is_valid().to_numpy(zero_copy_only=False).tobytes())
        if pa.types.is_null(chunk.type):
            continue
        if pa.types.is_decimal(chunk.type) or pa.types.is_string(chunk.type):
            text = chunk.cast(pa.large_string()).fill_null("")
            if len(text):
                _, borders, content = text.buffers()
                offsets = np.frombuffer(borders, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
                lengths.update(np.diff(offsets).tobytes())
                values.update(memoryview(content)[offsets[0] : offsets[-1]] if content else b"")
            continue
        numbers = chunk if pa.types.is_floating(chunk.type) or pa.types.is_boolean(chunk.type) else _ticks(chunk)
        filled = numbers.fill_null(False if pa.types.is_boolean(chunk.type) else 0)
        values.update(filled.to_numpy(zero_copy_only=False).tobytes())
    return [validity.digest(), lengths.digest(), values.digest()]


def _ticks(chunk: pa.Array) -> pa.Array:
    """Integers and times as the integers that they are stored as."""
    if pa.types.is_integer(chunk.type):
        return chunk
    return chunk.view(pa.int32() if chunk.type.bit_width == 32 else pa.int64())
