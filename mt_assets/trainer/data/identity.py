"""Who a row is: its content, and how often the same content stood before.

Identities outlive files: they do not depend on row order, column order, storage types (3 and 3.0 are one value, and so
are all ways to write a missing one) or the process. They are stored with the splits, so the functions here must go on
giving the same numbers.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd
import pyarrow as pa

from mt_assets.trainer.data.table import Table

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_EXACT = 2.0**53
"""Whole numbers below are the same as float64 and int64; from here on float64 has gaps."""


def content_hashes(table: Table, columns: Sequence[str] | None = None) -> np.ndarray:
    """Hash the content of every row of a table over these columns (default: all), whatever their order.

    Returns
    -------
    numpy.ndarray
        uint64, one a row, equal for rows of equal content.
    """
    names = sorted(table.columns if columns is None else columns)
    hashes = np.zeros(len(table), dtype=np.uint64)
    for name in names:  # one by one: a frame of all columns takes several times the memory of the table
        hashes = mix(hashes + mix(_column_hashes(table, name) ^ np.uint64(seed_of(name))))
    return hashes


def identities(content: np.ndarray) -> np.ndarray:
    """Tell equal rows apart by their occurrence: the first, the second and so on of equal content.

    Parameters
    ----------
    content : numpy.ndarray
        uint64 content hashes in row order.

    Returns
    -------
    numpy.ndarray
        uint64, all different (but for collisions of the hash); the same set whatever the order of the rows.
    """
    order = np.argsort(content, kind="stable")
    ordered = content[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(ordered) else order
    occurrence = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    result = np.empty_like(content)
    result[order] = mix(ordered + _MISSING * occurrence.astype(np.uint64))
    return result


def value_hashes(column: pd.Series) -> np.ndarray:
    """uint64 hash of each value of a canonical column; equal numbers hash alike whatever their type."""
    missing = column.isna().to_numpy()
    if column.dtype == object:
        hashed = pd.util.hash_array(column.mask(missing, "").to_numpy(dtype=object), categorize=True)
    elif pd.api.types.is_datetime64_any_dtype(column.dtype):
        hashed = mix(column.to_numpy().view(np.uint64))
    else:
        hashed = mix(_number_bits(column.to_numpy()))
    return np.where(missing, _MISSING, hashed)


def _column_hashes(table: Table, name: str) -> np.ndarray:
    """`value_hashes` of a column; each distinct text is hashed once."""
    if not pa.types.is_string(table.schema.field(name).type):
        return value_hashes(table.frame([name])[name])
    codes, values = table.labels(name)
    return np.append(pd.util.hash_array(values, categorize=False), _MISSING)[codes]


def draw_order(keys: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """A seeded pseudo-random uint64 for each key, by which draws are ordered; another purpose is another order."""
    return mix(keys ^ np.uint64(seed_of(f"{purpose}:{seed}")))


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 values one to one (the finaliser of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def seed_of(text: str) -> int:
    """64 bits that stand for a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _number_bits(values: np.ndarray) -> np.ndarray:
    """Bits that are the same for a whole number in int64, float64 and bool."""
    floats = values.astype(np.float64) + 0.0  # turns -0.0 into 0.0
    bits = floats.view(np.uint64).copy()
    large = np.abs(floats) >= _EXACT
    if values.dtype == np.int64:
        bits[large] = values[large].view(np.uint64)
    else:
        whole = large & (np.abs(floats) < 2.0**63)
        bits[whole] = floats[whole].astype(np.int64).view(np.uint64)
    return bits
