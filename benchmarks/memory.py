"""Peak memory of a training on a large table, step by step, beside the size of the table.

Baseline: the table as pandas holds it after reading (`DataFrame.memory_usage(deep=True)`), with its words as objects
and with its words as categories. The aim is no more than four times that and 600 MB. Memory is that of all processes,
with shared pages counted once (PSS).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Final

import pandas as pd
from tables import mixed
from training import train, write_spec
from watching import fresh_home, machine, proportional

TIMES: Final = 4
"""The aim: as many times the table,"""

MORE_MB: Final = 600
"""and as many megabytes for libraries and processes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=120)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as place, fresh_home() as (home, env):
        path = Path(place) / "table.parquet"
        mixed(asked.rows, asked.columns).to_parquet(path, index=False)
        objects, categories = _sizes_mb(path)
        spec = write_spec(Path(place), path, "target", options={"timeBudget": asked.seconds})
        training = train(spec, home, env, memory=proportional)
    print(f"\n{asked.rows:,} rows, {asked.columns} columns, a budget of {asked.seconds} s\n")
    print(f"{'step':20} {'wall s':>8} {'peak MB':>8}")
    for step in training.steps:
        peak = training.watched.peak_mb_between(step.start, step.end)
        print(f"{step.name:20} {step.end - step.start:8.1f} {peak:8.0f}")
    peak, wall = training.watched.peak_mb, training.watched.wall
    print(f"\nwhole run            {wall:8.1f} {peak:8.0f}   {training.result['metadata']['nTrials']} trials")
    for name, size in (("objects", objects), ("categories", categories)):
        aim = TIMES * size + MORE_MB
        verdict = "kept" if peak <= aim else "MISSED"
        print(f"table, words as {name:10} {size:7.0f} MB; aim {aim:6.0f} MB: {verdict}, {peak / size:.1f} times")


def _sizes_mb(path: Path) -> tuple[float, float]:
    """Megabytes of the table in pandas, with words as objects and as categories."""
    frame = pd.read_parquet(path)
    words = frame.select_dtypes("object").columns
    compact = frame.astype(dict.fromkeys(words, "category"))
    return tuple(float(each.memory_usage(deep=True).sum()) / 1e6 for each in (frame, compact))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
