"""Wall and CPU seconds and memory of the bundled example from an empty home, step by step.

Baselines of the same run: for time, the search alone (the step `optuna_study`); for memory, a process that imports the
same libraries and reads the table, and does nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median

from training import EXAMPLE, Training, train
from watching import fresh_home, machine, spread, watch

LIBRARIES = "dagster, mlflow, pandas, sklearn.ensemble, lightgbm, xgboost, optuna, matplotlib.figure, pandera.pandas"

IDLE = f"import {LIBRARIES}; pandas.read_parquet({{path!r}}); import time; time.sleep(0.2)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--spec", type=Path, default=EXAMPLE)
    asked = parser.parse_args()
    print(machine())
    table = EXAMPLE.parent / "data" / "customer_churn.parquet"
    idle = watch([sys.executable, "-c", IDLE.format(path=str(table))])
    runs: list[Training] = []
    for number in range(asked.runs):
        with fresh_home() as (home, env):
            runs.append(train(asked.spec, home, env))
        print(f"run {number + 1}: {runs[-1].watched.wall:.1f} s, {runs[-1].watched.cpu:.1f} CPU s", flush=True)
    _show_steps(runs)
    whole, search = [run.watched.wall for run in runs], [run.seconds("optuna_study") for run in runs]
    cpu, search_cpu = [run.watched.cpu for run in runs], [run.cpu("optuna_study") for run in runs]
    peak = [run.watched.peak_mb for run in runs]
    print(f"\nwhole run      {spread(whole)} s   {spread(cpu)} CPU s")
    print(f"search alone   {spread(search)} s   {spread(search_cpu)} CPU s")
    print(f"whole run : search = {median(whole) / median(search):.2f} wall, {median(cpu) / median(search_cpu):.2f} CPU")
    print(f"\npeak memory    {spread(peak)} MB   idle process {idle.peak_mb:.0f} MB")
    print(f"whole run : idle process = {median(peak) / idle.peak_mb:.2f}")


def _show_steps(runs: list[Training]) -> None:
    total = median(run.watched.cpu for run in runs)
    print(f"\n{'step':20} {'wall s':>8} {'CPU s':>8} {'of all CPU':>11} {'peak MB':>8}")
    for at, step in enumerate(runs[0].steps):
        here = [(run, run.steps[at]) for run in runs]
        wall = median(each.end - each.start for _, each in here)
        cpu = median(run.watched.cpu_between(each.start, each.end) for run, each in here)
        peak = median(run.watched.peak_mb_between(each.start, each.end) for run, each in here)
        print(f"{step.name:20} {wall:8.2f} {cpu:8.2f} {cpu / total:10.0%} {peak:9.0f}")


if __name__ == "__main__":
    main()
