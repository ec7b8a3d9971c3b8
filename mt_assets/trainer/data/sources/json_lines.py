"""JSON objects, one a line or in one array, as a table: a key is a column, a missing key a missing value."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj

from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.data.sources.text_encoding import UTF8, beginning, encoding_of, utf8_copy
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.recovery.causes import OUT_OF_MEMORY

_BLOCKS = (1 << 24, 1 << 28)
"""Bytes that are parsed at once: Arrow refuses an object longer than a block, so a second try takes long documents."""

_KINDS = {bool: "true or false", int: "numbers", float: "numbers", str: "text"}


def read_json(file: DataFile, per_one: int = 1) -> pa.Table:
    """Read JSON lines, or one array of objects, plain or compressed, with the types that JSON has.

    It cannot be read in part.

    Text stays text, also where it looks like a number. Numbers beyond 64 bits lose their last digits.

    Raises
    ------
    DataError
        The file is empty, is no JSON, holds something else than objects, or a key has values of several kinds.
    """
    if per_one > 1:
        raise DataError(
            f"The file {file} is too large for the memory that there is, and JSON is not read in part.",
            suggestions=("Write it as Parquet, of which a sample is read where there is no room for all.",),
            cause=OUT_OF_MEMORY,
        )
    encoding = encoding_of(file, "JSON")
    start = beginning(file, encoding, 1 << 16).lstrip()
    if not start:
        raise DataError(f"The file {file} is empty.", suggestions=("Check how the file was written.",))
    with ExitStack() as stack:
        path = file.path
        if encoding != UTF8 or file.compression or start.startswith("["):
            path = stack.enter_context(utf8_copy(file, encoding))
        if start.startswith("["):
            path = _lines_of_array(file, path, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        try:
            return _parse(path)
        except MemoryError:
            raise  # says nothing about the file
        except (pa.ArrowException, OSError) as error:
            raise _explained(file, path, error) from error


def _parse(path: Path) -> pa.Table:
    table = _read(path, None)
    times = [field for field in table.schema if pa.types.is_timestamp(field.type)]
    if not times:
        return table
    # Arrow takes ISO text for seconds and forgets whether it was a date; what a text is, is decided by one rule for all
    # sources (`column_typing`). So it is read again, as the text that it is.
    fields = [field.with_type(pa.string()) if field in times else field for field in table.schema]
    del table
    return _read(path, pa.schema(fields))


def _read(path: Path, schema: pa.Schema | None) -> pa.Table:
    parsing = pj.ParseOptions(explicit_schema=schema)
    for size in _BLOCKS:
        try:
            return pj.read_json(str(path), pj.ReadOptions(use_threads=False, block_size=size), parsing)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error) or size == _BLOCKS[-1]:
                raise
    raise AssertionError("the last block size either reads or raises")


def _lines_of_array(file: DataFile, path: Path, folder: Path) -> Path:
    """The objects of an array, one a line."""
    try:
        with path.open(encoding=UTF8) as text:
            objects = json.load(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"The file {file} begins like a JSON array and is none: {str(error)[:200]}.",
            suggestions=("Write it again, one object a line.",),
        ) from error
    lines = folder / "lines.jsonl"
    with lines.open("w", encoding="utf-8") as sink:
        sink.writelines(f"{json.dumps(entry)}\n" for entry in objects)
    if not objects:
        raise DataError(f"The file {file} holds an empty array.", suggestions=("Check how the file was written.",))
    return lines


def _explained(file: DataFile, path: Path, error: Exception) -> DataError:
    """What is wrong, with the line where it is: Arrow counts rows within a block."""
    kinds: dict[str, tuple[str, int]] = {}
    for number, line in _numbered(path):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as why:
            return _wrong(f"Line {number} of {file} is no JSON: {str(why)[:120]}.")
        if not isinstance(entry, dict):
            return _wrong(f"Line {number} of {file} is no JSON object: {line.strip()[:60]!r}.")
        for key, value in entry.items():
            if value is None:
                continue
            if isinstance(value, dict | list):
                return DataError(
                    f"Column '{key}' of {file} holds nested values (line {number}); a column must hold numbers, text, "
                    "booleans, dates or timestamps.",
                    suggestions=(f"Unpack '{key}' into plain columns, or leave it out of the data.",),
                )
            kind = _KINDS[type(value)]
            before, where = kinds.setdefault(key, (kind, number))
            if kind != before:
                return _wrong(f"Column '{key}' of {file} holds {before} in line {where} and {kind} in line {number}.")
    return _wrong(f"The file {file} cannot be read as JSON lines: {str(error).splitlines()[0][:200]}")


def _wrong(message: str) -> DataError:
    return DataError(message, suggestions=("Correct that line, or write the file again.",))


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding=UTF8, errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line
