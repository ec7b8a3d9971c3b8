"""What stays behind when one process trains again and again: memory, open files, threads, children, disk.

First trainings in a row, as `mt-assets train` does them, each on a table whose oldest rows have made place for new
ones; then rounds of retraining, in which the sensors are asked as the daemon asks them and the runs that they want are
executed here. After every tenth everything is counted. Baseline is the process itself once it is warm, after a third of
the looks: what grows by more than `ALLOWED` from there to the end is told as growing.

Tracking goes to the embedded MLflow store. Dagster's and MLflow's own databases keep what they are told, so they are
shown and not judged, but for what a training adds.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import psutil
import yaml
from watching import machine

ROWS, RENEWED = 200, 5
"""Of the table, and how many of them are others at each training."""

KEPT_VERSIONS: Final = 5
"""Besides champion and the one before it; nothing is kept for its age."""

SETTLED_S: Final = 2.2
"""Until a file counts as written whole."""

WARM: Final = 1 / 3
"""Of the looks, what the process needs until all is imported and every cache is full."""


@dataclass(frozen=True)
class Look:
    """What is there after so many trainings.

    Attributes
    ----------
    trainings : int
    seconds : float
        Since the last look, for each training.
    memory_mb, children_mb : float
        Resident, of this process and of its children.
    files, threads, children : int
        Open descriptors and threads of this process, and processes below it.
    state_mb, objects, folds, journal_mb : float
        The model's own folder; what is in it as objects and as fold results; the Optuna journal.
    dagster_mb, mlflow_mb : float
        Databases and files of both.
    """

    trainings: int
    seconds: float
    memory_mb: float
    children_mb: float
    files: int
    threads: int
    children: int
    state_mb: float
    objects: int
    folds: int
    journal_mb: float
    dagster_mb: float
    mlflow_mb: float


ALLOWED: Final = {
    "memory_mb": 0.05,
    "children_mb": 0.05,
    "files": 0.02,
    "threads": 0.02,
    "children": 0.0,
    "state_mb": 0.05,
    "objects": 0.05,
    "folds": 0.05,
    "journal_mb": 0.50,
}
"""By what share of its level a figure may grow from the warm process to the end, by a line through all looks. A journal
grows until it is written anew, over and over."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--ticks", type=int, default=50, help="rounds of retraining by the sensors")
    parser.add_argument("--every", type=int, default=10, help="trainings between two looks")
    asked = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="mt-assets-soak-") as place:
        os.environ |= {"MT_ASSETS_HOME": f"{place}/home", "DAGSTER_HOME": f"{place}/home/dagster"}
        soak = Soak(Path(place))
        trained = soak.run("training", asked.trainings, asked.every, soak.train)
        retrained = soak.run("retraining", asked.ticks, asked.every, soak.tick)
    growing = [*verdict("training", trained), *verdict("retraining", retrained)]
    sys.exit(1 if growing else 0)


