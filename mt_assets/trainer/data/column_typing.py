"""From text to typed columns, by looking at every value.

A column becomes numbers, booleans or times only if each of its values is one in an unambiguous form; everything else
stays text. Work is done on the distinct values.
"""

import re
from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

MISSING_MARKERS = frozenset({"", "na", "nan", "null", "n/a", "?"})
"""Read as missing in text files, in any letter case, with blanks around. "None" is not here: it is an answer in many
tables (no fireplace, no insurance)."""

_WHOLE = r"^[+-]?[0-9]+$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(inf|Inf|INF|infinity|Infinity)$"
_CODE = r"^[+-]?0[0-9]"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
_ZONE = re.compile(r"(?:Z|:\d{2}[+-]\d{2}:?\d{2}|\.\d+[+-]\d{2}:?\d{2})$")

_OTHER_DATE = re.compile(r"\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")
_PLAIN = re.compile(_NUMBER)
_FORMATTED = re.compile(
    r"[$€£¥<>~]?\s?[+-]?(\d{1,3}([,.' ]\d{3})+|\d+)([.,]\d+)?\s?"
    r"(%|[$€£¥]|[kKMG]|k[gmWV]|[cm]?m|m[gls]|lbs?|oz|g|l|s|h|min|hrs?|days?|years?|°?[CF]|USD|EUR|GBP)?"
)


def type_text(name: str, column: pa.ChunkedArray) -> tuple[pa.Array | pa.ChunkedArray, list[str]]:
    """Type a column of a text file.

    Parameters
    ----------
    name : str
        For the notes.
    column : pyarrow.ChunkedArray of string

    Returns
    -------
    typed : pyarrow.Array
        bool, int64, double, date32, timestamp in microseconds (UTC where the text names an offset), string, or null
        where every value is missing. Whole numbers with leading zeros or beyond int64 are codes and stay text.
    notes : list of str
        What a person should know: which marks were read as missing, which codes stayed text.
    """
    encoded = _encoded(column)
    distinct, notes = _without_markers(name, encoded)
    kept = distinct.drop_null()
    if not len(kept):
        return pa.nulls(len(column)), notes
    trimmed = pc.utf8_trim_whitespace(distinct)
    for convert in (_booleans, _whole_numbers, _numbers, _times):
        typed = convert(trimmed)
        if typed is not None:
            return typed.take(encoded.indices), notes
    if _all_match(trimmed, _WHOLE):
        notes.append(f"'{name}' holds whole numbers with leading zeros or too long for a number; it stays text.")
    return distinct.take(encoded.indices), notes


def type_times(column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Type a text column of a typed file: times in ISO form become timestamps, everything else stays as it is."""
    encoded = _encoded(column)
    typed = _times(encoded.dictionary) if len(encoded.dictionary) else None
    return column if typed is None else typed.take(encoded.indices)


def text_oddity(values: Iterable[str]) -> str | None:
    """Why distinct text values may not be meant as text: as a clause for a warning, or None.

    Examples
    --------
    >>> text_oddity(["1,200", "35,100"])
    "looks like numbers with separators or units (such as '1,200')"
    """
    found = list(values)
    if not found:
        return None
    plain = [value for value in found if _PLAIN.match(value.strip())]
    if len(plain) == len(found):
        return f"holds numbers as text (such as '{plain[0]}')"
    if len(found) >= 5 and len(plain) >= 0.9 * len(found):
        other = next(value for value in found if not _PLAIN.match(value.strip()))
        return f"holds numbers but for a few values (such as '{other[:40]}')"
    if all(_OTHER_DATE.fullmatch(value.strip()) for value in found):
        return f"looks like dates that are not written as YYYY-MM-DD (such as '{found[0][:40]}')"
    formatted = next((value for value in found if not _PLAIN.match(value.strip())), found[0])
    if all(_FORMATTED.fullmatch(value.strip()) for value in found):
        return f"looks like numbers with separators or units (such as '{formatted[:40]}')"
    return None


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = pa.concat_arrays(encoded.unify_dictionaries().chunks)
    return encoded


def _without_markers(name: str, encoded: pa.DictionaryArray) -> tuple[pa.Array, list[str]]:
    """The distinct values with missing markers as null, and a note on markers that are more than nothing."""
    distinct = encoded.dictionary
    bare = pc.utf8_lower(pc.utf8_trim_whitespace(distinct))
    marker = pc.is_in(bare, pa.array(sorted(MISSING_MARKERS)))
    written = pc.and_(marker, pc.not_equal(bare, ""))
    notes = []
    if pc.any(written).as_py():
        labels = distinct.filter(written).to_pylist()
        count = pc.sum(pc.fill_null(written.take(encoded.indices), False)).as_py()
        shown = ", ".join(f"'{label}'" for label in sorted(labels))
        notes.append(f"{shown} in '{name}' is read as missing ({count:,} row{'' if count == 1 else 's'}).")
    return pc.if_else(marker, pa.scalar(None, pa.string()), distinct), notes


def _all_match(values: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())


def _any_match(values: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(values, pattern)).as_py())


def _booleans(values: pa.Array) -> pa.Array | None:
    lower = pc.utf8_lower(values)
    return pc.equal(lower, "true") if pc.all(pc.is_in(lower.drop_null(), pa.array(["true", "false"]))).as_py() else None


def _whole_numbers(values: pa.Array) -> pa.Array | None:
    if not _all_match(values, _WHOLE) or _any_match(values, _CODE):
        return None
    try:
        return pc.utf8_ltrim(values, "+").cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _numbers(values: pa.Array) -> pa.Array | None:
    if not _all_match(values, _NUMBER) or _all_match(values, _WHOLE) or _any_match(values, _CODE):
        return None
    return pc.utf8_ltrim(values, "+").cast(pa.float64())


def _times(values: pa.Array) -> pa.Array | None:
    if not _all_match(values, _TIME):
        return None
    text = values.to_pandas()
    try:
        if text.dropna().str.contains(_ZONE).any():
            instants = pd.to_datetime(text, format="ISO8601", utc=True)
            return pa.Array.from_pandas(instants).cast(pa.timestamp("us", tz="UTC"), safe=False)
        clock = text.where(text.notna(), "NaT").str.replace(" ", "T").to_numpy(dtype=str).astype("datetime64[us]")
    except ValueError:
        return None
    typed = pa.array(clock, from_pandas=True)
    return typed.cast(pa.date32()) if _all_match(values, _DATE) else typed.cast(pa.timestamp("us"))
