"""What the graph costs over a script written by hand: search and final fit of the bundled churn example.

Baseline of the same run: `plain_search.py`, plain Optuna and scikit-learn with the study in memory, on the same rows,
with the very same trials (algorithms, parameters, folds until pruned, early stopping, threads), a pipeline fitted in
every fold of every trial, one final fit and the prediction of the test rows. A script may encode each fold only once,
as the graph does; what that saves it is taken off in a second comparison.

Both take turns, and medians are compared. Imports and reading are left out of the script's side; on the graph's side
everything counts between the start of `optuna_study` and the end of `trained_model`: the durable study, stored results,
plots, checks, the learning curve, the load check in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from optuna.distributions import distribution_to_json
from training import EXAMPLE, Training, train
from watching import Watched, fresh_home, machine, spread, watch

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.search.fold_fits import fit_setting
from mt_assets.trainer.store.model_store import ModelStore

STEPS: Final = ("optuna_study", "best_params", "trained_model")

SHARE, SECONDS = 0.10, 5.0
"""What the graph may cost more than the script."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    print(machine())
    graph: list[Training] = []
    plain: list[Watched] = []
    for number in range(asked.runs):
        with fresh_home() as (home, env):
            graph.append(train(EXAMPLE, home, env))
            work = home.parent / "work"
            work.mkdir()
            _write_work(home, work)
            plain.append(watch([sys.executable, Path(__file__).with_name("plain_search.py"), work]))
            if plain[-1].code:
                sys.exit(f"plain_search.py ended with {plain[-1].code}:\n{plain[-1].errors}")
            trials = json.loads((work / "work.json").read_text())["trials"]
        print(
            f"run {number + 1}: graph {graph[-1].watched.wall:.1f} s ({graph[-1].watched.cpu:.1f} CPU s), "
            f"script {plain[-1].wall:.1f} s ({plain[-1].cpu:.1f} CPU s)",
            flush=True,
        )
    told = [json.loads(watched.output) for watched in plain]
    _show_sameness(trials, told[-1], graph[-1])
    _show_parts(graph, told)
    for which, unit, ours in (
        (0, "wall", [run.seconds(*STEPS) for run in graph]),
        (1, "CPU", [run.cpu(*STEPS) for run in graph]),
    ):
        _show_verdict(unit, "script", ours, [_part(each, which) for each in told])
        again = [each["spent"]["preprocessing again"][which] for each in told]
        thrifty = [_part(each, which) - wasted for each, wasted in zip(told, again, strict=True)]
        _show_verdict(unit, "script that encodes each fold once", ours, thrifty)
    whole, script = [run.watched for run in graph], plain
    print(f"\n{'whole process':24} {'graph':>9} {'script':>9} {'ratio':>7}")
    for name, unit in (("wall", "s"), ("cpu", "CPU s"), ("peak_mb", "MB peak")):
        ours, theirs = (median(getattr(each, name) for each in side) for side in (whole, script))
        print(f"{unit:24} {ours:9.1f} {theirs:9.1f} {ours / theirs:7.2f}")


