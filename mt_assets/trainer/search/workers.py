"""Worker processes: they are started, given tasks, watched and replaced here.

What belongs here: processes. What does not: which task comes next (`scheduling`), and what a worker does with it
(`worker_host`).
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Final

import psutil

from mt_assets.trainer.algorithms.registry import FORECASTING, available, modules_of, trainable
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.search.candidate import FoldResult
from mt_assets.trainer.search.tasks import Failure, Job, Task
from mt_assets.trainer.search.worker_host import fit_tasks

HANG_SECONDS: Final = 60.0
"""A worker that used no processor time for so long while it had a task hangs: a fit computes, whatever it computes."""

OVERTIME_SECONDS: Final = 5.0
"""How long after its deadline a task may still answer; boosters stop at it, and then have to predict and to be stored
(of LightGBM with trees of 128 leaves a third of the time that they took to grow)."""

MOST_KEPT_BYTES: Final = 100_000_000
"""What a worker may hold when it has given its answer, beside its job and what it has of the host; one that holds more
is replaced, which takes milliseconds. CatBoost keeps what it has freed for itself: 170 to 300 MB after a fit on 784,000
rows of 19 columns."""

_LOOK_SECONDS: Final = 2.0
"""How often the processor time of busy workers is looked at."""

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""For the host: it must have no threads when it forks. Estimators are told their threads by parameters."""


@dataclass(eq=False)
class Worker:
    """A process that fits.

    Attributes
    ----------
    process : int
    connection : multiprocessing.connection.Connection
    task : Task or None
        What it works on.
    busy_seconds, seen : float
        Processor time when it was last seen to grow, and when that was (`time.monotonic()`).
    """

    process: int
    connection: Connection
    task: Task | None = None
    busy_seconds: float = 0.0
    seen: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Lost:
    """A task without an answer.

    Attributes
    ----------
    how : str
        What became of the process, as the end of a sentence.
    late : bool
        Whether it was ended for its deadline; else it died or hung, and another try may succeed.
    """

    how: str
    late: bool = False


class WorkerPool:
    """So many workers for one job; a context manager that ends them.

    Parameters
    ----------
    job : Job
    count : int
    modules : sequence of str
        What the workers will need, imported once for all of them.
    hang_seconds : float
    """

    def __init__(
        self, job: Job, count: int, *, modules: Sequence[str] = (), hang_seconds: float = HANG_SECONDS
    ) -> None:
        self._job = pickled(partial(fit_tasks, job))
        self._modules = modules
        self._hang_seconds = hang_seconds
        self.workers: list[Worker] = []
        for _ in range(count):
            self.workers.append(self._start())

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            self._end(worker)

    @property
    def idle(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.task is None]

    @property
    def tasks(self) -> list[Task]:
        """What is being worked on."""
        return [worker.task for worker in self.workers if worker.task is not None]

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker."""
        worker = self.idle[0]
        worker.task, worker.busy_seconds, worker.seen = task, 0.0, time.monotonic()
        with suppress(ConnectionError):  # it died while it was idle: `answers` will find out
            worker.connection.send(task)

    def answers(self, until: float) -> Iterator[tuple[Task, FoldResult | Failure | Lost]]:
        """Wait for answers, at most until then (`time.monotonic()`); none where time is up before the first."""
        while self.tasks:
            left = until - time.monotonic()
            busy = {worker.connection: worker for worker in self.workers if worker.task is not None}
            ready = wait(list(busy), timeout=max(0.0, min(left, self._next_deadline(), _LOOK_SECONDS)))
            answered = [self._answer(busy[each]) for each in ready]  # type: ignore[index]
            answered += [
                self._replace(worker, Lost("took longer than its share", late=True)) for worker in self._late()
            ]
            answered += [self._replace(worker, Lost("hung and was ended")) for worker in self._hung()]
            yield from answered
            if answered or left <= 0:
                return

    def end_tasks(self) -> None:
        """End what is being worked on, with the workers that do."""
        for worker in [each for each in self.workers if each.task is not None]:
            self._replace(worker, Lost("was ended"))

    def _answer(self, worker: Worker) -> tuple[Task, FoldResult | Failure | Lost]:
        try:
            answer: FoldResult | Failure = worker.connection.recv()
        except (EOFError, ConnectionError):
            return self._replace(worker, None)
        task, worker.task = worker.task, None
        assert task is not None
        if _own_bytes(worker.process) - _own_bytes(_host().process.pid) - len(self._job) > MOST_KEPT_BYTES:
            self._renew(worker)
        return task, answer

    def _replace(self, worker: Worker, lost: Lost | None) -> tuple[Task, Lost]:
        lost = lost or Lost(how_ended(worker.process))
        self._renew(worker)
        assert worker.task is not None
        return worker.task, lost

    def _renew(self, worker: Worker) -> None:
        self._end(worker)
        self.workers[self.workers.index(worker)] = self._start()

    def _next_deadline(self) -> float:
        """Seconds until the first task is late."""
        now = time.monotonic()
        return min(
            (task.deadline + OVERTIME_SECONDS - now for task in self.tasks if task.deadline and task.must_end),
            default=_LOOK_SECONDS,
        )

    def _late(self) -> list[Worker]:
        """Workers whose task had to be over."""
        now = time.monotonic() - OVERTIME_SECONDS
        tasks = [(worker, worker.task) for worker in self.workers if worker.task]
        return [worker for worker, task in tasks if task.must_end and task.deadline and now > task.deadline]

    def _hung(self) -> list[Worker]:
        """Busy workers that have not used any processor time for too long."""
        hung, now = [], time.monotonic()
        for worker in self.workers:
            if worker.task is None or now - worker.seen < _LOOK_SECONDS:
                continue
            try:
                times = psutil.Process(worker.process).cpu_times()
            except psutil.Error:
                continue  # it is dead: its connection says so
            if times.user + times.system > worker.busy_seconds:
                worker.busy_seconds, worker.seen = times.user + times.system, now
            elif now - worker.seen > self._hang_seconds:
                hung.append(worker)
        return hung

    def _start(self) -> Worker:
        return Worker(*fresh_process(self._job, self._modules))

    def _end(self, worker: Worker) -> None:
        end_process(worker.process, worker.connection)


def _own_bytes(process: int) -> int:
    """What a process has in memory that is of no file; nothing where that cannot be told."""
    with suppress(psutil.Error, AttributeError):
        held = psutil.Process(process).memory_info()
        return int(held.rss - held.shared)
    return 0


class _Host:
    """The process that workers are forked from; one for all searches of this process."""

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET if _PACKETS else socket.SOCK_STREAM)
        self._channel = ours
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        package = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mt_assets.trainer.search.worker_host", str(theirs.fileno()), *modules],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._told,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
            )

    def fork(self, modules: Sequence[str]) -> tuple[int, Connection]:
        """A new worker: its process number, and the connection that it answers on.

        Raises
        ------
        TrainingError
            When the host cannot be started or is gone.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs, self._asking():
            socket.send_fds(self._channel, [" ".join(modules).encode() or b" "], [theirs.fileno()])
            process = int(self._channel.recv(64))
            return process, Connection(ours.detach())

    def how_ended(self, process: int) -> str:
        """How a worker ended, as the end of a sentence."""
        try:
            with self._asking():
                for _ in range(50):  # its end is noticed on its connection a moment before it is over
                    self._channel.sendall(str(process).encode())
                    answer = self._channel.recv(64).decode()
                    if answer != "running":
                        break
                    time.sleep(0.01)
        except TrainingError:
            return "ended with the process that it came from"
        if answer == "-9":
            return "was killed (signal 9, as the system does when memory runs out)"
        return f"ended with signal {answer[1:]}" if answer.startswith("-") else f"ended with status {answer}"

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (OSError, ValueError) as error:
                self._told.seek(0)
                said = self._told.read().decode(errors="replace").strip()[-500:]
                raise TrainingError(
                    f"The process that workers come from is gone{': ' + said if said else '.'}",
                    suggestions=("Start the training again; what is finished is kept.",),
                ) from error

    def close(self) -> None:
        """End it, and with it its workers; a process that was forked from its owner only lets go of it."""
        self._channel.close()
        self._told.close()
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None


