"""A command watched from outside: wall and CPU seconds, and the memory of its process and all that it starts.

CPU seconds are those to trust on a machine that does other work as well.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

EVERY_S: Final = 0.1
"""Seconds between two looks; a look takes 2 to 4 ms, as it searches all processes for children."""


@dataclass(frozen=True)
class Look:
    """What was used up to a moment: `at` in seconds since 1970, CPU seconds so far, resident bytes now."""

    at: float
    cpu: float
    resident: int


@dataclass(frozen=True)
class Watched:
    """A command that has ended.

    Attributes
    ----------
    code : int
        Exit code.
    output, errors : str
        Standard output and standard error.
    wall, cpu : float
        Seconds, from before the process is there until it is gone; CPU of its children with it.
    looks : tuple of Look
    """

    code: int
    output: str
    errors: str
    wall: float
    cpu: float
    looks: tuple[Look, ...]

    @property
    def peak_mb(self) -> float:
        """Largest sum of resident memory over the processes; memory that they share counts for each of them."""
        return max((look.resident for look in self.looks), default=0) / 1e6

    def cpu_between(self, start: float, end: float) -> float:
        """CPU seconds used between two moments (seconds since 1970)."""
        return self._cpu_at(end) - self._cpu_at(start)

    def peak_mb_between(self, start: float, end: float) -> float:
        """The peak between two moments."""
        return max((look.resident for look in self.looks if start <= look.at <= end), default=0) / 1e6

    def _cpu_at(self, moment: float) -> float:
        at = bisect_left(self.looks, moment, key=lambda look: look.at)
        if at == 0 or at == len(self.looks):
            return 0.0 if at == 0 else self.cpu
        before, after = self.looks[at - 1], self.looks[at]
        share = (moment - before.at) / (after.at - before.at)
        return before.cpu + share * (after.cpu - before.cpu)


def watch(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Watched:
    """Run a command to its end.

    Parameters
    ----------
    command : sequence
    env : mapping, optional
        Variables besides those of this process.
    """
    looks: list[Look] = []
    before = os.times()
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = psutil.Popen([str(part) for part in command], stdout=output, stderr=errors, env=_environment(env))
        running = True
        while running:
            if look := _look(process):
                looks.append(look)
            with suppress(psutil.TimeoutExpired):
                process.wait(EVERY_S)
                running = False
        wall = time.perf_counter() - started
        after = os.times()
        output.seek(0)
        errors.seek(0)
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return Watched(process.returncode, output.read(), errors.read(), wall, cpu, tuple(looks))


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    # Without stored bytecode every start compiles all libraries anew, and that would be all that is measured.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, **(more or {})}


def _look(process: psutil.Process) -> Look | None:
    """CPU so far and memory now of a process and its children; None once it is gone."""
    try:
        used = process.cpu_times()
        cpu = used.user + used.system + used.children_user + used.children_system
        resident = process.memory_info().rss
        for child in process.children(recursive=True):
            try:
                times, memory = child.cpu_times(), child.memory_info()
            except psutil.Error:
                continue
            cpu += times.user + times.system + times.children_user + times.children_system
            resident += memory.rss
    except psutil.Error:
        return None
    return Look(time.time(), cpu, resident)


@contextmanager
def fresh_home() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder that goes away, and the variables that put all state of the trainer and of Dagster into it."""
    with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as folder:
        home = Path(folder) / "home"
        yield home, {"MT_ASSETS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}


def machine() -> str:
    """One line about where this runs."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f} at the start"


def spread(values: Sequence[float]) -> str:
    """A median with the range."""
    return f"{median(values):7.2f}  ({min(values):.2f} to {max(values):.2f})"
