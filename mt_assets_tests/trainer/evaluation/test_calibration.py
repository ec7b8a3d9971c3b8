"""Maps of probabilities: what they undo, and what they leave alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_assets.trainer.evaluation.calibration import Calibration, calibration_methods, fit_calibration
from mt_assets.trainer.evaluation.metrics import score


def drawn(k: int, n: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities [n, k] and classes drawn by them."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, (n, k)) - np.arange(k)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p, np.array([rng.choice(k, p=row) for row in p])


def distorted(p: np.ndarray, slope: float, biases: list[float]) -> np.ndarray:
    """What a model with class weights and too much confidence makes of them."""
    powers = p**slope * np.exp(biases)
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("method", "k"), [("sigmoid", 2), ("isotonic", 2), ("bias_corrected_temperature", 4)])
def test_weights_and_overconfidence_are_undone(method, k) -> None:
    p, y = drawn(k)
    shifted = distorted(p, 2.0, [0.0, *[1.5] * (k - 1)])
    repaired = fit_calibration(method, y, shifted, 1).apply(shifted)
    np.testing.assert_allclose(repaired.sum(axis=1), 1)
    true, before, after = (score("log_loss", y, each, 1) for each in (p, shifted, repaired))
    assert after < true + 0.003 < before - 0.05
    assert abs(repaired - p).mean() < 0.02


def test_temperature_finds_the_slope() -> None:
    p, y = drawn(4)
    found = fit_calibration("temperature", y, distorted(p, 2.5, [0.0] * 4), None)
    assert found.slope == pytest.approx(1 / 2.5, abs=0.03)
    assert found.biases == ()


def test_what_is_true_already_stays() -> None:
    for k, method in ((2, "sigmoid"), (4, "bias_corrected_temperature")):
        p, y = drawn(k)
        assert abs(fit_calibration(method, y, p, 1).apply(p) - p).mean() < 0.01


def test_certainty_is_not_believed() -> None:
    y = np.array([0] * 50 + [1] * 50)
    certain = np.repeat([[1.0, 0.0], [0.0, 1.0]], 50, axis=0)
    certain[0] = [0.0, 1.0]  # one answer that is certain, and wrong
    for method in calibration_methods(2, keeps_order=False):
        repaired = fit_calibration(method, y, certain, 1).apply(certain)
        assert repaired.min() > 0 and repaired.max() < 1
        assert score("log_loss", y, repaired, 1) < 0.1 < score("log_loss", y, certain, 1)


def test_the_positive_class_may_be_the_first() -> None:
    p, y = drawn(2)
    other = fit_calibration("isotonic", 1 - y, p[:, ::-1], 0).apply(p[:, ::-1])
    np.testing.assert_allclose(other[:, ::-1], fit_calibration("isotonic", y, p, 1).apply(p), atol=1e-12)


def test_maps_that_tie_rows_are_not_tried_where_order_counts() -> None:
    assert calibration_methods(2, keeps_order=True) == ("sigmoid",)
    assert "isotonic" in calibration_methods(2, keeps_order=False)
    assert set(calibration_methods(3, keeps_order=False)) == {"temperature", "bias_corrected_temperature"}


@settings(max_examples=40)
@given(st.lists(st.floats(0.001, 0.999), min_size=2, max_size=30), st.floats(0.05, 20), st.floats(-5, 5))
def test_sigmoid_keeps_the_order_of_rows(of_positive, slope, bias) -> None:
    p = np.column_stack([1 - np.array(of_positive), of_positive])
    changed = Calibration("sigmoid", slope=slope, biases=(0.0, bias)).apply(p)
    order = np.argsort(p[:, 1], kind="stable")
    assert (np.diff(changed[order, 1]) >= 0).all()
