"""What it saves to give boosters up while they boost: those that cannot come near the middle one of their kind.

LightGBM and XGBoost search bundled tables with a number of trials and no limit of time. Baseline: the same search, in
which every fit boosts to its end and trials are given up only between folds.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from tables import bundled
from watching import machine

from mt_assets import trainer
from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.search.pruning import Pruning

ALGORITHMS: Final = ["lightgbm", "xgboost"]


@dataclass(frozen=True)
class Searched:
    """What came of a search: seconds of all fits, the best score, and how many trials were given up."""

    seconds: float
    best: float
    given_up: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default="attrition,wa_churn,credit_data,hotel_rates")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    print(machine())
    print(
        f"\n{asked.trials} trials           seed   seconds of fits, both (ratio)      best score, both   given up, both"
    )
    for name in asked.tables.split(","):
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as place:
                work = _prepared(name, asked.trials, seed, Path(place))
                rungs = _search(work, Path(place) / "rungs")
                with patch.object(Pruning, "bar", lambda *_: None):
                    whole = _search(work, Path(place) / "whole")
            print(
                f"{name:20} {seed:4} {rungs.seconds:10.1f} {whole.seconds:10.1f} ({rungs.seconds / whole.seconds:.2f})"
                f" {rungs.best:12.6g} {whole.best:12.6g} {rungs.given_up:8} {whole.given_up:4}",
                flush=True,
            )


def _prepared(name: str, trials: int, seed: int, place: Path) -> tuple[Any, ...]:
    """Plan, table, profile, splits and preprocessor."""
    dataset = bundled()[name]
    spec = parse_spec(
        {
            "trainDataPath": "table.parquet",
            "targetColumn": dataset.target,
            "algorithm": ALGORITHMS,
            "hyperparameterSearch": {"nTrials": trials},
            "options": {"seed": seed, "ensemble": "none"},
        },
        base=place,
        default_name=name,
    )
    table = trainer.Table.of(dataset.frame())
    profile = trainer.profile_data(table, spec)
    splits = trainer.split_data(table, profile, spec, None)
    plan = trainer.make_plan(spec, table, profile, splits)
    return plan, table, profile, splits, trainer.fit_preprocessor(plan, table, splits, profile).transformer


def _search(work: tuple[Any, ...], folder: Path) -> Searched:
    study = trainer.run_search(*work, folder=folder)
    given_up = sum(trial.state == "pruned" for trial in study.trials)
    return Searched(study.seconds, study.best.score, given_up)


if __name__ == "__main__":
    main()
