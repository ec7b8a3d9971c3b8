"""Who is drawn: rows within each class, whole groups, or the newest.

A draw looks at identities, classes, groups and times, never at the values of a feature, and gives the same rows in
whatever order they stand. What was drawn before stays as it was.
"""

import numpy as np

from mt_assets.trainer.data.identity import draw_order
from mt_assets.trainer.data.pool import Pool
from mt_assets.trainer.errors import DataError

NEW, LEARN, TEST = -1, 0, 1
"""Where a row was assigned before: not yet, to the learning rows, to the test rows."""


def draw(pool: Pool, size: float | int, seed: int, purpose: str, known: np.ndarray | None = None) -> np.ndarray:
    """Draw rows from a pool: the newest of dated rows, whole groups of grouped ones, else rows within each class.

    Parameters
    ----------
    pool : Pool
    size : float or int
        Share of the rows, or a number of rows.
    seed : int
    purpose : str
        Names the draw; draws for different purposes are independent.
    known : numpy.ndarray, optional
        NEW, LEARN or TEST for each row (not for dated pools). Rows that are not new stay what they are.

    Returns
    -------
    numpy.ndarray
        bool, true for what is drawn, rows known as TEST among them.

    Raises
    ------
    DataError
        A number of rows that leaves nothing to learn from, or times that are all the same.
    """
    known = np.full(len(pool), NEW) if known is None else known
    if isinstance(size, int) and size >= len(pool):
        raise DataError(
            f"{purpose}Size asks for {size} rows of {len(pool)}; nothing would be left to learn from.",
            suggestions=(f"Set {purpose}Size to a share such as 0.2, or to fewer rows.",),
        )
    if not size:
        return np.zeros(len(pool), dtype=bool)
    if pool.times is not None:
        return _newest(pool.times, _rows(size, len(pool)))
    if pool.groups is not None:
        return _groups(pool, _rows(size, len(pool)), seed, purpose, known)
    return _within_classes(pool, size, seed, purpose, known)


def _rows(size: float | int, total: int) -> int:
    return size if isinstance(size, int) else max(1, round(size * total))


def _within_classes(pool: Pool, size: float | int, seed: int, purpose: str, known: np.ndarray) -> np.ndarray:
    """Of each class the share of its rows that come first in the seeded order of identities.

    A class keeps two learning rows if it has them, so that a fold can have one on either side; else it keeps one.
    """
    codes = np.zeros(len(pool), dtype=np.int64) if pool.codes is None else pool.codes
    totals = np.bincount(codes)
    wanted = _quotas(size, totals) if isinstance(size, int) else np.rint(size * totals).astype(np.int64)
    new = np.bincount(codes[known == NEW], minlength=len(totals))
    learned = np.bincount(codes[known == LEARN], minlength=len(totals))
    tested = np.bincount(codes[known == TEST], minlength=len(totals))
    to_keep = np.maximum(np.minimum(totals, 2) - learned, 0)
    take = np.clip(wanted - tested, 0, np.maximum(new - to_keep, 0))
    order = np.lexsort((draw_order(pool.identities, seed, purpose), known != NEW, codes))
    rank = np.arange(len(pool)) - np.repeat(np.cumsum(totals) - totals, totals)
    drawn = known == TEST
    drawn[order[rank < take[codes[order]]]] = True
    return drawn


def _quotas(rows: int, totals: np.ndarray) -> np.ndarray:
    """Share a number of rows among classes in proportion, by largest remainders."""
    exact = rows * totals / totals.sum()
    quotas = np.floor(exact).astype(np.int64)
    remainders = np.argsort(quotas - exact, kind="stable")
    quotas[remainders[: rows - quotas.sum()]] += 1
    return quotas


def _groups(pool: Pool, rows: int, seed: int, purpose: str, known: np.ndarray) -> np.ndarray:
    """Whole groups in their seeded order, passing over those that would go beyond the number of rows.

    A group that holds the last learning rows of a class is passed over too.
    """
    assert pool.groups is not None
    groups, of_row, sizes = np.unique(pool.groups, return_inverse=True, return_counts=True)
    codes = np.zeros(len(pool), dtype=np.int64) if pool.codes is None else pool.codes
    state = np.full(len(groups), NEW)
    state[of_row[known == LEARN]] = LEARN
    state[of_row[known == TEST]] = TEST
    by_group = codes[np.argsort(of_row, kind="stable")]
    ends = np.cumsum(sizes)
    learning = np.bincount(codes[state[of_row] != TEST], minlength=int(codes.max()) + 1)

    def take(group: int) -> bool:
        mine = np.bincount(by_group[ends[group] - sizes[group] : ends[group]], minlength=len(learning))
        if ((mine > 0) & (mine == learning)).any():
            return False
        learning[:] -= mine
        state[group] = TEST
        return True

    order = np.argsort(draw_order(groups, seed, purpose), kind="stable")
    candidates = order[state[order] == NEW]
    left = rows - int(sizes[state == TEST].sum())
    for group, size in zip(candidates.tolist(), sizes[candidates].tolist(), strict=True):
        if size <= left and take(group):
            left -= size
    if not (state == TEST).any():
        # Every group is larger than what is asked: the smallest that can be spared is the nearest to it.
        any(take(group) for group in candidates[np.argsort(sizes[candidates], kind="stable")].tolist())
    return (state == TEST)[of_row]


def _newest(times: np.ndarray, rows: int) -> np.ndarray:
    """The newest rows, as near to the number as rows of one time that stay together allow."""
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) < 2:
        raise DataError(
            "All rows have the same time, so that none is newer than the others.",
            suggestions=("Name another timeColumn, or leave it out.",),
        )
    # newer[i]: rows from moment i on; the first moment always stays for learning.
    newer = counts[::-1].cumsum()[::-1][1:]
    return times >= moments[1 + int(np.argmin(np.abs(newer - rows)))]
