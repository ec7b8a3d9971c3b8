"""The memory of this machine: what can still be had of it, and giving back what is not used any more."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


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


def give_back() -> None:
    """Return to the system what this process has freed and still holds, for the next large table or another process.

    After a table of 500,000 rows and 20 columns was encoded glibc and Arrow held 145 MB so.
    """
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with suppress(AttributeError):  # a C library without it
            ctypes.CDLL(None).malloc_trim(0)
