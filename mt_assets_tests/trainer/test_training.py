"""The final fit and the model that comes out: what it saw, what it bears, and that it lives elsewhere."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import is_classifier, is_regressor
from sklearn.datasets import load_diabetes, load_wine

from mt_assets.trainer.algorithms.registry import algorithm
from mt_assets.trainer.errors import DataError, StoreError, TrainingError
from mt_assets.trainer.evaluation.metrics import score
from mt_assets.trainer.features.preprocessor import check_fit_rows
from mt_assets.trainer.load_check import check_elsewhere
from mt_assets.trainer.model import TRUSTED_TYPES, TabularModel, TrainedModel
from mt_assets.trainer.search.fold_fits import fit_setting
from mt_assets.trainer.search.result import BestParams
from mt_assets.trainer.training import check_loads_elsewhere, learning_curve, train_final

CLASSIFIERS = ("logistic_regression", "random_forest", "xgboost", "lightgbm", "catboost")
REGRESSORS = ("ridge", "random_forest", "xgboost", "lightgbm", "catboost")
"""Two or more of each encoding; every algorithm is tried in `algorithms/test_mixed_tables.py`."""

BOOSTERS = ("xgboost", "lightgbm", "catboost")


def best_of(work: Any) -> BestParams:
    """The library's default, with 20 rounds of boosting."""
    name = work.plan.algorithms[0]
    start = algorithm(name).starts(fit_setting(work.plan, work.profile, work.splits))[0]
    rounds = 20 if name in BOOSTERS else None
    params = algorithm(name).with_iterations(start, rounds)
    return BestParams(algorithm=name, params=params, score=0.0, trial_number=0, iterations=rounds, reason="")


def train(work: Any) -> TrainedModel:
    return train_final(work.plan, best_of(work), *work.arguments[1:])


@pytest.fixture(scope="module")
def everything(mixed: pd.DataFrame) -> pd.DataFrame:
    """With dates and text as well."""
    n = len(mixed)
    words = np.array(["late", "early", "lost", "broken"])[np.random.default_rng(0).integers(0, 4, (n, 3))]
    return mixed.assign(
        since=pd.date_range("2020-01-01", periods=n, freq="33h").where(np.arange(n) % 9 != 0),
        note=[" ".join(row) for row in words],
    )


ROLES = {"note": "text"}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_from_table_to_labels(make_work: Any, everything: pd.DataFrame, name: str) -> None:
    work = make_work(everything, (name,), ROLES, class_weight="balanced")
    trained = train(work)
    model = trained.model
    test = everything.iloc[work.splits.test]
    proba = model.predict_proba(test)
    assert proba.shape == (len(test), 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert list(model.classes_) == ["no", "yes"]
    np.testing.assert_array_equal(model.predict(test), model.classes_[proba.argmax(axis=1)])
    assert score("roc_auc", (test["target"] == "yes").to_numpy().astype(int), proba, 1) > 0.65  # of 36 rows
    assert is_classifier(model)
    assert set(model.source_columns.values()) == set(work.profile.features)
    assert model.encode(test).shape == (len(test), len(model.encoded_names))
    np.testing.assert_array_equal(train(work).model.predict_proba(test), proba)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor(make_work: Any, name: str) -> None:
    frame = load_diabetes(as_frame=True).frame.astype(float)
    work = make_work(frame, (name,))
    model = train(work).model
    test = frame.iloc[work.splits.test]
    assert score("r2", test["target"].to_numpy(), model.predict(test), None) > 0.2
    assert is_regressor(model)
    assert not hasattr(model, "predict_proba")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_predictions_bear_what_people_hand_over(make_work: Any, everything: pd.DataFrame, name: str) -> None:
    model = train(make_work(everything, (name,), ROLES)).model
    rows = everything.iloc[:5].drop(columns="target")
    usual = model.predict_proba(rows)
    turned = rows[list(rows.columns[::-1])].assign(more="x")
    turned["plan"] = turned["plan"].astype("category")
    np.testing.assert_allclose(model.predict_proba(turned), usual)
    np.testing.assert_allclose(model.predict_proba(rows.astype({"age": "Int64", "city": "string"})), usual)
    strange = rows.assign(city="Atlantis", age=np.inf, since=None, note=None)
    strange["member"] = pd.array([True, None, False, True, None], dtype="boolean")
    assert np.isfinite(model.predict_proba(strange)).all()
    assert model.predict(rows.iloc[:0]).shape == (0,)
    with pytest.raises(DataError, match="'city', 'note'"):
        model.predict(rows.drop(columns=["city", "note"]))


@pytest.mark.parametrize("name", sorted({*CLASSIFIERS, *REGRESSORS}))
def test_skops_reads_it_with_the_list_alone(make_work: Any, everything: pd.DataFrame, name: str) -> None:
    frame = everything if name in CLASSIFIERS else everything.assign(target=everything["age"] / 7.0)
    model = train(make_work(frame, (name,), ROLES)).model
    content = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=content)) <= set(TRUSTED_TYPES)
    again = skops.io.loads(content, trusted=list(TRUSTED_TYPES))
    assert isinstance(again, TabularModel)
    np.testing.assert_array_equal(again.scores(frame), model.scores(frame))
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))


