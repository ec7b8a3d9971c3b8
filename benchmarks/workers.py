"""Trials per second with one and two worker processes, on quiet cores and on busy ones, and what a kill costs.

Baselines of the same run: one worker for two; quiet cores for busy ones, on which another program keeps every core;
an undisturbed search for one that is killed (SIGKILL of all its processes) after half its folds and started again.
The trials are the same in all of them: a fixed number, none pruned, on the bundled churn table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from training import EXAMPLE, train_command, write_spec
from watching import Watched, fresh_home, machine, proportional, spread, watch

TABLE: Final = EXAMPLE.parent / "data" / "customer_churn.parquet"

FOLDS: Final = 3

SEARCH: Final = "optuna_study"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as place:
        specs = {workers: _spec(Path(place), workers, asked.trials) for workers in asked.workers}
        _show_rates(specs, asked.runs, asked.trials)
        for workers, spec in specs.items():
            _show_resume(spec, workers, asked.trials)


def _spec(place: Path, workers: int, trials: int) -> Path:
    folder = place / f"{workers}"
    folder.mkdir()
    return write_spec(
        folder,
        TABLE,
        "churn",
        algorithm=["lightgbm", "random_forest"],
        validationStrategy={"type": "stratified_kfold", "folds": FOLDS},
        hyperparameterSearch={"nTrials": trials, "pruner": "none", "workers": workers},
        experimentTracking={"enabled": False},
    )


def _show_rates(specs: dict[int, Path], runs: int, trials: int) -> None:
    seconds: dict[tuple[bool, int], list[float]] = {}
    peaks: dict[tuple[bool, int], list[float]] = {}
    for _ in range(runs):
        for busy in (False, True):
            for workers, spec in specs.items():
                with ExitStack() as stack:
                    home, env = stack.enter_context(fresh_home())
                    if busy:
                        stack.enter_context(_busy_cores())
                    watched = _trained(spec, home, env)
                    seconds.setdefault((busy, workers), []).append(_search_seconds(home))
                    peaks.setdefault((busy, workers), []).append(watched.peak_mb)
    print(f"\n{'cores':6} {'workers':>7} {'search s (range)':>28} {'trials/s':>9} {'of the first':>13} {'peak MB':>8}")
    for (busy, workers), taken in seconds.items():
        rate, first = trials / median(taken), trials / median(seconds[busy, next(iter(specs))])
        kind, peak = "busy" if busy else "quiet", median(peaks[busy, workers])
        print(f"{kind:6} {workers:7} {spread(taken):>28} {rate:9.2f} {rate / first:13.2f} {peak:8.0f}")


def _show_resume(spec: Path, workers: int, trials: int) -> None:
    """Print what a search took that was killed after half its folds, beside one that was not."""
    with fresh_home() as (home, env):
        whole = _trained(spec, home, env)
        undisturbed, search = len(_fold_results(home)), _search_seconds(home)
    with fresh_home() as (home, env):
        output = home.parent / "result.json"
        half = trials * FOLDS // 2
        killed = watch(train_command(spec, output), env=env, stop=lambda _: len(_fold_results(home)) >= half)
        if not killed.stopped:
            sys.exit(f"the search ended before half its folds were seen:\n{killed.errors}")
        kept = _fold_results(home)
        again = _trained(spec, home, env)
        after = _fold_results(home)
        fitted_again = [name for name, when in kept.items() if after.get(name) != when]
        search_again = _search_seconds(home)
    print(f"\n{workers} workers, killed after {len(kept)} of {undisturbed} folds and started again")
    print(f"undisturbed       {whole.wall:7.1f} s, of it search {search:.1f} s")
    print(f"until the kill    {killed.wall:7.1f} s")
    print(f"after the kill    {again.wall:7.1f} s, of it search {search_again:.1f} s")
    print(f"cost of the kill  {killed.wall + again.wall - whole.wall:7.1f} s")
    print(f"stored folds that were fitted again: {len(fitted_again)}; folds in the end: {len(after)}")


def _trained(spec: Path, home: Path, env: dict[str, str]) -> Watched:
    watched = watch(train_command(spec, home.parent / "result.json"), env=env, memory=proportional)
    if watched.code:
        sys.exit(f"mt-assets train ended with {watched.code}:\n{watched.output}{watched.errors}")
    return watched


def _search_seconds(home: Path) -> float:
    """Seconds of the search, as the result tells."""
    result = json.loads((home.parent / "result.json").read_text())
    return float(result["budget"]["phases"][SEARCH])


def _fold_results(home: Path) -> dict[str, int]:
    """The stored results of folds, each with the moment at which it was written (ns)."""
    return {path.name: path.stat().st_mtime_ns for path in home.glob("**/folds/*.npz")}


@contextmanager
def _busy_cores() -> Iterator[None]:
    """A program that keeps each core busy, one process a core."""
    spinning = [
        subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"])
        for core in sorted(os.sched_getaffinity(0))
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
