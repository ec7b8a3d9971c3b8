"""Sources in, one Arrow table out, and the fingerprint of what was read.

What belongs here: what holds for every source (types, several files as one table, fingerprints). What does not: how one
kind of file or place is read (`sources`).
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import file_digest, sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Self

import pyarrow as pa

from mt_assets.spec import AssetSource, SqlSource
from mt_assets.trainer.data.column_typing import type_text, type_times
from mt_assets.trainer.data.identity import content_hashes
from mt_assets.trainer.data.sampling import note, rows_per_one
from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.data.sources.formats import Format, format_of
from mt_assets.trainer.data.sources.local_files import local_files, on_this_machine
from mt_assets.trainer.data.table import Table, notes_of, plain, with_notes
from mt_assets.trainer.errors import DataError, UnsettledError

Source = str | Path | Sequence[str | Path] | SqlSource | AssetSource
"""Where a table is: files (paths, globs, folders, addresses), a database query, or another asset."""


class Sources:
    """The sources of one training, each fetched once, so that a fingerprint is of the very rows that are read.

    Use it as a context: what was downloaded is removed at its end.

    Parameters
    ----------
    read_asset : callable, optional
        Gives the table of an asset by its key; without it `{asset}` is refused.
    room : float, optional
        Bytes of memory that there are for a run on the table of files: where it would take more, a sample of its rows
        is read, and a note says so. Without it all rows are read. What a query or an asset gives is read whole.
    """

    def __init__(self, read_asset: Callable[[str], pa.Table] | None = None, room: float | None = None) -> None:
        self._read_asset = read_asset
        self._room = room
        self._stack = ExitStack()
        self._files: dict[tuple[str, ...], list[DataFile]] = {}
        self._stamps: dict[DataFile, str] = {}
        self._rows: dict[SqlSource | AssetSource, pa.Table] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read(self, source: Source) -> pa.Table:
        """Read one source.

        Returns
        -------
        pyarrow.Table
            Plain columns (see `table.plain`). Columns of text files are typed by all their values (`column_typing`);
            text of typed sources stays text unless all of it is times in ISO form. What a person should know about the
            reading travels along as notes (`table.notes_of`).

        Raises
        ------
        DataError
            The source does not exist, cannot be read as what its name says, has no rows, or one of its files lacks a
            column of those before it.
        UnsettledError
            A file changed while it was read.
        """
        if isinstance(source, SqlSource | AssetSource):
            return self._rows_of(source)
        files = self._files_of(source)
        try:
            table = self._read_files(files)
        except DataError:
            self._refuse_changed(files)  # then what was found says nothing
            raise
        self._refuse_changed(files)
        return table

    def fingerprint(self, source: Source) -> str:
        """Sha256 over the content of a source.

        Of files: their bytes, in the order of the files; names and times are left out. Of queries and assets: their
        rows, in whatever order they come (databases promise none), and the columns' names.

        Raises
        ------
        DataError
            As `read`.
        """
        if isinstance(source, SqlSource | AssetSource):
            table = self._rows_of(source)
            hashes = content_hashes(Table(table))
            hashes.sort()
            whole = sha256("\0".join(sorted(table.column_names)).encode())
            whole.update(hashes.tobytes())
            return whole.hexdigest()
        return together(digest_of(file) for file in self._files_of(source))

    def _files_of(self, source: str | Path | Sequence[str | Path]) -> list[DataFile]:
        names = tuple(map(str, [source] if isinstance(source, str | Path) else source))
        if names not in self._files:
            self._files[names] = [file for name in names for file in self._located(name)]
            self._stamps |= {file: _stamp(file) for file in self._files[names]}
        if not self._files[names]:
            raise DataError(
                "The list of data files is empty.", suggestions=("Name at least one file in trainDataPath.",)
            )
        return self._files[names]

    def _read_files(self, files: list[DataFile]) -> pa.Table:
        kinds = [format_of(file.path.name) for file in files]
        needed = sum(kind.bytes(file) for file, kind in zip(files, kinds, strict=True) if kind)
        per_one = 1 if self._room is None else rows_per_one(needed, self._room, _named_files(files))
        table = _read_files(files, kinds, per_one)
        if self._room is None or per_one == 1:
            return table
        return with_notes(table, [*notes_of(table), note(_named_files(files), per_one, len(table), needed, self._room)])

    def _refuse_changed(self, files: Sequence[DataFile]) -> None:
        """Refuse files that are no more what they were when they were first seen."""
        changed = [file for file in files if _stamp(file) != self._stamps[file]]
        if changed:
            raise UnsettledError(
                f"The file {changed[0]} changed while it was read.",
                suggestions=("Run this again when the file is written whole.",),
            )

    def _located(self, name: str) -> list[DataFile]:
        if on_this_machine(name):
            return local_files(name)
        from mt_assets.trainer.data.sources.remote import download

        return download(name, Path(self._stack.enter_context(tempfile.TemporaryDirectory())))

    def _rows_of(self, source: SqlSource | AssetSource) -> pa.Table:
        if source not in self._rows:
            if isinstance(source, SqlSource):
                from mt_assets.trainer.data.sources.database import read_query

                found, where = read_query(source.connection, source.query), "The query"
            elif self._read_asset is not None:
                found, where = self._read_asset(source.asset), f"The asset {source.asset}"
            else:
                raise DataError(
                    f"The table of the asset {source.asset} can only be read where Dagster runs.",
                    suggestions=("Name the file that it writes instead.",),
                )
            self._rows[source] = _finished(_typed_times(plain(found)), [], where)
        return self._rows[source]


def read_table(source: Source) -> pa.Table:
    """Read one source at once, see `Sources.read`."""
    with Sources() as sources:
        return sources.read(source)


def fingerprint(source: Source) -> str:
    """The fingerprint of one source, see `Sources.fingerprint`."""
    with Sources() as sources:
        return sources.fingerprint(source)


def digest_of(file: DataFile) -> str:
    """Sha256 of a file's bytes; DataError where it cannot be read."""
    try:
        with file.path.open("rb") as raw:
            return file_digest(raw, "sha256").hexdigest()
    except OSError as error:
        raise file.unreadable(error) from error


