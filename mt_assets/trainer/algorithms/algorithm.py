"""What the search and the final fit need to know of a learning algorithm."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from mt_assets.trainer.algorithms.checkpoint import Checkpoint

Task = Literal["classification", "regression"]
Encoding = Literal["native", "generated", "all_levels", "ordinal", "one_hot"]
Params = dict[str, Any]


@dataclass(frozen=True)
class FitSetting:
    """The facts that estimators and search spaces depend on; the same for every trial of a study.

    Attributes
    ----------
    task : {"classification", "regression"}
    n_classes : int
        0 for regression.
    rows, features : int
        Learning rows and original feature columns.
    seed, threads : int
    class_weight : "balanced" or None
    categorical : int
        How many of the features are categories.
    generation : bool
        Whether candidates may have columns made from others, see `pipeline.GENERATED`.
    log_target : bool
        Whether candidates may learn the logarithm of the target, see `pipeline.LOG_TARGET`.
    """

    task: Task
    n_classes: int
    rows: int
    features: int
    seed: int
    threads: int
    class_weight: Literal["balanced"] | None = None
    categorical: int = 0
    generation: bool = False
    log_target: bool = False


@dataclass(frozen=True)
class FitReport:
    """What a fit tells.

    Attributes
    ----------
    best_iteration : int or None
        The best boosting round or epoch; None without them, or without rows to stop on.
    notes : tuple of str
    cut : bool
        Whether the deadline ended it.
    loss : float or None
        The best one on the rows that a booster stops on.
    curve : tuple of float
        The best losses by its progress, see `Progress.curve`.
    """

    best_iteration: int | None = None
    notes: tuple[str, ...] = ()
    cut: bool = False
    loss: float | None = None
    curve: tuple[float, ...] = ()


FLOAT: Final = 8
"""Bytes of a number in double precision."""

LEAST_ROUNDS: Final = 5
"""Rounds of boosting that a deadline leaves at least, so that there is a model that has learned something."""


def is_over(deadline: float | None, rounds: int) -> bool:
    """Whether a fit with so many rounds behind it must end."""
    return deadline is not None and rounds >= LEAST_ROUNDS and time.monotonic() > deadline


class Algorithm(ABC):
    """One way to learn, with everything that is special about it.

    Attributes
    ----------
    name : str
        As in the spec.
    display : str
        As people write it.
    tasks : frozenset of str
    encoding : {"native", "all_levels", "ordinal", "one_hot"}
        The form of features that it wants, see `TablePreprocessor`.
    gradual : bool
        Whether a fit that stops at a deadline is worth its time: boosting, forests and networks, which get better round
        by round.
    averages : bool
        Whether it is the mean of many models that differ by the rows or columns they were fitted on: fitted once on all
        rows it is as good as the mean of fits on folds, several times as fast, and as much smaller.
    """

    name: ClassVar[str]
    display: ClassVar[str]
    tasks: ClassVar[frozenset[str]]
    encoding: ClassVar[Encoding]
    gradual: ClassVar[bool] = False
    averages: ClassVar[bool] = False

    @abstractmethod
    def build(self, setting: FitSetting, params: Mapping[str, Any]) -> Any:
        """An unfitted estimator with the interface of scikit-learn."""

    @abstractmethod
    def space(self, setting: FitSetting) -> dict[str, BaseDistribution]:
        """What is searched, by parameter name."""

    @abstractmethod
    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """Configurations tried before any search, each a full point of `space`: the library's default comes first."""

    def fit(
        self,
        estimator: Any,
        X: np.ndarray,
        y: np.ndarray,
        X_valid: np.ndarray | None = None,
        y_valid: np.ndarray | None = None,
        patience: int | None = None,
        *,
        class_weight: str | None = None,
        categories: int = 0,
        deadline: float | None = None,
        checkpoint: Checkpoint | None = None,
        bar: float | None = None,
    ) -> FitReport:
        """Fit in place.

        Parameters
        ----------
        estimator : estimator of `build`
        X, y : arrays [n, p], [n]
            Classes are codes 0..k-1, all of them present.
        X_valid, y_valid : arrays [m, p], [m], optional
            Rows to stop early on; without them, or without patience, all rounds are fitted.
        patience : int, optional
            Rounds without improvement after which boosting stops; networks count epochs and cap them.
        class_weight : str, optional
            That of the setting, for estimators that take weights of rows in place of it.
        categories : int
            How many of the last columns are level numbers of categories.
        deadline : float, optional
            In `time.monotonic()` seconds: boosters begin no round after it, but for `LEAST_ROUNDS`, networks no epoch
            that would end after it, but for two, and keep the best of those so far; forests keep the trees that they
            have. Other estimators take the time that they take.
        checkpoint : Checkpoint, optional
            Where long fits of LightGBM, XGBoost, CatBoost and networks note how far they have come, and go on from
            after they were killed, to exactly what they would have become. Others begin again.
        bar : float, optional
            Loss on the rows to stop on that a fit has to be able to reach: LightGBM, XGBoost and CatBoost give up where
            they cannot, see `progress`.
        """
        estimator.fit(X, y)
        return FitReport()

    def memory(self, setting: FitSetting, params: Mapping[str, Any], rows: int, columns: int) -> float:
        """Bytes that a fit takes at its peak, beside the matrix that it is given: an estimate.

        Here a copy of the matrix, as solvers of linear models make it (100,000 rows of 20 numbers: 16 MB for ridge, 18
        for elastic net), and four numbers a row for each class.

        Parameters
        ----------
        setting : FitSetting
        params : mapping
            A point of the space.
        rows, columns : int
            Of the encoded matrix.
        """
        return FLOAT * rows * (columns + 4 * outputs(setting))

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        """Parameters for a fit without early stopping, of that many rounds. Nothing changes where there are none."""
        return dict(params)


