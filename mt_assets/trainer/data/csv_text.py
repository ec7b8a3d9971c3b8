"""Delimited text files as tables of text, exactly as written.

The dialect is fixed before the rows are parsed (delimiter from the header record, double quotes, quotes inside doubled
or after a backslash), so that one odd row is an error with its line number and never another reading of the file.
"""

import codecs
import csv
import gzip
import io
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa

from mt_assets.trainer.errors import DataError

_DELIMITERS = (",", ";", "\t", "|")
_BLOCK = 1 << 20
_HEADER_LIMIT = 1 << 22
_LINE_LIMIT = 1 << 27
"""Longest line in bytes: bodies of documents pass, DuckDB's own limit of 2 MB refuses them."""

_CONTROL = bytes(code for code in range(32) if code not in (9, 10, 13))
_CONTROL_LIMIT = 0.005
"""Share of control characters above which what is not UTF-8 is no text either. Old mails have a few; random or
compressed bytes have about a tenth."""


def read_text(path: Path) -> pa.Table:
    """Read a CSV or TSV file, plain or gzipped, into string columns; nothing but an absent value is null.

    Raises
    ------
    DataError
        The file is empty, has no rows, is not text, has a nameless or doubled column or a ragged row.
    """
    encoding = _encoding(path)
    with _open(path) as raw:
        head = _read(path, raw, _HEADER_LIMIT).decode(encoding, errors="replace")
    if not head.strip("\ufeff \r\n\t"):
        raise DataError(f"The file {path} is empty.", suggestions=("Check how the file was written.",))
    skip, names, delimiter = _header(path, head)
    with _as_utf8(path, encoding) as plain:
        table = _parse(path, plain, skip, len(names), delimiter)
    if not table.num_rows:
        raise DataError(
            f"The file {path} has a header ({', '.join(names[:5])}{', …' if len(names) > 5 else ''}) but no rows.",
            suggestions=("Check how the file was written.",),
        )
    return table.rename_columns(names)


def _encoding(path: Path) -> str:
    """Name the encoding that the whole file decodes with: UTF-8, UTF-16 by its mark, else Windows Latin.

    Raises
    ------
    DataError
        The file is not text.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    seen = control = 0
    utf8 = True
    with _open(path) as raw:
        while block := _read(path, raw):
            if not seen and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return _whole_utf16(path)
            if b"\0" in block:
                raise _not_text(path)
            seen += len(block)
            control += len(block) - len(block.translate(None, _CONTROL))
            utf8 = utf8 and _decodes(decoder, block)
    if utf8 and _decodes(decoder, b"", final=True):
        return "utf-8-sig"
    if control > _CONTROL_LIMIT * seen:
        raise _not_text(path)
    return "cp1252"


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _whole_utf16(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-16")()
    with _open(path) as raw:
        while block := _read(path, raw):
            if not _decodes(decoder, block):
                raise _not_text(path)
    if not _decodes(decoder, b"", final=True):
        raise _not_text(path)
    return "utf-16"


def _not_text(path: Path) -> DataError:
    return DataError(
        f"The file {path} is not a text file: it holds bytes that no CSV has. Its name says CSV, its content does not.",
        suggestions=("If it is Parquet, name it .parquet.", "Export the table again as CSV in UTF-8, or as Parquet."),
    )


def _open(path: Path) -> BinaryIO:
    try:
        return gzip.open(path) if _is_zipped(path) else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path, raw: BinaryIO, size: int = _BLOCK) -> bytes:
    try:
        return raw.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _is_zipped(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"The file {path} cannot be read: {error}.", suggestions=("Write or download the file again.",))


@contextmanager
def _as_utf8(path: Path, encoding: str) -> Iterator[Path]:
    """The file itself, or a copy in UTF-8 for as long as it is needed."""
    if encoding == "utf-8-sig":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "table.csv"
        with _open(path) as raw, copy.open("w", encoding="utf-8", newline="") as sink:
            # The five bytes that Windows Latin leaves undefined become the replacement character.
            text = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")
            while block := text.read(_BLOCK):
                sink.write(block)
        yield copy


def _header(path: Path, head: str) -> tuple[int, list[str], str]:
    """Blank lines before the header, the column names, and the delimiter that divides them most often."""
    text = head.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    content = text.lstrip("\n")
    skip = len(text) - len(content)
    readings = [(_first_record(content, delimiter), delimiter) for delimiter in _DELIMITERS]
    names, delimiter = max(readings, key=lambda reading: len(reading[0]))
    if not any(name.strip() for name in names):
        raise DataError(f"The first line of {path} has no column names.", suggestions=("Add a header line.",))
    return skip, [name.strip() or name for name in names], delimiter


def _first_record(content: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []


def _parse(path: Path, plain: Path, skip: int, width: int, delimiter: str) -> pa.Table:
    failure: duckdb.Error | None = None
    for escape in ('"', "\\"):
        try:
            with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
                return connection.read_csv(
                    re.sub(r"([*?\[])", r"[\1]", str(plain)),
                    auto_detect=False,
                    header=True,
                    skiprows=skip,
                    delimiter=delimiter,
                    quotechar='"',
                    escapechar=escape,
                    columns={f"c{at}": "VARCHAR" for at in range(width)},
                    compression="gzip" if _is_zipped(plain) else "none",
                    max_line_size=_LINE_LIMIT,
                ).to_arrow_table()
        except duckdb.Error as error:
            failure = failure or error
    raise _unparsable(path, width, str(failure))


def _unparsable(path: Path, width: int, message: str) -> DataError:
    """What DuckDB says, as one paragraph with the line number."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    text = re.search(r"Original Line: (.*)", message)
    fields = re.search(r"Expected Number of Columns: \d+ Found: (\d+)", message)
    where = f"Line {line[1]} of {path}" if line else f"A line of {path}"
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
