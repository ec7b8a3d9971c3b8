"""Which files can be read, by their names: the one table of formats."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from mt_assets.trainer.data.sources.columnar import bytes_of_parquet, read_arrow, read_parquet
from mt_assets.trainer.data.sources.csv_text import read_csv
from mt_assets.trainer.data.sources.data_file import COMPRESSIONS, DataFile
from mt_assets.trainer.data.sources.json_lines import read_json


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes
    ----------
    name : str
        For messages.
    suffixes : tuple of str
        How names of such files end.
    read : callable
        From files to their tables, one after the other; of each table about one row in so many.
    bytes : callable
        About how many bytes the whole table of a file takes in memory.
    typed : bool
        Whether the file says which type a column has. Otherwise all of it is text, and the values decide.
    compressed : bool
        Whether a suffix of a compression may follow. Parquet and Arrow compress inside the file.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Iterable[DataFile], int], Iterator[pa.Table]]
    bytes: Callable[[DataFile], float]
    typed: bool
    compressed: bool


def _each(read: Callable[[DataFile, int], pa.Table]) -> Callable[[Iterable[DataFile], int], Iterator[pa.Table]]:
    return lambda files, per_one: (read(file, per_one) for file in files)


FORMATS = (
    Format("CSV", (".csv", ".tsv"), read_csv, DataFile.text_size, typed=False, compressed=True),
    Format(
        "JSON lines", (".jsonl", ".ndjson", ".json"), _each(read_json), DataFile.text_size, typed=True, compressed=True
    ),
    Format("Parquet", (".parquet", ".pq"), _each(read_parquet), bytes_of_parquet, typed=True, compressed=False),
    Format(
        "Arrow",
        (".arrow", ".arrows", ".feather", ".ipc"),
        _each(read_arrow),
        DataFile.size,
        typed=True,
        compressed=False,
    ),
)


def format_of(name: str) -> Format | None:
    """The format that a file's name says, in any letter case, or None."""
    lower = name.lower()
    packed = next((suffix for suffix in COMPRESSIONS if lower.endswith(suffix)), "")
    bare = lower.removesuffix(packed)
    found = next((format for format in FORMATS if bare.endswith(format.suffixes)), None)
    return found if found and (found.compressed or not packed) else None


def readable_suffixes() -> str:
    """Every suffix that can be read, for messages."""
    plain = ", ".join(suffix for format in FORMATS for suffix in format.suffixes)
    packed = " and ".join(format.name for format in FORMATS if format.compressed)
    return f"{plain}; {packed} also with {', '.join(COMPRESSIONS)} behind"
