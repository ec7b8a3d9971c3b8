"""Who is trained on, who is validated on, who is tested on: drawn once, and kept for life."""

from typing import TYPE_CHECKING

import numpy as np

from mt_assets.trainer.data.assignment import NO_KEYS, Fold, Splits
from mt_assets.trainer.data.draw import LEARN, NEW, TEST, draw
from mt_assets.trainer.data.folds import FoldOrder, deal_folds
from mt_assets.trainer.data.identity import content_hashes, identities
from mt_assets.trainer.data.pool import Pool, left_out, usable_rows
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.split_checks import check_splits
from mt_assets.trainer.data.strategy import SplitFacts, choose_strategy, holdout_share, repeats_of
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.planning.decision import Decision

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

__all__ = ["Fold", "Splits", "check_splits", "split_data"]


def split_data(table: Table, profile: DataProfile, spec: "TrainingSpec", previous: Splits | None) -> Splits:
    """Draw the test rows and deal the others to folds.

    The test is drawn within each class (whole groups with groupColumn) in a seeded order of the rows' identities, so
    that neither the order of the rows nor the value of a feature matters; of dated rows the newest are the test.

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
        ones arrive, and never back.

    Raises
    ------
    DataError
        Too few rows or classes are left to learn from, or the time column holds no times.
    """
    unit = _unit(spec)
    broken = _break_with(previous, unit, table)
    previous = None if broken else previous
    columns = previous.columns if previous else tuple(sorted(table.columns))
    of_all = identities(content_hashes(table, columns))
    pool, decisions = usable_rows(table, profile, spec, of_all)
    decisions += broken
    in_test = _draw_test(pool, spec, previous)
    in_learning = ~in_test
    if pool.times is not None and pool.groups is not None:
        decisions += _purge(pool, in_test, in_learning)
    learning, keys = pool.part(in_learning), pool.identities if pool.groups is None else pool.groups
    _refuse_unlearnable(learning, profile)
    facts = SplitFacts(
        task=profile.target.task,
        rows=len(learning),
        dated=pool.times is not None,
        grouped=pool.groups is not None,
        validation_size=spec.validation_size,
    )
    strategy = choose_strategy(spec, facts)
    order = _order(spec, strategy.value, len(learning))
    parts, reductions = deal_folds(learning, order)
    test = pool.positions[in_test]
    for_life = pool.times is None
    return Splits(
        identities=of_all,
        test=test,
        folds=tuple(Fold(learning.positions[fit], learning.positions[score]) for fit, score in parts),
        strategy=strategy.value,
        repeats=order.repeats,
        decisions=(_test_decision(spec, pool, test, previous), *decisions, strategy, *reductions),
        learning=learning.positions,
        columns=columns,
        unit=unit,
        tested=_ever(keys[in_test], previous.tested if previous else NO_KEYS) if for_life else NO_KEYS,
        learned=_ever(keys[in_learning], previous.learned if previous else NO_KEYS) if for_life else NO_KEYS,
    )


def _unit(spec: "TrainingSpec") -> str:
    if spec.time_column:
        return f"time:{spec.time_column}"
    return f"group:{spec.group_column}" if spec.group_column else "row"


def _draw_test(pool: Pool, spec: "TrainingSpec", previous: Splits | None) -> np.ndarray:
    """True for the test rows of the pool."""
    if previous is None or not spec.test_size:
        return draw(pool, spec.test_size, spec.options.seed, "test")
    if pool.times is not None:
        drawn = draw(pool, spec.test_size, spec.options.seed, "test")
        # Rows that were learned from keep everything up to their time out of the test.
        was_learned = np.isin(pool.identities, previous.identities[previous.learning])
        newest_learned = pool.times[was_learned].max(initial=np.iinfo(np.int64).min)
        return drawn & (pool.times > newest_learned)
    keys = pool.identities if pool.groups is None else pool.groups
    known = np.full(len(pool), NEW)
    known[np.isin(keys, previous.learned)] = LEARN
    known[np.isin(keys, previous.tested)] = TEST
    return draw(pool, spec.test_size, spec.options.seed, "test", known)


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


def _refuse_unlearnable(learning: Pool, profile: DataProfile) -> None:
    if len(learning) < 2:
        raise DataError(
            f"Only {len(learning)} of {profile.rows} rows can be learned from.",
            suggestions=("Use more data, or a smaller testSize.",),
        )
    if learning.codes is not None and len(np.unique(learning.codes)) < 2:
        only = profile.target.classes[int(learning.codes[0])]
        raise DataError(
            f"All rows that are left to learn from have the class {only!r}; the others occur among the test rows only.",
            suggestions=("Use a smaller testSize.", "Leave timeColumn or groupColumn out if rows are independent."),
        )


def _order(spec: "TrainingSpec", strategy: str, rows: int) -> FoldOrder:
    asked = spec.validation_strategy
    return FoldOrder(
        strategy=strategy,
        folds=asked.folds,
        repeats=repeats_of(spec, strategy),
        shuffle=asked.shuffle,
        gap=asked.gap,
        size=spec.validation_size or holdout_share(rows, spec.hyperparameter_search.enabled),
        seed=spec.options.seed,
    )


def _ever(keys: np.ndarray, before: np.ndarray) -> np.ndarray:
    return np.union1d(keys, before)


def _test_decision(spec: "TrainingSpec", pool: Pool, test: np.ndarray, previous: Splits | None) -> Decision:
    if not spec.test_size:
        rule, reason = "test.none", "The spec asks for no test rows; the evaluation is out-of-fold."
    elif pool.times is not None:
        rule, reason = "test.newest", f"The newest rows by '{spec.time_column}' are the test."
    elif pool.groups is not None:
        rule, reason = "test.groups", f"Whole groups of '{spec.group_column}' are drawn, so that none is on both sides."
    elif pool.codes is not None:
        rule, reason = "test.classes", "Rows are drawn within each class, by their content and the seed."
    else:
        rule, reason = "test.rows", "Rows are drawn by their content and the seed."
    evidence = {"rows": len(pool), "test_rows": len(test), "asked": spec.test_size}
    if previous is not None:
        reason += " What was assigned before stays."
        evidence["new_rows"] = int((~np.isin(pool.identities, previous.identities)).sum())
    return Decision(decision="test", value=len(test), rule=rule, reason=reason, evidence=evidence, override="testSize")


def _break_with(previous: Splits | None, unit: str, table: Table) -> list[Decision]:
    """Why nothing that was assigned before can stay; empty where it can."""
    if previous is None:
        return []
    lost = sorted(set(previous.columns) - set(table.columns))
    if not lost and previous.unit == unit:
        return []
    if lost:
        reason = f"The data has lost {', '.join(map(repr, lost[:5]))}, so that rows cannot be recognised."
    else:
        reason = f"Splits are now made by {unit}, before by {previous.unit}."
    return [
        Decision(
            decision="test_redrawn",
            value=True,
            rule="test.redrawn",
            reason=f"{reason} The test is drawn anew, and may hold rows that an earlier model was trained on.",
            evidence={"before": previous.unit, "now": unit, "lost_columns": lost},
            override="groupColumn" if "group" in unit + previous.unit else "timeColumn",
        )
    ]