def outputs(setting: FitSetting) -> int:
    """Numbers that are predicted for a row, which is also the trees that a booster grows in a round."""
    return setting.n_classes if setting.n_classes > 2 else 1


BINS: Final = 256
"""Of a column, as boosters count them."""

SAMPLED_ROWS: Final = 200_000
"""Rows that LightGBM and scikit-learn look at to find the borders of bins, by their documentation."""


def boosting_bytes(
    setting: FitSetting, rows: int, columns: int, *, cell: float, leaves: int, rounds: int, histogram: int
) -> float:
    """Bytes of boosting on binned columns: cells, what is known of each row, histograms of leaves, and the trees.

    Parameters
    ----------
    cell : float
        Bytes that the library keeps of each cell; one of a sample in double precision comes on top.
    leaves, rounds : int
        Of a tree, and how many times trees are grown.
    histogram : int
        Bytes of a bin, of which each leaf of the growing tree has those of all columns.
    """
    trees = outputs(setting)
    sample = min(rows, SAMPLED_ROWS) * columns * 2 * FLOAT
    known = rows * (3 * FLOAT * trees + 2 * FLOAT)  # score, gradient, curvature of each; target and place in the tree
    histograms = leaves * columns * BINS * histogram
    return cell * rows * columns + sample + known + histograms + rounds * trees * leaves * NODE


NODE: Final = 100
"""Bytes of a leaf and the node above it, about, in all three libraries."""


def stopping_class_weight(y: np.ndarray, class_weight: str | None) -> str | None:
    """How to weight the rows that boosting stops on.

    Of two classes like the training rows: an unweighted loss stops a weighted fit at a round that is best for another
    aim (5 folds, LightGBM balanced: AUC telco_churn .8417 against .8391, adult .9296 against .9264). Of more classes
    not at all: the loss would hang on the few rows of the rarest (wine_quality: AUC .785 against .815, log-loss 1.35
    against .96).
    """
    return class_weight if len(np.unique(y)) == 2 else None


SLOW_CELLS: Final = 5_000_000
"""Rows x features x trees a round with which rates below 0.1 take too long: 150 rounds of LightGBM are 5 s there on one
thread, and a rate of 0.01 needs ten times as many."""


def slowest_rate(setting: FitSetting) -> float:
    """The least learning rate that boosting of so large a table is searched at: 0.005 of small ones to 0.1.

    It grows with the root of a round's cost, so that between a table and one of a hundred times the size a fit grows
    tenfold.
    """
    trees = setting.n_classes if setting.n_classes > 2 else 1
    cells = setting.rows * setting.features * trees
    return round(min(0.1, max(0.005, 0.1 * (cells / SLOW_CELLS) ** 0.5)), 4)


def within(space: Mapping[str, BaseDistribution], point: Params) -> Params:
    """The point, with each value brought inside a range that small tables made narrower."""

    def into(distribution: BaseDistribution, value: Any) -> Any:
        if isinstance(distribution, IntDistribution | FloatDistribution):
            return type(value)(min(max(value, distribution.low), distribution.high))
        return value

    return {name: into(space[name], value) for name, value in point.items()}
