"""How long a Dagster code location of 20 specs takes to load.

Baselines of the same run: `import dagster` in a fresh process, and for the command line `dagster definitions validate`
on a module without any definitions. Both are what every Dagster project pays. All take turns, and medians are compared.
Loading means: read the specs, build all assets, checks, jobs and sensors, and resolve every job. Validating loads, and
then describes everything as the UI is told of it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from training import EXAMPLE
from watching import Watched, machine, spread, watch

TARGET_S: Final = 3.0

SPECS: Final = {
    "customer_churn.parquet": ("churn", {"objective": "{metric: roc_auc}", "qualityGates": '{test.roc_auc: ">=0.8"}'}),
    "house_prices.parquet": ("sale_price", {"algorithm": "[ridge, lightgbm]", "retraining": '{schedule: "0 3 * * *"}'}),
    "penguins.csv": ("species", {"algorithm": "random_forest", "hyperparameterSearch": "{nTrials: 30}"}),
}
"""The bundled tables, each with its target and a few more keys."""

LOAD: Final = """
from mt_assets.definitions import defs
repository = defs.get_repository_def()
jobs = repository.get_all_jobs()
print(len(jobs), "jobs,", len(repository.asset_graph.get_all_asset_keys()), "assets")
"""

HEAVY: Final = """
import sys
from mt_assets.definitions import defs
defs.get_repository_def().get_all_jobs()
known = ("pandas", "sklearn", "scipy", "lightgbm", "xgboost", "optuna", "mlflow", "matplotlib", "pyarrow", "numpy")
print(", ".join(name for name in known if name in sys.modules) or "none")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--specs", type=int, default=20)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as folder:
        place = Path(folder)
        many, one = write_specs(place / "many", asked.specs), write_specs(place / "one", 1)
        empty = place / "empty.py"
        empty.write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
        python = sys.executable
        validate = [python, "-m", "dagster", "definitions", "validate"]
        (place / "dagster").mkdir()
        home = {"DAGSTER_HOME": str(place / "dagster"), "MT_ASSETS_HOME": str(place / "home")}
        here = {
            "import dagster": ([python, "-c", "import dagster"], home),
            "load 1 spec": ([python, "-c", LOAD], {**home, "MT_ASSETS_SPECS": str(one)}),
            f"load {asked.specs} specs": ([python, "-c", LOAD], {**home, "MT_ASSETS_SPECS": str(many)}),
            "validate nothing": ([*validate, "-f", empty], home),
            f"validate {asked.specs} specs": (
                [*validate, "-m", "mt_assets.definitions"],
                {**home, "MT_ASSETS_SPECS": str(many)},
            ),
        }
        taken: dict[str, list[Watched]] = {name: [] for name in here}
        for _ in range(asked.runs + 1):
            for name, (command, env) in here.items():
                watched = watch(command, env=env)
                if watched.code:
                    sys.exit(f"{name} ended with {watched.code}:\n{watched.errors}")
                taken[name].append(watched)
        imported = watch([python, "-c", HEAVY], env={**home, "MT_ASSETS_SPECS": str(many)})
    timed = {name: watched[1:] for name, watched in taken.items()}  # the first one fills the caches
    _show(timed)
    loaded, validated = f"load {asked.specs} specs", f"validate {asked.specs} specs"
    print(f"\n{loaded}: {timed[loaded][0].output.strip()}; imported besides Dagster: {imported.output.strip()}")
    for unit in ("wall", "cpu"):
        ours, bare = _median(timed[loaded], unit), _median(timed["import dagster"], unit)
        checked, nothing = _median(timed[validated], unit), _median(timed["validate nothing"], unit)
        print(
            f"{unit}: loading {asked.specs} specs takes {ours:.2f} s, {ours / bare:.2f} times `import dagster`; "
            f"under {TARGET_S:g} s: {'kept' if ours < TARGET_S else 'MISSED'}\n"
            f"      validating them takes {checked:.2f} s, {checked / nothing:.2f} times validating nothing"
        )


def write_specs(folder: Path, count: int) -> Path:
    """Write that many specs of different names over the bundled tables."""
    folder.mkdir()
    kinds = list(SPECS.items())
    for number in range(count):
        table, (target, more) = kinds[number % len(kinds)]
        keys = {"trainDataPath": EXAMPLE.parent / "data" / table, "targetColumn": target, **more}
        lines = [f"name: model_{number:03}", *(f"{key}: {value}" for key, value in keys.items())]
        (folder / f"model_{number:03}.yaml").write_text("\n".join(lines) + "\n")
    return folder


def _show(timed: dict[str, list[Watched]]) -> None:
    print(f"\n{'median (range)':20} {'wall s':>26} {'CPU s':>28} {'peak MB':>9}")
    for name, runs in timed.items():
        wall, cpu = spread([run.wall for run in runs]), spread([run.cpu for run in runs])
        print(f"{name:20} {wall:>26} {cpu:>28} {median(run.peak_mb for run in runs):9.0f}")


def _median(runs: list[Watched], unit: str) -> float:
    return median(getattr(run, unit) for run in runs)


if __name__ == "__main__":
    main()
