"""The last suspicion about leakage: whether anything between table and estimator knows a label that it must not know.

The labels are shuffled, and the same preprocessing is fitted on training rows, with a tree behind it that remembers all
that it is shown. What it then says of validation rows is chance, unless a label has found its way around the split: an
encoding that saw them, or rows that stand on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.data.target import encode_target
from mt_assets.trainer.features.preprocessor import TablePreprocessor

if TYPE_CHECKING:
    from mt_assets.trainer.forecasting.preprocessing import SeriesPreprocessor

NAME: Final = "label_shuffle"

MOST_ROWS: Final = 1000
"""Of each side of the canonical fold: 0.2 to 0.5 s for 20 columns with one thread."""

MOST_CELLS: Final = 40_000
"""Of each side; wide tables are looked at in fewer rows."""

LEAST_ROWS: Final = 30
SHUFFLES: Final = 3

SECONDS: Final = 60.0
"""Where the time budget leaves less than this, the second is better spent on the search."""

CHANCE: Final = 0.05
"""By how much the area under the curve of a small sample may differ from one half beyond its noise."""


def check_label_shuffle(
    table: Table,
    profile: DataProfile,
    splits: Splits,
    preprocessor: TablePreprocessor | SeriesPreprocessor,
    *,
    seed: int = 0,
    left: float = float("inf"),
) -> Check:
    """Fit on shuffled labels within the canonical fold, and hold the score against chance.

    Of several classes the commonest is told from the others, of amounts the upper half.

    Parameters
    ----------
    table, profile, splits
        Of the same run; only learning rows are read.
    preprocessor : TablePreprocessor
        Cloned unfitted.
    left : float
        Seconds that the time budget has left.

    Returns
    -------
    Check
        `label_shuffle`, not blocking. Evidence: `auc`, the mean over the shuffles, and its limit.
    """
    if not isinstance(preprocessor, TablePreprocessor):
        return _said(True, "Series have no labels of their own to shuffle: not looked into.")
    if left < SECONDS:
        return _said(True, f"The time budget leaves less than {SECONDS:.0f} s: not looked into.")
    rng = np.random.default_rng(seed)
    most = min(MOST_ROWS, MOST_CELLS // max(1, len(profile.features)))
    train, validation = (_sample(rows, most, rng) for rows in (splits.folds[0].train, splits.folds[0].validation))
    if min(len(train), len(validation)) < LEAST_ROWS:
        return _said(True, f"Fewer than {LEAST_ROWS} rows on a side of the fold: not looked into.")
    rows = np.unique(np.concatenate([train, validation]))
    frame = table.take(rows).frame([*preprocessor.columns, profile.target.column])
    labels = encode_target(frame[profile.target.column], profile.target)
    fitted, held = np.searchsorted(rows, train), np.searchsorted(rows, validation)
    areas = []
    with threadpool_limits(1):
        for _ in range(SHUFFLES):
            shuffled = labels[rng.permutation(len(labels))]
            ones = _of_two(shuffled, classes=profile.target.task == "classification")
            if min(len(np.unique(ones[fitted])), len(np.unique(ones[held]))) < 2:
                continue
            encoder: TablePreprocessor = clone(preprocessor).set_params(encoding="ordinal")
            X = encoder.fit_transform(frame.iloc[fitted], shuffled[fitted])
            tree = DecisionTreeClassifier(random_state=seed).fit(X, ones[fitted])
            said = tree.predict_proba(encoder.transform(frame.iloc[held]))[:, 1]
            areas.append(float(roc_auc_score(ones[held], said)))
    if not areas:
        return _said(True, "One class is nearly everything: not looked into.")
    auc, share = float(np.mean(areas)), _of_two(labels, classes=profile.target.task == "classification").mean()
    # Four standard errors of the area under the curve where there is nothing to tell (Mann-Whitney).
    noise = 4 * np.sqrt((len(held) + 1) / (12 * len(held) ** 2 * max(share * (1 - share), 1e-3)) / len(areas))
    limit = 0.5 + CHANCE + float(noise)
    evidence = {"auc": round(auc, 4), "limit": round(limit, 4), "rows": len(rows), "shuffles": len(areas)}
    if auc <= limit:
        return _said(True, f"With shuffled labels nothing is better than chance (AUC {auc:.3f}).", evidence)
    return _said(
        False,
        f"With shuffled labels the model still tells validation rows (AUC {auc:.3f}, chance is 0.5): labels get around "
        "the split. Look for rows that stand on both sides, and at transformations that see the target.",
        evidence,
    )


def _said(passed: bool, message: str, evidence: dict[str, float] | None = None) -> Check:
    return Check(name=NAME, passed=passed, message=message, evidence=evidence or {})


def _sample(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rows if len(rows) <= most else rng.choice(rows, most, replace=False))


def _of_two(labels: np.ndarray, *, classes: bool) -> np.ndarray:
    if classes:
        return labels == np.bincount(labels).argmax()
    return labels > np.median(labels)
