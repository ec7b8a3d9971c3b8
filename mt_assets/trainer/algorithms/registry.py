"""Which algorithms there are, by name. Imports no estimator library until one is asked for.

A new algorithm is one new module beside this one and one line in `AVAILABLE`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from mt_assets.trainer.errors import SpecError

if TYPE_CHECKING:
    from mt_assets.trainer.algorithms.algorithm import Algorithm
    from mt_assets.trainer.forecasting.forecaster import Forecaster

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
"""What an algorithm cannot do without beyond scikit-learn: a package as it is imported, and how it is installed."""

_FORECASTING: Final = "mt_assets.trainer.forecasting.forecasters"

FORECASTERS: Final[dict[str, str]] = {
    "seasonal_naive": f"{_FORECASTING}.seasonal_naive:SeasonalNaive",
    "ets": f"{_FORECASTING}.ets:Ets",
    "theta": f"{_FORECASTING}.theta:Theta",
    "arima": f"{_FORECASTING}.arima:Arima",
    "prophet": f"{_FORECASTING}.prophet:ProphetForecaster",
    "lstm": f"{_FORECASTING}.lstm:Lstm",
    "lightgbm": f"{_FORECASTING}.lightgbm:LightGBMForecaster",
    "xgboost": f"{_FORECASTING}.xgboost:XGBoostForecaster",
}
"""Where the forecasters live, as `module:Class`."""

_EXTRA_FORECAST, _EXTRA_DEEP = "pip install 'mt-assets[forecast]'", "pip install 'mt-assets[deep]'"

FORECASTER_PACKAGES: Final[dict[str, tuple[str, str]]] = {
    "ets": ("statsforecast", _EXTRA_FORECAST),
    "theta": ("statsforecast", _EXTRA_FORECAST),
    "arima": ("statsforecast", _EXTRA_FORECAST),
    "prophet": ("prophet", _EXTRA_FORECAST),
    "lstm": ("neuralforecast", _EXTRA_DEEP),
    "lightgbm": PACKAGES["lightgbm"],
    "xgboost": PACKAGES["xgboost"],
}
"""The same for forecasters; the seasonal naive forecast needs nothing."""

FORECASTING: Final = "time_series"

HEAVIEST: Final = frozenset({"neuralforecast", "prophet"})
"""Libraries that start threads or take seconds when they are imported: the worker that needs one imports it."""


def available(task: str) -> tuple[str, ...]:
    """Names that can be trained for a task in this version and environment, in the order of the contract.

    Parameters
    ----------
    task : {"classification", "regression", "time_series"}
    """
    return tuple(name for name in CONTRACT_NAMES[task] if absence(name, task) is None)


def trainable() -> tuple[str, ...]:
    """Names that can be trained for tables here."""
    return tuple(name for name in AVAILABLE if absence(name) is None)


def absence(name: str, task: str = "auto") -> str | None:
    """Why an algorithm of the contract cannot be trained here, to follow its name; None where it can be."""
    places, packages = (FORECASTERS, FORECASTER_PACKAGES) if task == FORECASTING else (AVAILABLE, PACKAGES)
    if name not in places:
        return "cannot be trained by this version"
    package, line = packages.get(name, ("", ""))
    if package and find_spec(package) is None:
        return f"needs the package {package}, which is not installed here (`{line}`)"
    return None


def modules_of(names: Iterable[str], task: str = "auto") -> tuple[str, ...]:
    """What has to be imported to fit these algorithms."""
    places, packages = (FORECASTERS, FORECASTER_PACKAGES) if task == FORECASTING else (AVAILABLE, PACKAGES)
    names = tuple(names)
    own = [places[name].partition(":")[0] for name in names]
    libraries = [packages[name][0] for name in names if name in packages and packages[name][0] not in HEAVIEST]
    if task == FORECASTING and not {"lightgbm", "xgboost"}.isdisjoint(names):
        libraries.append("mlforecast")
    if "neural_network" in names:
        libraries.append("torch")  # where it is installed
    return (*own, *dict.fromkeys(libraries))


def learner(name: str, task: str) -> Algorithm | Forecaster:
    """The algorithm of that name, or the forecaster."""
    return forecaster(name) if task == FORECASTING else algorithm(name)


def forecaster(name: str) -> Forecaster:
    """The forecaster of that name.

    Raises
    ------
    SpecError
        When its package is not installed.
    """
    lacking = absence(name, FORECASTING)
    if lacking is not None:
        raise SpecError(f"`algorithm`: {name!r} {lacking}. Here can forecast {', '.join(available(FORECASTING))}.")
    made: Forecaster = _load(FORECASTERS[name])
    return made


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
    made: Algorithm = _load(AVAILABLE[name])
    return made


def _offered() -> str:
    return f"Here can be trained {', '.join(name for name in AVAILABLE if absence(name) is None)}."


@cache
def _load(place: str) -> Any:
    module, _, kind = place.partition(":")
    return getattr(import_module(module), kind)()
