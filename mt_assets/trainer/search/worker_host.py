"""The process that fresh ones come from, and what a worker does: fit candidates on folds, one after the other.

The host imports the libraries once and forks, so that a process is there in milliseconds and shares their memory. It
fits nothing and starts no thread: a process that has used OpenMP must not fork (LightGBM and XGBoost then hang).

Run as `python -m mt_assets.trainer.search.worker_host DESCRIPTOR MODULE...` by `workers`, with one end of a Unix
socket and what to import before anything is asked for. Each message on it is a descriptor with names of modules (fork a
process that has these imported, and calls what it is sent on the descriptor) or a process number (tell how that one
ended). Nobody else can write to the socket, so what is unpickled here was sent by the process that started the host.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mt_assets.trainer.search.candidate import FoldResult
    from mt_assets.trainer.search.fits import Fits
    from mt_assets.trainer.search.tasks import Failure, Job, Task

_PR_SET_PDEATHSIG: Final = 1
"""Of Linux' prctl: the signal that a process gets when its parent dies."""


def main(descriptor: int, modules: Sequence[str]) -> None:
    """Fork processes for the one at the other end of the socket until it is gone; then end them all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; our parent decides what ends
    channel = socket.socket(fileno=descriptor)
    import_module("mt_assets.trainer.search.fold_fits")
    _import_all(modules)
    workers: dict[int, int | None] = {}
    signal.signal(signal.SIGCHLD, lambda *_: _reap(workers))
    while True:
        message, descriptors = _receive(channel)
        if not message:
            break
        if not descriptors:
            ended = workers.get(int(message))
            channel.sendall(b"running" if ended is None else str(ended).encode())
            continue
        _import_all(message.decode().split())
        gc.collect()
        gc.freeze()  # what is imported stays; looking at it would copy its memory into every worker
        process = os.fork()
        if process == 0:
            channel.close()
            _serve(Connection(descriptors[0]))
        os.close(descriptors[0])
        workers[process] = None
        channel.sendall(str(process).encode())
    for process, ended in workers.items():
        if ended is None:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _import_all(modules: Iterable[str]) -> None:
    for module in modules:
        with suppress(ImportError):
            import_module(module)


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    try:
        message, descriptors, _, _ = socket.recv_fds(channel, 4096, 1)
    except ConnectionError:
        return b"", []
    return message, descriptors


def _reap(workers: dict[int, int | None]) -> None:
    """Note how workers ended: exit status, or minus the signal."""
    with suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            workers[process] = os.waitstatus_to_exitcode(status)


def _serve(connection: Connection) -> None:
    """Call what comes first on the connection with it. Never returns."""
    status = 1
    try:
        _die_with_parent()
        serve: Callable[[Connection], None] = connection.recv()
        serve(connection)
        status = 0
    except (EOFError, ConnectionError):
        status = 0
    finally:
        os._exit(status)  # what the host has open is not ours to close


def fit_tasks(job: Job, connection: Connection) -> None:
    """What a worker does: answer tasks, until the other end is closed."""
    from threadpoolctl import threadpool_limits

    from mt_assets.trainer.memory import give_back
    from mt_assets.trainer.search.fits import fits_of

    fits = fits_of(job)
    # The limit holds for BLAS, whose threads no estimator parameter reaches; boosters and forests are told theirs.
    with threadpool_limits(limits=job.plan.threads):
        while True:
            task: Task = connection.recv()
            answer = _answer(fits, task)
            give_back()  # the next fit may be one of another worker
            connection.send(answer)


def _answer(fits: Fits, task: Task) -> FoldResult | Failure:
    from mt_assets.trainer.recovery.causes import cause_of
    from mt_assets.trainer.search.tasks import Failure

    try:
        return fits.run(task.candidate, task.fold, task.deadline, task.bar)
    except Exception as error:
        found = cause_of(error)
        return Failure(_told(error), found.name, found.of_machine) if found else Failure(_told(error))


def _told(error: Exception) -> str:
    """Class and message, without what XGBoost puts around it: the time, a line of its source, and a stack."""
    message = re.sub(r"^\[[\d:]+\] \S+: ", "", str(error)).partition("Stack trace:")[0].strip()
    return f"{type(error).__name__}: {message}".rstrip(": ")


def _die_with_parent() -> None:
    """Have the system end this process with the host, even where the host is killed; elsewhere than on Linux it ends
    after its fit, when it finds the connection closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
