"""Text files in whatever encoding: which one, and the same text in UTF-8."""

import codecs
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mt_assets.trainer.data.sources.data_file import BLOCK, DataFile
from mt_assets.trainer.errors import DataError

UTF8 = "utf-8-sig"

_CONTROL = bytes(code for code in range(32) if code not in (9, 10, 13))
_CONTROL_LIMIT = 0.005
"""Share of control characters above which what is not UTF-8 is no text either. Old mails have a few; random or
compressed bytes have about a tenth."""


def encoding_of(file: DataFile, kind: str) -> str:
    """Name the encoding that the whole file decodes with: UTF-8, UTF-16 by its mark, else Windows Latin.

    Parameters
    ----------
    file : DataFile
    kind : str
        What its name says that it is, for the message.

    Raises
    ------
    DataError
        The file is not text.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    seen = control = 0
    utf8 = True
    for block in file.blocks():
        if not seen and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return _whole_utf16(file, kind)
        if b"\0" in block:
            raise _not_text(file, kind)
        seen += len(block)
        control += len(block) - len(block.translate(None, _CONTROL))
        utf8 = utf8 and _decodes(decoder, block)
    if utf8 and _decodes(decoder, b"", final=True):
        return UTF8
    if control > _CONTROL_LIMIT * seen:
        raise _not_text(file, kind)
    return "cp1252"


@contextmanager
def utf8_copy(file: DataFile, encoding: str) -> Iterator[Path]:
    """A plain copy of the text in UTF-8, decompressed, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "table.txt"
        # The five bytes that Windows Latin leaves undefined become the replacement character.
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        with copy.open("w", encoding="utf-8", newline="") as sink:
            for block in file.blocks():
                sink.write(decoder.decode(block))
            sink.write(decoder.decode(b"", final=True))
        yield copy


def beginning(file: DataFile, encoding: str, size: int) -> str:
    """The text of the first `size` bytes."""
    with file.open() as raw:
        head = io.BytesIO()
        while head.tell() < size and (block := raw.read(BLOCK)):
            head.write(block)
    return head.getvalue().decode(encoding, errors="replace").removeprefix("\ufeff")


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _whole_utf16(file: DataFile, kind: str) -> str:
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        # UTF-32 begins with the same mark, and reads as UTF-16 with a NUL behind each letter.
        if not any("\0" in decoder.decode(block) for block in file.blocks()) and not decoder.decode(b"", final=True):
            return "utf-16"
    except UnicodeDecodeError:
        pass
    raise _not_text(file, kind)


def _not_text(file: DataFile, kind: str) -> DataError:
    return DataError(
        f"The file {file} is not a text file: it holds bytes that no {kind} has. Its name says {kind}, its content "
        "does not.",
        suggestions=(
            "If it is Parquet, name it .parquet.",
            f"Export the table again as {kind} in UTF-8, or as Parquet.",
        ),
    )
