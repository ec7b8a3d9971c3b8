"""Which algorithms compete where the spec names none, and what replaces one that this version does not have.

What belongs here: lists of names. What does not: when which list is recommended (`model_rules`).
"""

from typing import Literal

Task = Literal["classification", "regression"]

BOOSTED = ("lightgbm", "xgboost", "catboost", "gradient_boosting")
"""Boosted trees, the one to enter first: it fits fastest and ranks with the best of them once tuned (TabArena)."""

LINEAR = ("logistic_regression", "ridge", "elastic_net", "lasso", "linear_regression")

ALWAYS: dict[Task, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "classification": (("lightgbm", BOOSTED), ("extra_trees", ("extra_trees",)), ("logistic_regression", LINEAR)),
    "regression": (("lightgbm", BOOSTED), ("extra_trees", ("extra_trees",)), ("ridge", LINEAR)),
}
"""What competes at any size: an algorithm, unless one of its family is recommended already. Boosted trees win most
often, extra trees and linear models win where data is small or noisy, and all three fit in seconds."""

STAND_INS: dict[str, tuple[str, ...]] = {
    "svm": ("logistic_regression", "ridge"),
    "neural_network": ("xgboost", "lightgbm"),
    "gradient_boosting": ("lightgbm", "xgboost"),
    "lasso": ("elastic_net", "ridge"),
    "extra_trees": ("random_forest",),
    "random_forest": ("extra_trees", "lightgbm"),
    "xgboost": ("lightgbm", "gradient_boosting"),
    "lightgbm": ("xgboost", "gradient_boosting"),
    "ridge": ("linear_regression",),
}
"""What is next best for the purpose for which a table names the algorithm, best first."""

CHEAPEST_FIRST = (
    *LINEAR, "knn", "svm", "lightgbm", "xgboost", "extra_trees", "random_forest", "gradient_boosting", "catboost",
    "neural_network",
)  # fmt: skip
"""By the time of a first fit on one thread."""


def in_place_of(name: str, available: tuple[str, ...]) -> str | None:
    """The algorithm itself where this version has it, else the next best that it has, else None."""
    return next((choice for choice in (name, *STAND_INS.get(name, ())) if choice in available), None)


def present(names: tuple[str, ...], available: tuple[str, ...]) -> tuple[str, ...]:
    """The algorithms, or what stands in for them, each once and in the same order."""
    return tuple(dict.fromkeys(found for name in names if (found := in_place_of(name, available))))


def competing(meant: tuple[str, ...], task: Task) -> tuple[str, ...]:
    """The recommended algorithms and those that always compete, whether or not this version has them."""
    return (*meant, *(name for name, family in ALWAYS[task] if not set(family) & set(meant)))


def absences(names: tuple[str, ...], available: tuple[str, ...]) -> str:
    """Say which of the algorithms this version lacks and what stands in; empty where none is lacking."""
    sentences = []
    for name in names:
        found = in_place_of(name, available)
        if found != name:
            place = f"{found} stands in" if found else "nothing stands in"
            sentences.append(f"This version does not have {name}: {place}.")
    return " ".join(sentences)


def cheapest_first(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names by the time that their first fit takes."""
    return tuple(sorted(names, key=CHEAPEST_FIRST.index))
