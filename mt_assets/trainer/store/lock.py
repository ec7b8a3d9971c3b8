"""One run per model at a time, held by the operating system.

A lock of the operating system dies with its process, so a run that was killed blocks nobody. Beside the model's lock
every run holds a file of its own while it lives: a leftover file that nobody holds is a run that was killed.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 0.5
"""Seconds between two tries for a lock that somebody else holds."""

ANNOUNCE_S = 30.0
"""Seconds between two messages about waiting."""

MARKER = ".alive"
"""Suffix of the file that a run keeps from taking the lock to its proper end."""

HOLDER = "lock_holder.json"


@contextmanager
def hold(folder: Path, run_id: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold a model's lock for the length of the context, waiting for it as long as another run has it.

    Parameters
    ----------
    folder : Path
        The model's folder of state.
    run_id : str
        The run that takes the lock; its marker tells it from killed ones.
    waiting : callable
        Told in one sentence, at once and then every 30 seconds, who holds the lock.
    """
    runs = folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    marker = runs / f"{run_id}.{os.getpid()}{MARKER}"
    lock = FileLock(folder / "lock")
    try:
        with FileLock(_marker_lock(marker)):
            marker.touch()
            try:
                _acquire(lock, folder, waiting)
                (folder / HOLDER).write_text(json.dumps({"run_id": run_id, "process": os.getpid()}))
                yield
            finally:
                lock.release()
                marker.unlink(missing_ok=True)
    finally:
        _marker_lock(marker).unlink(missing_ok=True)


def _acquire(lock: FileLock, folder: Path, waiting: Callable[[str], None]) -> None:
    announced = -ANNOUNCE_S
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            if time.monotonic() - announced >= ANNOUNCE_S:
                announced = time.monotonic()
                waiting(f"Another run is training {folder.name} ({_holder(folder)}); waiting for it to end.")
            time.sleep(POLL_S)


def _holder(folder: Path) -> str:
    try:
        known = json.loads((folder / HOLDER).read_text())
        return f"run {known['run_id']}, process {known['process']}"
    except (OSError, ValueError, KeyError):
        return "it has only just begun"


def is_alive(folder: Path, run_id: str) -> bool | None:
    """Whether a process holds the run's file: True, False for a killed run, None where the run left no trace."""
    verdicts = [verdict for path in _markers(folder, run_id) if (verdict := _is_held(path)) is not None]
    return any(verdicts) if verdicts else None


def killed_runs(folder: Path) -> list[str]:
    """Return the ids of the runs that held or awaited the model's lock when their process was killed."""
    run_ids = {path.name.split(".")[0] for path in _markers(folder, "*")}
    return sorted(run_id for run_id in run_ids if is_alive(folder, run_id) is False)


def live_runs(folder: Path) -> list[str]:
    """Return the ids of the runs that hold or await the model's lock now."""
    run_ids = {path.name.split(".")[0] for path in _markers(folder, "*")}
    return sorted(run_id for run_id in run_ids if is_alive(folder, run_id))


def forget_run(folder: Path, run_id: str) -> None:
    """Remove the traces of a killed run, once it has been reported."""
    for path in _markers(folder, run_id):
        path.unlink(missing_ok=True)
        _marker_lock(path).unlink(missing_ok=True)


def _markers(folder: Path, run_id: str) -> list[Path]:
    return list((folder / "runs").glob(f"{run_id}.*{MARKER}"))


def _marker_lock(marker: Path) -> Path:
    return marker.with_name(marker.name + ".lock")


def _is_held(marker: Path) -> bool | None:
    """Whether somebody holds the marker; None where its run has ended properly in the meantime."""
    try:
        with FileLock(_marker_lock(marker), timeout=0):
            if marker.exists():
                return False
        _marker_lock(marker).unlink(missing_ok=True)
        return None
    except Timeout:
        return True
