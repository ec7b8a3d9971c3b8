"""Probabilities that mean what they say: maps from a model's probabilities to observed frequencies.

What belongs here: the maps, how they are fitted, how they are applied. What does not: whether one is delivered
(`delivery`).

All but `isotonic` are a softmax of slope * log(p) + bias, fitted by maximum likelihood, which is convex:

- `sigmoid` (two classes): slope and bias (Platt 1999). The bias undoes what class weights shift.
- `temperature` (more): the slope alone (Guo et al. 2017).
- `bias_corrected_temperature` (more): slope and a bias for each class (Alexandari, Kundaje & Shrikumar 2020).
- `isotonic` (two classes): the best ascending step function (Zadrozny & Elkan 2002). Rows on one step become equal.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Method = Literal["sigmoid", "isotonic", "temperature", "bias_corrected_temperature"]

FLOOR = 1e-6
"""Probabilities are kept this far from 0 under the logarithm: a forest's 0 is not believed beyond a million to one."""

_SLOPES, _BIASES = (0.05, 20.0), (-15.0, 15.0)
"""Where the fit looks: beyond them, probabilities are all the same or all 0 and 1, and no data asks for that."""


@dataclass(frozen=True)
class Calibration:
    """A fitted map of probabilities.

    Attributes
    ----------
    method : str
    slope : float
    biases : tuple of float
        One for each class code; empty is 0.
    knots, values : tuple of float
        Of `isotonic`: probabilities of the positive class, ascending, and what they become; linear in between.
    positive : int
        Code of the class that `knots` speak of.
    """

    method: Method
    slope: float = 1.0
    biases: tuple[float, ...] = ()
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    positive: int = 1

    def apply(self, probabilities: npt.NDArray) -> Floats:
        """Calibrated probabilities [n, k] of a model's probabilities [n, k]."""
        given = np.asarray(probabilities, dtype=np.float64)
        if self.method == "isotonic":
            of_positive = np.interp(given[:, self.positive], self.knots, self.values)
            both = np.empty_like(given)
            both[:, self.positive], both[:, 1 - self.positive] = of_positive, 1 - of_positive
            return both
        return _softmax(self.slope * _logarithm(given) + (np.array(self.biases) if self.biases else 0.0))


def calibration_methods(n_classes: int, *, keeps_order: bool) -> tuple[Method, ...]:
    """The maps to try, the simplest first.

    Parameters
    ----------
    n_classes : int
    keeps_order : bool
        Whether rows with different probabilities have to stay different, as metrics of ranking need.
    """
    if n_classes > 2:
        return ("temperature", "bias_corrected_temperature")
    return ("sigmoid",) if keeps_order else ("sigmoid", "isotonic")


def fit_calibration(method: Method, y: npt.NDArray, probabilities: npt.NDArray, positive: int | None) -> Calibration:
    """Fit a map on rows that the model was not fitted on.

    Parameters
    ----------
    method : str
    y : ndarray [n]
        Class codes.
    probabilities : ndarray [n, k]
    positive : int or None
        Code of the positive class where there are two.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    if method == "isotonic":
        return _isotonic(np.asarray(y), given, 1 if positive is None else positive)
    return _tilted(method, np.asarray(y).astype(np.int64), _logarithm(given), biased=method != "temperature")


def _isotonic(y: npt.NDArray, given: Floats, positive: int) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    # No frequency is believed to be 0 or 1 beyond what half a row in all of them would show.
    least = 0.5 / len(y)
    steps = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    steps.fit(given[:, positive], (y == positive).astype(np.float64))
    return Calibration(
        "isotonic",
        knots=tuple(steps.X_thresholds_.tolist()),
        values=tuple(steps.y_thresholds_.tolist()),
        positive=positive,
    )


def _tilted(method: Method, y: npt.NDArray[np.int64], logarithms: Floats, *, biased: bool) -> Calibration:
    from scipy.optimize import minimize

    n, k = logarithms.shape
    rows = np.arange(n)

    def loss(free: Floats) -> tuple[float, Floats]:
        biases = np.concatenate([[0.0], free[1:]]) if biased else np.zeros(k)
        predicted = _softmax(free[0] * logarithms + biases)
        value = -np.log(np.maximum(predicted[rows, y], np.finfo(np.float64).tiny)).mean()
        predicted[rows, y] -= 1.0
        slope = np.sum(predicted * logarithms) / n
        return float(value), np.concatenate([[slope], predicted[:, 1:].mean(axis=0) if biased else []])

    start = np.concatenate([[1.0], np.zeros(k - 1 if biased else 0)])
    bounds = [_SLOPES, *[_BIASES] * (len(start) - 1)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    biases = (0.0, *found[1:].tolist()) if biased else ()
    return Calibration(method, slope=float(found[0]), biases=biases)


def _logarithm(probabilities: Floats) -> Floats:
    logarithms: Floats = np.log(np.clip(probabilities, FLOOR, 1.0))
    return logarithms


def _softmax(z: Floats) -> Floats:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares
