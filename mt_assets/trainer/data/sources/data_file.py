"""One file of the data: where its bytes lie, how people know it, and how it is opened."""

import bz2
import gzip
import lzma
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from mt_assets.trainer.errors import DataError

BLOCK = 1 << 20

MOST_EXPANSION = 200
"""Times its own size that a compressed file may hold. Tables of text hold 3 to 50 times; 10 kB of zst can hold all that
a disk has."""

EXPANSION_FLOOR = 1 << 28
"""Bytes up to which a file may hold as many times its size as it likes, since they do no harm."""

EXPANSION = 6
"""Times its own size that a compressed table of text usually holds."""

COMPRESSIONS: dict[str, Callable[[Path], IO[bytes]]] = {
    ".gz": gzip.open,  # type: ignore[dict-item]  # opened for reading bytes when nothing else is asked for
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": lambda path: pa.input_stream(str(path), compression="zstd"),
}
"""Suffix of a compressed file -> how it is opened. Python reads the first three, Arrow brings zstd along."""

_DAMAGE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What the readers of compressed files raise on damage; Arrow's errors are among them (OSError, ValueError)."""


@dataclass(frozen=True)
class DataFile:
    """A file that holds a table or a part of one.

    Attributes
    ----------
    path : Path
        Where its bytes lie on this machine; of a remote file, where they were downloaded to.
    shown : str
        How messages name it: the path or address that a person gave, without secrets.
    """

    path: Path
    shown: str

    def __str__(self) -> str:
        return self.shown

    @classmethod
    def local(cls, path: Path) -> "DataFile":
        return cls(path, str(path))

    def size(self) -> int:
        """Bytes on the disk; 0 where it cannot be looked at, of which what reads it tells."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def text_size(self) -> int:
        """About how many bytes of text it holds."""
        return self.size() * (EXPANSION if self.compression else 1)

    @property
    def stamp(self) -> str:
        """What changes when the file does: size, times of its last change, and which file of the disk it is.

        The time that the file system itself keeps of the last change is part of it, since nobody can set that one back.
        """
        known = self.path.stat()
        return f"{known.st_size}:{known.st_mtime_ns}:{known.st_ctime_ns}:{known.st_ino}"

    @property
    def compression(self) -> str | None:
        """The suffix by which it is compressed, or None."""
        suffix = self.path.suffix.lower()
        return suffix if suffix in COMPRESSIONS else None

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open it for reading, decompressed.

        Raises
        ------
        DataError
            It cannot be opened, or what reads it meets damage. Only reading may stand in the body.
        """
        opened = COMPRESSIONS.get(self.path.suffix.lower(), lambda path: path.open("rb"))
        try:
            with opened(self.path) as raw:
                yield raw
        except _DAMAGE as error:
            raise self.unreadable(error) from error

    def blocks(self) -> Iterator[bytes]:
        """Its content, decompressed, in blocks of a megabyte.

        Raises
        ------
        DataError
            As `open`, and where more comes out of a compressed file than any table would hold (`MOST_EXPANSION`).
        """
        most = max(EXPANSION_FLOOR, MOST_EXPANSION * self.path.stat().st_size) if self.compression else math.inf
        held = 0
        with self.open() as raw:
            while block := raw.read(BLOCK):
                held += len(block)
                if held > most:
                    break
                yield block
        if held > most:
            raise DataError(
                f"The file {self} holds more than {MOST_EXPANSION} times its size, which is what a compressed file may "
                "hold that is read as it stands; no table of text comes near it.",
                suggestions=(
                    f"If it is meant, decompress it yourself and name {self.shown.removesuffix(self.path.suffix)}.",
                    "Else write or download it again.",
                ),
            )

    def unreadable(self, error: Exception) -> DataError:
        """The error for a file that breaks off, is damaged or may not be read."""
        why = (error.strerror if isinstance(error, OSError) else None) or str(error).partition("\n")[0] or "it is cut"
        return DataError(
            f"The file {self} cannot be read: {why[:200].rstrip('.')}.",
            suggestions=("Check its permissions, and write or download it again.",),
        )
