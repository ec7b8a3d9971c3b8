"""Rows in groups by the values of one column, for figures of each group.

What belongs here: how groups are made. What does not: which columns are looked at, and what is computed of the groups
(`fairness`, `promotion.segments`).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

MOST_VALUES = 10
"""Up to here numbers are groups by their values, such as a number of children or 0 and 1; above they are binned."""

MOST_GROUPS = 20
"""Groups of labels: the commonest, and one of all others."""

LEAST_OF_CLASS = 10
"""Rows of a class that a group needs for figures about that class to count: of fewer, a single row moves a rate by more
than the 0.1 that differences are usually held against, and a bootstrap takes them for sure."""

QUARTILES, TERCILES = 4, 3

LEAST_CLUSTERS = 5
"""Series from which whole ones are drawn; draws of fewer are nearly all alike, and rows say more."""

MISSING, OTHER = "(missing)", "(other)"


@dataclass(frozen=True, eq=False)
class Grouping:
    """The groups of one column.

    Attributes
    ----------
    column : str
    names : tuple of str
        Of the groups that have rows.
    codes : ndarray [n]
        The group of each row, as a position in `names`.
    rule : str
        How the groups were made, as a clause.
    """

    column: str
    names: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    rule: str

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Rows of each group."""
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)


def drawn_together(codes: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Rows that a bootstrap draws together: those of one series, whose errors go together; of few series single rows.

    Parameters
    ----------
    codes : ndarray [n]
        Series of each row.
    """
    groups = np.unique(codes, return_inverse=True)[1]
    if groups.max(initial=0) + 1 < LEAST_CLUSTERS:
        groups = np.arange(len(codes))
    return np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])


def group_rows(column: pd.Series, parts: int) -> Grouping:
    """Put rows into groups: by value, or numbers and dates of many values into equally filled bins.

    Rows without a value are a group of their own.

    Parameters
    ----------
    column : Series
        As the table gives it; its name is the column's.
    parts : int
        Bins of numbers and dates: 4 are quartiles of these rows.
    """
    name, known = str(column.name), column.dropna()
    if known.nunique() > MOST_VALUES and not _labels(known):
        shares = [part / parts for part in range(1, parts)]
        cuts = known.quantile(shares, interpolation="lower").drop_duplicates()
        names, codes = _ranges(list(cuts)), pd.Series(cuts.searchsorted(known), index=known.index)
        rule = f"{'quartiles' if parts == QUARTILES else 'terciles'} of these rows"
    else:
        values, codes = _by_value(known)
        names, rule = values, "its values"
        if len(names) > MOST_GROUPS:
            names, codes, rule = _commonest(names, codes)
    of_all = codes.reindex(column.index).fillna(len(names)).to_numpy().astype(np.int64)
    present, compact = np.unique(of_all, return_inverse=True)
    return Grouping(name, tuple([*names, MISSING][code] for code in present), compact.astype(np.int64), rule)


def _labels(known: pd.Series) -> bool:
    """Whether the values have no order to bin them by."""
    ordered = pd.api.types.is_numeric_dtype(known) or pd.api.types.is_datetime64_any_dtype(known)
    return not ordered or pd.api.types.is_bool_dtype(known)


def _by_value(known: pd.Series) -> tuple[list[str], pd.Series]:
    codes, values = pd.factorize(known, sort=True)
    return [_text(value) for value in values], pd.Series(codes, index=known.index)


def _commonest(names: list[str], codes: pd.Series) -> tuple[list[str], pd.Series, str]:
    kept = sorted(codes.value_counts(sort=True).index[: MOST_GROUPS - 1])
    place = {code: at for at, code in enumerate(kept)}
    rule = f"its {len(kept)} commonest values, and all others together"
    return [*(names[code] for code in kept), OTHER], codes.map(place).fillna(len(kept)), rule


def _ranges(cuts: list[object]) -> list[str]:
    """Bins by name; each holds its upper cut."""
    texts = [_text(cut) for cut in cuts]
    return [f"up to {texts[0]}", *(f"above {low} to {high}" for low, high in pairwise(texts)), f"above {texts[-1]}"]


def _text(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
