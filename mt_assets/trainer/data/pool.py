"""The rows among which splits are drawn, with everything that a draw may look at."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from mt_assets.trainer.data.identity import value_hashes
from mt_assets.trainer.data.profile import DataProfile, encode_target
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.planning.decision import Decision

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec


@dataclass(frozen=True)
class Pool:
    """Rows to draw among.

    Attributes
    ----------
    positions : numpy.ndarray
        int64, ascending.
    identities : numpy.ndarray
        uint64.
    codes : numpy.ndarray or None
        int64 class codes; None for regression.
    groups : numpy.ndarray or None
        uint64 hash of the group of each row.
    times : numpy.ndarray or None
        int64: nanoseconds or whole-number steps.
    """

    positions: np.ndarray
    identities: np.ndarray
    codes: np.ndarray | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def part(self, chosen: np.ndarray) -> Self:
        """The rows that a boolean mask or an index array chooses."""
        parts = {name: values[chosen] for name, values in vars(self).items() if values is not None}
        return replace(self, **parts)


def times_of(table: Table, column: str) -> pd.Series:
    """The time column as ordered whole numbers: nanoseconds of timestamps, or steps; missing where there is none.

    Raises
    ------
    DataError
        The column holds neither timestamps nor whole numbers.
    """
    values = table.frame([column])[column]
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        nanoseconds = pd.Series(values.to_numpy().view(np.int64), index=values.index, dtype="Int64")
        return nanoseconds.mask(values.isna())
    if values.dtype != object and values.dtype != bool and (values.dropna() % 1 == 0).all():
        return values.astype("Int64")
    example = values.dropna()
    shown = f" (such as {str(example.iloc[0])!r})" if len(example) else ""
    raise DataError(
        f"timeColumn '{column}' holds neither dates nor whole-number steps{shown}, so that rows cannot be ordered by "
        "it.",
        suggestions=("Write the times as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS.", "Name another timeColumn."),
    )


def groups_of(table: Table, column: str, of_all: np.ndarray) -> np.ndarray:
    """uint64 hash of the group of every row. Rows without a group share none: each is a group of its own."""
    values = table.frame([column])[column]
    return np.where(values.isna().to_numpy(), of_all, value_hashes(values))


def usable_rows(
    table: Table, profile: DataProfile, spec: "TrainingSpec", of_all: np.ndarray
) -> tuple[Pool, list[Decision]]:
    """Gather all rows that can be used: those with a target and, where rows are dated, a time.

    Parameters
    ----------
    table, profile, spec
    of_all : numpy.ndarray
        uint64 identity of every row of the table.

    Returns
    -------
    pool : Pool
    decisions : list of Decision
        On rows left out for want of a time.
    """
    target = table.frame([profile.target.column])[profile.target.column]
    usable = target.notna().to_numpy()
    times = groups = None
    decisions = []
    if spec.time_column:
        moments = times_of(table, spec.time_column)
        undated = usable & moments.isna().to_numpy()
        if undated.any():
            decisions.append(
                left_out("test.undated", int(undated.sum()), f"have no '{spec.time_column}'", "timeColumn")
            )
        usable &= ~undated
        times = moments[usable].to_numpy(dtype=np.int64)
    if spec.group_column:
        groups = groups_of(table, spec.group_column, of_all)[usable]
    codes = encode_target(target[usable], profile.target) if profile.target.task == "classification" else None
    return Pool(table.positions[usable], of_all[usable], codes, groups, times), decisions


def left_out(rule: str, rows: int, what: str, override: str) -> Decision:
    """The decision to use some rows for nothing."""
    return Decision(
        decision="rows_left_out",
        value=rows,
        rule=rule,
        reason=f"{rows:,} rows {what}; they are neither learned from nor tested on.",
        evidence={"rows": rows},
        override=override,
    )
