"""One process that trains again and again: neither memory nor files nor the folders of state grow."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_nothing_grows_once_the_process_is_warm() -> None:
    command = [sys.executable, SOAK, "--trainings", "24", "--ticks", "12", "--every", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": flat") == 18
