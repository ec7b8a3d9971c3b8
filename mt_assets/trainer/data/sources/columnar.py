"""Files that bring their own types: Parquet, and Arrow as file, stream or Feather."""

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.errors import DataError

_ARROW_FILE, _FEATHER_1 = b"ARROW1", b"FEA1"
"""First bytes of Arrow's file format (Feather since version 2 is the same) and of the first Feather; what begins with
neither is a stream."""


def read_parquet(file: DataFile) -> pa.Table:
    """Read a Parquet file.

    Raises
    ------
    DataError
        It is damaged, or no Parquet.
    """
    try:
        # ParquetFile, not read_table: folder names such as year=2024 must not become columns.
        with pq.ParquetFile(file.path) as opened:
            return opened.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(file, "Parquet", error) from error


def read_arrow(file: DataFile) -> pa.Table:
    """Read an Arrow file or stream, or Feather of either version; which one it is, its first bytes tell.

    Raises
    ------
    DataError
        It is damaged, or no Arrow.
    """
    try:
        with file.path.open("rb") as raw:
            start = raw.read(len(_ARROW_FILE))
        if start.startswith(_FEATHER_1):
            return feather.read_table(file.path, memory_map=False)
        # Read, not memory-mapped: a file that is written anew while the run goes on must not change what was read.
        with pa.OSFile(str(file.path)) as raw:
            opened = pa.ipc.open_file(raw) if start == _ARROW_FILE else pa.ipc.open_stream(raw)
            with opened:
                return opened.read_all()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(file, "Arrow", error) from error


def _unreadable(file: DataFile, kind: str, error: Exception) -> DataError:
    return DataError(
        f"The file {file} cannot be read as {kind}: {str(error).splitlines()[0][:200]}",
        suggestions=("Write or download the file again.", "If it is CSV, name it .csv."),
    )
