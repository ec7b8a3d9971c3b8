"""Files in, one Arrow table out."""

from collections.abc import Sequence
from hashlib import file_digest, sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mt_assets.trainer.data.column_typing import type_text, type_times
from mt_assets.trainer.data.csv_text import read_text
from mt_assets.trainer.data.names import nearest
from mt_assets.trainer.data.table import plain, with_notes
from mt_assets.trainer.errors import DataError

TEXT_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")


def read_table(source: str | Path | Sequence[str | Path]) -> pa.Table:
    """Read one file, or several with the same columns one after the other.

    Parameters
    ----------
    source : path, or sequence of paths
        CSV or TSV (plain or gzipped) or Parquet files; a path may be a glob or a folder, whose files are then read in
        the order of their names.

    Returns
    -------
    pyarrow.Table
        Plain columns (see `table.plain`). Columns of text files are typed by all their values (`column_typing`); text
        in Parquet stays text unless all of it is times in ISO form. What a person should know about the reading
        travels along as notes (`table.notes_of`).

    Raises
    ------
    DataError
        There is no such file, it cannot be read as what its name says, it has no rows, or the files' columns differ.
    """
    paths = files_of(source)
    texts = [path for path in paths if _is_text(path)]
    parts = [read_text(path) if _is_text(path) else _read_parquet(path) for path in paths]
    # Names are checked before columns are brought together by name.
    parts = [_named(path, part) for path, part in zip(paths, parts, strict=True)]
    aligned = [_aligned(path, part, paths[0], parts[0].column_names) for path, part in zip(paths, parts, strict=True)]
    typed: list[pa.Table] = []
    notes: list[str] = []
    if texts:
        # All text files are typed together: one odd value in the last file decides for the column.
        together, notes = _typed(
            pa.concat_tables([part for path, part in zip(paths, aligned, strict=True) if path in texts])
        )
        typed.append(together)
    typed.extend(part for path, part in zip(paths, aligned, strict=True) if path not in texts)
    table = _joined(typed, paths)
    if not table.num_rows:
        raise DataError(f"{_named_files(paths)} has columns but no rows.", suggestions=("Check how it was written.",))
    return with_notes(table, notes)


def fingerprint(source: str | Path | Sequence[str | Path]) -> str:
    """Sha256 over the content of the files, in their order; names and times are left out.

    Raises
    ------
    DataError
        There is no such file.
    """
    whole = sha256()
    for path in files_of(source):
        try:
            with path.open("rb") as raw:
                whole.update(file_digest(raw, "sha256").digest())
        except OSError as error:
            raise _unreadable(path, error) from error
    return whole.hexdigest()


def files_of(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that a source means.

    Raises
    ------
    DataError
        There is none, or one has a suffix that cannot be read.
    """
    if isinstance(source, str | Path):
        source = [source]
    if not isinstance(source, Sequence):
        raise DataError(
            f"{type(source).__name__} is a kind of data source that cannot be read as files.",
            suggestions=("Export the table to CSV or Parquet and name the file.",),
        )
    found = [path for item in source for path in _files(str(item))]
    if not found:
        raise DataError("The list of data files is empty.", suggestions=("Name at least one file in trainDataPath.",))
    return found


def _files(name: str) -> list[Path]:
    if "://" in name:
        raise DataError(
            f"'{name}' is a remote address, which cannot be read yet.",
            suggestions=("Download the file and name the local path.",),
        )
    path = Path(name).expanduser()
    if path.is_file():
        if not _is_text(path) and not _is_parquet(path):
            allowed = ", ".join((*TEXT_SUFFIXES, *PARQUET_SUFFIXES))
            raise DataError(
                f"The file {path} has a suffix that cannot be read; files that can be read end in {allowed}.",
                suggestions=("Rename the file after what it is, or export it as CSV or Parquet.",),
            )
        return [path]
    tables = [match for match in _matches(path) if match.is_file() and (_is_text(match) or _is_parquet(match))]
    if tables:
        return tables
    if path.is_dir():
        raise DataError(f"The folder {path} holds no CSV or Parquet file.", suggestions=("Name another folder.",))
    beside = [item.name for item in path.parent.iterdir() if item.is_file()] if path.parent.is_dir() else []
    near = nearest(path.name, beside)
    raise DataError(
        f"There is no file {path}."
        + ("" if path.parent.is_dir() else f" The folder {path.parent} does not exist either."),
        suggestions=(f"Did you mean {path.parent / near}?" if near else "Check trainDataPath.",),
    )


def _matches(path: Path) -> list[Path]:
    """What lies in a folder, or matches a glob."""
    try:
        return sorted(path.iterdir() if path.is_dir() else Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    except (ValueError, OSError):  # no pattern that glob knows, or a folder that may not be listed
        return []


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(TEXT_SUFFIXES)


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(PARQUET_SUFFIXES)


def _read_parquet(path: Path) -> pa.Table:
    try:
        # ParquetFile, not read_table: folder names such as year=2024 must not become columns.
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"The file {path} cannot be read as Parquet: {str(error).splitlines()[0][:200]}",
            suggestions=("Write or download the file again.", "If it is CSV, name it .csv."),
        ) from error


def _named(path: Path, table: pa.Table) -> pa.Table:
    try:
        checked = plain(table)
    except DataError as error:
        raise DataError(f"{error.message} (file {path})", suggestions=error.suggestions) from error
    if _is_text(path):
        return checked
    columns = [
        type_times(column) if pa.types.is_string(column.type) and column.null_count < len(column) else column
        for column in checked.columns
    ]
    return pa.Table.from_arrays(columns, names=checked.column_names)


def _aligned(path: Path, table: pa.Table, first: Path, names: list[str]) -> pa.Table:
    lost = [name for name in names if name not in table.column_names]
    added = [name for name in table.column_names if name not in names]
    if lost or added:
        facts = [f"lacks {', '.join(map(repr, lost))}"] if lost else []
        facts += [f"has {', '.join(map(repr, added))} besides"] if added else []
        raise DataError(
            f"The files do not have the same columns: compared with {first}, {path} {' and '.join(facts)}.",
            suggestions=("Give all files of trainDataPath the same columns.",),
        )
    return table.select(names)


def _typed(table: pa.Table) -> tuple[pa.Table, list[str]]:
    columns, notes = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        typed, said = type_text(name, column)
        columns.append(typed)
        notes.extend(said)
    return pa.Table.from_arrays(columns, names=table.column_names), notes


def _joined(parts: list[pa.Table], paths: list[Path]) -> pa.Table:
    try:
        return plain(pa.concat_tables(parts, promote_options="permissive"))
    except pa.ArrowException as error:
        raise DataError(
            f"{_named_files(paths)} cannot be joined, since a column has different types in them: "
            f"{str(error).splitlines()[0][:200]}",
            suggestions=("Write all files with the same column types.",),
        ) from error


def _named_files(paths: list[Path]) -> str:
    return f"The file {paths[0]}" if len(paths) == 1 else f"The {len(paths)} files {paths[0]} to {paths[-1]}"


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"The file {path} cannot be read: {error.strerror}.", suggestions=("Check its permissions.",))
