"""Small pieces of work for the search and the training: table, profile, folds and plan, made directly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

from mt_assets.trainer.data.profile import ColumnProfile, DataProfile, QualityScore
from mt_assets.trainer.data.splits import Fold, Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.data.target import TargetProfile
from mt_assets.trainer.features.preprocessor import TablePreprocessor
from mt_assets.trainer.planning.plan import TrainingPlan


@dataclass(frozen=True)
class Work:
    """What a search is given."""

    plan: TrainingPlan
    table: Table
    profile: DataProfile
    splits: Splits

    @property
    def preprocessor(self) -> TablePreprocessor:
        return TablePreprocessor(dict(self.profile.features))

    @property
    def arguments(self) -> tuple[Any, ...]:
        return (self.plan, self.table, self.profile, self.splits, self.preprocessor)

    def planned(self, **changes: Any) -> Work:
        return replace(self, plan=self.plan.model_copy(update=changes))


class MakeWork(Protocol):
    def __call__(
        self, frame: pd.DataFrame, algorithms: tuple[str, ...], roles: dict[str, str] | None = None, **plan: Any
    ) -> Work: ...


def _role(column: pd.Series) -> str:
    kind = column.dtype.kind
    return "boolean" if kind == "b" else "numeric" if kind in "fiu" else "datetime" if kind == "M" else "categorical"


@pytest.fixture(scope="session")
def make_work() -> MakeWork:
    """`make_work(frame, algorithms, roles, **plan)`; the target is `target`, one with fractions is a regression."""

    def make(
        frame: pd.DataFrame, algorithms: tuple[str, ...], roles: dict[str, str] | None = None, **plan: Any
    ) -> Work:
        table = Table.of(frame)
        canonical, given = table.frame(), {"target": "target", **(roles or {})}
        target = canonical["target"]
        regression = target.dtype == np.float64
        classes = () if regression else tuple(sorted(target.unique().tolist()))
        profile = DataProfile(
            rows=len(table),
            columns=tuple(
                ColumnProfile(
                    name=name, dtype="", role=given.get(name) or _role(column), reason="", missing=0, unique=2
                )
                for name, column in ((str(each), canonical[each]) for each in canonical)
            ),
            target=TargetProfile(
                column="target",
                task="regression" if regression else "classification",
                classes=classes,
                positive=1 if len(classes) == 2 else None,
            ),
            quality=QualityScore(score=100.0, parts={}),
        )
        order = np.random.default_rng(0).permutation(len(table))
        test, learning = np.sort(order[: len(order) // 5]), np.sort(order[len(order) // 5 :])
        splitter = (KFold if regression else StratifiedKFold)(3, shuffle=True, random_state=0)
        parts = splitter.split(learning, None if regression else target.iloc[learning])
        folds = tuple(Fold(learning[train], learning[validation]) for train, validation in parts)
        splits = Splits(
            identities=np.arange(len(table), dtype=np.uint64),
            test=test,
            folds=folds,
            strategy="kfold" if regression else "stratified_kfold",
            learning=learning,
        )
        asked = {
            "task": profile.target.task,
            "metric": "rmse" if regression else "roc_auc" if len(classes) == 2 else "log_loss",
            "algorithms": algorithms,
            "recommended": algorithms[0],
            "sampler": "tpe",
            "pruner": "median",
            "n_trials": 6,
            "timeout": None,
            "search_enabled": True,
            "class_weight": None,
            "early_stopping_rounds": 10,
            "folds_per_trial": 3,
            "threads": 1,
            "seed": 7,
            "decisions": (),
        }
        return Work(TrainingPlan(**(asked | plan)), table, profile, splits)

    return make


@pytest.fixture(scope="session")
def mixed() -> pd.DataFrame:
    """180 rows with numbers, gaps, booleans and categories, and a target of `no` and `yes`."""
    rng = np.random.default_rng(3)
    n = 180
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income [USD]": rng.normal(50, 12, n),
            "member": rng.random(n) < 0.5,
            "city": rng.choice(["Graz", "Linz", "Wien", "Wels"], n),
            "plan": rng.choice(["a", "b"], n),
        }
    )
    risk = (frame["age"] < 45) + 0.8 * (frame["city"] == "Graz") + rng.normal(0, 0.5, n)
    frame.loc[rng.choice(n, 20, replace=False), "income [USD]"] = np.nan
    frame.loc[rng.choice(n, 15, replace=False), "city"] = None
    return frame.assign(target=np.where(risk > 0.8, "yes", "no"))
