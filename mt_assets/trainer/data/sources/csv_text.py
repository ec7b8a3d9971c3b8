"""Delimited text files as tables of text, exactly as written.

The dialect is fixed before the rows are parsed (delimiter from the header record, double quotes, quotes inside doubled
or after a backslash), so that one odd row is an error with its line number and never another reading of the file.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa

from mt_assets.trainer.data.sampling import sampled
from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.data.sources.text_encoding import UTF8, beginning, encoding_of, utf8_copy
from mt_assets.trainer.errors import DataError

_DELIMITERS = (",", ";", "\t", "|")
_HEADER_LIMIT = 1 << 22
_LINE_LIMIT = 1 << 27
"""Longest line in bytes: bodies of documents pass, DuckDB's own limit of 2 MB refuses them."""

_BATCH_ROWS = 50_000
"""Rows that are looked at at once where not all are kept."""

_READ_AS_THEY_ARE: dict[str | None, Literal["none", "gzip"]] = {None: "none", ".gz": "gzip"}
"""Compressions that DuckDB opens by itself; other files are decompressed beside it first."""


def read_csv(files: Iterable[DataFile], per_one: int = 1) -> Iterator[pa.Table]:
    """Read CSV or TSV files, plain or compressed, into string columns; nothing but an absent value is null.

    Of so many rows one is read.

    Raises
    ------
    DataError
        A file is empty, has no rows, is not text, has a nameless or doubled column or a ragged row.
    """
    # One database for all of them: to open one takes ten times as long as to read a small file.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as database:
        for file in files:
            yield _read(file, database, per_one)


def _read(file: DataFile, database: duckdb.DuckDBPyConnection, per_one: int) -> pa.Table:
    encoding = encoding_of(file, "CSV")
    head = beginning(file, encoding, _HEADER_LIMIT)
    if not head.strip(" \r\n\t"):
        raise DataError(f"The file {file} is empty.", suggestions=("Check how the file was written.",))
    skip, names, delimiter = _header(file, head)
    with ExitStack() as stack:
        plain, compression = file.path, file.compression
        if encoding != UTF8 or compression not in _READ_AS_THEY_ARE:
            plain, compression = stack.enter_context(utf8_copy(file, encoding)), None
        table = _parse(database, file, plain, _READ_AS_THEY_ARE[compression], skip, len(names), delimiter, per_one)
    if not table.num_rows:
        raise DataError(
            f"The file {file} has a header ({', '.join(names[:5])}{', …' if len(names) > 5 else ''}) but no rows.",
            suggestions=("Check how the file was written.",),
        )
    return table.rename_columns(names)


def _header(file: DataFile, head: str) -> tuple[int, list[str], str]:
    """Blank lines before the header, the column names, and the delimiter that divides them most often."""
    text = head.replace("\r\n", "\n").replace("\r", "\n")
    content = text.lstrip("\n")
    skip = len(text) - len(content)
    readings = [(_first_record(content, delimiter), delimiter) for delimiter in _DELIMITERS]
    names, delimiter = max(readings, key=lambda reading: len(reading[0]))
    if not any(name.strip() for name in names):
        raise DataError(f"The first line of {file} has no column names.", suggestions=("Add a header line.",))
    return skip, [name.strip() or name for name in names], delimiter


def _first_record(content: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []


def _parse(
    database: duckdb.DuckDBPyConnection,
    file: DataFile,
    plain: Path,
    compression: Literal["none", "gzip"],
    skip: int,
    width: int,
    delimiter: str,
    per_one: int,
) -> pa.Table:
    failure: Exception | None = None
    for escape in ('"', "\\"):
        try:
            found = database.read_csv(
                re.sub(r"([*?\[])", r"[\1]", str(plain)),
                auto_detect=False,
                header=True,
                skiprows=skip,
                delimiter=delimiter,
                quotechar='"',
                escapechar=escape,
                columns={f"c{at}": "VARCHAR" for at in range(width)},
                compression=compression,
                max_line_size=_LINE_LIMIT,
            )
            if per_one == 1:
                return found.to_arrow_table()
            reader = found.to_arrow_reader(_BATCH_ROWS)
            return sampled(reader, reader.schema, per_one)
        except (duckdb.OutOfMemoryException, MemoryError):
            raise  # says nothing about the file
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # Arrow's, of what goes through its reader
            failure = failure or error
    raise _unparsable(file, width, str(failure))


def _unparsable(file: DataFile, width: int, message: str) -> DataError:
    """What DuckDB says, as one paragraph with the line number."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    text = re.search(r"Original Line: (.*)", message)
    fields = re.search(r"Expected Number of Columns: \d+ Found: (\d+)", message)
    where = f"Line {line[1]} of {file}" if line else f"A line of {file}"
    shown = f": {text[1][:80]!r}{'…' if len(text[1]) > 80 else ''}" if text else ""
    if fields:
        what = f"has {fields[1]} field{'' if fields[1] == '1' else 's'} where the header has {width}{shown}"
    elif "unterminated quote" in message:
        what = f"has a quoted value that is never closed{shown}"
    else:
        what = f"cannot be read as CSV{shown} ({message.splitlines()[0][:160]})"
    return DataError(
        f"{where} {what}.",
        suggestions=("Correct that line; a value that holds the delimiter or a line break must be in double quotes.",),
    )