def together(digests: Iterable[str]) -> str:
    """The fingerprint of several files, by the digests of their bytes in their order."""
    return sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def _stamp(file: DataFile) -> str:
    try:
        return file.stamp
    except OSError:
        return ""  # what reads it says why


def _read_files(files: list[DataFile], kinds: list[Format | None], per_one: int) -> pa.Table:
    # Names are checked before columns are brought together by name.
    parts = [_named(file, table) for file, table in zip(files, _tables(files, kinds, per_one), strict=True)]
    names, notes = _all_columns(files, parts)
    # Text stays text where it is empty, since all text files are typed together.
    aligned = [
        _aligned(part, names, pa.null() if kind and kind.typed else pa.string())
        for part, kind in zip(parts, kinds, strict=True)
    ]
    texts = [part for part, kind in zip(aligned, kinds, strict=True) if kind and not kind.typed]
    typed: list[pa.Table] = []
    if texts:
        # All text files are typed together: one odd value in the last file decides for the column.
        together, said = _typed(pa.concat_tables(texts))
        typed.append(together)
        notes += said
    typed += [_typed_times(part) for part, kind in zip(aligned, kinds, strict=True) if kind and kind.typed]
    return _finished(_joined(typed, files), notes, _named_files(files))


def _tables(files: list[DataFile], kinds: list[Format | None], per_one: int) -> Iterator[pa.Table]:
    """The table of each file; files of one format that follow one another are read together."""
    for kind, group in groupby(zip(files, kinds, strict=True), key=itemgetter(1)):
        if kind:
            yield from kind.read((file for file, _ in group), per_one)


def _finished(table: pa.Table, notes: list[str], where: str) -> pa.Table:
    if not table.num_rows:
        raise DataError(f"{where} has columns but no rows.", suggestions=("Check how it was written.",))
    return with_notes(table, notes)


def _typed_times(table: pa.Table) -> pa.Table:
    columns = [
        type_times(column) if pa.types.is_string(column.type) and column.null_count < len(column) else column
        for column in table.columns
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _named(file: DataFile, table: pa.Table) -> pa.Table:
    try:
        return plain(table)
    except DataError as error:
        raise DataError(f"{error.message} (file {file})", suggestions=error.suggestions) from error


def _all_columns(files: list[DataFile], parts: list[pa.Table]) -> tuple[list[str], list[str]]:
    """The columns of all files by name, and notes on those that only later files have."""
    names, notes = parts[0].column_names, []
    for before, file, part in zip(files, files[1:], parts[1:], strict=False):
        known, held = set(names), set(part.column_names)
        lost = [name for name in names if name not in held]
        added = [name for name in part.column_names if name not in known]
        if lost:
            besides = f" and has {_listed(added)} besides" if added else ""
            raise DataError(
                f"The files do not have the same columns: compared with {before}, {file} lacks {_listed(lost)}"
                f"{besides}.",
                suggestions=(
                    f"Write {_listed(lost[:1])} into {file}, with empty values where they are not known; only columns "
                    "that are new may be absent from the files before.",
                ),
            )
        if added:
            notes.append(
                f"{file} is the first file with {_listed(added)}; rows of the files before have no value there."
            )
        names = [*names, *added]
    return names, notes


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))


def _aligned(table: pa.Table, names: list[str], empty: pa.DataType) -> pa.Table:
    """The table with these columns; one that it does not have is missing in all its rows."""
    held = set(table.column_names)
    columns = [table.column(name) if name in held else pa.nulls(len(table), empty) for name in names]
    return pa.Table.from_arrays(columns, names=names)


def _typed(table: pa.Table) -> tuple[pa.Table, list[str]]:
    columns, notes = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        typed, said = type_text(name, column)
        columns.append(typed)
        notes.extend(said)
    return pa.Table.from_arrays(columns, names=table.column_names), notes


def _joined(parts: list[pa.Table], files: list[DataFile]) -> pa.Table:
    try:
        return plain(pa.concat_tables(parts, promote_options="permissive"))
    except pa.ArrowException as error:
        raise DataError(
            f"{_named_files(files)} cannot be joined, since a column has different types in them: "
            f"{str(error).splitlines()[0][:200]}",
            suggestions=("Write all files with the same column types.",),
        ) from error


def _named_files(files: list[DataFile]) -> str:
    return f"The file {files[0]}" if len(files) == 1 else f"The {len(files)} files {files[0]} to {files[-1]}"
