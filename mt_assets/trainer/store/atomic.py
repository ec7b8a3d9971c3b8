"""Writes that leave the old or the new state, whatever happens in between."""

import os
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

UNFINISHED = ".unfinished-"
"""Prefix of what is still being written; leftovers of killed processes carry it and are swept by `sweep`."""


def write_atomic(path: Path, content: bytes) -> None:
    """Replace the file at `path`, durably: a reader sees the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f"{UNFINISHED}{uuid.uuid4().hex}"
    with uninterrupted():
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait for the end of the context: who is told to end finishes what it writes.

    Signals reach the main thread alone; others need no protection.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = {each: handler for each, handler in before.items() if handler is not None}  # None: of other than Python
    for each in ours:
        signal.signal(each, note)
    try:
        yield
    finally:
        for each, handler in ours.items():
            signal.signal(each, handler)
        for number in arrived:
            signal.raise_signal(number)


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """Give a folder to fill; whoever fills it renames it to its final name. What is left of it is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{UNFINISHED}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish_folder(unfinished: Path, final: Path) -> None:
    """Rename a filled folder to its final name, durably. Where the final one exists already, it stays."""
    with uninterrupted():
        for path in unfinished.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if not final.exists():
            unfinished.rename(final)
            _sync_folder(final.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder whole: from the first moment nobody finds it, and what a kill leaves of it is swept."""
    doomed = folder.parent / f"{UNFINISHED}{uuid.uuid4().hex}"
    folder.rename(doomed)
    shutil.rmtree(doomed)


def sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished below `folder`. Only for the holder of the model's lock."""
    for leftover in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