def pickled(serve: Callable[[Connection], None]) -> bytes:
    """What `fresh_process` sends."""
    return bytes(ForkingPickler.dumps(serve))


def fresh_process(serve: bytes, modules: Sequence[str] = ()) -> tuple[int, Connection]:
    """A process that has the libraries imported, and nothing of this one: it calls `serve` with its connection.

    Parameters
    ----------
    serve : bytes
        From `pickled`.
    modules : sequence of str
        What it needs besides.

    Returns
    -------
    int
        Its number.
    Connection
        The other end of the one that it answers on; see `end_process`.

    Raises
    ------
    TrainingError
        When none can be started.
    """
    try:
        process, connection = _host().fork(modules)
    except TrainingError:  # somebody ended it
        end_host()
        process, connection = _host().fork(modules)
    with suppress(ConnectionError):
        connection.send_bytes(serve)
    return process, connection


def end_process(process: int, connection: Connection) -> None:
    """End one of them, in whatever it is doing."""
    connection.close()
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, 9)


def how_ended(process: int) -> str:
    """How one of them ended, as the end of a sentence."""
    return _host().how_ended(process)


_PACKETS: Final = hasattr(socket, "SOCK_SEQPACKET") and sys.platform == "linux"
"""Messages keep their borders where there are packets; elsewhere one is sent at a time, and answered."""

_current: list[_Host] = []


def _host(modules: Sequence[str] = ()) -> _Host:
    if not _current or not _current[0].alive:
        end_host()
        atexit.register(end_host)
        _current[:] = [_Host(modules)]
    return _current[0]


def end_host() -> None:
    """End the process that workers come from, if there is one."""
    for host in _current:
        host.close()
    _current.clear()


def start_host(algorithms: Sequence[str] | None, task: str) -> None:
    """Start importing what workers need, while this process does something else.

    Parameters
    ----------
    algorithms : sequence of str or None
        That will be fitted; None where the plan decides.
    task : {"auto", "classification", "regression", "time_series"}
    """
    there = available(task) if task == FORECASTING else trainable()
    with suppress(OSError):  # no process, no disk: told where one is needed
        _host(modules_of([name for name in there if algorithms is None or name in algorithms], task))
