"""Every algorithm: found by name, well-formed spaces, fits that learn, stop early and repeat themselves."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.metrics import accuracy_score, r2_score
from threadpoolctl import threadpool_limits

from mt_assets.trainer.algorithms.algorithm import LEAST_ROUNDS, FitSetting
from mt_assets.trainer.algorithms.forest import TREES_AT_ONCE
from mt_assets.trainer.algorithms.neural_network_estimator import LEAST_EPOCHS
from mt_assets.trainer.algorithms.registry import AVAILABLE, CONTRACT_NAMES, algorithm, available, forecaster
from mt_assets.trainer.errors import SpecError

CASES = [(name, task) for task in ("classification", "regression") for name in available(task)]
BOOSTERS = ("gradient_boosting", "xgboost", "lightgbm", "catboost")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As the search does; threads of small fits that wait for each other on a busy machine take 20 times as long."""
    with threadpool_limits(limits=1):
        yield


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
    assert available("time_series") == CONTRACT_NAMES["time_series"]
    for name in AVAILABLE:
        assert algorithm(name).name == name
        assert {task for task in ("classification", "regression") if name in CONTRACT_NAMES[task]} == set(
            algorithm(name).tasks
        )
    with pytest.raises(SpecError, match="Did you mean 'xgboost'"):
        algorithm("xgbost")
    with pytest.raises(SpecError, match="'prophet' cannot be trained by this version"):
        algorithm("prophet")  # it forecasts, and is no model of tables
    assert [forecaster(name).name for name in CONTRACT_NAMES["time_series"]] == list(CONTRACT_NAMES["time_series"])


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
    assert "did not converge in 2 iterations; 5,000 were enough" in report.notes[0]
    assert estimator.n_iter_.max() > 2


@pytest.mark.parametrize("name", ["ridge", "lasso", "elastic_net", "svm"])
def test_one_range_of_penalties_suits_every_unit_of_the_target(name: str) -> None:
    X, y, X_valid, _ = split("regression")
    learner, setting = algorithm(name), setting_of("regression")
    predictions = []
    for unit in (1.0, 1e6):
        estimator = learner.build(setting, learner.starts(setting)[0])
        learner.fit(estimator, X, unit * (y + 7))
        predictions.append(estimator.predict(X_valid) / unit)
    np.testing.assert_allclose(*predictions, rtol=1e-3)


@pytest.mark.parametrize("name", ["lasso", "elastic_net"])
def test_the_strongest_penalty_leaves_nothing_and_a_weaker_one_leaves_something(name: str) -> None:
    X, y, _, _ = split("regression")
    learner, setting = algorithm(name), setting_of("regression")
    left = {}
    for share in (1.0, 0.9):
        estimator = learner.build(setting, learner.starts(setting)[0] | {"alpha_ratio": share})
        learner.fit(estimator, 1e3 * X, y)
        left[share] = np.count_nonzero(np.abs(estimator.coef_) > 1e-12)
    assert left[1.0] == 0 < left[0.9]
    flat = learner.build(setting, learner.starts(setting)[0])
    assert learner.fit(flat, X, np.full(len(y), 3.0)).notes == ()
    assert flat.predict(X[:2]).tolist() == [3.0, 3.0]


