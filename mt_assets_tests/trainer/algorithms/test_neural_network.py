"""Neural networks of either backend: they learn, stop early, repeat themselves, and serve without PyTorch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.preprocessing import StandardScaler

from mt_assets.trainer.algorithms import neural_network
from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.neural_network import epochs_for_rows, epochs_of_patience
from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.model import TRUSTED_TYPES

TABLES: dict[str, Any] = {"breast_cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}
WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder
class Lean(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == "torch" else super().find_spec(name, path, target)
sys.meta_path = [Lean if each is PathFinder else each for each in sys.meta_path]
"""
"""Start of a program that finds no PyTorch, as if it were not installed."""

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(params=["torch", "sklearn"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both installations: with PyTorch, and as if it could not be found."""
    if request.param == "sklearn":
        monkeypatch.setattr(neural_network, "find_spec", lambda name: None)
    return str(request.param)


def split(table: str) -> Split:
    X, y = TABLES[table](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = StandardScaler().fit_transform(X)[order], y[order]
    held = len(y) // 4
    return X[held:], y[held:], X[:held], y[:held]


def setting_of(table: str, seed: int = 1, class_weight: Any = None) -> FitSetting:
    X, y, *_ = split(table)
    classes = 0 if table == "diabetes" else len(np.unique(y))
    task: Any = "classification" if classes else "regression"
    return FitSetting(
        task=task, n_classes=classes, rows=len(y), features=X.shape[1], seed=seed, threads=1, class_weight=class_weight
    )


def fitted(
    table: str, start: int = 0, seed: int = 1, epochs: int | None = None, stop: bool = True, **changed: Any
) -> tuple[Any, Any]:
    """Estimator of a start configuration, stopped early on held-out rows or run for some epochs, and its report."""
    learner, setting = algorithm("neural_network"), setting_of(table, seed)
    params = learner.with_iterations(learner.starts(setting)[start] | changed, epochs)
    estimator = learner.build(setting, params)
    X, y, *held = split(table)
    return estimator, learner.fit(estimator, X, y, *held, patience=5) if stop else learner.fit(estimator, X, y)


def loss(table: str, estimator: Any) -> float:
    *_, X, y = split(table)
    if table == "diabetes":
        return float(mean_squared_error(y, estimator.predict(X)))
    return float(log_loss(y, estimator.predict_proba(X)))


def predictions(table: str, estimator: Any) -> np.ndarray:
    *_, X, _ = split(table)
    return np.asarray(estimator.predict(X) if table == "diabetes" else estimator.predict_proba(X))


@pytest.mark.parametrize(
    ("table", "start"),
    [("breast_cancer", 0), ("wine", 0), ("wine", 1), ("diabetes", 0), ("diabetes", 1), ("diabetes", 2)],
)
def test_starts_beat_the_baseline_by_far(backend: str, table: str, start: int) -> None:
    estimator, report = fitted(table, start)
    _, y, _, y_valid = split(table)
    if table == "diabetes":
        assert loss(table, estimator) < 0.65 * np.mean((y_valid - y.mean()) ** 2)
    else:
        assert loss(table, estimator) < 0.15
    assert estimator.backend == backend
    assert {"torch": "with PyTorch", "sklearn": "pip install 'mt_assets[deep]'"}[backend] in report.notes[0]


@pytest.mark.parametrize("table", ["wine", "diabetes"])
def test_the_best_epoch_on_the_given_rows_is_kept(backend: str, table: str) -> None:
    harsh = {"learning_rate": 1e-2, "weight_decay": 1e-4, "width": 32, "members": 2}
    stopped, report = fitted(table, **harsh)
    assert 1 <= report.best_iteration < epochs_for_rows(setting_of(table).rows)
    again, told = fitted(table, epochs=report.best_iteration, stop=False, **harsh)
    assert told.best_iteration is None
    np.testing.assert_allclose(predictions(table, stopped), predictions(table, again), rtol=1e-4, atol=1e-5)
    if table == "diabetes":  # of these tables, the one that is learned by heart
        longer, _ = fitted(table, epochs=50, stop=False, **harsh)
        assert loss(table, stopped) < loss(table, longer)


@pytest.mark.parametrize("table", TABLES)
def test_a_seed_makes_one_network(backend: str, table: str) -> None:
    np.random.seed(0)
    torch.manual_seed(0)
    expected = np.random.RandomState(0).rand(), torch.rand(1, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    first, same, other = (fitted(table, epochs=3, stop=False, seed=seed)[0] for seed in (1, 1, 2))
    for name, values in first.weights_.items():
        np.testing.assert_array_equal(values, same.weights_[name])
    assert not np.allclose(predictions(table, first), predictions(table, other))
    # Nothing was drawn from the generators that everybody shares, and no setting was left behind.
    assert (np.random.rand(), torch.rand(1)) == expected
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_balanced_weights_raise_the_rare_class_of_three(backend: str) -> None:
    X, y, X_valid, _ = split("wine")
    kept = np.r_[np.flatnonzero(y != 0), np.flatnonzero(y == 0)[:4]]
    learner, chance = algorithm("neural_network"), {}
    for weight in (None, "balanced"):
        setting = setting_of("wine", class_weight=weight)
        estimator = learner.build(setting, learner.with_iterations(learner.starts(setting)[0], 5))
        learner.fit(estimator, X[kept, :2], y[kept], class_weight=weight)
        chance[weight] = estimator.predict_proba(X_valid[:, :2])[:, 0].mean()
    assert chance["balanced"] > chance[None] + 0.02


@pytest.mark.parametrize("table", TABLES)
def test_probabilities_and_values_are_sound(backend: str, table: str) -> None:
    estimator, _ = fitted(table, epochs=2, stop=False)
    X, y, *_ = split(table)
    far = np.where(np.arange(X.size).reshape(X.shape) % 2, 1e6, -1e6)
    if table == "diabetes":
        values = estimator.predict(far)
        assert values.min() >= y.min() - 1e-3
        assert values.max() <= y.max() + 1e-3
    else:
        chance = estimator.predict_proba(far)
        assert np.isfinite(chance).all()
        np.testing.assert_allclose(chance.sum(axis=1), 1)
        np.testing.assert_array_equal(estimator.classes_, np.unique(y))


@pytest.mark.parametrize("table", TABLES)
def test_stored_networks_predict_in_a_process_without_pytorch(backend: str, table: str, tmp_path: Path) -> None:
    estimator, _ = fitted(table, epochs=3, stop=False)
    joblib.dump(estimator, tmp_path / "model.joblib")
    *_, X, _ = split(table)
    np.save(tmp_path / "X.npy", X)
    code = (
        f"{WITHOUT_TORCH}\n"
        "import joblib, numpy as np\n"
        "model, X = joblib.load('model.joblib'), np.load('X.npy')\n"
        f"np.save('made.npy', model.predict{'' if table == 'diabetes' else '_proba'}(X))\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "made.npy"), predictions(table, estimator))
    read = skops.io.loads(skops.io.dumps(estimator), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(predictions(table, read), predictions(table, estimator))


def test_a_lean_installation_trains_without_pytorch() -> None:
    code = f"""{WITHOUT_TORCH}
import numpy as np
from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.registry import algorithm
learner = algorithm("neural_network")
setting = FitSetting(task="classification", n_classes=2, rows=200, features=2, seed=0, threads=1)
assert "dropout" not in learner.space(setting)
X = np.random.default_rng(0).normal(size=(200, 2))
y = (X[:, 0] * X[:, 1] > 0).astype(int)
# A configuration that was found with PyTorch is still a candidate.
estimator = learner.build(setting, {{**learner.starts(setting)[0], "dropout": 0.1, "frequencies": 0.1}})
report = learner.fit(estimator, X[:150], y[:150], X[150:], y[150:], patience=100)
assert (estimator.predict(X[150:]) == y[150:]).mean() > 0.85
assert "scikit-learn" in report.notes[0]
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_epochs_are_bounded_by_rows() -> None:
    rows = [10, 500, 5_000, 50_000, 500_000, 5_000_000]
    epochs = [epochs_for_rows(each) for each in rows]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] == epochs[1] == 100
    assert epochs[-1] == 3
    assert all(epoch * each <= 2_600_000 for epoch, each in zip(epochs[:-1], rows[:-1], strict=True))


def test_patience_counts_epochs_up_to_a_quarter_of_them() -> None:
    assert epochs_of_patience(10, epochs=100) == 10
    assert epochs_of_patience(300, epochs=100) == 25
    assert epochs_of_patience(300, epochs=20) == 8
