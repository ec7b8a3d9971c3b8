"""No part of the rows may pay for a better mean: champion and challenger in each segment of the test rows.

Segments are the groups of the sensitive columns; of up to three categorical or boolean features, those that the new
model finds most important among features of at most `groups.MOST_VALUES` values; and terciles of its most important
numeric feature. A segment of fewer than `promotion.minSegment` rows, or of which there is hardly more than one class,
is listed and not judged.

The challenger is worse in a segment where the upper bound of the difference lies below minus the margin. The bound is
the difference and as many standard errors of a paired bootstrap as the normal distribution has at the confidence,
which is corrected for the number of judged segments (Bonferroni). Whether any segment stops a promotion, Holm's method
decides alike: its first step is the same.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd

from mt_assets.trainer.data.roles import Role
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.evaluation.groups import LEAST_OF_CLASS, MOST_VALUES, QUARTILES, TERCILES, Grouping, group_rows
from mt_assets.trainer.promotion.comparison import Contest, default_margin
from mt_assets.trainer.store.record import Record

RESAMPLES, MOST_ROWS = 200, 4_000
"""Bootstrap of one segment: 200 resamples tell a standard error to 5 %. Of more rows, 4,000 are drawn and the error
shrinks with the root of the rows; a segment then takes at most 0.1 s."""

CATEGORICAL_COLUMNS = 3


class SegmentComparison(Record):
    """Challenger against champion in one segment.

    Attributes
    ----------
    column, segment : str
    rows : int
    challenger, champion : float or None
        The metric of each; None where it is not judged.
    difference : float or None
        How much better the challenger is.
    upper : float or None
        One-sided bound of the difference.
    margin : float or None
    confidence : float or None
        Of the bound, after the correction for the number of segments.
    worse : bool
        Whether the upper bound lies below minus the margin.
    note : str
        Why it is not judged; else empty.
    """

    column: str
    segment: str
    rows: int
    challenger: float | None = None
    champion: float | None = None
    difference: float | None = None
    upper: float | None = None
    margin: float | None = None
    confidence: float | None = None
    worse: bool = False
    note: str = ""


def choose_groupings(
    frame: pd.DataFrame, features: Mapping[str, Role], importance: Mapping[str, float], sensitive: Sequence[str]
) -> tuple[Grouping, ...]:
    """Group the rows by the columns that the rule above names, the sensitive ones first.

    Parameters
    ----------
    frame : DataFrame
        The test rows, with every column.
    features : mapping of str to Role
    importance : mapping of str to float
        Of the features, the most important first.
    sensitive : sequence of str
    """
    used = [name for name, share in importance.items() if share > 0 and name not in sensitive]
    labels = [
        name
        for name in used
        if features[name] in ("categorical", "boolean") and 1 < frame[name].nunique(dropna=False) <= MOST_VALUES
    ]
    numbers = [name for name in used if features[name] == "numeric"]
    binned = [(name, QUARTILES) for name in sensitive]
    binned += [(name, TERCILES) for name in (*labels[:CATEGORICAL_COLUMNS], *numbers[:1])]
    return tuple(group_rows(frame[name], parts) for name, parts in binned)


def series_groupings(frame: pd.DataFrame, column: str | None) -> tuple[Grouping, ...]:
    """Of forecasts: the series, where there are several."""
    return (group_rows(frame[column], TERCILES),) if column else ()


def compare_segments(
    contest: Contest, groupings: Sequence[Grouping], *, least: int, margin: float | None, confidence: float, seed: int
) -> tuple[SegmentComparison, ...]:
    """Compare two models in each group of each grouping.

    Parameters
    ----------
    contest : Contest
    groupings : sequence of Grouping
        Of the rows of the contest.
    least : int
        Rows that a segment needs to be judged.
    margin : float or None
        In units of the metric; None is `comparison.default_margin` of the champion's score in the segment.
    confidence : float
        That of all segments together.
    seed : int
    """
    parts = [
        (grouping.column, name, contest.among(grouping.codes == code))
        for grouping in groupings
        for code, name in enumerate(grouping.names)
    ]
    notes = [_why_not(part, least) for _, _, part in parts]
    corrected = 1 - (1 - confidence) / max(1, notes.count(""))
    return tuple(
        SegmentComparison(column=column, segment=name, rows=len(part.y), note=note)
        if note
        else _compared(column, name, part, margin, corrected, seed)
        for (column, name, part), note in zip(parts, notes, strict=True)
    )


def _why_not(part: Contest, least: int) -> str:
    if len(part.y) < least:
        return f"fewer than {least} rows (`promotion.minSegment`)"
    counts = np.sort(np.unique(part.y, return_counts=True)[1]) if part.of_classes else np.array([])
    if part.of_classes and (len(counts) < 2 or counts[-2] < LEAST_OF_CLASS):
        return "one class alone" if len(counts) < 2 else f"fewer than {LEAST_OF_CLASS} rows of a second class"
    return ""


def _compared(
    column: str, name: str, part: Contest, margin: float | None, confidence: float, seed: int
) -> SegmentComparison:
    rows = len(part.y)
    try:
        challenger, champion = part.scores()
        share = min(1.0, MOST_ROWS / rows)
        error = float(part.resampled_gains(RESAMPLES, seed, share).std() * np.sqrt(share))
    except TrainingError as problem:
        return SegmentComparison(column=column, segment=name, rows=rows, note=problem.message)
    difference = part.gain((challenger, champion))
    upper = difference + NormalDist().inv_cdf(confidence) * error
    allowed = default_margin(part.metric, champion) if margin is None else margin
    return SegmentComparison(
        column=column,
        segment=name,
        rows=rows,
        challenger=challenger,
        champion=champion,
        difference=difference,
        upper=upper,
        margin=allowed,
        confidence=confidence,
        worse=upper < -allowed,
    )
