"""Two suspicions about data: that the test is another population, and that a feature gives the answer away."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.assignment import Splits
from mt_assets.trainer.data.frames import as_datetime
from mt_assets.trainer.data.profile import DataProfile, TargetProfile, encode_target
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.features.columns import LARGEST

if TYPE_CHECKING:
    from mt_assets.trainer.data.roles import Role

SHIFT_ROWS = 5000
"""Rows that the adversarial model sees; it takes about 0.5 s on them (1 thread, 20 columns)."""

SHIFT_AUC = 0.6
"""Area under the curve above which test and learning rows are told apart well enough to look into; below, the loss of
performance that a shift explains is within the noise of most tests."""

NEAR_PERFECT = 0.99
PROBE_ROWS = 10_000
PROBE_CELLS = 2_000_000
"""Learning rows, and cells in all, that single features are tried on: about 20 ms a feature."""

_FOLDS = 3
_LEAST_ROWS = 30
_MOST_LABELS = 250


def check_shift(table: Table, profile: DataProfile, splits: Splits, seed: int = 0) -> Check:
    """Try to tell test rows from learning rows by their features; where that succeeds, the test is another population.

    Returns
    -------
    Check
        `train_test_shift`, not blocking. Evidence: out-of-fold `auc` and the features that differ most.
    """
    name = "train_test_shift"
    if min(len(splits.test), len(splits.learning)) < _LEAST_ROWS:
        return Check(
            name=name, passed=True, message=f"Fewer than {_LEAST_ROWS} test or learning rows: not looked into."
        )
    half = SHIFT_ROWS // 2
    rows = np.concatenate([_sample(splits.learning, half, seed), _sample(splits.test, half, seed)])
    # Learning rows come first, test rows after them, whatever their positions.
    tested = np.isin(np.sort(rows), splits.test)
    encoded = _encoded(table.take(rows).frame(list(profile.features)), profile)
    auc = adversarial_auc(encoded, tested, seed)
    # Three standard errors of the area under the curve of equal populations (Mann-Whitney).
    ones = int(tested.sum())
    noise = 3 * np.sqrt((len(tested) + 1) / (12 * ones * (len(tested) - ones)))
    limit = max(SHIFT_AUC, 0.5 + noise)
    features = _most_different(encoded, tested)
    passed = auc <= limit
    if passed:
        message = f"Test rows cannot be told from learning rows (AUC {auc:.3f})."
    else:
        message = (
            f"Test rows can be told from learning rows (AUC {auc:.3f}), most by "
            f"{', '.join(repr(feature) for feature in list(features)[:3])}: the test result may not be what the model "
            f"does on data like the learning rows.{' Dated data often drifts so.' if _dated(profile) else ''}"
        )
    return Check(
        name=name,
        passed=passed,
        message=message,
        evidence={
            "auc": round(auc, 4),
            "limit": round(float(limit), 4),
            "rows": len(tested),
            "features": [{"feature": feature, "auc": area} for feature, area in features.items()],
        },
    )


def adversarial_auc(encoded: pd.DataFrame, second: np.ndarray, seed: int = 0) -> float:
    """Out-of-fold area under the ROC curve of a small model that tells rows of two samples apart; one thread.

    Parameters
    ----------
    encoded : pandas.DataFrame
        One number a column, see `one_number`; gaps are allowed.
    second : ndarray of bool [n]
        Which rows are of the second sample; a few at least are of each.
    """
    model = HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=seed)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1):
        guessed = cross_val_predict(model, encoded.to_numpy(), second, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(second, guessed))


def check_near_perfect(table: Table, profile: DataProfile, splits: Splits, seed: int = 0) -> Check:
    """Look for features that predict the target nearly perfectly on their own, since they often are made from it.

    Only learning rows are read. Each feature is judged out of fold, by a small tree (of amounts by a line as well),
    with AUC (two classes), accuracy (more) or R².

    Returns
    -------
    Check
        `near_perfect_feature`, not blocking. Evidence: the suspects with their scores.
    """
    # What is not known ahead of a forecast tells it nothing, however much alike it is.
    features = profile.features if profile.series is None else profile.series.known
    most = max(_LEAST_ROWS, min(PROBE_ROWS, PROBE_CELLS // max(len(features), 1)))
    part = table.take(_sample(splits.learning, most, seed))
    frame = part.frame([*features, profile.target.column])
    y = encode_target(frame[profile.target.column], profile.target)
    name = "near_perfect_feature"
    if len(y) < _LEAST_ROWS or len(np.unique(y)) < 2:
        return Check(name=name, passed=True, message=f"Fewer than {_LEAST_ROWS} rows of two values: not looked into.")
    suspects = []
    with threadpool_limits(1):
        for feature, role in features.items():
            score = _alone(frame[feature], role, y, profile.target, seed)
            if score > NEAR_PERFECT:
                suspects.append({"feature": feature, "score": round(score, 5)})
    suspects.sort(key=lambda suspect: -float(str(suspect["score"])))
    named = ", ".join(f"'{suspect['feature']}' ({suspect['score']:.4f})" for suspect in suspects[:5])
    return Check(
        name=name,
        passed=not suspects,
        message=f"Nearly perfect on their own: {named}. Is this known before '{profile.target.column}' is?"
        if suspects
        else "No feature predicts the target nearly perfectly on its own.",
        evidence={"metric": _metric(profile.target), "limit": NEAR_PERFECT, "rows": len(y), "suspects": suspects},
    )


def _sample(positions: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(positions) <= most:
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, most, replace=False))


def _encoded(frame: pd.DataFrame, profile: DataProfile) -> pd.DataFrame:
    """Every feature as one number: labels by how frequent they are, text by its length."""
    return pd.DataFrame({name: one_number(frame[name], role) for name, role in profile.features.items()})


def one_number(column: pd.Series, role: "Role") -> pd.Series:
    """A canonical column as one number each: labels by how frequent they are, text by its length."""
    if role == "datetime":
        moments = as_datetime(column)
        return pd.Series(moments.to_numpy().view(np.int64).astype(float), index=column.index).mask(moments.isna())
    if role == "text":
        return column.astype(str).str.len().astype(float)
    if role == "categorical" or column.dtype == object:
        ranks = {label: rank for rank, label in enumerate(column.value_counts().index[:_MOST_LABELS])}
        return column.map(ranks).astype(float).where(column.isna() | column.isin(ranks), float(_MOST_LABELS))
    return column.astype(float).clip(-LARGEST, LARGEST)  # trees look at numbers in single precision


def _most_different(encoded: pd.DataFrame, tested: np.ndarray) -> dict[str, float]:
    """The five features whose values differ most between the parts, by the area under the curve of each alone."""
    ranks = encoded.fillna(encoded.min() - 1).rank()
    ones = int(tested.sum())
    areas = (ranks[tested].sum() - ones * (ones + 1) / 2) / (ones * (len(tested) - ones))
    distance = (areas - 0.5).abs().sort_values(ascending=False, kind="stable")
    return {str(name): round(float(areas[name]), 4) for name in distance.index[:5]}


def _dated(profile: DataProfile) -> bool:
    return any(column.role == "time" for column in profile.columns)


def _metric(target: TargetProfile) -> str:
    if target.task != "classification":
        return "r2"
    return "roc_auc" if len(target.classes) == 2 else "accuracy"


def _alone(column: pd.Series, role: "Role", y: np.ndarray, target: TargetProfile, seed: int) -> float:
    """Out-of-fold score of one feature on its own, 0 where it says nothing."""
    classes = target.task == "classification"
    predicted = np.zeros((len(y), len(target.classes) if classes else 1))
    line = np.zeros(len(y))
    labels = role == "categorical" or (column.dtype == object and role != "text")
    numbers = None if labels else one_number(column, role).to_numpy().reshape(-1, 1)
    for fit, score in _dealt(y, classes, seed):
        if numbers is None:
            predicted[score] = _by_label(column, y, fit, score, target)
        elif classes:
            tree = DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, random_state=seed).fit(numbers[fit], y[fit])
            predicted[np.ix_(score, tree.classes_)] = tree.predict_proba(numbers[score])
        else:
            tree = DecisionTreeRegressor(max_depth=8, min_samples_leaf=5, random_state=seed).fit(numbers[fit], y[fit])
            predicted[score, 0] = tree.predict(numbers[score])
            line[score] = _along_a_line(numbers[:, 0], y, fit, score)
    if not classes:
        return max(float(r2_score(y, predicted[:, 0])), float(r2_score(y, line)))
    if len(target.classes) == 2:
        return float(roc_auc_score(y, predicted[:, 1]))
    accuracy = float((predicted.argmax(axis=1) == y).mean())
    commonest = float(np.bincount(y).max() / len(y))
    # Where one class is nearly everything, accuracy alone is no suspicion.
    return accuracy if 1 - accuracy < 0.1 * (1 - commonest) else 0.0


def _dealt(y: np.ndarray, classes: bool, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    stratified = classes and np.bincount(y)[np.unique(y)].min() >= _FOLDS
    splitter = (StratifiedKFold if stratified else KFold)(_FOLDS, shuffle=True, random_state=seed)
    return splitter.split(y, y)


def _along_a_line(x: np.ndarray, y: np.ndarray, fit: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Least squares on one feature, gaps filled with the mean; a small tree is too coarse for a copy of a target."""
    known = x[fit][~np.isnan(x[fit])]
    middle = known.mean() if len(known) else 0.0
    filled = np.where(np.isnan(x), middle, x) - middle
    spread = float((filled[fit] ** 2).sum())
    slope = float((filled[fit] * y[fit]).sum()) / spread if spread else 0.0
    return y[fit].mean() + slope * (filled[score] - filled[fit].mean())


def _by_label(
    column: pd.Series, y: np.ndarray, fit: np.ndarray, score: np.ndarray, target: TargetProfile
) -> np.ndarray:
    """Mean target (or share of each class) of the fitted rows of the same label; of all where the label is new."""
    answers = np.eye(len(target.classes))[y] if target.task == "classification" else y.reshape(-1, 1)
    codes, _ = pd.factorize(column)
    codes = codes + 1
    counts = np.bincount(codes[fit], minlength=codes.max() + 1)
    means = np.empty((len(counts), answers.shape[1]))
    for at in range(answers.shape[1]):
        sums = np.bincount(codes[fit], weights=answers[fit, at], minlength=len(counts))
        means[:, at] = np.where(counts > 0, sums / np.maximum(counts, 1), answers[fit, at].mean())
    return means[codes[score]]
