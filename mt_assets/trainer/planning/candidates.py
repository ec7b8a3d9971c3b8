"""Which algorithms compete where the spec names none, as far as their packages are installed.

What belongs here: lists of names. What does not: when which list is recommended (`model_rules`).
"""

from importlib.util import find_spec
from typing import Final

from mt_assets.trainer.algorithms.registry import absence

BOOSTED = ("lightgbm", "xgboost", "catboost", "gradient_boosting")
"""Boosted trees, the one to enter first: it fits fastest and ranks with the best of them once tuned (TabArena)."""

LINEAR = ("logistic_regression", "ridge", "elastic_net", "lasso", "linear_regression")

ALWAYS = (BOOSTED, ("extra_trees",), LINEAR)
"""What competes at any size: the first of each family that suits the task, unless one of the family is recommended.
Boosted trees win most often, extra trees and linear models win where data is small or noisy, and all fit in seconds."""

BY_SIZE = (
    (100, ("lightgbm", "catboost")),
    (500, ("lightgbm", "xgboost", "catboost", "random_forest", "neural_network")),
    (100_000, ("lightgbm", "xgboost", "catboost")),
)
"""What competes besides, by the least rows from which it does. Different kinds of boosted trees err differently, so
that each adds to a blend, and CatBoost wins most often untuned (TabArena: 1348 Elo by default, XGBoost 1186, LightGBM
1153, random forests 1000). Fewer rows tell few models apart; beyond 100,000 a random forest costs more than it adds to
extra trees. A neural network errs most differently of all; it is entered where PyTorch trains it."""

FIRST_IN_TIME = (
    *LINEAR, "knn", "lightgbm", "catboost", "extra_trees", "xgboost", "gradient_boosting", "random_forest",
    "neural_network", "svm",
)  # fmt: skip
"""What goes first where time is limited: what fits in no time, so that there is a model, then by what it is worth for
its seconds. A support-vector machine takes longest (`benchmarks/algorithms.py`)."""

MANY_CLASSES: Final = 10
"""From which on a network is worth more for its seconds than boosted trees, which grow a tree for each class in every
round."""


def competing(meant: tuple[str, ...], available: tuple[str, ...], rows: int) -> tuple[str, ...]:
    """The recommended algorithms and those that compete at this size, as far as they are available for the task."""
    entered = [name for name in meant if name in available]
    for family in ALWAYS:
        if not set(family) & set(entered):
            entered += [name for name in family if name in available][:1]
    besides = [names for least, names in BY_SIZE if rows >= least][-1:]
    entered += [name for names in besides for name in names if name in available and name not in entered]
    return tuple(name for name in entered if name in meant or _is_at_its_best(name))


def _is_at_its_best(name: str) -> bool:
    return name != "neural_network" or find_spec("torch") is not None


def left_out(names: tuple[str, ...], available: tuple[str, ...], task: str) -> str:
    """Say which of the algorithms are not available, and why; empty where all are."""
    return " ".join(f"{name} {absence(name, task)}, so it is left out." for name in names if name not in available)


def first_in_time(names: tuple[str, ...], n_classes: int) -> tuple[str, ...]:
    """The same names in the order in which limited time is best spent on them."""
    order = list(FIRST_IN_TIME)
    if n_classes >= MANY_CLASSES:
        order.remove("neural_network")
        order.insert(order.index("lightgbm"), "neural_network")
    return tuple(sorted(names, key=order.index))
