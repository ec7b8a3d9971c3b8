"""Long fits that are killed go on at their checkpoint, to the same model."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.checkpoint import Checkpoint
from mt_assets.trainer.algorithms.neural_network_estimator import NetworkClassifier
from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.search.fold_fits import Fitted, fit_estimator

ROUNDS = 120
SAMPLING: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": ROUNDS, "bagging_fraction": 0.7, "feature_fraction": 0.6, "extra_trees": True},
    "xgboost": {"n_estimators": ROUNDS, "subsample": 0.7, "colsample_bytree": 0.7, "colsample_bylevel": 0.8},
    "catboost": {"iterations": ROUNDS, "subsample": 0.8, "colsample_bylevel": 0.9},
    "neural_network": {"epochs": 40, "members": 2, "width": 32},
}
SETTING = FitSetting(task="classification", n_classes=2, rows=1500, features=8, seed=3, threads=1)


def fit(name: str, path: Path) -> tuple[Fitted, Checkpoint]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 8))
    y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=2000) > 0).astype(int)
    checkpoint = Checkpoint(path, seconds=0, cells=0)
    fitted = fit_estimator(
        algorithm(name), SETTING, SAMPLING[name], X[500:], y[500:], X[:500], y[:500], 60, checkpoint=checkpoint
    )
    return fitted, checkpoint


def predictions(fitted: Fitted) -> np.ndarray:
    return fitted.predict(np.random.default_rng(1).normal(size=(500, 8)), 2)


@pytest.mark.parametrize("name", list(SAMPLING))
def test_a_killed_fit_goes_on_to_the_same_model(tmp_path: Path, name: str) -> None:
    undisturbed, _ = fit(name, tmp_path / "undisturbed")
    path = tmp_path / "killed"
    process = multiprocessing.get_context("spawn").Process(target=fit, args=(name, path))
    process.start()
    while not path.exists() and process.is_alive():
        time.sleep(0.001)
    process.kill()
    process.join()
    resumed, checkpoint = fit(name, path)
    assert checkpoint.resumed > 0
    assert resumed.report.best_iteration == undisturbed.report.best_iteration
    np.testing.assert_array_equal(predictions(resumed), predictions(undisturbed))

    path.write_bytes(path.read_bytes()[:-1] + b"?")
    damaged, checkpoint = fit(name, path)
    assert checkpoint.resumed == 0
    np.testing.assert_array_equal(predictions(damaged), predictions(undisturbed))
    checkpoint.drop()
    assert not path.exists()


def test_a_network_of_scikit_learn_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6))
    y = (X[:, 0] * X[:, 1] + rng.normal(size=400) > 0).astype(int)

    def trained(epochs: int, path: Path) -> tuple[NetworkClassifier, Checkpoint]:
        network = NetworkClassifier(backend="sklearn", members=2, width=16, epochs=epochs)
        checkpoint = Checkpoint(path, seconds=0)
        return network.fit(X[100:], y[100:], X[:100], y[:100], patience=9, checkpoint=checkpoint), checkpoint

    undisturbed, _ = trained(9, tmp_path / "undisturbed")
    trained(4, tmp_path / "short")
    resumed, checkpoint = trained(9, tmp_path / "short")
    assert checkpoint.resumed == 4
    assert resumed.best_epoch_ == undisturbed.best_epoch_
    np.testing.assert_array_equal(resumed.predict_proba(X), undisturbed.predict_proba(X))
