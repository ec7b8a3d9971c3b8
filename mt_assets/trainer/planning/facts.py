"""The facts that rules look at, gathered once from the spec, the profile and the learning rows.

No test row is read here, and nothing that was computed from one is passed on.
"""

from dataclasses import dataclass
from typing import Any, Literal

import joblib
import numpy as np

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.algorithms.registry import available
from mt_assets.trainer.data.profile import DataProfile, encode_target
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table


@dataclass(frozen=True)
class Facts:
    """What the rules may look at.

    Attributes
    ----------
    spec : TrainingSpec
    task : {"classification", "regression", "time_series"}
    n_classes : int
        Classes of the target; 0 for regression.
    rows : int
        Learning rows: with a target and not test rows.
    columns : int
        Columns of the table.
    features : int
        Usable feature columns.
    folds : int
        Fits of one trial.
    available : tuple of str
        Algorithms of this version for the task.
    cores : int
        Cores that this process may use, by affinity and control group.
    minority_share : float or None
        Share of the rarest class among the learning rows; None for regression.
    linear_r2, tree_r2 : float or None
        Cross-validated R² of a linear and of a small boosted-tree model; None for classification and where the
        comparison says nothing.
    combinable : int
        Features that new columns can be made of: numbers and categories.
    target_low, target_skew, target_log_skew : float or None
        Least value and skewness of a regression's target among the learning rows, and skewness of its logarithm
        (`log1p`), None where the least value is negative.
    strategy : str
        How the folds were drawn, see `Splits.strategy`.
    series, season : int
        Of forecasting: how many series, and steps of a season; 0 and 1 otherwise.
    passed_over : str
        Which of the recommended forecasters do not compete, and why.
    fits_at_once : int or None
        Workers that have room in memory, see `search.memory.fits_at_once`; None where nobody looked.
    folds_cover : bool
        Whether every learning row is a training row of some fold.
    """

    spec: TrainingSpec
    task: Literal["classification", "regression", "time_series"]
    n_classes: int
    rows: int
    columns: int
    features: int
    folds: int
    available: tuple[str, ...]
    cores: int
    minority_share: float | None = None
    linear_r2: float | None = None
    tree_r2: float | None = None
    combinable: int = 0
    target_low: float | None = None
    target_skew: float | None = None
    target_log_skew: float | None = None
    strategy: str = "kfold"
    folds_cover: bool = True
    fits_at_once: int | None = None
    series: int = 0
    season: int = 1
    passed_over: str = ""

    @property
    def cells(self) -> int:
        """Rows times features times the trees that a booster grows in one round: what a fit costs, roughly."""
        return self.rows * self.features * (self.n_classes if self.n_classes > 2 else 1)

    @property
    def cores_for_fits(self) -> int:
        """Fits that the cores can run at the same time."""
        return max(1, self.cores // (self.spec.options.threads or 1))

    @property
    def balance(self) -> float | None:
        """Rows of the rarest class over those that it would have if all had the same; 1 is even."""
        return None if self.minority_share is None else round(self.minority_share * self.n_classes, 4)

    @property
    def minority_rows(self) -> int:
        """Learning rows of the rarest class; 0 for regression."""
        return round((self.minority_share or 0.0) * self.rows)

    @property
    def constraints(self) -> dict[str, str]:
        """Bounds that metrics have to keep."""
        return dict(self.spec.objective.constraints)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Metrics of a search for several things at once; empty for the usual one."""
        return tuple(self.spec.hyperparameter_search.objectives or ())

    @property
    def time_budget(self) -> float | None:
        """Seconds for the whole run."""
        return self.spec.options.time_budget

    @property
    def search_timeout(self) -> float | None:
        """Seconds that the spec gives the search."""
        return self.spec.hyperparameter_search.timeout

    @property
    def time_limited(self) -> bool:
        """Whether the clock can end the search."""
        return self.time_budget is not None or self.search_timeout is not None


def gather_facts(spec: TrainingSpec, table: Table, profile: DataProfile, splits: Splits) -> Facts:
    """Collect what the rules need, looking at learning rows alone."""
    if profile.series is not None:
        return _facts_of_series(spec, table, profile, splits)
    from mt_assets.trainer.search.memory import fits_at_once  # scikit-learn, as below

    target = profile.target
    classification = target.task == "classification"
    linear_r2 = tree_r2 = None
    if not classification:
        from mt_assets.trainer.planning.linearity import linearity  # scikit-learn, which a mere reader of plans spares

        linear_r2, tree_r2 = linearity(table, profile, splits, spec.options.seed)
    shape: dict[str, Any] = {} if classification else _shape_of_target(table, profile, splits)
    return Facts(
        spec=spec,
        task="classification" if classification else "regression",
        n_classes=len(target.classes),
        rows=len(splits.learning),
        columns=len(table.columns),
        features=len(profile.features),
        folds=len(splits.folds),
        available=available(target.task),
        cores=joblib.cpu_count(),
        minority_share=_minority_share(table, profile, splits) if classification else None,
        linear_r2=linear_r2,
        tree_r2=tree_r2,
        combinable=sum(role in ("numeric", "categorical") for role in profile.features.values()),
        **shape,
        strategy=splits.strategy,
        fits_at_once=fits_at_once(len(splits.learning), profile, spec.options.memory_limit),
        folds_cover=bool(np.isin(splits.learning, np.concatenate([fold.train for fold in splits.folds])).all()),
    )


def _facts_of_series(spec: TrainingSpec, table: Table, profile: DataProfile, splits: Splits) -> Facts:
    assert profile.series is not None
    return Facts(
        spec=spec,
        task="time_series",
        n_classes=0,
        rows=len(splits.learning),
        columns=len(table.columns),
        features=len(profile.series.known) + len(profile.series.past),
        folds=len(splits.folds),
        available=available("time_series"),
        cores=joblib.cpu_count(),
        strategy=splits.strategy,
        series=len(profile.series.names),
        season=profile.series.season,
    )


def _shape_of_target(table: Table, profile: DataProfile, splits: Splits) -> dict[str, float | None]:
    values = table.take(splits.learning).frame([profile.target.column])[profile.target.column]
    y = encode_target(values, profile.target)
    low = float(y.min())
    return {
        "target_low": low,
        "target_skew": skewness(y),
        "target_log_skew": skewness(np.log1p(y)) if low >= 0 else None,
    }


def skewness(values: np.ndarray) -> float:
    """Third standardized moment of finite values [n], to 4 digits; 0 where all are equal."""
    spread = float(values.std())
    if not np.isfinite(spread) or spread <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return 0.0
    return round(float(np.mean(((values - values.mean()) / spread) ** 3)), 4)


def _minority_share(table: Table, profile: DataProfile, splits: Splits) -> float:
    values = table.take(splits.learning).frame([profile.target.column])[profile.target.column]
    counts = np.bincount(encode_target(values, profile.target).astype(np.int64))
    return round(float(counts[counts > 0].min() / counts.sum()), 4)
