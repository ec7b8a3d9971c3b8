"""A suspicion about data: that a column is the mean target of another column's labels, made from the whole data.

Such an encoding holds, for each row, a part of that row's own answer; models learn to trust it and find it empty on new
rows. `leakage.check_near_perfect` sees it only where labels have one row each.
"""

from typing import Final

import numpy as np
import pandas as pd

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.assignment import Splits
from mt_assets.trainer.data.profile import DataProfile, encode_target
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.features.columns import LARGEST

NAME: Final = "target_encoded_feature"

MOST_ROWS: Final = 50_000
"""Learning rows, the first ones, that are looked at: about 10 ms for each pair of columns."""

LEAST_LABELS: Final = 10
MOST_PER_LABEL: Final = 30
"""Rows of a label, in the middle: with more, a true property of it may lie as near to its mean target."""

AS_GOOD_AS_EQUAL: Final = 0.9999
"""Correlation of a column with the mean target of labels. Means of few rows are so noisy that nothing else meets
them."""

_LABELS: Final = ("id", "categorical", "group", "text")


def check_target_encoded(table: Table, profile: DataProfile, splits: Splits) -> Check:
    """Look for number columns that are the mean target by the labels of another column.

    Only learning rows are read; labels that stand in test rows as well are left out, since their mean is of those too.

    Returns
    -------
    Check
        `target_encoded_feature`, not blocking. Evidence: the suspects and the columns that they encode.
    """
    labels = [each.name for each in profile.columns if each.role in _LABELS and each.unique >= LEAST_LABELS]
    numbers = [name for name, role in profile.features.items() if role == "numeric"]
    if not labels or not numbers or profile.target.task == "time_series":
        return Check(name=NAME, passed=True, message="There are no labels that a number could encode.")
    rows = splits.learning[:MOST_ROWS]
    frame = table.take(rows).frame([*labels, *numbers, profile.target.column])
    answers = _answers(encode_target(frame[profile.target.column], profile.target), len(profile.target.classes))
    suspects = []
    for label in labels:
        elsewhere = table.take(np.setdiff1d(table.positions, rows)).frame([label])[label]
        inside = frame[label].notna().to_numpy() & ~frame[label].isin(elsewhere.unique()).to_numpy()
        codes, found = pd.factorize(frame[label].to_numpy()[inside])
        sizes = np.bincount(codes, minlength=len(found))
        if len(found) < LEAST_LABELS or not 1 < np.median(sizes) <= MOST_PER_LABEL:
            continue
        means = [np.bincount(codes, weights=answer[inside]) / sizes for answer in answers]
        for number in numbers:
            values = np.clip(frame[number].to_numpy(dtype=float)[inside], -LARGEST, LARGEST)
            if any(_is_made_of(values, codes, mean) for mean in means):
                suspects.append({"feature": number, "encodes": label})
    named = ", ".join(f"'{each['feature']}' (of '{each['encodes']}')" for each in suspects[:5])
    return Check(
        name=NAME,
        passed=not suspects,
        message=f"Mean targets made from the whole data: {named}. Each row's own answer is a part of them: leave them "
        "out, and let the encoding be made inside the folds."
        if suspects
        else "No number is the mean target of another column's labels.",
        evidence={"suspects": suspects},
    )


def _answers(y: np.ndarray, classes: int) -> list[np.ndarray]:
    return [np.asarray(y, dtype=float)] if classes <= 2 else [(y == code).astype(float) for code in range(classes)]


def _is_made_of(values: np.ndarray, codes: np.ndarray, means: np.ndarray) -> bool:
    """Whether a column is one number for each label, and that number the label's mean, in whatever unit."""
    first = np.zeros(len(means))
    first[codes[::-1]] = values[::-1]
    if not np.allclose(values, first[codes], equal_nan=False) or first.std() == 0 or means.std() == 0:
        return False
    return bool(abs(np.corrcoef(first, means)[0, 1]) > AS_GOOD_AS_EQUAL)