@pytest.mark.parametrize("labels", [[1, 2, 3], [True, False, True], ["a", "b", "c"], [0.5, 1.0, 2.0]])
def test_labels_come_back_as_they_were(make_work: Any, labels: list[Any]) -> None:
    frame = load_wine(as_frame=True).frame.iloc[:, [0, 3, 6, 9, 13]]
    frame["target"] = np.array(labels, dtype=object)[frame["target"]]
    regression = isinstance(labels[0], float)
    work = make_work(frame if regression else frame.infer_objects(), ("lightgbm",))
    predicted = train(work).model.predict(frame)
    if not regression:
        assert set(predicted.tolist()) == set(labels)
        assert type(predicted.tolist()[0]) is type(labels[0])


def test_it_saw_the_learning_rows(make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("lightgbm",))
    trained = train(work)
    assert check_fit_rows(work.splits, trained=trained).passed
    greedy = replace(work, splits=replace(work.splits, learning=np.arange(len(mixed))))
    verdict = check_fit_rows(work.splits, trained=train(greedy))
    assert not verdict.passed
    assert verdict.evidence["wrong"][0]["test_rows"] == len(work.splits.test)
    modest = replace(work, splits=replace(work.splits, learning=work.splits.train))
    assert not check_fit_rows(work.splits, trained=train(modest)).passed


def test_test_rows_change_nothing(make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",))
    spoilt = mixed.copy()
    spoilt.loc[work.splits.test, "age"] = 999
    spoilt.loc[work.splits.test, "plan"] = "unheard of"
    other = make_work(spoilt, ("logistic_regression",))
    np.testing.assert_array_equal(train(work).model.scores(mixed), train(other).model.scores(mixed))


def test_a_class_that_stands_in_test_rows_only(make_work: Any) -> None:
    frame = load_wine(as_frame=True).frame
    work = make_work(frame, ("xgboost",))
    target = frame["target"].to_numpy()
    two = replace(work, splits=replace(work.splits, learning=np.flatnonzero(target != 1)))
    model = train(two).model
    assert model.predict_proba(frame).shape == (len(frame), 3)
    assert set(model.predict(frame)) == {0, 2}
    again = skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    one = replace(work, splits=replace(work.splits, learning=np.flatnonzero(target == 1)))
    with pytest.raises(TrainingError, match="same class of 'target'"):
        train(one)


def test_stored_and_read_back(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    trained = train(make_work(mixed, ("random_forest",)))
    with pytest.raises(StoreError, match="not stored"):
        _ = trained.path
    trained.save(tmp_path)
    again = TrainedModel.load(tmp_path)
    np.testing.assert_array_equal(again.model.scores(mixed), trained.model.scores(mixed))
    assert again.path == tmp_path
    assert again.facts.model_copy(update={"model_digest": ""}) == trained.facts
    assert again.size_mb == trained.size_mb > 0
    copy = tmp_path / "copy"
    copy.mkdir()
    again.save(copy)
    assert (copy / "model.joblib").read_bytes() == (tmp_path / "model.joblib").read_bytes()

    with (tmp_path / "model.joblib").open("ab") as file:
        file.write(b"x")
    with pytest.raises(StoreError, match="not what was stored"):
        _ = TrainedModel.load(tmp_path).model
    (tmp_path / "fixture.npy").unlink()
    with pytest.raises(StoreError, match="missing or damaged"):
        TrainedModel.load(tmp_path)


def test_loads_elsewhere(make_work: Any, everything: pd.DataFrame) -> None:
    trained = train(make_work(everything, ("lightgbm",), ROLES))
    verdict = check_loads_elsewhere(trained)
    assert verdict.passed, verdict.message
    assert verdict.blocking
    assert verdict.evidence["rows"] == 50
    trained.expected = trained.expected + 0.01
    verdict = check_loads_elsewhere(trained)
    assert not verdict.passed
    assert "did not reproduce" in verdict.message


def test_the_load_check_needs_neither_dagster_nor_mlflow() -> None:
    code = "import sys, mt_assets.trainer.load_check; assert not {'dagster', 'mlflow', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


class Deadly:
    """What ends the process that reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_a_model_that_ends_the_process_which_reads_it_is_told(make_work: Any, mixed: pd.DataFrame) -> None:
    trained = train(make_work(mixed, ("logistic_regression",)))
    trained.model.pipeline.memory = Deadly()  # type: ignore[assignment]
    verdict = check_loads_elsewhere(trained)
    assert not verdict.passed
    assert "could not read the model: it ended with status 3" in verdict.message


def test_a_model_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    verdict = check_elsewhere(tmp_path)
    assert not verdict["passed"]
    assert "cannot be read" in verdict["message"]


def test_learning_curve(make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("lightgbm",))
    curve = learning_curve(work.plan, best_of(work), *work.arguments[1:])
    whole = len(work.splits.train)
    assert curve.rows == (round(whole / 4), round(whole / 2), whole)
    assert all(0 <= value <= 1 for value in curve.scores)
    assert curve == learning_curve(work.plan, best_of(work), *work.arguments[1:])
