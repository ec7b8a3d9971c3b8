"""The folds of each validation strategy, by scikit-learn's splitters.

Rows are dealt in the order of their identities, so that the order of the file leaves no mark (unless the spec asks for
that order), and dated rows in the order of time. A strategy that the rows do not allow is reduced, and says so.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from mt_assets.trainer.data.draw import draw
from mt_assets.trainer.data.pool import Pool
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.planning.decision import Decision

MOST_LEFT_OUT = 2000
"""Rows up to which leave_one_out is done: 2,000 fits, and 32 MB of row numbers."""

Parts = tuple[np.ndarray, np.ndarray]
"""Indices into a pool to fit on and to score on."""


@dataclass(frozen=True)
class FoldOrder:
    """What folds are asked for: `strategy` is never `auto`; `size` is that of a holdout."""

    strategy: str
    folds: int
    repeats: int
    shuffle: bool
    gap: int
    size: float | int
    seed: int


def deal_folds(pool: Pool, order: FoldOrder, given: np.ndarray | None = None) -> tuple[list[Parts], list[Decision]]:
    """Deal the learning rows to folds.

    Parameters
    ----------
    pool : Pool
        All learning rows.
    order : FoldOrder
    given : numpy.ndarray, optional
        bool, true for given validation rows. They are the canonical fold. A strategy with folds deals the others to
        one fold less, in which (of undated data) the given rows are fitted on, so that each row is scored once.

    Returns
    -------
    folds : list of (fit, score)
        Sorted indices into the pool, the canonical fold first (the most recent of dated rows).
    decisions : list of Decision
        Where fewer folds were possible than asked, and where given rows are the first of several folds.

    Raises
    ------
    DataError
        The rows do not allow two folds.
    """
    if given is None:
        return _deal(pool, order)
    first = _one_fold(pool, order, given)
    if order.strategy == "holdout":
        return [first], []
    rest, also_fitted = np.flatnonzero(~given), np.flatnonzero(given if pool.times is None else np.zeros_like(given))
    others, decisions = _deal(pool.part(rest), replace(order, folds=max(order.folds - 1, 2)))
    parts = [(np.sort(np.concatenate([rest[fit], also_fitted])), rest[score]) for fit, score in others]
    return [first, *parts], [_given_first(int(given.sum()), len(parts)), *decisions]


def _deal(pool: Pool, order: FoldOrder) -> tuple[list[Parts], list[Decision]]:
    if order.strategy == "holdout":
        return [_one_fold(pool, order, draw(pool, order.size, order.seed, "validation"))], []
    if order.strategy == "time_series_split":
        return _dated(pool, order)
    if order.strategy == "leave_one_out":
        return _each_row(pool), []
    if "group" in order.strategy:
        return _grouped(pool, order)
    return _independent(pool, order)


def _one_fold(pool: Pool, order: FoldOrder, scored: np.ndarray) -> Parts:
    fit, score = np.flatnonzero(~scored), np.flatnonzero(scored)
    if pool.times is not None:
        earlier = fit[np.lexsort((pool.identities[fit], pool.times[fit]))]
        if order.gap >= len(fit):
            raise _no_earlier_rows(pool, order)
        fit, score = _without_shared_groups(pool, np.sort(earlier[: len(fit) - order.gap]), score)
    _refuse_empty(fit)
    _refuse_empty(score)
    return fit, score


def _given_first(rows: int, others: int) -> Decision:
    return Decision(
        decision="canonical_fold",
        value=rows,
        rule="validation.given_first",
        reason=f"The rows of validationDataPath are the first fold; {others} more are dealt among the training rows.",
        evidence={"validation_rows": rows, "further_folds": others},
        override="validationDataPath",
    )


def _independent(pool: Pool, order: FoldOrder) -> tuple[list[Parts], list[Decision]]:
    """k-fold, stratified or not, once or more often.

    A class with a single learning row cannot be on both sides: its row is fitted on in every fold and scored on in
    none, so that no model meets a class for the first time.
    """
    codes = pool.codes if "stratified" in order.strategy else None
    shared = np.arange(len(pool))
    single = np.empty(0, dtype=np.int64)
    if codes is not None:
        counts = np.bincount(codes)
        single, shared = np.flatnonzero(counts[codes] == 1), np.flatnonzero(counts[codes] > 1)
        counted = counts[counts > 1]
        fewest = int(counted.min()) if len(counted) else 1
        folds, decisions = _possible(
            pool, order, fewest, "the rarest class has {} rows" if len(counted) else "no class has more than {} row"
        )
    else:
        folds, decisions = _possible(pool, order, len(pool), "there are {} learning rows")
    if order.shuffle:
        shared = shared[np.argsort(pool.identities[shared], kind="stable")]
    parts = []
    for repeat in range(order.repeats):
        seed = order.seed + repeat if order.shuffle else None
        splitter = (KFold if codes is None else StratifiedKFold)(folds, shuffle=order.shuffle, random_state=seed)
        for fit, score in splitter.split(shared, None if codes is None else codes[shared]):
            parts.append((np.sort(np.concatenate([shared[fit], single])), np.sort(shared[score])))
    return parts, decisions


def _grouped(pool: Pool, order: FoldOrder) -> tuple[list[Parts], list[Decision]]:
    """Folds of whole groups; as many as leave every class among the fitted rows of every fold, if possible."""
    assert pool.groups is not None
    at = np.argsort(pool.identities, kind="stable") if order.shuffle else np.arange(len(pool))
    seed = order.seed if order.shuffle else None
    asked, decisions = _possible(
        pool, order, len(np.unique(pool.groups)), "there are {} groups among the learning rows"
    )
    if order.strategy == "stratified_group_kfold" and pool.codes is not None:
        asked = min(asked, max(2, int(np.bincount(pool.codes).max())))
    dealt: list[Parts] = []
    for folds in range(asked, 1, -1):
        if order.strategy == "stratified_group_kfold":
            splitter = StratifiedGroupKFold(folds, shuffle=order.shuffle, random_state=seed)
        else:
            splitter = GroupKFold(folds, shuffle=order.shuffle, random_state=seed)
        codes = np.zeros(len(at)) if pool.codes is None else pool.codes[at]
        with warnings.catch_warnings():
            # A class with fewer rows than folds is looked after below.
            warnings.simplefilter("ignore", UserWarning)
            dealing = list(splitter.split(at, codes, pool.groups[at]))
        found = [(np.sort(at[fit]), np.sort(at[score])) for fit, score in dealing if len(fit) and len(score)]
        dealt = dealt or found
        if pool.codes is None or all(_has_all_classes(pool.codes, fit) for fit, _ in found):
            if folds < asked:
                decisions = [_reduced(order.folds, folds, "a class occurs in too few groups")]
            return found, decisions
    return dealt, decisions


def _dated(pool: Pool, order: FoldOrder) -> tuple[list[Parts], list[Decision]]:
    """Growing windows; rows of one time stay together, and the fold with the newest validation rows comes first."""
    assert pool.times is not None
    at = np.lexsort((pool.identities, pool.times))
    times = pool.times[at]
    moments = len(np.unique(times))
    folds, decisions = _possible(pool, order, moments - 1, "there are {} different times after the first")
    # Borders as TimeSeriesSplit sets them, moved back to where the rows of that time begin.
    starts = [int(score[0]) for _, score in TimeSeriesSplit(folds).split(times)]
    borders = np.unique([np.searchsorted(times, times[start]) for start in starts])
    ends = np.append(borders[1:], len(times))
    parts = []
    for start, end in zip(borders, ends, strict=True):
        fitted = max(int(start) - order.gap, 0)
        enough = pool.codes is None or len(np.unique(pool.codes[at[:fitted]])) > 1
        if fitted and enough:
            parts.append(_without_shared_groups(pool, np.sort(at[:fitted]), np.sort(at[start:end])))
    parts = [(fit, score) for fit, score in parts if len(fit)]
    if not parts:
        raise _no_earlier_rows(pool, order)
    if len(parts) < folds:
        decisions = [_reduced(order.folds, len(parts), "the rows before the others are too few")]
    return parts[::-1], decisions


def _no_earlier_rows(pool: Pool, order: FoldOrder) -> DataError:
    assert pool.times is not None
    moments = len(np.unique(pool.times))
    return DataError(
        f"The {len(pool):,} learning rows have {moments:,} different times, from which no validation part with earlier "
        f"rows (and a gap of {order.gap}) can be cut.",
        suggestions=("Lower validationStrategy.gap or testSize, or use more data.",),
    )


def _without_shared_groups(pool: Pool, fit: np.ndarray, score: np.ndarray) -> Parts:
    return (fit, score) if pool.groups is None else (fit[~np.isin(pool.groups[fit], pool.groups[score])], score)


def _each_row(pool: Pool) -> list[Parts]:
    if not 2 <= len(pool) <= MOST_LEFT_OUT:
        raise DataError(
            f"validationStrategy.type leave_one_out means one fit for each of {len(pool):,} learning rows; it is done "
            f"for 2 to {MOST_LEFT_OUT:,} rows.",
            suggestions=("Set validationStrategy.type to auto.",),
        )
    at = np.argsort(pool.identities, kind="stable")
    parts = [(np.sort(at[fit]), at[score]) for fit, score in LeaveOneOut().split(at)]
    if pool.codes is not None:
        parts = [(fit, score) for fit, score in parts if _has_all_classes(pool.codes, fit)]
    _refuse_empty(parts)
    return parts


def _has_all_classes(codes: np.ndarray, fit: np.ndarray) -> bool:
    return len(np.unique(codes[fit])) == len(np.unique(codes))


def _possible(pool: Pool, order: FoldOrder, most: int, why: str) -> tuple[int, list[Decision]]:
    """The folds asked for or as many as can be, at least two."""
    if most < 2:
        raise DataError(
            f"No two folds can be made for {order.strategy} of the {len(pool)} learning rows, since "
            f"{why.format(most)}.",
            suggestions=("Use more data, or a smaller testSize.", "Set validationStrategy.type to holdout."),
        )
    if most >= order.folds:
        return order.folds, []
    return most, [_reduced(order.folds, most, why.format(most))]


def _reduced(asked: int, possible: int, why: str) -> Decision:
    return Decision(
        decision="folds",
        value=possible,
        rule="validation.reduced",
        reason=f"Asked for {asked} folds, {possible} possible, because {why}.",
        evidence={"asked": asked, "possible": possible},
        override="validationStrategy.folds",
    )


def _refuse_empty(rows: Sequence[object] | np.ndarray) -> None:
    if not len(rows):
        raise DataError(
            "There are too few learning rows to validate on.",
            suggestions=("Use more data, or a smaller testSize.",),
        )
