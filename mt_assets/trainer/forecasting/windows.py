"""The split of series: rolling origins, with the last horizon of each series as the test.

Each series has its own end: the origins of all lie as many steps before it. A gap is neither learned from nor scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.assignment import Fold, Splits
from mt_assets.trainer.data.identity import content_hashes, identities
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.forecasting.layout import SeriesLayout
from mt_assets.trainer.forecasting.rows import SeriesRows, index_rows
from mt_assets.trainer.planning.decision import Decision

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec
    from mt_assets.trainer.data.table import Table

STRATEGY = "time_series_split"

TEST = -1
"""In place of a window's number: the test, and what is known before it."""


@dataclass(frozen=True, eq=False)
class Origins:
    """From where each window forecasts, and which steps it is scored on.

    Attributes
    ----------
    layout : SeriesLayout
    last : ndarray [series]
        Last step that may be learned from at the end.
    """

    layout: SeriesLayout
    last: np.ndarray

    @classmethod
    def of(cls, rows: SeriesRows, layout: SeriesLayout, *, tested: bool) -> Origins:
        """Of all rows of a table.

        Parameters
        ----------
        rows : SeriesRows
        layout : SeriesLayout
        tested : bool
            Whether the last horizon is the test.
        """
        last = rows.last_steps(len(layout.names))
        return cls(layout, last - (layout.steps if tested else 0))

    def ends(self, window: int) -> np.ndarray:
        """Last known step of each series, [series]."""
        if window == TEST:
            return self.last
        return self.last - (window + 1) * self.layout.horizon - self.layout.gap

    def known(self, rows: SeriesRows, window: int) -> np.ndarray:
        """Which rows are known at the origin; bool."""
        return rows.steps <= self.ends(window)[rows.codes]

    def ahead(self, rows: SeriesRows, window: int) -> np.ndarray:
        """How many steps after the origin each row lies, from 0; negative where it is known."""
        return rows.steps - self.ends(window)[rows.codes] - 1

    def scored(self, rows: SeriesRows, window: int) -> np.ndarray:
        """Which rows are scored; bool."""
        ahead = self.ahead(rows, window)
        return (ahead >= self.layout.gap) & (ahead < self.layout.steps)


def split_series(table: Table, layout: SeriesLayout, spec: TrainingSpec, previous: Splits | None) -> Splits:
    """Deal rows with a target to rolling origins.

    Parameters
    ----------
    table : Table
        The full table.
    layout : SeriesLayout
    spec : TrainingSpec
        With `testSize: 0` there is no test.
    previous : Splits or None
        Of this model's last training: columns that come later do not change who a row is.

    Raises
    ------
    DataError
        An origin has no row to validate on.
    """
    columns = previous.columns if previous else tuple(sorted(table.columns))
    rows = index_rows(table, layout)
    rows = rows.part(rows.observed)
    tested = spec.test_size != 0
    origins = Origins.of(rows, layout, tested=tested)
    folds = []
    for window in range(layout.windows):
        scored, fitted = origins.scored(rows, window), origins.known(rows, window)
        if not scored.any() or not fitted.any():
            raise DataError(
                f"Origin {window + 1} of {layout.windows} has {int(fitted.sum())} rows to learn from and "
                f"{int(scored.sum())} to validate on.",
                suggestions=("Set a smaller `horizon`, or fewer `validationStrategy.folds`.",),
            )
        folds.append(Fold(np.sort(rows.positions[fitted]), np.sort(rows.positions[scored])))
    test = origins.scored(rows, TEST) if tested else np.zeros(len(rows), dtype=bool)
    learning = origins.known(rows, TEST)
    return Splits(
        identities=identities(content_hashes(table, columns)),
        test=np.sort(rows.positions[test]),
        folds=tuple(folds),
        strategy=STRATEGY,
        decisions=(_validation(layout), _test(layout, tested, int(test.sum()))),
        learning=np.sort(rows.positions[learning]),
        columns=columns,
        unit=unit_of_series(layout.time, layout.series),
    )


def unit_of_series(time: str | None, series: str | None) -> str:
    """What is assigned to the test: the newest steps, of each series where there are several."""
    return f"time:{time} of {series}" if series else f"time:{time}"


def check_origins(splits: Splits, table: Table, layout: SeriesLayout) -> Check:
    """`time_order` of series: in each, all that is predicted is newer than all that is learned from, and every origin
    leaves its gap."""
    rows = index_rows(table, layout)
    late = {"test": _too_new(rows, splits.learning, splits.test, layout)}
    for number, fold in enumerate(splits.folds):
        late[f"validation of fold {number}"] = _too_new(rows, fold.train, fold.validation, layout)
    problems = [f"{count} rows to learn from are not older than the {name}" for name, count in late.items() if count]
    of = f"In each of {len(layout.names):,} series" if layout.series else "In the series"
    return Check(
        name="time_order",
        passed=not problems,
        blocking=True,
        message=f"{'; '.join(problems)}."
        if problems
        else f"{of}, every row that is predicted is newer than the rows that are learned from.",
        evidence={"column": layout.time, "not_older": late},
    )


def _too_new(rows: SeriesRows, learned: np.ndarray, scored: np.ndarray, layout: SeriesLayout) -> int:
    """How many of the rows to learn from are not older, by more than the gap, than the first that is scored."""
    if not len(scored):
        return 0
    first = np.full(len(layout.names), np.iinfo(np.int64).max)
    later, earlier = rows.at(scored), rows.at(learned)
    np.minimum.at(first, later.codes, later.steps)
    return int((earlier.steps + layout.gap >= first[earlier.codes]).sum())


def _validation(layout: SeriesLayout) -> Decision:
    gap = f", {layout.gap} steps after what it is predicted from" if layout.gap else ""
    return Decision(
        decision="validation",
        value=STRATEGY,
        rule="validation.series",
        reason=f"Forecasts are judged as they are used: from {layout.windows} origins, {layout.horizon} steps ahead"
        f"{gap}, in every series by its own end.",
        evidence={"windows": layout.windows, "horizon": layout.horizon, "gap": layout.gap},
        override="validationStrategy.folds",
    )


def _test(layout: SeriesLayout, tested: bool, rows: int) -> Decision:
    reason = (
        f"The last {layout.horizon} steps of each series ({rows:,} rows)."
        if tested
        else "The spec wants no test rows, so that the evaluation is that of the origins."
    )
    return Decision(
        decision="test",
        value=layout.horizon if tested else 0,
        rule="test.last_horizon" if tested else "test.none",
        reason=reason,
        evidence={"rows": rows},
        override="testSize",
    )
