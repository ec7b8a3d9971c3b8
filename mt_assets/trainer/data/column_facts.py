"""What one column of a table holds, gathered without a Python object for each row.

What belongs here: counting. What does not: what a column is then used as (`roles`, `profile`).
"""

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mt_assets.trainer.data.column_typing import text_oddity
from mt_assets.trainer.data.roles import ColumnFacts
from mt_assets.trainer.data.table import Table

WORD_SAMPLE = 5000
"""Different values whose words are counted, as in AutoGluon's `infer_types.py`."""

MOST_EXAMPLES = 5


@dataclass(frozen=True)
class ColumnContent:
    """What is told of a column.

    Attributes
    ----------
    facts : ColumnFacts
    commonest : tuple
        Up to five values, the commonest first.
    minimum, maximum, mean : float or None
        Of numbers and booleans.
    oddity : str or None
        Why the column may be read otherwise than meant, as a clause.
    """

    facts: ColumnFacts
    commonest: tuple[object, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    oddity: str | None = None


def column_content(table: Table, name: str) -> ColumnContent:
    """Look at every value of a column."""
    kind = table.schema.field(name).type
    return _text(table, name) if pa.types.is_string(kind) or pa.types.is_null(kind) else _values(table, name)


def _text(table: Table, name: str) -> ColumnContent:
    codes, distinct = table.labels(name)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    sample = distinct[:WORD_SAMPLE]
    facts = ColumnFacts(
        name,
        "string",
        len(codes),
        int((codes < 0).sum()),
        len(distinct),
        words=float(np.mean([len(value.split()) for value in sample])) if len(sample) else 0.0,
        spaced=any(len(value.split()) > 1 or value != value.strip() for value in sample),
    )
    commonest = distinct[np.argsort(-counts, kind="stable")[:MOST_EXAMPLES]]
    return ColumnContent(facts, tuple(commonest), oddity=_spelling(distinct))


def _values(table: Table, name: str) -> ColumnContent:
    """Of numbers, booleans and times."""
    dtype = table.schema.field(name).type
    column = table.frame([name])[name]
    counted = pc.value_counts(pa.array(column, from_pandas=True))
    distinct = pd.Series(counted.field("values").to_pandas().to_numpy(), dtype=column.dtype).dropna()
    counts = counted.field("counts").to_numpy()[distinct.index]
    rows, missing, unique = len(column), int(column.isna().sum()), len(distinct)
    commonest = tuple(distinct.iloc[np.argsort(-counts, kind="stable")[:MOST_EXAMPLES]])
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return ColumnContent(ColumnFacts(name, "datetime", rows, missing, unique), commonest)
    whole = bool((distinct % 1 == 0).all()) if column.dtype.kind == "f" else True
    known = column.dropna() if missing else column
    facts = ColumnFacts(
        name,
        "boolean" if pa.types.is_boolean(dtype) else "number",
        rows,
        missing,
        unique,
        whole=whole,
        monotone=whole and bool(known.is_monotonic_increasing or known.is_monotonic_decreasing),
    )
    if not unique:
        return ColumnContent(facts, oddity=_infinite(table, name))
    low, high = float(known.min()), float(known.max())
    return ColumnContent(facts, commonest, low, high, _mean(known, max(abs(low), abs(high))), _infinite(table, name))


def _mean(known: pd.Series, largest: float) -> float:
    """The mean of numbers whose sum may leave double precision."""
    sums_up = largest <= sys.float_info.max / max(len(known), 1)
    return float(known.mean() if sums_up else (known / largest).mean() * largest)


def _spelling(distinct: np.ndarray) -> str | None:
    oddity = text_oddity(distinct[:WORD_SAMPLE])
    if oddity or not 1 < len(distinct) <= WORD_SAMPLE:
        return oddity
    spelled = pd.Series(distinct, dtype=object)
    twice = spelled[spelled.str.strip().str.lower().duplicated(keep=False)]
    return f"has labels that differ only in case or blanks (such as {twice.iloc[0]!r})" if len(twice) else None


def _infinite(table: Table, name: str) -> str | None:
    if not pa.types.is_floating(table.schema.field(name).type):
        return None
    infinite = pc.sum(pc.is_inf(table.arrow([name]).column(0))).as_py() or 0
    return f"holds {infinite} infinite values, which are taken as missing" if infinite else None
