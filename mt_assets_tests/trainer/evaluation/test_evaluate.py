"""The evaluation: whose rows, whose predictions, beside what, and what the checks make of it."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from mt_assets.trainer.data.target import encode_target
from mt_assets.trainer.evaluation.evaluate import Evaluation, check_beats_baseline, check_cv_test_gap
from mt_assets.trainer.evaluation.metrics import all_metrics
from mt_assets.trainer.evaluation.predictions import FoldPrediction, pooled

Train = Callable[..., Any]


def labelled(load: Callable[..., Any], labels: list[str] | None = None) -> pd.DataFrame:
    frame = load(as_frame=True).frame
    return frame if labels is None else frame.assign(target=frame["target"].map(dict(enumerate(labels))))


def truth(training: Any, positions: np.ndarray) -> np.ndarray:
    target = training.profile.target
    return encode_target(training.table.take(positions).frame([target.column])[target.column], target)


def array(evaluation: Evaluation, name: str) -> np.ndarray:
    content = evaluation.attachment(name)
    assert content is not None
    return np.load(BytesIO(content))


def test_binary(train: Train, tmp_path: Path) -> None:
    training = train(labelled(load_breast_cancer, ["no", "yes"]), "target", "logistic_regression")
    found = training.evaluate()
    splits, target = training.splits, training.profile.target
    y = truth(training, splits.test)
    prediction = training.trained.model.predict_proba(training.table.take(splits.test).frame())

    assert found.n_test == len(splits.test) > 0
    assert found.test == pytest.approx(all_metrics("classification", y, prediction, target.positive))
    shares = np.bincount(truth(training, splits.learning)) / len(splits.learning)
    prior = all_metrics("classification", y, np.tile(shares, (len(y), 1)), target.positive)
    assert found.baseline == pytest.approx(prior)
    by_fold = [
        all_metrics("classification", truth(training, fold.positions), fold.prediction, target.positive)
        for fold in training.out_of_fold
    ]
    assert found.validation == pytest.approx(by_fold[0])
    for name in found.test:
        assert found.cross_validation[f"{name}_mean"] == pytest.approx(np.mean([fold[name] for fold in by_fold]))
        assert found.cross_validation[f"{name}_std"] == pytest.approx(np.std([fold[name] for fold in by_fold]))
    assert np.sum(found.confusion) == len(y)
    assert found.classes == ("no", "yes")
    assert found.latency_ms > 0 and found.predict_rows_per_second > 0 and found.size_mb > 0
    assert found.note == ""
    assert check_beats_baseline(found).passed
    assert check_cv_test_gap(found).passed
    assert [row["metric"] for row in found.table()] == list(found.test)

    found.save(tmp_path)
    again = Evaluation.load(tmp_path)
    assert again == found
    assert again.small_plots() == found.small_plots()
    assert set(again.small_plots()) == {
        "confusion_matrix", "roc_curve", "precision_recall", "calibration", "threshold_curve",
    }  # fmt: skip
    assert {"confusion_matrix.png", "roc_curve.png"} <= {path.name for path in again.files()}
    np.testing.assert_allclose(array(again, "test_predictions.npy"), prediction)
    np.testing.assert_array_equal(array(again, "test_positions.npy"), splits.test)


def test_multiclass(train: Train) -> None:
    training = train(labelled(load_iris, ["a", "b", "c"]), "target", "random_forest")
    found = training.evaluate()
    assert np.shape(found.confusion) == (3, 3)
    assert found.test["accuracy"] > 0.8
    assert "brier" not in found.test
    assert "threshold_curve" not in found.small_plots()


def test_regression(train: Train) -> None:
    training = train(load_diabetes(as_frame=True).frame, "target", "ridge")
    found = training.evaluate()
    y, learned = truth(training, training.splits.test), truth(training, training.splits.learning)
    assert found.baseline["rmse"] == pytest.approx(np.sqrt(np.mean((y - learned.mean()) ** 2)))
    assert found.test["rmse"] < found.baseline["rmse"]
    assert found.confusion == () and found.classes == ()
    assert set(found.small_plots()) == {"predicted_vs_actual", "residuals"}


def test_without_test_rows_it_is_out_of_fold_and_says_so(train: Train) -> None:
    training = train(labelled(load_iris, ["a", "b", "c"]), "target", "logistic_regression", testSize=0)
    found = training.evaluate()
    together = pooled(training.out_of_fold)
    np.testing.assert_array_equal(together.positions, np.sort(training.splits.learning))
    assert found.out_of_fold
    assert "out-of-fold" in found.note
    assert found.n_test == 150
    assert found.test == pytest.approx(
        all_metrics("classification", truth(training, together.positions), together.prediction)
    )
    assert check_cv_test_gap(found).passed


def test_target_that_columns_do_not_tell(train: Train) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300), "y": rng.permutation(["n", "p"] * 150)})
    check = check_beats_baseline(train(frame, "y", "logistic_regression").evaluate())
    assert not check.passed
    assert check.evidence["gain"] <= check.evidence["standard_error"]


def evaluation(test: float | None, mean: float | None, std: float | None, folds: int = 5, **more: Any) -> Evaluation:
    return Evaluation(
        metric="rmse", test={"rmse": test}, baseline={"rmse": 2.0}, validation={}, n_test=100, folds=folds,
        cross_validation={"rmse_mean": mean, "rmse_std": std}, gain=1.0, gain_error=0.1, test_error=0.03,
        latency_ms=1.0, predict_rows_per_second=1.0, size_mb=1.0, **more,
    )  # fmt: skip


def test_gap_between_test_and_folds() -> None:
    # three times the root of (0.04 * sqrt(5 / 4)) ** 2 + 0.03 ** 2 is 0.162
    assert check_cv_test_gap(evaluation(1.16, 1.0, 0.04)).passed
    assert not check_cv_test_gap(evaluation(1.17, 1.0, 0.04)).passed
    assert check_cv_test_gap(evaluation(0.5, 1.0, 0.04)).passed
    assert not check_cv_test_gap(evaluation(1.13, 1.0, None, folds=1)).passed
    assert not check_cv_test_gap(evaluation(None, 1.0, 0.04)).passed
    assert check_cv_test_gap(evaluation(9.0, 1.0, 0.04, out_of_fold=True)).passed


def test_pooled_folds_hold_each_row_once() -> None:
    folds = tuple(
        FoldPrediction(fold, np.array(positions), np.array(values, dtype=np.float32))
        for fold, (positions, values) in enumerate([([3, 5], [1.0, 2.0]), ([1, 3], [4.0, 2.0])])
    )
    together = pooled(folds)
    np.testing.assert_array_equal(together.positions, [1, 3, 5])
    np.testing.assert_allclose(together.prediction, [4.0, 1.5, 2.0])
