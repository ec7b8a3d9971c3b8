"""Files are read as a person means them, or refused with one clear paragraph."""

import csv
import datetime
import gzip
import io
import os
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_assets.trainer.data.reading import fingerprint, read_table
from mt_assets.trainer.data.table import notes_of
from mt_assets.trainer.errors import DataError


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


TYPED = {
    "whole numbers": (["1", "-2", "+3"], pa.int64(), [1, -2, 3]),
    "numbers": (["1", ".5", "2.", "1e3"], pa.float64(), [1.0, 0.5, 2.0, 1000.0]),
    "booleans": (["true", "False", "TRUE"], pa.bool_(), [True, False, True]),
    "dates": (["2024-01-31", "9999-12-31"], pa.date32(), [datetime.date(2024, 1, 31), datetime.date(9999, 12, 31)]),
    "timestamps": (
        ["2024-01-31 10:00", "2024-01-31T10:00:01", "2024-02-01"],
        pa.timestamp("us"),
        [datetime.datetime(2024, 1, 31, 10), datetime.datetime(2024, 1, 31, 10, 0, 1), datetime.datetime(2024, 2, 1)],
    ),
    "missing": (["1", "", "NA", "n/a", "NaN", "null", "?", "2"], pa.int64(), [1, *[None] * 6, 2]),
    "nothing": (["", "NA"], pa.null(), [None, None]),
    "codes": (["007", "12"], pa.string(), ["007", "12"]),
    "long codes": (["99999999999999999999", "1"], pa.string(), ["99999999999999999999", "1"]),
    "one word among numbers": (["1", "2", "x"], pa.string(), ["1", "2", "x"]),
    "a date that is none": (["2024-02-30", "2024-01-01"], pa.string(), ["2024-02-30", "2024-01-01"]),
    "days first or months first": (["01/02/2024", "02/03/2024"], pa.string(), ["01/02/2024", "02/03/2024"]),
    "the answer None": (["None", "Brick"], pa.string(), ["None", "Brick"]),
    "thousands": (['"1,200"', '"35,100"'], pa.string(), ["1,200", "35,100"]),
}


@pytest.mark.parametrize("kind", TYPED)
def test_columns_are_typed_by_all_their_values(tmp_path: Path, kind: str) -> None:
    values, dtype, expected = TYPED[kind]
    path = write(tmp_path, "a.csv", "\n".join(["id,x", *(f"k{at},{value}" for at, value in enumerate(values))]))

    column = read_table(path).column("x")

    assert column.type == dtype
    assert column.to_pylist() == expected


def test_the_last_value_decides_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "x,y\n" + "1,1\n" * 30_000 + "1,one\n")

    table = read_table(path)

    assert table.schema.types == [pa.int64(), pa.string()]
    assert table.num_rows == 30_001


def test_offsets_are_applied(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "t,x\n2024-01-01T10:00:00+02:00,1\n2024-01-01T10:00:00Z,2\n")

    times = read_table(path).column("t")

    assert times.type == pa.timestamp("us", tz="UTC")
    assert [time.hour for time in times.to_pylist()] == [8, 10]


