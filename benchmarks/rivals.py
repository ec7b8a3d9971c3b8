"""Quality at equal budget: what AutoML systems and this trainer reach on the same rows, in the same time, on as many
cores.

Every system is a process of its own, in an interpreter of its own, one after the other. It is given the same training
rows, the same metric (ROC AUC for two classes, log loss for more, RMSE for numbers), the same seconds and the same
cores, and predicts the same outer test rows, whose targets it never sees; one scorer scores all. Ours is the whole
command `mt-assets train` with `algorithm: auto`, `options.timeBudget` and `testSize: 0` in an empty home, and then a
second process that loads the model; the budget of the others covers their fit alone, without start and imports.
`lightgbm` is the library with its defaults, without a budget.

Results are lines of JSON in a file that grows. What it has of a (table, system, seconds, seed) is not run again; what
failed is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from rivals_report import show
from tables import METRICS, Dataset, chosen
from training import train_command, write_spec
from watching import Watched, fresh_home, machine, proportional, watch

OURS: Final = "mt_assets"

PATIENCE: Final = 5.0, 300.0
"""A system is killed when its process has taken this many budgets and this many seconds more."""


@dataclass(frozen=True)
class System:
    """A rival: its adapter in `systems/` and the module that its interpreter has to have."""

    library: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    has_budget: bool = True

    @property
    def adapter(self) -> Path:
        return Path(__file__).parent / "systems" / f"with_{self.library}.py"


SYSTEMS: Final = {
    OURS: System("mt_assets", "mt_assets"),
    "lightgbm": System("lightgbm", "lightgbm", has_budget=False),
    "flaml": System("flaml", "flaml.automl"),
    "autogluon-medium": System("autogluon", "autogluon.tabular", {"preset": "medium_quality"}),
    "autogluon-best": System("autogluon", "autogluon.tabular", {"preset": "best_quality"}),
    "h2o": System("h2o", "h2o.automl"),
    "mljar": System("mljar", "supervised"),
}
"""By the name that `--rivals` and the results have."""


def main() -> None:
    asked = _arguments()
    if asked.report:
        show([json.loads(line) for path in asked.report for line in path.read_text().splitlines()])
        return
    datasets = chosen(asked.tables, asked.data_folder)
    _keep_to(asked.cores)
    pythons = _interpreters(asked)
    done = _finished(asked.out)
    print(machine())
    for dataset in datasets:
        for name, python in pythons.items():
            label = asked.ours_as if name == OURS else name
            if (dataset.name, label, asked.seconds, asked.seed) in done:
                continue
            line = {
                "table": dataset.name,
                "system": label,
                "seconds": asked.seconds,
                "seed": asked.seed,
                "cores": asked.cores,
                "machine": f"{platform.machine()}, {machine()}",
                **_measure(SYSTEMS[name], python, dataset, asked),
            }
            with asked.out.open("a") as results:
                results.write(json.dumps(line) + "\n")
            told = line.get("error") or f"{line['metric']} {line['score']:.5g} in {line['wall_s']:.1f} s"
            print(f"{dataset.name:20} {label:18} {told}", flush=True)
    show([json.loads(line) for line in asked.out.read_text().splitlines()])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="budget of each system (60)")
    parser.add_argument("--tables", metavar="A,B", help="by default all bundled ones, or all of the folder")
    parser.add_argument("--data-folder", type=Path, help="tables of your own, with a manifest.json (see tables.py)")
    parser.add_argument("--rivals", metavar="A,B", help=f"systems, of {', '.join(SYSTEMS)}; by default all at hand")
    parser.add_argument("--seed", type=int, default=0, help="of the outer split and of the systems (0)")
    parser.add_argument("--cores", type=int, default=2, help="that each system may use (2)")
    parser.add_argument("--out", type=Path, default=Path("rivals.jsonl"), help="file of results, which grows")
    parser.add_argument("--spec", type=json.loads, default={}, help="keys that our spec gets besides, as JSON")
    parser.add_argument("--ours-as", default=OURS, help="name of ours in the results, to compare two states of it")
    parser.add_argument("--report", type=Path, nargs="+", metavar="FILE", help="only show what these files hold")
    for library in sorted({system.library for system in SYSTEMS.values() if system.library != OURS}):
        parser.add_argument(f"--{library}-python", default=sys.executable, help="interpreter that has it")
    return parser.parse_args()


def _interpreters(asked: argparse.Namespace) -> dict[str, str]:
    """The interpreter of each system that is wanted; what an interpreter lacks is skipped, and said."""
    wanted = asked.rivals.split(",") if asked.rivals else list(SYSTEMS)
    if unknown := [name for name in wanted if name not in SYSTEMS]:
        sys.exit(f"--rivals: there is no {', '.join(unknown)}; there are {', '.join(SYSTEMS)}")
    pythons = {}
    for name in wanted:
        system = SYSTEMS[name]
        python = getattr(asked, f"{system.library}_python", sys.executable)
        look = f"import importlib.util as util, sys; sys.exit(not util.find_spec({system.module!r}))"
        if subprocess.run([python, "-c", look], capture_output=True, check=False).returncode:
            print(f"{name}: skipped, as {python} has no {system.module}; name one by --{system.library}-python")
        else:
            pythons[name] = python
    return pythons


def _keep_to(cores: int) -> None:
    """Keep this process and all that it starts to as many cores."""
    usable = sorted(os.sched_getaffinity(0))
    if cores > len(usable):
        sys.exit(f"--cores: {cores} are asked for, and {len(usable)} can be used")
    os.sched_setaffinity(0, usable[:cores])


def _finished(path: Path) -> set[tuple[str, str, int, int]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    keys = ("table", "system", "seconds", "seed")
    return {tuple(line[key] for key in keys) for line in lines if "error" not in line}


def _measure(system: System, python: str, dataset: Dataset, asked: argparse.Namespace) -> dict[str, Any]:
    """Run a system on a table: what it reached and took, or the `error` that it ended with."""
    task, train, test = dataset.split(asked.seed)
    rows, columns = len(train), train.shape[1] - 1
    about = {"task": task, "metric": METRICS[task], "rows": rows, "test_rows": len(test), "columns": columns}
    with tempfile.TemporaryDirectory(prefix="rivals-") as place, fresh_home() as (_, env):
        folder = Path(place)
        train.to_parquet(folder / "train.parquet", index=False)
        test.drop(columns=dataset.target).to_parquet(folder / "test.parquet", index=False)
        truth = test[dataset.target]
        settings = dict(system.settings)
        trained: Watched | None = None
        if system.library == OURS:
            trained, model = _train_ours(folder, env, task, dataset.target, asked)
            if model is None:
                return about | {"error": _last_words(trained)}
            settings["model"] = model
        job = {
            "task": task,
            "metric": METRICS[task],
            "target": dataset.target,
            "seconds": asked.seconds,
            "cores": asked.cores,
            "seed": asked.seed,
            "settings": settings,
        }
        (folder / "job.json").write_text(json.dumps(job))
        watched = watch([python, system.adapter, folder], env=env, memory=proportional, stop=_too_long(asked.seconds))
        if watched.code or watched.stopped:
            return about | {"error": _last_words(watched)}
        report = json.loads((folder / "report.json").read_text())
        score = _score(task, truth, pd.read_parquet(folder / "prediction.parquet"))
    fit = trained.wall if trained else report["fit"]
    return about | {
        "score": score,
        "version": report["version"],
        "fit_s": fit,
        "wall_s": (trained or watched).wall,
        "cpu_s": (trained or watched).cpu,
        "overrun": fit / asked.seconds if system.has_budget else None,
        "peak_mb": max(watched.peak_mb, trained.peak_mb if trained else 0.0),
        "predict_rows_s": len(test) / report["predict"],
        "at": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def _train_ours(
    folder: Path, env: dict[str, str], task: str, target: str, asked: argparse.Namespace
) -> tuple[Watched, str | None]:
    """Run `mt-assets train`; gives the model's path, None where it failed."""
    keys: dict[str, Any] = {
        "modelType": "regression" if task == "regression" else "classification",
        "algorithm": "auto",
        "testSize": 0,
        "objective": {"metric": METRICS[task]},
        "options": {"timeBudget": asked.seconds, "seed": asked.seed},
    }
    for key, more in asked.spec.items():
        keys[key] = {**keys[key], **more} if isinstance(keys.get(key), dict) else more
    spec = write_spec(folder, folder / "train.parquet", target, **keys)
    output = folder / "result.json"
    watched = watch(train_command(spec, output), env=env, memory=proportional, stop=_too_long(asked.seconds))
    return watched, json.loads(output.read_text())["modelPath"] if watched.code == 0 else None


def _too_long(seconds: int) -> Callable[[float], bool]:
    budgets, more = PATIENCE
    return lambda spent: spent > budgets * seconds + more


def _last_words(watched: Watched) -> str:
    if watched.stopped:
        return f"killed after {watched.wall:.0f} s"
    words = [line.strip() for line in (watched.output + watched.errors).splitlines() if line.strip()]
    return f"exit code {watched.code}: {' / '.join(words[-3:])[:600]}"


def _score(task: str, truth: pd.Series, told: pd.DataFrame) -> float:
    """The score of a prediction; a class that a system has not told of has the probability 0."""
    from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error

    if task == "regression":
        return float(root_mean_squared_error(truth, told["prediction"]))
    classes = sorted(set(truth) | set(told.columns))
    shares = told.reindex(columns=classes, fill_value=0.0).to_numpy()
    if task == "binary":
        return float(roc_auc_score(truth == classes[1], shares[:, 1]))
    shares = np.clip(shares, np.finfo(np.float32).eps, 1)
    return float(log_loss(truth, shares / shares.sum(axis=1, keepdims=True), labels=classes))


if __name__ == "__main__":
    main()
