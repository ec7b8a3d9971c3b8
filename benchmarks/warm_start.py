"""What the study before gives a search on grown data: trials that it takes to be as good as one that begins anew.

A model is trained on part of a table, then on all of it: once anew (`retraining.warmStart` false), once with half the
trials and what was learned before. Baseline: the search that begins anew, with all trials. Both run on the same folds,
and scores are those of the best single candidate on them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import pandas as pd
from training import EXAMPLE, train_command, write_spec
from watching import fresh_home, machine

TABLES: Final = {"customer_churn": ("churn", 1), "house_prices": ("Sale_Price", -1)}
"""Bundled tables: target, and 1 where the greater metric is the better one, else -1."""

SETTINGS: Final[dict[str, Any]] = {
    "algorithm": ["lightgbm", "xgboost", "catboost"],
    "experimentTracking": {"enabled": False},
    "validationStrategy": {"folds": 5},
    "options": {"ensemble": "none"},
    "testSize": 0.1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40, help="of the search that begins anew (40)")
    parser.add_argument("--share", type=float, default=0.6, help="of the rows that are there first (0.6)")
    parser.add_argument("--seeds", type=int, default=3, help="orders in which the rows come (3)")
    asked = parser.parse_args()
    half = asked.trials // 2
    print(machine())
    columns = f"{f'anew, {asked.trials}':>12} {f'anew, {half}':>12} {f'warm, {half}':>12}"
    print(f"\n{'best score of':20} {columns}  warm is as good as anew with {asked.trials} after")
    for table, (target, sign) in TABLES.items():
        frame = pd.read_parquet(EXAMPLE.parent / "data" / f"{table}.parquet")
        for seed in range(asked.seeds):
            rows = frame.sample(frac=1, random_state=seed)
            anew, warm = _grown(rows, round(asked.share * len(rows)), target, asked.trials, half)
            bests = [_best(scores, sign) for scores in (anew, anew[:half], warm)]
            as_good = [at for at in range(1, len(warm) + 1) if sign * (_best(warm[:at], sign) - bests[0]) >= 0]
            told = f"{as_good[0]} trials" if as_good else f"more than {half}"
            print(f"{table:16} {seed:3} " + " ".join(f"{best:12.6g}" for best in bests) + f"  {told}", flush=True)


def _grown(
    rows: pd.DataFrame, before: int, target: str, trials: int, fewer: int
) -> tuple[list[float | None], list[float | None]]:
    """Scores of the trials on all rows, in their order: of a search that begins anew, and of a warm one."""
    with tempfile.TemporaryDirectory(prefix="mt-assets-benchmark-") as place, fresh_home() as (home, env):

        def train(part: pd.DataFrame, count: int, *, warm: bool) -> list[float | None]:
            path, output = Path(place) / "table.parquet", home.parent / "result.json"
            part.to_parquet(path, index=False)
            asked = {"hyperparameterSearch": {"nTrials": count}, "retraining": {"warmStart": warm}, **SETTINGS}
            spec = write_spec(Path(place), path, target, **asked)
            subprocess.run(train_command(spec, output), env={**os.environ, **env}, check=True, capture_output=True)
            artifacts = json.loads(output.read_text())["artifacts"]
            history = next(path for path in artifacts if path.endswith("training_history.json"))
            found = json.loads(Path(history).read_text())["trials"]
            return [trial["score"] if trial["state"] == "complete" else None for trial in found]

        train(rows[:before], trials, warm=False)
        return train(rows, trials, warm=False), train(rows, fewer, warm=True)


def _best(scores: list[float | None], sign: int) -> float:
    return sign * max((sign * score for score in scores if score is not None), default=float("-inf"))


if __name__ == "__main__":
    main()
