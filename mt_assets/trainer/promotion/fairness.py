"""A new model may not treat groups more unequally than the champion did.

The figures are those of `evaluation.fairness`, of two classes. For the bootstrap they are computed from counts: drawing
rows with replacement is drawing how many there are of each group, class and pair of labels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mt_assets.trainer.evaluation.groups import LEAST_OF_CLASS, Grouping
from mt_assets.trainer.evaluation.metrics import predicted_codes
from mt_assets.trainer.promotion.comparison import Contest
from mt_assets.trainer.store.record import Record

ALLOWED = 0.05
"""How much larger a difference between groups may be than the champion's."""

RESAMPLES = 2_000

Counts = npt.NDArray[np.int64]
"""Rows by group, class and labels; 1 is the positive class, and the label of it."""

LABELS = (-1, -2)
"""Axis to sum over for the labels of the challenger, and of the champion."""


class FairnessComparison(Record):
    """How unequally challenger and champion treat the groups of one sensitive column.

    Attributes
    ----------
    column : str
    figure : str
        `demographic_parity_difference` or `equalized_odds_difference`.
    challenger, champion : float
    increase : float
        By how much the challenger's is larger.
    lower : float
        One-sided bound of the increase, by a paired bootstrap of the rows.
    confidence : float
        Of the bound, corrected for the number of figures and columns (Bonferroni).
    allowed : float
        The challenger is worse where `lower` is more than this.
    groups : int
        Groups of enough rows.
    worse : bool
    """

    column: str
    figure: str
    challenger: float
    champion: float
    increase: float
    lower: float
    confidence: float
    allowed: float = ALLOWED
    groups: int
    worse: bool


def compare_fairness(
    contest: Contest, groupings: Sequence[Grouping], *, least: int, confidence: float, seed: int
) -> tuple[FairnessComparison, ...]:
    """Compare how unequally two models label the groups of each grouping; of two classes alone.

    Parameters
    ----------
    contest : Contest
    groupings : sequence of Grouping
        Of the rows of the contest, by the sensitive columns.
    least : int
        Rows that a group needs to be judged.
    confidence : float
        That of all comparisons together.
    seed : int
    """
    if not contest.of_classes or contest.challenger.shape[1] != 2:
        return ()
    found: list[FairnessComparison] = []
    counted = [(grouping.column, _counted(contest, grouping, least)) for grouping in groupings]
    judged = sum(len(_differences(counts.sum(axis=-1), _known(counts))) for _, counts in counted)
    corrected = 1 - (1 - confidence) / max(1, judged)
    for column, counts in counted:
        known, rng = _known(counts), np.random.default_rng(seed)
        challenger, champion = (_differences(counts.sum(axis=axis), known) for axis in LABELS)
        if not challenger:
            continue
        drawn = rng.multinomial(counts.sum(), counts.ravel() / counts.sum(), RESAMPLES).reshape(-1, *counts.shape)
        redrawn = [_differences(drawn.sum(axis=axis), known) for axis in LABELS]
        for figure, value in challenger.items():
            lower = float(np.quantile(redrawn[0][figure] - redrawn[1][figure], 1 - corrected))
            found.append(
                FairnessComparison(
                    column=column,
                    figure=figure,
                    challenger=float(value),
                    champion=float(champion[figure]),
                    increase=float(value - champion[figure]),
                    lower=lower,
                    confidence=corrected,
                    groups=len(counts),
                    worse=lower > ALLOWED,
                )
            )
    return tuple(found)


def _counted(contest: Contest, grouping: Grouping, least: int) -> Counts:
    """Rows by group (of enough rows), class, label of the challenger and label of the champion."""
    positive = 1 if contest.positive is None else contest.positive
    labels = [
        predicted_codes(prediction, positive, own.threshold) == positive
        for prediction, own in zip((contest.challenger, contest.champion), contest.terms, strict=True)
    ]
    shape = (len(grouping.names), 2, 2, 2)
    cells = np.ravel_multi_index((grouping.codes, contest.y == positive, *labels), shape)
    counts = np.bincount(cells, minlength=8 * len(grouping.names)).reshape(shape)
    return counts[counts.sum(axis=(1, 2, 3)) >= least]


def _known(counts: Counts) -> npt.NDArray[np.bool_]:
    """Which groups have rows enough of each class to tell a rate; [groups, 2]."""
    return counts.sum(axis=(-1, -2)) >= LEAST_OF_CLASS


def _differences(counts: Counts, known: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.float64]]:
    """Both figures of counts by group, class and label of one model: [..., groups, 2, 2] to [...]."""
    if len(known) < 2:
        return {}
    rows, selected = counts.sum(axis=-1), counts[..., 1]
    rates = selected / np.maximum(rows, 1)
    figures = {
        "demographic_parity_difference": np.ptp(selected.sum(axis=-1) / np.maximum(rows.sum(axis=-1), 1), axis=-1)
    }
    spreads = [np.ptp(rates[..., known[:, code], code], axis=-1) for code in (0, 1) if known[:, code].sum() > 1]
    return figures | ({"equalized_odds_difference": np.maximum.reduce(spreads)} if spreads else {})
