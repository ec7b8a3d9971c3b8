"""Metrics: values by hand, scikit-learn's on real data, and rows that cannot tell them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as reference
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.evaluation.metrics import DIRECTION, METRICS, all_metrics, metric_names, score

BINARY = {
    "accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "log_loss", "brier", "balanced_accuracy",
    "mcc",
}  # fmt: skip
MULTICLASS = BINARY - {"average_precision", "brier"}
REGRESSION = {"rmse", "mae", "r2", "mape", "median_ae"}


def proba(of_positive: list[float]) -> np.ndarray:
    return np.column_stack([1 - np.array(of_positive), of_positive])


def test_each_task_has_its_metrics() -> None:
    assert set(metric_names("classification", 2)) == BINARY
    assert set(metric_names("classification", 3)) == MULTICLASS
    assert set(metric_names("regression")) == REGRESSION


def test_binary_by_hand() -> None:
    y = np.array([0, 0, 1, 1, 1])
    found = all_metrics("classification", y, proba([0.1, 0.6, 0.4, 0.7, 0.9]), positive=1)
    # taken for the class: rows 1, 3, 4; right ones: rows 3, 4
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["mcc"] == pytest.approx((2 * 1 - 1 * 1) / np.sqrt(3 * 3 * 2 * 2))
    assert found["roc_auc"] == pytest.approx(5 / 6)  # one of six pairs is in the wrong order
    assert found["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.4, 0.7, 0.9]).mean())
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.09 + 0.01) / 5)


def test_positive_class_may_be_the_first() -> None:
    y = np.array([0, 0, 1, 1, 1])
    p = proba([0.1, 0.6, 0.4, 0.7, 0.9])
    first, second = all_metrics("classification", y, p, 0), all_metrics("classification", y, p, 1)
    assert first["precision"] == pytest.approx(1 / 2)
    assert first["recall"] == pytest.approx(1 / 2)
    for symmetric in ("accuracy", "roc_auc", "log_loss", "brier", "mcc", "balanced_accuracy"):
        assert first[symmetric] == pytest.approx(second[symmetric])


def test_regression_by_hand() -> None:
    found = all_metrics("regression", np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 1.0, 2.0, 2.0]))
    assert found["rmse"] == pytest.approx(np.sqrt(10 / 4))
    assert found["mae"] == pytest.approx(1.0)
    assert found["median_ae"] == pytest.approx(0.5)
    assert found["r2"] == pytest.approx(1 - 10 / 14)
    assert found["mape"] == pytest.approx(0.6 / 3)  # the row whose target is 0 has no percentage


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_binary_like_sklearn_on_real_data(dtype: type) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    p = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x[::3], y[::3]).predict_proba(x).astype(dtype)
    label = p.argmax(axis=1)
    clean = p.astype(float)
    expected = {
        "accuracy": reference.accuracy_score(y, label),
        "precision": reference.precision_score(y, label),
        "recall": reference.recall_score(y, label),
        "f1": reference.f1_score(y, label),
        "roc_auc": reference.roc_auc_score(y, p[:, 1]),
        "average_precision": reference.average_precision_score(y, p[:, 1]),
        "log_loss": -np.log(np.clip(clean[np.arange(len(y)), y], np.finfo(float).eps, 1)).mean(),
        "brier": reference.brier_score_loss(y, p[:, 1]),
        "balanced_accuracy": reference.balanced_accuracy_score(y, label),
        "mcc": reference.matthews_corrcoef(y, label),
    }
    assert all_metrics("classification", y, p, 1) == pytest.approx(expected)
    if dtype is np.float64:
        assert expected["log_loss"] == pytest.approx(reference.log_loss(y, p))


def test_multiclass_like_sklearn_on_real_data() -> None:
    x, y = load_digits(return_X_y=True)
    p = DecisionTreeClassifier(max_depth=6, random_state=0).fit(x[::3], y[::3]).predict_proba(x)
    label = p.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(y, label),
        "precision": reference.precision_score(y, label, average="macro"),
        "recall": reference.recall_score(y, label, average="macro"),
        "f1": reference.f1_score(y, label, average="macro"),
        "roc_auc": reference.roc_auc_score(y, p, multi_class="ovr"),
        "log_loss": reference.log_loss(y, p),
        "balanced_accuracy": reference.balanced_accuracy_score(y, label),
        "mcc": reference.matthews_corrcoef(y, label),
    }
    assert all_metrics("classification", y, p) == pytest.approx(expected)


def test_regression_like_sklearn_on_real_data() -> None:
    x, y = load_diabetes(return_X_y=True)
    values = LinearRegression().fit(x, y).predict(x)
    expected = {
        "rmse": reference.root_mean_squared_error(y, values),
        "mae": reference.mean_absolute_error(y, values),
        "r2": reference.r2_score(y, values),
        "mape": reference.mean_absolute_percentage_error(y, values),
        "median_ae": reference.median_absolute_error(y, values),
    }
    assert all_metrics("regression", y, values) == pytest.approx(expected)


def test_score_is_the_same_number_and_direction_is_told() -> None:
    y, p = np.array([0, 0, 1, 1, 1]), proba([0.1, 0.6, 0.4, 0.7, 0.9])
    for name, value in all_metrics("classification", y, p, 1).items():
        assert score(name, y, p, 1) == value
    assert {name for name, direction in DIRECTION.items() if direction == "minimize"} == {
        "log_loss", "brier", "cost", "rmse", "mae", "mape", "median_ae", "mase", "smape",
    }  # fmt: skip
    assert METRICS["rmse"].gain(1.0, 3.0) == 2.0
    assert METRICS["r2"].gain(1.0, 3.0) == -2.0


def test_one_class_tells_nothing_apart() -> None:
    p = proba([0.2, 0.8, 0.9])
    alone = all_metrics("classification", np.array([1, 1, 1]), p, 1)
    assert alone["accuracy"] == pytest.approx(2 / 3)
    assert {name for name, value in alone.items() if value is None} == {
        "roc_auc", "average_precision", "balanced_accuracy", "mcc",
    }  # fmt: skip
    none_positive = all_metrics("classification", np.array([0, 0, 0]), p, 1)
    assert none_positive["recall"] is None
    assert none_positive["f1"] is None
    assert score("roc_auc", np.array([1, 1, 1]), p, 1) == 0.5


def test_class_without_rows_is_left_out_of_the_mean() -> None:
    y = np.array([0, 0, 1, 1])
    p = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1]])
    found = all_metrics("classification", y, p)
    assert found["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["roc_auc"] == pytest.approx(1.0)


def test_degenerate_regression() -> None:
    constant = all_metrics("regression", np.array([3.0, 3.0]), np.array([2.0, 4.0]))
    assert constant["r2"] is None
    assert constant["rmse"] == pytest.approx(1.0)
    assert all_metrics("regression", np.zeros(2), np.ones(2))["mape"] is None
    huge = np.array([1e300, -1e300])
    assert all_metrics("regression", huge, -huge)["rmse"] == pytest.approx(2e300)


def test_unusable_predictions_are_an_error_for_a_candidate() -> None:
    with pytest.raises(TrainingError, match="NaN or infinity for 1 of 2 rows"):
        score("rmse", np.array([1.0, 2.0]), np.array([np.nan, 2.0]), None)
    assert set(all_metrics("regression", np.array([1.0, 2.0]), np.array([np.inf, 2.0])).values()) == {None}


@given(st.data())
def test_any_classification_is_finite_or_none(data: st.DataObject) -> None:
    n, k = data.draw(st.integers(0, 12)), data.draw(st.integers(2, 4))
    y = data.draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    p = data.draw(arrays(dtype, (n, k), elements=st.floats(0, 1, width=32)))
    positive = data.draw(st.sampled_from([0, 1])) if k == 2 else None
    for name, value in all_metrics("classification", y, p, positive).items():
        assert value is None or np.isfinite(value), name
        if n:
            assert np.isfinite(score(name, y, p, positive)), name


@given(st.data())
def test_any_regression_is_finite_or_none(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 12))
    y = data.draw(arrays(np.float64, n, elements=st.floats(allow_nan=False, allow_infinity=False)))
    values = data.draw(arrays(np.float64, n))
    for name, value in all_metrics("regression", y, values).items():
        assert value is None or np.isfinite(value), name
