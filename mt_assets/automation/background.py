"""Work that may take longer than a tick has time: it goes on behind the ticks, and the next one asks for it again."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from threading import Lock, Thread
from typing import Any, TypeVar

R = TypeVar("R")

PATIENCE_S = 40.0
"""Seconds that a tick waits. Dagster ends a tick, and counts it as failed, after 60."""

_running: dict[Hashable, "Future[Any]"] = {}
_guard = Lock()


def within_tick(key: Hashable, work: Callable[[], R]) -> R | None:
    """Return what the work gives, or None where it is not done yet; the next call with this key takes it up.

    The work is lost when the process ends, so it keeps by itself what is worth keeping.
    """
    with _guard:
        known = _running.get(key)
        future: Future[R] = known or Future()
        if known is None:
            _running[key] = future
            Thread(target=_do, args=(future, work), daemon=True).start()
    try:
        return future.result(timeout=PATIENCE_S)
    except NotYetError:
        if future.done():
            raise
        return None
    finally:
        if future.done():
            with _guard:
                _running.pop(key, None)


def _do(future: "Future[R]", work: Callable[[], R]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # whoever asks for the result is told
        future.set_exception(error)
