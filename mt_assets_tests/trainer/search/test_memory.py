"""Fits that have no room in memory: estimated before they begin, told of, and passed over."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.memory import GIGABYTE, RUN_BYTES, SHARE, free_memory
from mt_assets.trainer.search.memory import WORKER_BYTES
from mt_assets.trainer.search.study import StudyResult, run_search

HUGE = {"random_forest": {"n_estimators": 500_000}}

MEASURED = r"""
import re, sys
from pathlib import Path
import numpy as np
from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.search.fold_fits import fit_estimator
def kilobytes(name):
    return int(re.search(name + r":\s+(\d+)", Path("/proc/self/status").read_text()).group(1))
name, rows, columns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
learner, setting = algorithm(name), FitSetting("regression", 0, rows, columns, seed=0, threads=1)
params = learner.starts(setting)[0]
X = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32 if learner.encoding == "ordinal" else float)
y = X[:, 0] + np.random.default_rng(1).normal(size=rows)
fit_estimator(learner, setting, params | ({"n_estimators": 1} if "n_estimators" in params else {}), X[:500], y[:500])
before = kilobytes("VmRSS")
fit_estimator(learner, setting, params, X, y)
used = (kilobytes("VmHWM") - before) * 1024
print(learner.memory(setting, params, rows, columns) / used)
"""


def leaving(megabytes: float) -> float:
    """The limit of a run, in gigabytes, of which fits have so many megabytes."""
    return (RUN_BYTES + megabytes * 1e6 / SHARE) / GIGABYTE


def outcome(study: StudyResult) -> list[dict[str, Any]]:
    return [trial.model_dump(exclude={"seconds"}) for trial in study.trials]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("name", "rows", "columns"), [("extra_trees", 6_000, 3), ("svm", 12_000, 5)])
def test_what_a_fit_will_take_is_known_about(name: str, rows: int, columns: int) -> None:
    command = [sys.executable, "-c", MEASURED, name, str(rows), str(columns)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert 1 / 3 < float(told) < 3


def test_a_candidate_without_room_fails_with_a_reason_and_the_search_goes_on(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    work = make_work(
        mixed, ("random_forest", "logistic_regression"), n_trials=4, workers=2, search_space=HUGE, memory_limit=1.0
    )
    study = run_search(*work.arguments, folder=tmp_path)
    states = {(trial.algorithm, trial.state) for trial in study.trials}
    assert states == {("random_forest", "failed"), ("logistic_regression", "complete")}
    error = next(str(trial.error) for trial in study.trials if trial.state == "failed")
    assert "random_forest would take about" in error
    assert "0.36 GB are left by `options.memoryLimit` of 1 GB" in error
    assert "Raise `options.memoryLimit`, name another `algorithm`, or list fewer `features`." in error


def test_a_limit_that_leaves_no_room_for_any_candidate_is_an_error(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    work = make_work(mixed, ("lightgbm", "logistic_regression"), n_trials=3, memory_limit=leaving(10))
    with pytest.raises(TrainingError, match=r"All 3 trials .*0\.01 GB are left by `options\.memoryLimit`"):
        run_search(*work.arguments, folder=tmp_path)


def test_more_memory_gives_what_had_no_room_another_chance(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=2, memory_limit=leaving(10))
    with pytest.raises(TrainingError):
        run_search(*work.arguments, folder=tmp_path)
    study = run_search(*work.planned(memory_limit=leaving(1_000)).arguments, folder=tmp_path)
    assert [trial.state for trial in study.trials] == ["complete", "complete"]


def test_what_has_room_by_itself_alone_is_fitted_all_the_same(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    work = make_work(mixed, ("logistic_regression", "lightgbm"), n_trials=6, workers=2)
    unlimited = run_search(*work.arguments, folder=tmp_path / "unlimited")
    tight = work.planned(memory_limit=leaving(1.7 * WORKER_BYTES / 1e6))
    assert outcome(run_search(*tight.arguments, folder=tmp_path / "tight")) == outcome(unlimited)


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_control_group_counts(tmp_path: Path, version: int) -> None:
    groups = tmp_path / "cgroup"
    groups.write_text("0::/box/job\n" if version == 2 else "4:cpu:/box/job\n3:memory:/box/job\n")
    root, names = (
        (tmp_path, ("memory.max", "memory.current", "inactive_file"))
        if version == 2
        else (tmp_path / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
    )
    without = "max" if version == 2 else str(2**63 - 4096)
    for place, limit in ((root / "box" / "job", without), (root / "box", "9000")):
        place.mkdir(parents=True, exist_ok=True)
        for name, content in zip(
            (*names[:2], "memory.stat"), (limit, "5000", f"anon 3\n{names[2]} 700\n"), strict=True
        ):
            (place / name).write_text(content)
    assert free_memory(groups, tmp_path) == 9000 - 5000 + 700
    assert free_memory(tmp_path / "none", tmp_path) > 1e6
