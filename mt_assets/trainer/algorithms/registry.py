"""Which algorithms there are, by name. Imports no estimator library until one is asked for.

A new algorithm is one new module beside this one and one line in `AVAILABLE`.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from mt_assets.trainer.errors import SpecError

if TYPE_CHECKING:
    from mt_assets.trainer.algorithms.algorithm import Algorithm

CONTRACT_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "classification": (
        "logistic_regression",
        "svm",
        "knn",
        "random_forest",
        "extra_trees",
        "gradient_boosting",
        "xgboost",
        "lightgbm",
        "catboost",
        "neural_network",
    ),
    "regression": (
        "linear_regression",
        "ridge",
        "lasso",
        "elastic_net",
        "svm",
        "knn",
        "random_forest",
        "extra_trees",
        "gradient_boosting",
        "xgboost",
        "lightgbm",
        "catboost",
        "neural_network",
    ),
    "time_series": ("seasonal_naive", "ets", "theta", "arima", "prophet", "lstm", "lightgbm", "xgboost"),
}
"""Every name a spec may use, by task."""

AVAILABLE: Final[dict[str, str]] = {
    "logistic_regression": "mt_assets.trainer.algorithms.logistic_regression:LogisticRegression",
    "ridge": "mt_assets.trainer.algorithms.ridge:Ridge",
    "random_forest": "mt_assets.trainer.algorithms.random_forest:RandomForest",
    "xgboost": "mt_assets.trainer.algorithms.xgboost:XGBoost",
    "lightgbm": "mt_assets.trainer.algorithms.lightgbm:LightGBM",
}
"""Where the algorithms of this version live, as `module:Class`."""

_FORECASTERS: Final[frozenset[str]] = frozenset()
"""Available algorithms that can forecast; being able to learn tables is not enough."""


def available(task: str) -> tuple[str, ...]:
    """Names that can be trained for a task in this version, in the order of the contract.

    Parameters
    ----------
    task : {"classification", "regression", "time_series"}
    """
    names = tuple(name for name in CONTRACT_NAMES[task] if name in AVAILABLE)
    return tuple(name for name in names if name in _FORECASTERS) if task == "time_series" else names


@cache
def algorithm(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises
    ------
    SpecError
        When there is no such algorithm, or when this version cannot train it yet.
    """
    if name not in AVAILABLE:
        known = sorted({each for names in CONTRACT_NAMES.values() for each in names})
        offered = ", ".join(AVAILABLE)
        if name in known:
            raise SpecError(f"`algorithm`: {name!r} cannot be trained by this version; it trains {offered}.")
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SpecError(f"`algorithm`: there is no {name!r}.{hint} This version trains {offered}.")
    module, _, kind = AVAILABLE[name].partition(":")
    learner: Algorithm = getattr(import_module(module), kind)()
    return learner
