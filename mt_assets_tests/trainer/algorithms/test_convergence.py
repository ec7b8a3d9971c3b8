"""Fits that do not converge: more iterations, then a stronger penalty or a gentler learning rate, and a note of it."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.trainer.algorithms import neural_network
from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.checkpoint import Checkpoint
from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.recovery.causes import cause_of_text
from mt_assets.trainer.search.study import run_search

ROWS = 300


def setting_of(task: Any, features: int) -> FitSetting:
    classes = 2 if task == "classification" else 0
    return FitSetting(task=task, n_classes=classes, rows=ROWS, features=features, seed=1, threads=1)


def alike() -> tuple[np.ndarray, np.ndarray]:
    """Columns that differ in the seventh digit alone, and a target that is made of these differences."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 1)) + 1e-7 * rng.normal(size=(ROWS, 6))
    return X, X @ np.array([1, -1, 1, -1, 1, -1]) * 1e7


@pytest.mark.parametrize(("name", "more"), [("lasso", {}), ("elastic_net", {"l1_ratio": 0.5})])
def test_a_penalty_too_weak_to_converge_is_made_stronger_and_noted(name: str, more: dict[str, float]) -> None:
    X, y = alike()
    learner, setting = algorithm(name), setting_of("regression", 6)
    estimator = learner.build(setting, {"alpha_ratio": 1e-12, **more})
    told = f"{name} did not converge in 20,000 iterations; it was fitted with alpha_ratio=0.0001 instead"
    assert learner.fit(estimator, X, y).notes == (told,)
    usual = learner.build(setting, {"alpha_ratio": 1e-4, **more})
    assert learner.fit(usual, X, y).notes == ()
    np.testing.assert_array_equal(estimator.predict(X), usual.predict(X))


def test_what_stays_unconverged_is_noted_with_all_that_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "mt_assets.trainer.algorithms.logistic_regression"
    X, y = np.random.default_rng(0).normal(size=(ROWS, 5)), np.arange(ROWS) % 2
    learner, setting = algorithm("logistic_regression"), setting_of("classification", 5)
    told = []
    for usual, more in ((1, 50), (1, 1), (50, 50)):
        monkeypatch.setattr(f"{module}.MAX_ITERATIONS", usual)
        monkeypatch.setattr(f"{module}.MORE_ITERATIONS", more)
        told.append(learner.fit(learner.build(setting, {"C": 1e4}), X, y).notes)
    assert told == [
        ("logistic_regression did not converge in 1 iterations; 50 were enough",),
        ("logistic_regression did not converge in 1 iterations, nor with C=1e+03",),
        (),
    ]


@pytest.fixture(params=["torch", "sklearn"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both installations: with PyTorch, and as if it could not be found."""
    if request.param == "sklearn":
        monkeypatch.setattr(neural_network, "find_spec", lambda name: None)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("stop", [True, False])
def test_a_network_whose_numbers_grow_beyond_all_bounds_is_trained_gently(tmp_path: Path, stop: bool) -> None:
    """The checkpoint of the first try is not gone on from."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 4))
    y = X[:, 0] + 0.1 * rng.normal(size=ROWS)
    learner, setting = algorithm("neural_network"), setting_of("regression", 4)
    point = learner.starts(setting)[0] | {"members": 2, "epochs": 4}
    held = (X[200:], y[200:], 5) if stop else ()

    def fitted(rate: float, **more: Any) -> tuple[Any, Any]:
        estimator = learner.build(setting, point | {"learning_rate": rate})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of the numbers that grow
            return estimator, learner.fit(estimator, X[:200], y[:200], *held, **more)

    diverged, report = fitted(1e30, checkpoint=Checkpoint(tmp_path / "fit.checkpoint", seconds=0.0))
    told = "neural_network did not converge at a learning rate of 1e+30; it was trained at 0.001 instead"
    assert report.notes[-1] == told
    gentle, usual = fitted(1e-3)
    assert told not in usual.notes
    assert report.best_iteration == usual.best_iteration
    np.testing.assert_array_equal(diverged.predict(X), gentle.predict(X))
    found = cause_of_text(told)
    assert found is not None
    assert found.name == "no_convergence"


def test_a_search_of_learning_rates_that_are_far_too_large_goes_on_and_says_so(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    space = {"neural_network": {"learning_rate": 1e30, "width": 32, "depth": 1, "members": 2}}
    work = make_work(mixed, ("neural_network",), n_trials=1, folds_per_trial=1, search_space=space)
    [trial] = run_search(*work.arguments, folder=tmp_path).trials
    assert trial.state == "complete"
    assert any("did not converge at a learning rate of 1e+30" in note for note in trial.notes)