def test_a_lasso_tries_again_before_it_complains() -> None:
    X, y, _, _ = split("regression")
    learner = algorithm("lasso")
    estimator = learner.build(setting_of("regression"), {"alpha_ratio": 1e-4}).set_params(max_iter=1)
    assert "did not converge in 1 iterations; 20,000 were enough" in learner.fit(estimator, X, y).notes[0]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_machine_for_many_rows_approximates_the_kernel(task: Any) -> None:
    """Rings, which no line tells apart, at a size where the exact kernel would take most of a minute."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12_000, 2))
    radius = np.hypot(*X.T)
    learner, setting = algorithm("svm"), setting_of(task, len(X))
    y = (radius + rng.normal(0, 0.3, len(X)) > 2).astype(int) if task == "classification" else radius
    estimator = learner.build(setting, learner.starts(setting)[0])
    assert learner.fit(estimator, X, y).notes == ()
    if task == "regression":
        assert r2_score(y, estimator.predict(X)) > 0.95
        return
    chance = estimator.predict_proba(X)[:, 1]
    assert accuracy_score(y, chance > 0.5) > 0.92
    weighted = learner.build(setting, learner.starts(setting)[0])
    learner.fit(weighted, X, y, class_weight="balanced")
    assert weighted.predict_proba(X)[:, 1].mean() > chance.mean() + 0.05


def test_a_machine_with_a_class_of_one_row_still_gives_probabilities() -> None:
    X, y = load_iris(return_X_y=True)
    kept = np.r_[:101]
    learner, setting = algorithm("svm"), replace(setting_of("classification"), n_classes=3)
    estimator = learner.build(setting, learner.starts(setting)[0])
    learner.fit(estimator, X[kept], y[kept])
    chance = estimator.predict_proba(X)
    assert chance.shape == (150, 3)
    np.testing.assert_allclose(chance.sum(axis=1), 1)


def test_a_machine_that_is_stopped_says_so() -> None:
    X, y, _, _ = split("regression")
    learner, setting = algorithm("svm"), setting_of("regression")
    estimator = learner.build(setting, learner.starts(setting)[0]).set_params(regressor__max_iter=5)
    assert learner.fit(estimator, X, y).notes == ("svm was stopped before it had converged",)


def test_neighbours_are_never_more_than_rows() -> None:
    X, y, X_valid, _ = split("regression")
    learner, setting = algorithm("knn"), setting_of("regression", rows=300)
    estimator = learner.build(setting, {"n_neighbors": 30, "weights": "uniform", "p": 2})
    assert "12 rows to look at" in learner.fit(estimator, X[:12], y[:12]).notes[0]
    np.testing.assert_allclose(estimator.predict(X_valid), y[:12].mean())


def test_catboost_takes_gaps_and_levels_that_it_has_not_seen_and_writes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=300), rng.integers(0, 150, 300)]).astype(float)
    y = X[:, 1] % 2
    X[::10] = np.nan
    learner, setting = algorithm("catboost"), setting_of("classification", 300, categorical=1)
    estimator = learner.build(setting, learner.with_iterations(learner.starts(setting)[0], 20))
    learner.fit(estimator, X, y.astype(int), X, y.astype(int), 5, categories=1)
    assert np.isfinite(estimator.predict_proba(np.array([[np.nan, np.nan], [0.0, 999.0]]))).all()
    assert estimator.feature_importances_.shape == (2,)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BOOSTERS)
@pytest.mark.parametrize("categories", [0, 1])
def test_boosters_bear_a_column_without_any_value(name: str, categories: int) -> None:
    X, y, X_valid, y_valid = split("regression")
    learner, setting = algorithm(name), setting_of("regression")
    X, X_valid = (np.column_stack([each, np.full(len(each), np.nan)]) for each in (X, X_valid))
    estimator = learner.build(setting, learner.with_iterations(learner.starts(setting)[0], 20))
    learner.fit(estimator, X, y, X_valid, y_valid, 5, categories=categories)
    assert r2_score(y_valid, estimator.predict(X_valid)) > 0.2


@pytest.mark.parametrize("name", [*BOOSTERS, "neural_network"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_deadline_leaves_a_handful_of_rounds(name: str, task: str) -> None:
    X, y, X_valid, y_valid = split(task)
    learner, setting = algorithm(name), setting_of(task)
    params = learner.starts(setting)[0]
    estimator = learner.build(setting, params)
    report = learner.fit(estimator, X, y, X_valid, y_valid, patience=200, deadline=0.0)
    assert report.cut
    assert report.best_iteration is not None
    assert 1 <= report.best_iteration <= (LEAST_EPOCHS if name == "neural_network" else LEAST_ROUNDS + 1)
    again = learner.build(setting, learner.with_iterations(params, report.best_iteration))
    learner.fit(again, X, y)
    np.testing.assert_allclose(estimator.predict(X_valid), again.predict(X_valid), rtol=1e-5)


@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_forest_keeps_the_trees_that_there_is_time_for(name: str, task: str) -> None:
    X, y, X_valid, _ = split(task)
    learner, setting = algorithm(name), replace(setting_of(task), class_weight="balanced" if y.dtype == int else None)
    params = learner.starts(setting)[0]
    estimator = learner.build(setting, params)
    report = learner.fit(estimator, X, y, deadline=0.0)
    assert report.cut
    assert report.best_iteration == len(estimator.estimators_) == TREES_AT_ONCE
    again = learner.build(setting, learner.with_iterations(params, report.best_iteration))
    learner.fit(again, X, y)
    np.testing.assert_array_equal(estimator.predict(X_valid), again.predict(X_valid))


@pytest.mark.parametrize("name", [*BOOSTERS, "random_forest", "extra_trees"])
def test_a_deadline_far_away_changes_nothing(name: str) -> None:
    X, y, X_valid, y_valid = split("regression")
    learner, setting = algorithm(name), setting_of("regression")
    predictions = []
    for deadline in (None, time.monotonic() + 1e6):
        estimator = learner.build(setting, learner.starts(setting)[0])
        report = learner.fit(estimator, X, y, X_valid, y_valid, patience=10, deadline=deadline)
        assert not report.cut
        assert (report.best_iteration is None) == (name not in BOOSTERS)
        predictions.append(estimator.predict(X_valid))
    np.testing.assert_array_equal(*predictions)