DIALECTS = {
    "semicolons": "a;b\n1,5;x\n",
    "tabs": "a\tb\n1,5\tx\n",
    "bars": "a|b\n1,5|x\n",
    "byte order mark": b'\xef\xbb\xbfa,b\n"1,5",x\n',
    "windows line ends": 'a,b\r\n"1,5",x\r\n',
    "old line ends": 'a,b\r"1,5",x\r',
    "blank lines first": '\n\na,b\n"1,5",x\n',
    "UTF-16": 'a,b\n"1,5",x\n'.encode("utf-16"),
    "no line end": 'a,b\n"1,5",x',
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects(tmp_path: Path, dialect: str) -> None:
    assert read_table(write(tmp_path, "a.csv", DIALECTS[dialect])).to_pydict() == {"a": ["1,5"], "b": ["x"]}


def test_quoted_values_hold_anything(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,n\n"two\nlines, and ""quotes""",1\n# no comment,2\nit\'s "so",3\n')

    assert read_table(path).column("text").to_pylist() == ['two\nlines, and "quotes"', "# no comment", 'it\'s "so"']


def test_documents_are_values_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", f"text,n\n{'word ' * 600_000},1\n")

    assert len(read_table(path).column("text")[0].as_py()) == 3_000_000


def test_quotes_after_backslashes(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,n\n"he said \\"no, never\\"",1\n')

    assert read_table(path).column("text").to_pylist() == ['he said "no, never"']


def test_latin_text(tmp_path: Path) -> None:
    plain = write(tmp_path, "a.csv", "größe,n\nJürgen,1\n".encode("latin-1"))
    zipped = write(tmp_path, "b.csv.gz", gzip.compress("größe,n\nJürgen,1\n".encode("latin-1")))

    assert read_table(plain).to_pydict() == read_table(zipped).to_pydict() == {"größe": ["Jürgen"], "n": [1]}


def test_what_was_read_as_missing_is_noted(tmp_path: Path) -> None:
    notes = notes_of(read_table(write(tmp_path, "a.csv", "x,y\n?,1\nb,NA\n,3\n?,4\n")))

    assert "'?' in 'x' is read as missing (2 rows)." in notes
    assert "'NA' in 'y' is read as missing (1 row)." in notes


REFUSED = {
    "no bytes": ("a.csv", b"", "is empty"),
    "blanks": ("a.csv", b" \n\n", "is empty"),
    "header only": ("a.csv", b"a,b\n", "no rows"),
    "double names": ("a.csv", b"a,b,a\n1,2,3\n", "more than one column named 'a'"),
    "no name": ("a.csv", b"a,,c\n1,2,3\n", "Column number 2"),
    "only blanks as name": ("a.csv", b'a," ",c\n1,2,3\n', "Column number 2"),
    "one field too many": ("a.csv", b"a,b\n1,2\n3,4,5\n", r"Line 3 of .*a\.csv has 3 fields where the header has 2"),
    "one field too few": ("a.csv", b"a,b\n1,2\n3\n", r"Line 3 of .*a\.csv has 1 field where the header has 2"),
    "open quote": ("a.csv", b'a,b\n1,2\n"3,4\n5,6\n', r"Line 3 of .*never closed"),
    "random bytes": ("a.csv", np.random.default_rng(0).bytes(4096), "not a text file"),
    "random bytes without NUL": (
        "a.csv",
        np.random.default_rng(1).bytes(4096).replace(b"\0", b"\1"),
        "not a text file",
    ),
    "text with a NUL": ("a.csv", b"a,b\n1,x\0\n", "not a text file"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a text file"),
    "no gzip": ("a.csv.gz", b"a,b\n1,2\n", "cannot be read"),
    "half a gzip": (
        "a.csv.gz",
        gzip.compress(np.random.default_rng(3).bytes(5000))[:2000],
        "(cannot be read|not a text file)",
    ),
    "no Parquet": ("a.parquet", b"a,b\n1,2\n", "cannot be read as Parquet"),
    "random Parquet": ("a.parquet", np.random.default_rng(2).bytes(4096), "cannot be read as Parquet"),
    "empty Parquet": ("a.parquet", b"", "cannot be read as Parquet"),
    "unknown suffix": ("a.xlsx", b"a,b\n1,2\n", "suffix"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_in_one_paragraph(tmp_path: Path, case: str) -> None:
    name, content, message = REFUSED[case]

    with pytest.raises(DataError, match=message) as caught:
        read_table(write(tmp_path, name, content))

    assert "\n" not in caught.value.message
    assert caught.value.suggestions


def test_the_index_of_a_pandas_frame_is_refused_with_its_remedy(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2]}).to_csv(tmp_path / "a.csv")

    with pytest.raises(DataError, match="Column number 1 of the data has no name") as caught:
        read_table(str(tmp_path / "a.csv"))

    assert any("index=False" in suggestion for suggestion in caught.value.suggestions)


def test_a_parquet_file_named_csv_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "a.csv")

    with pytest.raises(DataError, match="not a text file"):
        read_table(tmp_path / "a.csv")


def test_damage_inside_parquet_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": np.arange(50_000)}), tmp_path / "a.parquet", use_dictionary=False)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[4:2000] = bytes(1996)

    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_table(write(tmp_path, "a.parquet", bytes(content)))


def test_parquet_without_rows_or_with_nested_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    pq.write_table(pa.table({"ok": [1], "deep": [{"x": 1}]}), tmp_path / "nested.parquet")

    with pytest.raises(DataError, match="no rows"):
        read_table(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="'deep' holds struct"):
        read_table(tmp_path / "nested.parquet")


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    content = pa.table({"code": ["1", "2"], "day": ["2024-01-01", None], "x": pa.array([1, 2], pa.int8())})
    (tmp_path / "year=2024").mkdir()
    pq.write_table(content, tmp_path / "year=2024" / "a.parquet")

    table = read_table(tmp_path / "year=2024" / "a.parquet")

    assert table.column_names == ["code", "day", "x"]
    assert table.schema.types == [pa.string(), pa.date32(), pa.int8()]


def test_missing_files_are_told_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, "customers.csv", "a\n1\n")

    with pytest.raises(DataError, match="There is no file") as caught:
        read_table(tmp_path / "custmers.csv")
    with pytest.raises(DataError, match="does not exist either"):
        read_table(tmp_path / "nowhere" / "a.csv")

    assert "customers.csv" in caught.value.suggestions[0]


@pytest.mark.parametrize("name", ["a*b.csv", "what?.csv", "[1].csv", 'it\'s "so".csv', "UPPER.CSV", "größe.csv"])
def test_any_file_name_is_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, "aXb.csv", "other,columns\n1,2\n")

    assert read_table(write(tmp_path, name, "a,b\n1,x\n")).to_pydict() == {"a": [1], "b": ["x"]}


def test_what_is_no_glob_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_table(tmp_path / "a**b.csv")


def test_several_files_are_one_table(tmp_path: Path) -> None:
    first = write(tmp_path, "1.csv", "a,b\n1,x\n")
    second = write(tmp_path, "2.csv", "b,a\ny,2.5\n")
    pq.write_table(pa.table({"a": [3.5], "b": ["z"]}), tmp_path / "3.parquet")

    expected = {"a": [1.0, 2.5], "b": ["x", "y"]}
    assert read_table((first, second)).to_pydict() == expected
    assert read_table(str(tmp_path / "*.csv")).to_pydict() == expected
    assert read_table(tmp_path).to_pydict() == {"a": [1.0, 2.5, 3.5], "b": ["x", "y", "z"]}


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "1.csv", "a,b\n1,x\n")
    write(tmp_path, "2.csv", "a,c\n1,x\n")

    with pytest.raises(DataError, match="lacks 'b' and has 'c' besides"):
        read_table(tmp_path)


