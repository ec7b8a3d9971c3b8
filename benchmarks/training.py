"""`mt-assets train` on a spec, in a home of its own, with what each step of the graph cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from dagster import DagsterEventType, DagsterInstance
from watching import Watched, resident, watch

EXAMPLE: Final = Path(__file__).resolve().parent.parent / "mt_assets" / "examples" / "customer_churn.yaml"


@dataclass(frozen=True)
class Step:
    """A step of the graph, from its start until the next one starts (so that nothing lies between steps)."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Training:
    """One run of `mt-assets train`.

    Attributes
    ----------
    watched : Watched
    steps : tuple of Step
        In the order in which they ran. The first is `start`: imports, definitions, the instance; the last `end`.
    result : dict
        `result.json`.
    """

    watched: Watched
    steps: tuple[Step, ...]
    result: dict[str, Any]

    def seconds(self, *names: str) -> float:
        """Wall seconds of these steps."""
        return sum(step.end - step.start for step in self.steps if step.name in names)

    def cpu(self, *names: str) -> float:
        """CPU seconds of these steps."""
        return sum(self.watched.cpu_between(step.start, step.end) for step in self.steps if step.name in names)


def train_command(spec: Path, output: Path) -> list[str | Path]:
    """The command line of a training."""
    return [sys.executable, "-m", "mt_assets.cli", "train", spec, "--output", output]


def write_spec(folder: Path, table: Path, target: str, **keys: Any) -> Path:
    """Write the spec `model.json` of a table into a folder; `keys` are those of the spec."""
    spec = folder / "model.json"
    spec.write_text(json.dumps({"name": "model", "trainDataPath": str(table), "targetColumn": target, **keys}))
    return spec


def train(spec: Path, home: Path, env: dict[str, str], memory: Callable[[psutil.Process], int] = resident) -> Training:
    """Run it and read the times of the steps from Dagster's event log; `memory` as in `watch`."""
    output = home.parent / "result.json"
    watched = watch(train_command(spec, output), env=env, memory=memory)
    if watched.code:
        sys.exit(f"mt-assets train ended with {watched.code}:\n{watched.output}{watched.errors}")
    began = _starts(Path(env["DAGSTER_HOME"]))
    borders = [("start", watched.looks[0].at), *began[:-1], ("end", began[-1][1])]
    ends = [at for _, at in borders[1:]] + [watched.looks[-1].at]
    steps = tuple(Step(name, at, end) for (name, at), end in zip(borders, ends, strict=True))
    return Training(watched, steps, json.loads(output.read_text()))


def _starts(dagster_home: Path) -> list[tuple[str, float]]:
    """Name of each phase with the moment of its start, and the end of the run as the last one."""
    with DagsterInstance.from_config(str(dagster_home)) as instance:
        (run,) = instance.get_runs()
        log = instance.all_logs(run.run_id)
    starts = [
        (str(entry.step_key).rpartition("__")[2], entry.timestamp)
        for entry in log
        if entry.dagster_event and entry.dagster_event.event_type == DagsterEventType.STEP_START
    ]
    (end,) = [
        entry.timestamp
        for entry in log
        if entry.dagster_event and entry.dagster_event.event_type == DagsterEventType.RUN_SUCCESS
    ]
    return [*sorted(starts, key=lambda start: start[1]), ("end", end)]
