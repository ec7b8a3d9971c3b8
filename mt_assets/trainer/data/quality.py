"""How fit a table is for learning, as one number with its parts."""

from collections.abc import Mapping

from mt_assets.trainer.store.record import Record

WEIGHTS: Mapping[str, float] = {"completeness": 0.4, "duplicates": 0.2, "constants": 0.2, "consistency": 0.2}
"""Missing values are the commonest harm to a table of features, so they weigh twice the others."""


class QualityScore(Record):
    """How fit the data is for learning.

    Attributes
    ----------
    score : float
        0 to 100: 0.4 completeness + 0.2 duplicates + 0.2 constants + 0.2 consistency.
    parts : dict
        Each 0 to 100. `completeness`: share of cells that hold a value; `duplicates`: share of rows that are not
        repeats of another; `constants`: share of columns that vary; `consistency`: share of columns without a sign
        that they are read otherwise than meant (numbers as text, units, other dates, infinities, one label in two
        spellings).
    notes : tuple of str
        What lowered the score.
    """

    score: float
    parts: dict[str, float]
    notes: tuple[str, ...] = ()


def score_quality(
    rows: int, columns: int, missing: int, duplicates: int, constants: int, odd: Mapping[str, str]
) -> QualityScore:
    """Score a table from its counts.

    Parameters
    ----------
    rows, columns : int
        Size of the table, both at least 1.
    missing : int
        Cells without a value.
    duplicates : int
        Rows that repeat another row.
    constants : int
        Columns that do not vary.
    odd : mapping
        Columns that may be read otherwise than meant, and why.
    """
    cells = rows * columns
    parts = {
        "completeness": 100 * (1 - missing / cells),
        "duplicates": 100 * (1 - duplicates / rows),
        "constants": 100 * (1 - constants / columns),
        "consistency": 100 * (1 - len(odd) / columns),
    }
    notes = [f"{missing / cells:.1%} of the cells are missing."] if missing else []
    notes += [f"{duplicates:,} of {rows:,} rows repeat another row."] if duplicates else []
    notes += [f"{constants} of {columns} columns do not vary."] if constants else []
    notes += [f"'{name}' {why}." for name, why in odd.items()]
    score = sum(WEIGHTS[name] * part for name, part in parts.items())
    return QualityScore(
        score=round(score, 2), parts={name: round(part, 2) for name, part in parts.items()}, notes=tuple(notes)
    )
