"""Every algorithm: found by name, well-formed spaces, fits that learn, stop early and repeat themselves."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.metrics import accuracy_score, r2_score

from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.registry import AVAILABLE, CONTRACT_NAMES, algorithm, available
from mt_assets.trainer.errors import SpecError

CASES = [(name, task) for task in ("classification", "regression") for name in available(task)]
BOOSTERS = ("gradient_boosting", "xgboost", "lightgbm", "catboost")


def setting_of(task: Any, rows: int = 400, **others: Any) -> FitSetting:
    return FitSetting(
        task=task, n_classes=2 if task == "classification" else 0, rows=rows, features=10, seed=1, threads=1, **others
    )


def split(task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True) if task == "classification" else load_diabetes(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    return X[:300], y[:300], X[300:], y[300:]


def test_the_registry_is_light() -> None:
    code = (
        "import sys, mt_assets.trainer.algorithms.registry as r; r.available('classification');"
        "assert not {'sklearn', 'xgboost', 'lightgbm', 'optuna', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names() -> None:
    for task in ("classification", "regression"):
        assert available(task) == CONTRACT_NAMES[task]
    assert available("time_series") == ()
    for name in AVAILABLE:
        assert algorithm(name).name == name
        assert {task for task in ("classification", "regression") if name in CONTRACT_NAMES[task]} == set(
            algorithm(name).tasks
        )
    with pytest.raises(SpecError, match="Did you mean 'xgboost'"):
        algorithm("xgbost")
    with pytest.raises(SpecError, match="'prophet' cannot be trained by this version"):
        algorithm("prophet")


def test_an_algorithm_without_its_package_is_not_offered_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert algorithm("catboost").name == "catboost"
    monkeypatch.setitem(sys.modules, "catboost", None)
    assert "catboost" not in available("regression")
    with pytest.raises(SpecError, match="not installed here \\(`pip install catboost`\\)"):
        algorithm("catboost")


@pytest.mark.parametrize(("name", "task"), CASES)
@pytest.mark.parametrize("rows", [12, 150, 8_000, 500_000])
@pytest.mark.parametrize("categorical", [0, 3])
def test_starts_are_points_of_the_space(name: str, task: str, rows: int, categorical: int) -> None:
    setting = setting_of(task, rows, categorical=categorical)
    space, starts = algorithm(name).space(setting), algorithm(name).starts(setting)
    assert len(starts) >= 3 or not space
    assert len({str(start) for start in starts}) == len(starts) or rows == 12
    for start in starts:
        assert set(start) == set(space)
        for parameter, value in start.items():
            distribution = space[parameter]
            assert distribution._contains(distribution.to_internal_repr(value)), parameter
            if not isinstance(distribution, CategoricalDistribution):
                assert distribution.low < distribution.high, parameter  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "task"), CASES)
def test_fits_learn_and_repeat_themselves(name: str, task: str) -> None:
    X, y, X_valid, y_valid = split(task)
    learner, setting = algorithm(name), setting_of(task)
    predictions = []
    for _ in range(2):
        estimator = learner.build(setting, learner.starts(setting)[0])
        learner.fit(estimator, X, y, X_valid, y_valid, patience=10)
        predictions.append(estimator.predict(X_valid))
    np.testing.assert_array_equal(*predictions)
    if task == "classification":
        assert accuracy_score(y_valid, predictions[0]) > 0.9
    else:
        assert r2_score(y_valid, predictions[0]) > 0.25


@pytest.mark.parametrize("name", BOOSTERS)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_boosters_stop_early_and_fit_again_without_it(name: str, task: str) -> None:
    X, y, X_valid, y_valid = split(task)
    learner, setting = algorithm(name), setting_of(task)
    params = learner.starts(setting)[0]
    stopped = learner.build(setting, params)
    best = learner.fit(stopped, X, y, X_valid, y_valid, patience=5).best_iteration
    assert best is not None
    assert 1 <= best < 500
    full = learner.build(setting, learner.with_iterations(params, best))
    assert learner.fit(full, X, y).best_iteration is None
    np.testing.assert_allclose(stopped.predict(X_valid), full.predict(X_valid), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in available("classification") if name != "knn"])
def test_balanced_weights_raise_the_rare_class(name: str) -> None:
    X, y, X_valid, y_valid = split("classification")
    kept = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:12]]
    X, y = X[kept, :2], y[kept]
    learner = algorithm(name)
    chance = {}
    for weight in (None, "balanced"):
        setting = setting_of("classification", class_weight=weight)
        leaves = {"min_samples_leaf": 20} if name in ("random_forest", "extra_trees") else {}
        params = learner.starts(setting)[0] | leaves
        estimator = learner.build(setting, params)
        learner.fit(estimator, X, y, X_valid[:, :2], y_valid, 10, class_weight=weight)
        chance[weight] = estimator.predict_proba(X_valid[:, :2])[:, 0].mean()
    assert chance["balanced"] > chance[None] + 0.02


@pytest.mark.parametrize("name", BOOSTERS)
def test_boosters_split_categories_as_sets(name: str) -> None:
    """An alternating pattern over 40 levels takes one split by set and many by order."""
    rng = np.random.default_rng(0)
    level = rng.integers(0, 40, 2000)
    X = np.column_stack([rng.normal(size=2000), level]).astype(float)
    y = level % 2
    learner = algorithm(name)
    setting = setting_of("classification", 2000, categorical=1)
    shallow = {
        "gradient_boosting": {"max_leaf_nodes": 2},
        "lightgbm": {"num_leaves": 2},
        "xgboost": {"max_depth": 1},
        "catboost": {"depth": 1},
    }[name]
    right = {}
    for categories in (0, 1):
        params = learner.with_iterations(learner.starts(setting)[0] | shallow, 3)
        estimator = learner.build(setting, params)
        learner.fit(estimator, X, y, categories=categories)
        right[categories] = accuracy_score(y, estimator.predict(X))
    assert right[1] > 0.95
    assert right[0] < 0.8


def test_logistic_regression_tries_again_before_it_complains() -> None:
    X, y = load_iris(return_X_y=True)
    learner = algorithm("logistic_regression")
    setting = replace(setting_of("classification"), n_classes=3)
    estimator = learner.build(setting, {"C": 1.0}).set_params(max_iter=2)
    report = learner.fit(estimator, X, y)
    assert "needed more" in report.notes[0]
    assert estimator.n_iter_.max() > 2
