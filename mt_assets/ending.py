"""How a run on the command line ends that is told to: at once where it can, within seconds where it computes.

Dagster turns SIGINT and SIGTERM into an exception, which a fit inside a library lets wait for as long as it takes.
"""

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

GRACE_S = 10.0
"""Seconds from the signal to the end at the latest. Kubernetes and systemd kill after 30 and 90; telling the tracker of
the end takes about 4."""


class Signals:
    """Which signal the process has got, as the system saw it.

    Signals are read from a socket that the interpreter writes to the moment they arrive (`signal.set_wakeup_fd`),
    whatever handler is at work and whatever the main thread is doing.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._ours, self._theirs = socket.socketpair()
        for end in (self._ours, self._theirs):
            end.setblocking(False)
        self._lock = threading.Lock()
        self._last: int | None = None

    def listen(self) -> int:
        """Begin; returns the descriptor that was written to before."""
        return signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)

    def last(self) -> int | None:
        """The last of SIGINT and SIGTERM that arrived."""
        with self._lock, suppress(BlockingIOError):
            while arrived := self._ours.recv(64):
                wanted = [number for number in arrived if number in (signal.SIGINT, signal.SIGTERM)]
                self._last = wanted[-1] if wanted else self._last
        return self._last

    def watch(self, give_up: Callable[[int], None]) -> None:
        """Once a signal has come, wait for the end; where it does not come in time, make one."""
        with self._ours:
            while not self._over.is_set():
                select.select([self._ours], [], [])
                if (number := self.last()) and not self._over.wait(GRACE_S):
                    give_up(number)

    def close(self) -> None:
        """End the watch."""
        self._over.set()
        self._theirs.close()  # which wakes it


@contextmanager
def signals_noted(give_up: Callable[[int], None]) -> Iterator[Signals]:
    """Note signals for the length of the context, and end the process that does not end in time after one.

    Parameters
    ----------
    give_up : callable
        Told the signal before the process ends by force; what was finished is safe by then, so it only reports.
    """
    signals = Signals()
    unraisable = sys.unraisablehook
    watched = threading.current_thread() is threading.main_thread()  # which signals reach alone

    def end(number: int) -> None:
        with suppress(Exception):
            give_up(number)
        os._exit(128 + number)

    def lost(error: "sys.UnraisableHookArgs") -> None:
        # The end may come while an object is taken apart, where no exception passes: Python would print it.
        if signals.last() is None:
            unraisable(error)

    watcher = threading.Thread(target=signals.watch, args=(end,), daemon=True)
    watcher.start()
    sys.unraisablehook = lost
    before = signals.listen() if watched else -1
    try:
        yield signals
    finally:
        if watched:
            signal.set_wakeup_fd(before)
        sys.unraisablehook = unraisable
        signals.close()
        watcher.join()
