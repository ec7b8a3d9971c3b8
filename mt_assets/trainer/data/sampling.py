"""Tables that memory has no room for: the part of their rows that is read instead.

What belongs here: how large a part, and which rows. What does not: how large a table of some format will be
(`sources.formats`), and how much room there is (`trainer.memory`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa

from mt_assets.trainer.data.identity import mix
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.memory import GIGABYTE
from mt_assets.trainer.recovery.causes import OUT_OF_MEMORY

COPIES: Final = 8
"""Times its own bytes that a table takes at the peak of a run: the process of a training on 29 MB of CSV (400,000 rows,
11 columns, logistic regression) held 250 MB more at its peak than before it read them."""

ALWAYS: Final = 0.1e9
"""Bytes that a table may take however little room there is: a process takes several times as much by itself."""

MOST: Final = 1024
"""One row in so many is the least that is read of a table."""

REMEDIES: Final = (
    "Free some memory, or raise `options.memoryLimit` where it is set.",
    "Read fewer columns or rows: name a query in `trainDataPath`, or write the columns that matter as Parquet.",
)


def rows_per_one(needed: float, room: float, what: str) -> int:
    """Of how many rows one is read: 1 where all have room, else a power of two, so that it seldom changes.

    Parameters
    ----------
    needed : float
        Bytes of the whole table.
    room : float
        Bytes that a run may take.
    what : str
        What is read, for the message.

    Raises
    ------
    TrainingError
        Where not even one in `MOST` has room.
    """
    per_one = 1
    while COPIES * needed / per_one > max(room, ALWAYS):
        per_one *= 2
        if per_one > MOST:
            raise TrainingError(
                f"{what} would take about {COPIES * needed / GIGABYTE:,.2f} GB of memory, and {room / GIGABYTE:.2f} GB"
                " are there for it: too little even for a sample.",
                suggestions=REMEDIES,
                cause=OUT_OF_MEMORY,
            )
    return per_one


def note(what: str, per_one: int, read: int, needed: float, room: float) -> str:
    """What a person is told of a sample."""
    return (
        f"{what} would take about {COPIES * needed / GIGABYTE:,.2f} GB of memory, and {room / GIGABYTE:.2f} GB are"
        f" there for it: about one row in {per_one} was read, {read:,} rows. {REMEDIES[0]}"
    )


def sampled(batches: Iterable[pa.RecordBatch], schema: pa.Schema, per_one: int) -> pa.Table:
    """About one row in so many, the same ones whenever the same rows are read in the same order.

    They are drawn by their number, which no pattern in the order of rows can follow; rows that are added behind change
    nothing about those before.
    """
    kept, begun = [], 0
    for batch in batches:
        numbers = np.arange(begun, begun + batch.num_rows, dtype=np.uint64)
        kept.append(batch.filter(pa.array(mix(numbers) % np.uint64(per_one) == 0)))
        begun += batch.num_rows
    return pa.Table.from_batches(kept, schema)
