"""Time budgets: what was asked for, what was spent, and on what.

Baseline: the budget itself, which the whole command has to keep, its start and end with it. Three tables: small,
medium (40,000 rows), and one of 26 classes, on which a single fit takes long.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pandas as pd
from tables import bundled, letters, of_folder
from training import train_command, write_spec
from watching import fresh_home, machine, proportional, watch

REFUSED: Final = 2
"""Exit code of `mt-assets train` for a spec that it does not take, such as too small a budget."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 30, 60, 300])
    parser.add_argument("--tables", default="attrition,police_stops,letters", help="`letters` is a generated one")
    parser.add_argument("--data-folder", type=Path, help="tables of your own, with a manifest.json (see tables.py)")
    asked = parser.parse_args()
    print(machine())
    known = of_folder(asked.data_folder) if asked.data_folder else bundled()
    loads: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
        name: (table.target, table.frame) for name, table in known.items()
    }
    loads.setdefault("letters", ("target", letters))
    names = asked.tables.split(",")
    if unknown := [name for name in names if name not in loads]:
        sys.exit(f"--tables: there is no {', '.join(unknown)}; there are {', '.join(loads)}")
    for name in names:
        with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as place:
            target, load = loads[name]
            frame = load()
            path = Path(place) / "table.parquet"
            frame.to_parquet(path, index=False)
            print(f"\n{name}: {len(frame):,} rows, {frame.shape[1] - 1} features", flush=True)
            for seconds in asked.seconds:
                _show(path, target, seconds)


def _show(table: Path, target: str, seconds: int) -> None:
    """Train with a budget, and print what became of it."""
    with fresh_home() as (home, env):
        spec = write_spec(table.parent, table, target, options={"timeBudget": seconds})
        output = home.parent / "result.json"
        watched = watch(train_command(spec, output), env=env, memory=proportional)
        if watched.code:
            kind = "refused" if watched.code == REFUSED else f"FAILED with exit code {watched.code}"
            said = (watched.errors or watched.output).strip().splitlines()
            print(f"asked {seconds} s: {kind}: {said[0] if said else ''}", flush=True)
            return
        result = json.loads(output.read_text())
    budget = result["budget"]
    print(
        f"asked {seconds} s: the command took {watched.wall:.1f} s ({watched.wall / seconds:.0%}), told are "
        f"{budget['spent']:.1f} s; {result['metadata']['nTrials']} trials, {result['algorithm']}, "
        f"peak {watched.peak_mb:.0f} MB"
    )
    phases = sorted(budget["phases"].items(), key=lambda phase: -phase[1])
    print("    " + ", ".join(f"{name} {taken:.1f}" for name, taken in phases if taken >= 0.05), flush=True)


if __name__ == "__main__":
    main()
