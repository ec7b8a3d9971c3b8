"""One run per model at a time, and a killed one blocks nobody. Real processes, really killed."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

from mt_assets.trainer.store import lock


def holder(folder: Path, run_id: str) -> "subprocess.Popen[str]":
    """Start a process that holds the lock until it is killed, and wait until it does."""
    code = f"""
    import time
    from pathlib import Path
    from mt_assets.trainer.store import lock
    with lock.hold(Path({str(folder)!r}), {run_id!r}, lambda message: print(message, flush=True)):
        print("held", flush=True)
        time.sleep(600)
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]") -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_second_run_waits_says_for_whom_and_goes_on_when_the_first_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    first = holder(folder, "first")
    assert said(first) == "held"
    second = holder(folder, "second")
    message = said(second)
    assert "Another run is training churn" in message
    assert "run first" in message
    assert lock.killed_runs(folder) == []
    end(first)
    assert said(second) == "held"
    assert lock.killed_runs(folder) == ["first"]
    end(second)


def test_a_killed_run_is_found_until_it_is_forgotten(tmp_path: Path) -> None:
    process = holder(tmp_path, "victim")
    assert said(process) == "held"
    assert lock.is_alive(tmp_path, "victim") is True
    end(process)
    assert lock.is_alive(tmp_path, "victim") is False
    lock.forget_run(tmp_path, "victim")
    assert lock.is_alive(tmp_path, "victim") is None
    assert lock.killed_runs(tmp_path) == []


def test_a_run_that_ends_leaves_no_trace(tmp_path: Path) -> None:
    with lock.hold(tmp_path, "proper", lambda message: None):
        assert lock.is_alive(tmp_path, "proper") is True
    assert lock.is_alive(tmp_path, "proper") is None
    assert not list((tmp_path / "runs").iterdir())


def test_threads_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with lock.hold(tmp_path, f"run{number}", lambda message: None):
            inside.append(number)
            most.append(len(inside))
            threading.Event().wait(0.05)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
