"""Parameters around the estimator: offered, searched, honoured on folds and in the final model, told in the result."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from mt_assets.trainer.algorithms.algorithm import FitSetting
from mt_assets.trainer.algorithms.log_target import LogTarget
from mt_assets.trainer.algorithms.registry import algorithm, available
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.evaluation.importance import explain
from mt_assets.trainer.model import TabularModel
from mt_assets.trainer.planning.search_space import search_space
from mt_assets.trainer.search.candidate import Candidate, FoldCache
from mt_assets.trainer.search.fold_fits import FoldFits
from mt_assets.trainer.search.result import BestParams
from mt_assets.trainer.training import train_final


@pytest.fixture(scope="module")
def prices() -> pd.DataFrame:
    """200 rows whose target is a product, skewed."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.uniform(1, 9, 200), "rate": rng.uniform(1, 9, 200)})
    frame["town"] = rng.choice(["a", "b", "c"], 200)
    return frame.assign(target=np.exp(0.5 * frame["size"] + 0.3 * frame["rate"] + rng.normal(0, 0.1, 200)))


def setting_of(task: Any, **others: Any) -> FitSetting:
    return FitSetting(
        task=task, n_classes=2 if task == "classification" else 0, rows=2_000, features=5, seed=0, threads=1, **others
    )


@pytest.mark.parametrize("name", available("regression"))
def test_they_are_searched_where_they_are_offered_and_nowhere_else(name: str) -> None:
    learner = algorithm(name)
    own = learner.space(setting_of("regression"))
    space, starts = search_space(learner, setting_of("regression"), {})
    assert set(space) == set(own) and all(set(start) == set(own) for start in starts)
    space, starts = search_space(learner, setting_of("regression", generation=True, log_target=True), {})
    assert "log_target" in space
    assert ("generated_features" in space) == (name in ("lightgbm", "xgboost", "gradient_boosting"))
    assert all(set(start) == set(space) for start in starts)
    assert not any(starts[0].get(parameter) for parameter in ("log_target", "generated_features"))
    assert any(start["log_target"] for start in starts)


def test_a_spec_may_fix_them() -> None:
    setting = setting_of("regression", generation=True, log_target=True)
    _, starts = search_space(algorithm("lightgbm"), setting, {"log_target": True, "generated_features": False})
    assert {(start["log_target"], start["generated_features"]) for start in starts} == {(True, False)}
    with pytest.raises(SpecError, match="log_target"):
        search_space(algorithm("lightgbm"), setting_of("regression"), {"log_target": True})


def test_the_logarithm_is_learned_and_the_value_predicted() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 5, (300, 1))
    y = np.expm1(X[:, 0])
    model = LogTarget(LinearRegression()).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-6)
    far = model.predict(np.array([[1e6], [-1e6]]))
    assert far[0] < 3 * y.max()
    assert far[1] >= 0


def test_candidates_learn_on_the_scale_that_they_name(prices: pd.DataFrame, make_work: Any, tmp_path: Path) -> None:
    work = make_work(prices, ("ridge",), log_target=True)
    fits = FoldFits(*work.arguments, FoldCache(tmp_path), tmp_path / "scratch")
    plain, logs = (fits.run(Candidate("ridge", {"alpha": 1.0, "log_target": on}), 0) for on in (False, True))
    y = fits.y_valid(0)
    assert np.sqrt(np.mean((logs.prediction - y) ** 2)) < 0.7 * np.sqrt(np.mean((plain.prediction - y) ** 2))
    assert plain.key != logs.key


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "gradient_boosting"])
def test_the_final_model_is_made_as_on_the_folds(
    name: str, prices: pd.DataFrame, make_work: Callable[..., Any], tmp_path: Path
) -> None:
    work = make_work(prices, (name,), log_target=True, feature_generation=True)
    fits = FoldFits(*work.arguments, FoldCache(tmp_path), tmp_path / "scratch")
    params = {**algorithm(name).starts(fits.setting)[0], "log_target": True, "generated_features": True}
    result = fits.run(Candidate(name, params), 0)
    best = BestParams(
        algorithm=name, params=params, score=0.0, trial_number=0, iterations=result.best_iteration, reason=""
    )
    trained = train_final(work.plan, best, work.table, work.profile, work.splits, work.preprocessor)
    trained.save(tmp_path)
    model: TabularModel = type(trained).load(tmp_path).model
    assert isinstance(model.estimator, LogTarget)
    (encoder,) = model.preprocessors
    assert encoder.parents_
    assert {parent for parents in encoder.parents_.values() for parent in parents} <= {"size", "rate", "town"}
    assert trained.params == params
    frame = work.table.take(work.splits.test).frame()
    spread = np.abs(frame["target"] - frame["target"].mean()).mean()
    assert np.abs(model.predict(frame) - frame["target"]).mean() < 0.5 * spread
    np.testing.assert_allclose(model.predict(frame.iloc[:1]), model.predict(frame)[:1])


def test_validation_rows_teach_nothing(prices: pd.DataFrame, make_work: Callable[..., Any], tmp_path: Path) -> None:
    """Other targets and values in the validation rows of a fold: its training matrix stays as it was."""
    work = make_work(prices, ("lightgbm",), feature_generation=True)
    rows = work.splits.folds[0].validation
    changed = prices.copy()
    changed.loc[rows, ["size", "rate", "target"]] *= 100.0
    changed.loc[rows, "town"] = "elsewhere"
    other = make_work(changed, ("lightgbm",), feature_generation=True)
    one, two = (
        FoldFits(*each.arguments, FoldCache(tmp_path / str(at)), tmp_path / str(at))._encode(0, "generated")
        for at, each in enumerate((work, other))
    )
    np.testing.assert_array_equal(one.X, two.X)
    assert one.X_valid.shape == two.X_valid.shape
    assert not np.array_equal(one.X_valid, two.X_valid)


def test_importance_of_made_columns_falls_on_the_users_own(prices: pd.DataFrame, make_work: Callable[..., Any]) -> None:
    """Shuffling one parent of a ratio must change the ratio, although no column of its own is left to the estimator."""
    noise = np.random.default_rng(1).normal(size=len(prices))
    frame = prices.assign(noise=noise, target=prices["size"] / prices["rate"] + 0.01 * noise)
    work = make_work(frame, ("lightgbm",), feature_generation=True)
    setting = setting_of("regression", generation=True)
    params = {**algorithm("lightgbm").starts(setting)[0], "generated_features": True}
    best = BestParams(algorithm="lightgbm", params=params, score=0.0, trial_number=0, iterations=60, reason="")
    trained = train_final(work.plan, best, work.table, work.profile, work.splits, work.preprocessor)
    importance = explain(plan=work.plan, trained=trained, table=work.table, profile=work.profile, splits=work.splits)
    for shares in (importance.permutation, importance.model):
        assert shares is not None
        assert set(shares) == {"size", "rate", "town", "noise"}
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares["size"], shares["rate"]) > 0.3