def _write_work(home: Path, folder: Path) -> None:
    """Write down what the graph has searched, so that the script can do the same without any code of ours."""
    spec = load_spec(EXAMPLE)
    store = ModelStore(home, spec.name)
    names = ("data_profile", "folds", "training_plan", "optuna_study", "best_params")
    profile, splits, plan, study, best = (store.get(store.current(name).address) for name in names)
    setting = fit_setting(plan, profile, splits)
    if set(profile.features.values()) - {"numeric", "boolean", "categorical"} or plan.class_weight:
        sys.exit("The script by hand knows numbers and categories only, and no class weights.")
    kinds = {column.name: column for column in profile.columns}
    words = [name for name, role in profile.features.items() if role == "categorical" or _is_text(kinds[name])]
    rows = {"test": splits.test, "learning": np.sort(splits.learning)}
    for number, fold in enumerate(splits.folds):
        rows |= {f"train_{number}": np.sort(fold.train), f"validation_{number}": np.sort(fold.validation)}
    np.savez(folder / "rows.npz", **rows)
    trials = [
        {
            "algorithm": trial.algorithm,
            "params": trial.params,
            "estimator": algorithm(trial.algorithm).build(setting, trial.params).get_params(),
            "state": trial.state,
            "folds": len(trial.fold_scores),
            "scores": trial.fold_scores,
        }
        for trial in study.trials
    ]
    learner = algorithm(best.algorithm)
    params = learner.with_iterations(best.params, best.iterations)
    work: dict[str, Any] = {
        "table": str(spec.train_data_path),
        "target": profile.target.column,
        "positive": profile.target.classes[profile.target.positive],
        "numbers": [name for name in profile.features if name not in words],
        "categories": words,
        "seed": plan.seed,
        "threads": plan.threads,
        "patience": plan.early_stopping_rounds,
        "trials": trials,
        "winner": {"algorithm": best.algorithm, "estimator": learner.build(setting, params).get_params()},
        "spaces": {
            name: {key: distribution_to_json(each) for key, each in algorithm(name).space(setting).items()}
            for name in plan.algorithms
        },
    }
    (folder / "work.json").write_text(json.dumps(work))


def _is_text(column: Any) -> bool:
    """Whether a column of two values is written in words."""
    return bool(column.role == "boolean" and column.dtype == "string")


def _part(told: dict[str, Any], which: int) -> float:
    """Seconds (0 wall, 1 CPU) of the script's search and final fit."""
    return told["spent"]["search"][which] + told["spent"]["final fit"][which]


def _show_sameness(trials: list[dict[str, Any]], told: dict[str, Any], run: Training) -> None:
    """How far the two differ in what they computed; they are only comparable where that is next to nothing."""
    apart: dict[str, float] = {}
    for trial, theirs in zip(trials, told["scores"], strict=True):
        largest = float(np.max(np.abs(np.subtract(trial["scores"], theirs))))
        apart[trial["algorithm"]] = max(apart.get(trial["algorithm"], 0.0), largest)
    fits = sum(trial["folds"] for trial in trials)
    print(f"\n{len(trials)} trials, {fits} fits on folds; largest difference between the scores of a fold:")
    print("  " + ", ".join(f"{name} {value:.1e}" for name, value in apart.items()))
    ours = run.result["metrics"]["test"]["roc_auc"]
    print(f"  roc_auc on the test rows: graph {ours:.5f}, script {told['test']:.5f}")


def _show_parts(graph: list[Training], told: list[dict[str, Any]]) -> None:
    print(f"\n{'medians':24} {'wall s':>9} {'CPU s':>9}   {'range of CPU s'}")
    for step in STEPS:
        _show_line(f"graph: {step}", [run.seconds(step) for run in graph], [run.cpu(step) for run in graph])
    for part in ("search", "preprocessing", "preprocessing again", "fits and predictions", "final fit"):
        _show_line(
            f"script: {part if part in ('search', 'final fit') else '  of it ' + part}",
            [each["spent"][part][0] for each in told],
            [each["spent"][part][1] for each in told],
        )
    phases = [sum(run.result["budget"]["phases"][step] for step in STEPS) for run in graph]
    print(f"(result.json, budget.phases, of the three steps: {spread(phases)} s)\n")


def _show_line(name: str, wall: list[float], cpu: list[float]) -> None:
    print(f"{name:38} {median(wall):9.2f} {median(cpu):9.2f}   {min(cpu):.2f} to {max(cpu):.2f}")


def _show_verdict(unit: str, baseline: str, ours: list[float], theirs: list[float]) -> None:
    graph, script = median(ours), median(theirs)
    allowed = (1 + SHARE) * script + SECONDS
    print(
        f"search and final fit, {unit} s: graph {graph:.2f}, {baseline} {script:.2f}: ratio {graph / script:.3f}, "
        f"{graph - script:+.2f} s; at most {allowed:.2f}: {'kept' if graph <= allowed else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