@pytest.mark.parametrize("late", ["csv", "parquet"])
def test_a_column_that_only_later_files_have_is_missing_in_those_before(tmp_path: Path, late: str) -> None:
    write(tmp_path, "1.csv", "a,b\n1,x\n")
    write(tmp_path, "2.csv", "b,a\ny,2\n")
    if late == "csv":
        write(tmp_path, "3.csv", "c,a,b\n2.5,3,z\n")
    else:
        pq.write_table(pa.table({"c": [2.5], "a": [3], "b": ["z"]}), tmp_path / "3.parquet")

    table = read_table(tmp_path)

    assert table.to_pydict() == {"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [None, None, 2.5]}
    [note] = notes_of(table)
    assert f"3.{late} is the first file with 'c'" in note

    write(tmp_path, "4.csv", "a,b\n4,x\n")
    with pytest.raises(DataError, match=r"4\.csv lacks 'c'") as refused:
        read_table(tmp_path)
    assert "Write 'c' into" in refused.value.suggestions[0]


def test_files_of_several_dialects_are_read_by_one_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda *asked, **more: opened.append(1) or connect(*asked, **more))
    write(tmp_path, "1.csv", 'a,b\n1,"x ""y"""\n')
    write(tmp_path, "2.csv", 'a,b\n2,"x \\"y\\", z"\n')
    write(tmp_path, "3.csv", "b;a\n\u00e4;3\n".encode("cp1252"))
    write(tmp_path, "4.csv.gz", gzip.compress(b"\n\na\tb\n4\tx\n"))

    assert read_table(tmp_path).to_pydict() == {"a": [1, 2, 3, 4], "b": ['x "y"', 'x "y", z', "\u00e4", "x"]}
    assert len(opened) == 1


def test_fingerprint_is_of_content_alone(tmp_path: Path) -> None:
    first = write(tmp_path, "1.csv", "a\n1\n")
    same = write(tmp_path, "2.csv", "a\n1\n")
    other = write(tmp_path, "3.csv", "a\n2\n")
    os.utime(same, (1, 1))

    assert fingerprint(first) == fingerprint(same)
    assert fingerprint(first) != fingerprint(other)
    assert fingerprint((first, other)) != fingerprint((other, first))


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs", "Cc"]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(cells.map("t".__add__), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=20),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_csv_files_round_trip(rows: list[tuple[str, int]], delimiter: str) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter)
    writer.writerows([("text", "number"), *rows])

    with tempfile.TemporaryDirectory() as folder:
        table = read_table(write(Path(folder), "a.csv", written.getvalue()))

    assert table.to_pydict() == {"text": [text for text, _ in rows], "number": [number for _, number in rows]}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.csv", "a.csv.gz", "a.parquet"]))
def test_no_file_raises_anything_but_data_errors(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            table = read_table(write(Path(folder), name, content))
        except DataError as error:
            assert error.message
        else:
            assert table.num_rows


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_floats_round_trip(values: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        pd.DataFrame({"k": "k", "x": [*values, 0.5]}).to_csv(path, index=False)
        table = read_table(path)

    assert table.column("x").to_pylist() == [*values, 0.5]
