"""Which algorithms there are, by name. Imports no estimator library until one is asked for.

A new algorithm is one new module beside this one and one line in `AVAILABLE`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
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

_MODULES: Final = "mt_assets.trainer.algorithms"

AVAILABLE: Final[dict[str, str]] = {
    "logistic_regression": f"{_MODULES}.logistic_regression:LogisticRegression",
    "linear_regression": f"{_MODULES}.linear_regression:LinearRegression",
    "ridge": f"{_MODULES}.ridge:Ridge",
    "lasso": f"{_MODULES}.lasso:Lasso",
    "elastic_net": f"{_MODULES}.elastic_net:ElasticNet",
    "svm": f"{_MODULES}.svm:SVM",
    "knn": f"{_MODULES}.knn:NearestNeighbours",
    "random_forest": f"{_MODULES}.random_forest:RandomForest",
    "extra_trees": f"{_MODULES}.extra_trees:ExtraTrees",
    "gradient_boosting": f"{_MODULES}.gradient_boosting:GradientBoosting",
    "xgboost": f"{_MODULES}.xgboost:XGBoost",
    "lightgbm": f"{_MODULES}.lightgbm:LightGBM",
    "catboost": f"{_MODULES}.catboost:CatBoost",
    "neural_network": f"{_MODULES}.neural_network:NeuralNetwork",
}
"""Where the algorithms of this version live, as `module:Class`."""

GENERATES: Final = frozenset({"lightgbm", "xgboost", "gradient_boosting"})
"""Algorithms that may be given generated columns: what the published portfolios give them to, and their kind. Forests
fit several times as long on them, linear models and networks would need them scaled, CatBoost combines categories
itself."""

PACKAGES: Final[dict[str, tuple[str, str]]] = {
    "xgboost": ("xgboost", "pip install xgboost"),
    "lightgbm": ("lightgbm", "pip install lightgbm"),
    "catboost": ("catboost", "pip install catboost"),
}
"""What an algorithm cannot do without beyond scikit-learn: a package as it is imported, and the line that installs it.
The forecasters of the extras will be named here as well."""

_FORECASTERS: Final[frozenset[str]] = frozenset()
"""Available algorithms that can forecast; being able to learn tables is not enough."""


def available(task: str) -> tuple[str, ...]:
    """Names that can be trained for a task in this version and environment, in the order of the contract.

    Parameters
    ----------
    task : {"classification", "regression", "time_series"}
    """
    names = tuple(name for name in CONTRACT_NAMES[task] if absence(name) is None)
    return tuple(name for name in names if name in _FORECASTERS) if task == "time_series" else names


def absence(name: str) -> str | None:
    """Why an algorithm of the contract cannot be trained here, to follow its name; None where it can be."""
    if name not in AVAILABLE:
        return "cannot be trained by this version"
    package, line = PACKAGES.get(name, ("", ""))
    if package and find_spec(package) is None:
        return f"needs the package {package}, which is not installed here (`{line}`)"
    return None


def modules_of(names: Iterable[str]) -> tuple[str, ...]:
    """What has to be imported to fit these algorithms."""
    own = [AVAILABLE[name].partition(":")[0] for name in names]
    return (*own, *(PACKAGES[name][0] for name in names if name in PACKAGES))


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises
    ------
    SpecError
        When there is no such algorithm, when this version cannot train it yet, or when its package is not installed.
    """
    if name not in {each for names in CONTRACT_NAMES.values() for each in names}:
        near = difflib.get_close_matches(name, AVAILABLE, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SpecError(f"`algorithm`: there is no {name!r}.{hint} {_offered()}")
    lacking = absence(name)
    if lacking is not None:
        raise SpecError(f"`algorithm`: {name!r} {lacking}. {_offered()}")
    return _load(name)


def _offered() -> str:
    return f"Here can be trained {', '.join(name for name in AVAILABLE if absence(name) is None)}."


@cache
def _load(name: str) -> Algorithm:
    module, _, kind = AVAILABLE[name].partition(":")
    learner: Algorithm = getattr(import_module(module), kind)()
    return learner
