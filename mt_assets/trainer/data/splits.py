"""Who is trained on, who is validated on, who is tested on: drawn once, and kept for life."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mt_assets.trainer.data.assignment import NO_KEYS, Fold, Splits
from mt_assets.trainer.data.draw import LEARN, NEW, TEST, draw
from mt_assets.trainer.data.folds import FoldOrder, deal_folds
from mt_assets.trainer.data.given import KEYS
from mt_assets.trainer.data.identity import content_hashes, identities
from mt_assets.trainer.data.pool import Pool, left_out, usable_rows
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.split_checks import check_splits
from mt_assets.trainer.data.split_record import break_with, equal_rows, test_decision, unlearned_classes, with_folds
from mt_assets.trainer.data.strategy import SplitFacts, choose_strategy, holdout_share, repeats_of
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.windows import split_series, unit_of_series
from mt_assets.trainer.planning.decision import Decision

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

__all__ = ["Fold", "Splits", "check_splits", "split_data"]


BUDGET_FOLDS = 8
"""Folds where time is limited and the spec does not say how many: their models are what an ensemble keeps, and each has
learned from seven eighths of the rows (AutoGluon bags 8 folds as well). How many of them a trial runs on is decided
later, by what a fit costs."""


@dataclass(frozen=True)
class GivenRows:
    """Which rows of a pool were given for validation and for the test: bool masks; None where none were given."""

    validation: np.ndarray | None
    test: np.ndarray | None


def split_data(table: Table, profile: DataProfile, spec: "TrainingSpec", previous: Splits | None) -> Splits:
    """Draw the test rows and deal the others to folds.

    The test is drawn within each class (whole groups with groupColumn) in a seeded order of the rows' identities, so
    that neither the order of the rows nor the value of a feature matters; of dated rows the newest are the test. Given
    test rows are the test, with nothing drawn; given validation rows are the canonical fold, and learned from at last.

    Parameters
    ----------
    table : Table
        The full table.
    profile : DataProfile
        Of that table.
    spec : TrainingSpec
    previous : Splits or None
        The splits of this model's last training. Each row (or group) that it assigned stays where it is, and of the
        new ones as many are drawn as bring the test to its size. Dated rows may move from test to learning as newer
        ones arrive, and never back. Given rows are what the files make them.

    Raises
    ------
    DataError
        Too few rows or classes are left to learn from, the time column holds no times, or no given row can be used.
    """
    unit = _unit(spec)
    broken = break_with(previous, unit, table)
    previous = None if broken else previous
    if profile.series is not None:
        return split_series(table, profile.series, spec, previous)
    columns = previous.columns if previous else tuple(sorted(table.columns))
    content = content_hashes(table, columns)
    of_all = identities(content)
    pool, decisions = usable_rows(table, profile, spec, of_all)
    decisions += broken
    given = _given_rows(table, pool, spec)
    in_test = _draw_test(pool, spec, previous, given)
    in_learning = ~in_test
    if pool.times is not None and pool.groups is not None:
        decisions += _purge(pool, in_test, in_learning)
    learning, keys = pool.part(in_learning), pool.identities if pool.groups is None else pool.groups
    in_validation = None if given.validation is None else given.validation[in_learning]
    _refuse_unlearnable(learning, in_validation, profile)
    _refuse_third_class(pool, given, profile)
    strategy = choose_strategy(spec, _facts(spec, learning, in_validation))
    order = _order(spec, strategy.value, len(learning))
    parts, reductions = deal_folds(learning, order, in_validation)
    folds = tuple(Fold(learning.positions[fit], learning.positions[score]) for fit, score in parts)
    test = pool.positions[in_test]
    for_life = pool.times is None
    return Splits(
        identities=of_all,
        test=test,
        folds=folds,
        strategy=strategy.value,
        repeats=order.repeats,
        decisions=(
            test_decision(spec, pool, in_test, previous),
            *decisions,
            with_folds(strategy, folds, order.repeats),
            *reductions,
        ),
        learning=learning.positions,
        columns=columns,
        unit=unit,
        tested=_ever(keys[in_test], previous.tested if previous else NO_KEYS) if for_life else NO_KEYS,
        learned=_ever(keys[in_learning], previous.learned if previous else NO_KEYS) if for_life else NO_KEYS,
        warnings=(
            *unlearned_classes(pool, in_test, in_learning, profile),
            *equal_rows(content, table, test, folds[0], learning.positions),
        ),
    )


def _given_rows(table: Table, pool: Pool, spec: "TrainingSpec") -> GivenRows:
    return GivenRows(
        validation=_given_part(table, pool, spec, "validation"), test=_given_part(table, pool, spec, "test")
    )


def _given_part(table: Table, pool: Pool, spec: "TrainingSpec", name: str) -> np.ndarray | None:
    if name not in table.parts:
        return None
    mask = np.isin(pool.positions, table.part(name))
    if not mask.any():
        needed = f"a value in '{spec.target_column}'" + (f" and '{spec.time_column}'" if spec.time_column else "")
        raise DataError(
            f"No row of {KEYS[name]} can be used: none of {table.parts[name]:,} has {needed}.",
            suggestions=(f"Fill the column in, or leave {KEYS[name]} out.",),
        )
    return mask


def _unit(spec: "TrainingSpec") -> str:
    if spec.test_data_path is not None:
        return KEYS["test"]
    if spec.forecasts:
        return unit_of_series(spec.time_column, spec.series_column)
    if spec.time_column:
        return f"time:{spec.time_column}"
    return f"group:{spec.group_column}" if spec.group_column else "row"


def _draw_test(pool: Pool, spec: "TrainingSpec", previous: Splits | None, given: GivenRows) -> np.ndarray:
    """True for the test rows of the pool."""
    if given.test is not None:
        return given.test
    keys = pool.identities if pool.groups is None else pool.groups
    drawn = np.zeros(len(pool), dtype=bool)
    # Nothing is drawn of given validation rows, and nothing that shares a group with one.
    free = np.ones(len(pool), dtype=bool) if given.validation is None else ~given.validation
    known = np.full(len(pool), NEW)
    if given.validation is not None:
        known[np.isin(keys, keys[given.validation])] = LEARN
    if previous is not None and pool.times is None:
        known[np.isin(keys, previous.learned)] = LEARN
        known[np.isin(keys, previous.tested) & free] = TEST
    drawn[free] = draw(pool.part(free), spec.test_size, spec.options.seed, "test", known[free])
    if previous is not None and pool.times is not None:
        # Rows that were learned from keep everything up to their time out of the test.
        was_learned = np.isin(pool.identities, previous.identities[previous.learning])
        drawn &= pool.times > pool.times[was_learned].max(initial=np.iinfo(np.int64).min)
    return drawn


def _purge(pool: Pool, in_test: np.ndarray, in_learning: np.ndarray) -> list[Decision]:
    """Leave out learning rows whose group is tested, where rows are both dated and grouped; changes `in_learning`."""
    assert pool.groups is not None
    shared = in_learning & np.isin(pool.groups, pool.groups[in_test])
    if 2 * shared.sum() > in_learning.sum():
        raise DataError(
            f"{shared.sum():,} of {in_learning.sum():,} rows before the test belong to groups that are also among the "
            "newest rows; with timeColumn and groupColumn together they may not be learned from, and too few are left.",
            suggestions=("Name only timeColumn, or only groupColumn.",),
        )
    in_learning &= ~shared
    what = "belong to a group that is also among the test rows"
    return [left_out("test.shared_groups", int(shared.sum()), what, "groupColumn")] if shared.any() else []


def _refuse_unlearnable(learning: Pool, in_validation: np.ndarray | None, profile: DataProfile) -> None:
    fitted = learning if in_validation is None else learning.part(~in_validation)
    given = "" if in_validation is None else f" besides the rows of {KEYS['validation']}"
    if len(fitted) < 2:
        raise DataError(
            f"Only {len(fitted)} of {profile.rows} rows can be learned from{given}.",
            suggestions=("Use more data, or a smaller testSize.",),
        )
    if fitted.codes is not None and len(np.unique(fitted.codes)) < 2:
        only = profile.target.classes[int(fitted.codes[0])]
        where = "the test rows" if in_validation is None else "the test and the validation rows"
        raise DataError(
            f"All rows that are left to learn from have the class {only!r}; the others occur among {where} only.",
            suggestions=("Use a smaller testSize.", "Leave timeColumn or groupColumn out if rows are independent."),
        )


def _refuse_third_class(pool: Pool, given: GivenRows, profile: DataProfile) -> None:
    """A label that only a given file has, as a third one, would make another task of a choice between two."""
    masks = {name: mask for name, mask in (("validation", given.validation), ("test", given.test)) if mask is not None}
    if pool.codes is None or not masks:
        return
    learned = np.unique(pool.codes[~np.any(list(masks.values()), axis=0)])
    if len(learned) != 2:
        return
    for name, mask in masks.items():
        new = [profile.target.classes[code] for code in np.setdiff1d(pool.codes[mask], learned)]
        if new:
            known = " and ".join(repr(profile.target.classes[code]) for code in learned)
            raise DataError(
                f"{KEYS[name]} has {', '.join(map(repr, new[:10]))} in '{profile.target.column}', but the rows to "
                f"learn from have {known} only.",
                suggestions=(f"Correct the labels in {KEYS[name]}, or take those rows out.",),
            )


def _facts(spec: "TrainingSpec", learning: Pool, in_validation: np.ndarray | None) -> SplitFacts:
    asked = spec.validation_strategy
    return SplitFacts(
        task="regression" if learning.codes is None else "classification",
        rows=len(learning),
        dated=learning.times is not None,
        grouped=learning.groups is not None,
        validation_size=spec.validation_size,
        validation_rows=None if in_validation is None else int(in_validation.sum()),
        folds_asked=asked.folds != type(asked)().folds,
        repeats=asked.repeats or 0,
        shuffled=asked.shuffle,
    )


def _order(spec: "TrainingSpec", strategy: str, rows: int) -> FoldOrder:
    asked = spec.validation_strategy
    return FoldOrder(
        strategy=strategy,
        folds=_folds(spec),
        repeats=repeats_of(spec, strategy),
        shuffle=asked.shuffle,
        gap=asked.gap,
        size=spec.validation_size or holdout_share(rows, spec.hyperparameter_search.enabled),
        seed=spec.options.seed,
    )


def _ever(keys: np.ndarray, before: np.ndarray) -> np.ndarray:
    """All keys of both, ascending, each once. Sorting takes a tenth of the time of `numpy.union1d` (1,000,000 keys)."""
    merged = np.sort(np.concatenate([keys, before]))
    first = np.ones(len(merged), dtype=bool)
    first[1:] = merged[1:] != merged[:-1]
    return merged[first]


def _folds(spec: "TrainingSpec") -> int:
    """How many folds there are to be."""
    asked = spec.validation_strategy
    by_time = spec.options.time_budget is not None and "folds" not in asked.model_fields_set
    return BUDGET_FOLDS if by_time else asked.folds
