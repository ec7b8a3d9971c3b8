"""What a look at the data costs while nothing has changed: one tick of `<name>_new_data`.

Baseline of the same run: hashing all files, which is what a tick would do without a memory of what it has seen. Both
look at the same folder of generated CSV files, whose bytes are in the cache of the operating system. The first tick,
which hashes everything, and a tick after one file has changed stand beside them. One process does them all, as a code
location does.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from watching import machine, spread

TARGET_S: Final = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=500, help="of each file")
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as place:
        os.environ |= {"MT_ASSETS_HOME": f"{place}/home", "DAGSTER_HOME": f"{place}/dagster"}
        folder = Path(place) / "data"
        size = write_files(folder, asked.files, asked.rows)
        tick, read_all = prepared(folder)
        time.sleep(2.5)  # until the files count as written whole
        first = timed(tick, 1)
        quiet, baseline = timed(tick, asked.runs), timed(read_all, asked.runs)
        changed = []
        for _ in range(asked.runs):
            with (folder / "0.csv").open("a") as file:
                file.write("1,1,1,0\n")
            time.sleep(2.5)
            changed += timed(tick, 1)
    print(f"\n{asked.files:,} files of {size / asked.files / 1024:.0f} KB, median (range):")
    measured = {"first tick": first, "quiet tick": quiet, "tick after a change": changed, "hashing all": baseline}
    for name, seconds in measured.items():
        print(f"{name:20} {spread(seconds):>26} s")
    worst = max(quiet)
    print(f"quiet tick under {TARGET_S:g} s: {'kept' if worst < TARGET_S else 'MISSED'} (worst {worst:.3f} s)")


def write_files(folder: Path, files: int, rows: int) -> int:
    """Write that many tables; returns their bytes."""
    folder.mkdir()
    for number in range(files):
        lines = [f"{number},{row},{(row * 7919 + number) % 1000},{(row + number) % 2}" for row in range(rows)]
        (folder / f"{number}.csv").write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    return sum(path.stat().st_size for path in folder.iterdir())


def prepared(folder: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A tick of the sensor of a model that has read the folder, and the hashing of all files."""
    import dagster as dg

    from mt_assets import trainer
    from mt_assets.assembly import build_definitions
    from mt_assets.spec_reading import parse_spec
    from mt_assets.training_run import ensure_instance

    spec = parse_spec({"trainDataPath": str(folder), "targetColumn": "y"}, base=folder, default_name="ticks")
    defs = build_definitions([spec])
    ensure_instance()
    instance = dg.DagsterInstance.get()
    raw_data = [dg.AssetKey(["ticks", "raw_data"])]
    job = defs.resolve_job_def("ticks_training")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    assert job.execute_in_process(instance=instance, asset_selection=raw_data, run_config=quiet).success
    sensor = defs.resolve_sensor_def("ticks_new_data")
    ours = {"model_runs": (defs.resources or {})["model_runs"]}

    def tick() -> Any:
        with dg.build_sensor_context(instance=instance, definitions=defs, resources=ours) as context:
            return sensor.evaluate_tick(context)

    return tick, lambda: trainer.fingerprint(str(folder))


def timed(work: Callable[[], Any], runs: int) -> list[float]:
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return taken


if __name__ == "__main__":
    main()
