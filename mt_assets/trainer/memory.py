"""The memory of this machine: what can still be had of it, and giving back what is not used any more."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakSet

import psutil

GIGABYTE: Final = 1e9

SHARE: Final = 0.9
"""Of what is free, what may be taken. AutoGluon refuses a model at the same share of the memory that is available."""

RUN_BYTES: Final = 0.6 * GIGABYTE
"""What a run takes beside its table and its fits, subtracted from a limit: 0.37 GB is a process with the libraries, the
rest is the process that workers come from. Of what is free on the machine it was taken before."""


def room(limit: float | None) -> float:
    """Bytes that may be taken now, by a table or by all fits together.

    Parameters
    ----------
    limit : float or None
        Gigabytes for the whole run, see `TrainingPlan.memory_limit`; None for what is free.
    """
    free = free_memory()
    return SHARE * (free if limit is None else min(free, max(0.0, limit * GIGABYTE - RUN_BYTES)))


def free_memory(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes that this process can still get: what the system has available, or its control groups if that is less.

    Parameters
    ----------
    groups : pathlib.Path
        The groups of the process, see cgroups(7).
    root : pathlib.Path
        Where the kernel shows them.
    """
    return min([float(psutil.virtual_memory().available), *_free_in_groups(groups, root)])


def _free_in_groups(groups: Path, root: Path) -> Iterator[float]:
    """What each group of the process that has a limit leaves free; pages of files that can be dropped count as free."""
    try:
        lines = [line.split(":", 2) for line in groups.read_text().splitlines()]
    except OSError:
        return  # not Linux
    for _, controllers, own in lines:
        if not controllers:
            top, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        place = top / own.strip("/")
        while True:  # a limit of any group above holds as well; in a container the upper ones cannot be seen
            try:
                limit, used = (int((place / name).read_text()) for name in names[:2])
                kept = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
                yield max(0.0, float(limit - used + int(kept.get(names[2], 0))))
            except (OSError, ValueError):
                pass  # no such group, or `max`
            if place == top:
                break
            place = place.parent


_mapped: Final[WeakSet[mmap.mmap]] = WeakSet()


def map_file(path: Path) -> mmap.mmap:
    """A file as memory that cannot be written to, which all processes share, and whose pages `give_back` gives back.

    Raises
    ------
    OSError, ValueError
        When it cannot be read, or is empty.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _mapped.add(mapped)
    return mapped


def give_back() -> None:
    """Return to the system what this process holds and does not need: what it has freed, and pages of mapped files.

    After a table of 500,000 rows and 20 columns was encoded glibc and Arrow held 145 MB that were free, and of the
    table's file every process holds what it has read. Takes a few milliseconds.
    """
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with suppress(AttributeError):  # a C library without it
            ctypes.CDLL(None).malloc_trim(0)
        for mapped in _mapped:
            mapped.madvise(mmap.MADV_DONTNEED)  # they are read from the file again where they are wanted
