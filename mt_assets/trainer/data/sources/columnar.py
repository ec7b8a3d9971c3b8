"""Files that bring their own types: Parquet, and Arrow as file, stream or Feather."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from mt_assets.trainer.data.sampling import sampled
from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.errors import DataError

_CELL = 8
"""Bytes of a number in memory, however few of them it takes in the file."""

_ARROW_FILE, _FEATHER_1 = b"ARROW1", b"FEA1"
"""First bytes of Arrow's file format (Feather since version 2 is the same) and of the first Feather; what begins with
neither is a stream."""


def bytes_of_parquet(file: DataFile) -> int:
    """About how many bytes the table of a Parquet file takes in memory, by what stands at its end."""
    try:
        known = pq.read_metadata(file.path)
    except (pa.ArrowException, OSError, ValueError):
        return 0  # what reads it says why
    held = sum(known.row_group(at).total_byte_size for at in range(known.num_row_groups))
    return max(held, known.num_rows * known.num_columns * _CELL)


def read_parquet(file: DataFile, per_one: int = 1) -> pa.Table:
    """Read a Parquet file, or of so many rows one.

    Raises
    ------
    DataError
        It is damaged, or no Parquet.
    """
    try:
        # ParquetFile, not read_table: folder names such as year=2024 must not become columns.
        with pq.ParquetFile(file.path) as opened:
            if per_one > 1:
                return sampled(opened.iter_batches(), opened.schema_arrow, per_one)
            return opened.read()
    except MemoryError:
        raise  # says nothing about the file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(file, "Parquet", error) from error


def read_arrow(file: DataFile, per_one: int = 1) -> pa.Table:
    """Read an Arrow file or stream, or Feather of either version, or of so many rows one.

    Which one it is, its first bytes tell.

    Raises
    ------
    DataError
        It is damaged, or no Arrow.
    """
    try:
        with file.path.open("rb") as raw:
            start = raw.read(len(_ARROW_FILE))
        if start.startswith(_FEATHER_1):
            whole = feather.read_table(file.path, memory_map=False)
            return whole if per_one == 1 else sampled(whole.to_batches(), whole.schema, per_one)
        # Read, not memory-mapped: a file that is written anew while the run goes on must not change what was read.
        with pa.OSFile(str(file.path)) as raw:
            opened = pa.ipc.open_file(raw) if start == _ARROW_FILE else pa.ipc.open_stream(raw)
            with opened:
                if per_one > 1:
                    return sampled(_batches(opened), opened.schema, per_one)
                return opened.read_all()
    except MemoryError:
        raise  # says nothing about the file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(file, "Arrow", error) from error


def _batches(opened: pa.RecordBatchFileReader | pa.RecordBatchStreamReader) -> Iterable[pa.RecordBatch]:
    if isinstance(opened, pa.RecordBatchFileReader):
        return map(opened.get_batch, range(opened.num_record_batches))
    return opened


def _unreadable(file: DataFile, kind: str, error: Exception) -> DataError:
    return DataError(
        f"The file {file} cannot be read as {kind}: {str(error).splitlines()[0][:200]}",
        suggestions=("Write or download the file again.", "If it is CSV, name it .csv."),
    )
