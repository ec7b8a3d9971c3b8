"""A command watched from outside: wall and CPU seconds, and the memory of its process and all that it starts.

CPU seconds are those to trust on a machine that does other work as well.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

EVERY_S: Final = 0.1
"""Seconds between two looks; a look takes 2 to 4 ms, as it searches all processes for children."""

EVERY_PROPORTIONAL_S: Final = 0.5
"""Seconds between two looks at proportional memory, for which the kernel walks through all pages of each process: some
10 ms for a process of 1 GB, in which it cannot map memory."""


def resident(process: psutil.Process) -> int:
    """Bytes of a process in memory, with all that it shares."""
    size: int = process.memory_info().rss
    return size


def proportional(process: psutil.Process) -> int:
    """Bytes of a process in memory, a page that n processes share counted as its n-th part (PSS). Linux only.

    The sum over processes that share libraries or tables is what they take of the machine.
    """
    with suppress(OSError):  # gone, which is no more than gone
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True)
class Look:
    """What was used up to a moment: `at` in seconds since 1970, CPU seconds so far, bytes of memory now."""

    at: float
    cpu: float
    memory: int


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
    stopped : bool
        Whether it was ended from here, before its own end.
    """

    code: int
    output: str
    errors: str
    wall: float
    cpu: float
    looks: tuple[Look, ...]
    stopped: bool = False

    @property
    def peak_mb(self) -> float:
        """Largest sum of memory over the processes."""
        return max((look.memory for look in self.looks), default=0) / 1e6

    def cpu_between(self, start: float, end: float) -> float:
        """CPU seconds used between two moments (seconds since 1970)."""
        return self._cpu_at(end) - self._cpu_at(start)

    def peak_mb_between(self, start: float, end: float) -> float:
        """The peak between two moments."""
        return max((look.memory for look in self.looks if start <= look.at <= end), default=0) / 1e6

    def _cpu_at(self, moment: float) -> float:
        at = bisect_left(self.looks, moment, key=lambda look: look.at)
        if at == 0 or at == len(self.looks):
            return 0.0 if at == 0 else self.cpu
        before, after = self.looks[at - 1], self.looks[at]
        share = (moment - before.at) / (after.at - before.at)
        return before.cpu + share * (after.cpu - before.cpu)


def watch(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    memory: Callable[[psutil.Process], int] = resident,
    stop: Callable[[float], bool] = lambda _: False,
) -> Watched:
    """Run a command to its end, in a process group of its own, of which nothing is left afterwards.

    Parameters
    ----------
    command : sequence
    env : mapping, optional
        Variables besides those of this process.
    memory : callable
        What is summed over the processes: `resident`, by which shared memory counts for each of them, or
        `proportional`.
    stop : callable
        Asked at each look, with the seconds since the start, whether to kill all of it now (SIGKILL).
    """
    every = EVERY_S if memory is resident else EVERY_PROPORTIONAL_S
    looks: list[Look] = []
    before = os.times()
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = psutil.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=errors,
            env=_environment(env),
            start_new_session=True,
        )
        running, stopped = True, False
        try:
            while running:
                if look := _look(process, memory):
                    looks.append(look)
                if not stopped and stop(time.perf_counter() - started):
                    stopped = True
                    _kill(process)
                with suppress(psutil.TimeoutExpired):
                    process.wait(every)
                    running = False
        finally:
            _kill(process)
        wall = time.perf_counter() - started
        after = os.times()
        output.seek(0)
        errors.seek(0)
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return Watched(process.returncode, output.read(), errors.read(), wall, cpu, tuple(looks), stopped)


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    # Without stored bytecode every start compiles all libraries anew, and that would be all that is measured.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, **(more or {})}


def _kill(process: psutil.Process) -> None:
    """Kill its group, and those of its children that have left the group, as Java servers do."""
    strays: list[psutil.Process] = []
    with suppress(psutil.Error):
        strays = process.children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stray in strays:
        with suppress(psutil.Error):
            stray.kill()


def _look(process: psutil.Process, memory: Callable[[psutil.Process], int]) -> Look | None:
    """CPU so far and memory now of a process and its children; None once it is gone."""
    try:
        used = process.cpu_times()
        cpu = used.user + used.system + used.children_user + used.children_system
        size = memory(process)
        for child in process.children(recursive=True):
            try:
                times, more = child.cpu_times(), memory(child)
            except psutil.Error:
                continue
            cpu += times.user + times.system + times.children_user + times.children_system
            size += more
    except psutil.Error:
        return None
    return Look(time.time(), cpu, size)


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
