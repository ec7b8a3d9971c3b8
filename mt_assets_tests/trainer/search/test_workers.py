"""Worker processes: the same trials with any number of them, and what happens when they die or hang."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from mt_assets.trainer.search.candidate import Candidate, FoldResult
from mt_assets.trainer.search.study import StudyResult, run_search
from mt_assets.trainer.search.tasks import Failure, Job, Task
from mt_assets.trainer.search.workers import Lost, WorkerPool, end_host, start_host


def outcome(study: StudyResult) -> list[dict[str, Any]]:
    return [trial.model_dump(exclude={"seconds"}) for trial in study.trials]


def children() -> set[int]:
    """The process that workers come from, and workers."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any("worker_host" in word for word in process.cmdline()):
                found.add(process.pid)
    return found


def host_alone() -> int:
    """The process that workers come from, when those of earlier searches have ended."""
    until = time.monotonic() + 20
    while len(children()) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    [host] = children()
    return host


def job(work: Any, folder: Path) -> Job:
    return Job(*work.arguments, folder / "folds", folder / "scratch")


FAST = Candidate("logistic_regression", {"C": 1.0})
SLOW = Candidate("random_forest", {"n_estimators": 500_000})


def first_answer(pool: WorkerPool) -> tuple[Task, FoldResult | Failure | Lost]:
    return next(iter(pool.answers(time.monotonic() + 60)))


@contextmanager
def meanwhile(action: Callable[[threading.Event], None]) -> Iterator[None]:
    """Something that goes on beside the test."""
    over = threading.Event()
    thread = threading.Thread(target=action, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_the_trials_are_the_same_with_any_number_of_workers(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame, pruner: str
) -> None:
    work = make_work(mixed, ("logistic_regression", "lightgbm"), n_trials=16, pruner=pruner)
    alone = run_search(*work.arguments, folder=tmp_path / "1")
    for count in (2, 7):
        study = run_search(*work.planned(workers=count).arguments, folder=tmp_path / str(count))
        assert outcome(study) == outcome(alone)
        assert study.best_number == alone.best_number
    assert len({str(trial.params) for trial in alone.trials}) > 12


def test_nothing_is_left_of_a_search(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=3, workers=2)
    run_search(*work.arguments, folder=tmp_path)
    host = host_alone()
    assert not list(tmp_path.glob(".unfinished-*"))
    run_search(*work.planned(n_trials=4).arguments, folder=tmp_path)
    assert host_alone() == host


def test_a_search_takes_the_process_that_was_started_for_it(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    end_host()
    start_host(("lightgbm", "prophet"), "classification")  # who forecasts is no candidate here
    host = host_alone()
    run_search(*make_work(mixed, ("lightgbm",), n_trials=1).arguments, folder=tmp_path)
    assert host_alone() == host
    words = psutil.Process(host).cmdline()
    assert "lightgbm" in words
    assert "prophet" not in words


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_that_are_killed_are_replaced(number: int, tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression", "lightgbm"), n_trials=10)
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    run_search(*work.planned(n_trials=1).arguments, folder=tmp_path / "host")  # so that there is one
    host = host_alone()
    killed: list[int] = []

    def kill(over: threading.Event) -> None:
        while not over.wait(0.2):
            for process in (children() - {host} - set(killed)) if len(killed) < 2 else ():
                os.kill(process, number)
                killed.append(process)

    with meanwhile(kill):
        study = run_search(*work.planned(workers=2).arguments, folder=tmp_path / "killed")
    assert killed
    assert outcome(study) == outcome(undisturbed)


def test_a_candidate_whose_workers_die_fails_and_the_search_goes_on(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    """Whoever computes for long is killed, as the system does where memory runs out."""
    forever = {"random_forest": {"n_estimators": 500_000}}
    work = make_work(
        mixed, ("logistic_regression", "random_forest"), n_trials=2, workers=2, folds_per_trial=1, search_space=forever
    )
    run_search(*work.planned(n_trials=1).arguments, folder=tmp_path / "host")
    host = host_alone()

    def computed() -> dict[int, float]:
        found = {}
        for process in children() - {host}:
            with suppress(psutil.Error):
                found[process] = psutil.Process(process).cpu_times().user
        return found

    def kill(over: threading.Event) -> None:
        before = computed()
        while not over.wait(1):
            now = computed()
            for process in [each for each in now if now[each] - before.get(each, 0) > 0.2]:
                os.kill(process, signal.SIGKILL)
            before = now

    with meanwhile(kill):
        study = run_search(*work.arguments, folder=tmp_path / "killed")
    assert [trial.state for trial in study.trials] == ["complete", "failed"]
    assert study.trials[1].algorithm == "random_forest"
    assert "killed (signal 9" in str(study.trials[1].error)
    assert study.trials[1].score is None


def test_the_host_may_die(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=2)
    with WorkerPool(job(work, tmp_path), 1) as pool:
        pool.submit(Task(0, SLOW, 0))
        (host,) = [each for each in children() if psutil.Process(each).ppid() == os.getpid()]
        os.kill(host, signal.SIGKILL)
        _, answer = first_answer(pool)
        assert isinstance(answer, Lost)
        pool.submit(Task(0, FAST, 0))
        _, answer = first_answer(pool)
        assert isinstance(answer, FoldResult)


def test_a_worker_that_keeps_too_much_is_replaced(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make_work(mixed, ("logistic_regression",))
    with WorkerPool(job(work, tmp_path), 1) as pool:
        processes = [pool.workers[0].process]
        for fold, most in ((0, 10**9), (1, -(10**9)), (2, 10**9)):
            monkeypatch.setattr("mt_assets.trainer.search.workers.MOST_KEPT_BYTES", most)
            pool.submit(Task(0, FAST, fold))
            _, answer = first_answer(pool)
            assert isinstance(answer, FoldResult)
            processes.append(pool.workers[0].process)
        assert processes[0] == processes[1] != processes[2] == processes[3]


def test_a_hung_worker_is_ended(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",))
    with WorkerPool(job(work, tmp_path), 1, hang_seconds=1.0) as pool:
        stopped = pool.workers[0].process
        pool.submit(Task(0, SLOW, 0))
        os.kill(stopped, signal.SIGSTOP)
        task, answer = first_answer(pool)
        assert task.candidate == SLOW
        assert answer == Lost("hung and was ended")
        with suppress(psutil.NoSuchProcess):
            psutil.Process(stopped).wait(10)  # raises where it is still there
        pool.submit(Task(0, FAST, 1))
        _, answer = first_answer(pool)
        assert isinstance(answer, FoldResult)
        assert answer.fold == 1


def test_how_a_worker_ended_is_told(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",))
    with WorkerPool(job(work, tmp_path), 1) as pool:
        for sent, told in ((signal.SIGKILL, "memory runs out"), (signal.SIGSEGV, "ended with signal 11")):
            pool.submit(Task(0, SLOW, 0))
            os.kill(pool.workers[0].process, sent)
            _, answer = first_answer(pool)
            assert isinstance(answer, Lost)
            assert told in answer.how


def test_time_that_is_up_ends_what_is_fitted(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",))
    with WorkerPool(job(work, tmp_path), 2) as pool:
        before = {worker.process for worker in pool.workers}
        pool.submit(Task(0, SLOW, 0))
        assert not list(pool.answers(time.monotonic() + 0.5))
        pool.end_tasks()
        assert len(pool.idle) == 2
        assert len(before & {worker.process for worker in pool.workers}) == 1