class Soak:
    """A model that is trained again and again in this process."""

    def __init__(self, place: Path) -> None:
        from mt_assets.assembly import build_definitions
        from mt_assets.spec_reading import load_spec
        from mt_assets.trainer.store import retention

        retention.GRACE_S = 0.0  # how many trainings there were in the last minute is not to be seen in the figures
        self.home = place / "home"
        self.data = place / "train.csv"
        self.made = 0
        self._write()
        asked = {
            "name": "soak",
            "trainDataPath": self.data.name,
            "targetColumn": "target",
            "algorithm": "logistic_regression",
            "validationStrategy": {"folds": 3},
            "hyperparameterSearch": {"nTrials": 2},
            "options": {"verbosity": 0},
            "retention": {"keepVersions": KEPT_VERSIONS, "keepDays": 0, "runDays": 0},
        }
        (place / "soak.yaml").write_text(yaml.safe_dump(asked))
        self.spec = load_spec(place / "soak.yaml")
        self.definitions = build_definitions([self.spec])

    def run(self, what: str, times: int, every: int, once: Callable[[], None]) -> list[Look]:
        """Do it so often; look every so often, and show it."""
        print(f"\n{what}:\n" + " ".join(f"{each.name:>11}" for each in fields(Look)), flush=True)
        looks, before = [], time.monotonic()
        for number in range(1, times + 1):
            once()
            if number % every == 0:
                now = time.monotonic()
                looks.append(self.look(number, (now - before) / every))
                before = now
                print(" ".join(_shown(getattr(looks[-1], each.name)) for each in fields(Look)), flush=True)
        return looks

    def train(self) -> None:
        """What `mt-assets train` does, on renewed data."""
        from mt_assets.training_run import train

        self._write()
        done = train(self.spec)
        if not done.result.success:
            sys.exit(f"A training failed: {done.result.error}")

    def tick(self) -> None:
        """New data, then what the daemon does: ask both sensors, and execute what they want."""
        self._write()
        time.sleep(SETTLED_S)
        read = self._evaluate("soak_new_data")
        trained = self._evaluate("soak_retraining_sensor")
        idle = self._evaluate("mt_assets_housekeeping", "soak_new_data", "soak_retraining_sensor")
        if (read, trained, idle) != (1, 1, 0):
            sys.exit(f"The sensors asked for {read} readings, {trained} trainings and then {idle} runs.")

    def _evaluate(self, *sensors: str) -> int:
        import dagster as dg

        asked = 0
        ours = {name: (self.definitions.resources or {})[name] for name in ("model_runs", "tracking")}
        for name in sensors:
            sensor = self.definitions.resolve_sensor_def(name)
            with (
                dg.DagsterInstance.get() as instance,
                dg.build_sensor_context(
                    instance=instance, definitions=self.definitions, resources=ours, sensor_name=name
                ) as context,
            ):
                requests = sensor.evaluate_tick(context).run_requests or []
                for request in requests:
                    done = self.definitions.resolve_job_def(sensor.job_name).execute_in_process(
                        instance=instance,
                        asset_selection=request.asset_selection,
                        tags=dict(request.tags),
                        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                    )
                    if not done.success:
                        sys.exit(f"A run that {name} asked for failed.")
                asked += len(requests)
        return asked

    def _write(self) -> None:
        """The table with its oldest rows gone and as many new ones."""
        rows = [_row(number) for number in range(self.made * RENEWED, self.made * RENEWED + ROWS)]
        pd.DataFrame(rows, columns=["age", "income", "category", "target"]).to_csv(self.data, index=False)
        self.made += 1

    def look(self, trainings: int, seconds: float) -> Look:
        """Count everything now, but for what the garbage collector has still to come to."""
        gc.collect()
        me = psutil.Process()
        children = me.children(recursive=True)
        model = self.home / "models" / "soak"
        return Look(
            trainings=trainings,
            seconds=seconds,
            memory_mb=me.memory_info().rss / 1e6,
            children_mb=sum(each.memory_info().rss for each in children) / 1e6,
            files=me.num_fds(),
            threads=me.num_threads(),
            children=len(children),
            state_mb=_size(model),
            objects=sum(1 for _ in (model / "objects").iterdir()),
            folds=sum(1 for _ in (model / "folds").iterdir()),
            journal_mb=_size(model / "study.journal"),
            dagster_mb=_size(self.home / "dagster"),
            mlflow_mb=_size(self.home) - _size(self.home / "models") - _size(self.home / "dagster"),
        )


def _row(number: int) -> tuple[int, float, str, str]:
    rng = np.random.default_rng(number)
    age, category = int(rng.integers(18, 80)), str(rng.choice(["basic", "plus", "pro"]))
    risk = (age < 45) + 0.7 * (category == "basic") + rng.normal(0, 0.5)
    return age, round(float(rng.normal(50_000, 9_000)), 2), category, "yes" if risk > 0.9 else "no"


def _size(place: Path) -> float:
    """Megabytes of a file, or of all files below a folder."""
    paths = [place] if place.is_file() else place.rglob("*")
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def _shown(value: float) -> str:
    return f"{value:11d}" if isinstance(value, int) else f"{value:11.2f}"


def verdict(what: str, looks: list[Look]) -> list[str]:
    """Print for each figure how it grew once the process was warm; returns those that grew by more than is allowed."""
    warm = looks[int(len(looks) * WARM) :]
    if len(warm) < 3:
        print(f"\n{what}: too few looks to tell")
        return []
    print(f"\n{what}, from training {warm[0].trainings} to {warm[-1].trainings}, by a straight line:")
    x, growing = np.array([look.trainings for look in warm]), []
    for name in [each.name for each in fields(Look)][2:]:
        y = np.array([getattr(look, name) for look in warm], dtype=float)
        slope = float(np.polyfit(x, y, 1)[0])
        grown, level = slope * (x[-1] - x[0]), float(y.mean())
        allowed = ALLOWED.get(name)
        grows = allowed is not None and grown > max(allowed * level, 0.5)
        said = "not judged" if allowed is None else "GROWS" if grows else "flat"
        print(f"{name:12} {y[0]:9.2f} to {y[-1]:9.2f}, {slope:+.4f} for each training: {said}")
        if grows:
            growing.append(name)
    return growing


if __name__ == "__main__":
    main()
