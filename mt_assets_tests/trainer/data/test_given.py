"""Given validation and test files become one table with the training data, which remembers its parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.given import fingerprint_given, read_given
from mt_assets.trainer.data.reading import fingerprint, read_table
from mt_assets.trainer.data.table import Table, notes_of, parts_of
from mt_assets.trainer.errors import DataError

SpecFor = Callable[..., TrainingSpec]


@pytest.fixture
def given(tmp_path: Path, spec_for: SpecFor) -> Callable[..., TrainingSpec]:
    """`given(train=text, test=text)`: the spec for these CSV files."""

    def make(**texts: str) -> TrainingSpec:
        for part, text in texts.items():
            (tmp_path / f"{part}.csv").write_text(text)
        return spec_for("y").model_copy(update={f"{part}_data_path": str(tmp_path / f"{part}.csv") for part in texts})

    return make


def test_parts_stand_one_after_the_other_in_the_columns_of_the_training_data(given: Callable[..., Any]) -> None:
    spec = given(train="x,y\n1,a\n2,b\n3,a\n", test="y,x\nb,9\n", validation="x,y\n7,a\n8,b\n")

    table = Table.of(read_given(spec, read_table))

    assert table.frame().to_dict("list") == {"x": [1, 2, 3, 7, 8, 9], "y": ["a", "b", "a", "a", "b", "b"]}
    assert table.parts == {"train": 3, "validation": 2, "test": 1}
    assert [table.part(name).tolist() for name in ("train", "validation", "test")] == [[0, 1, 2], [3, 4], [5]]


def test_one_table_alone_has_no_parts(given: Callable[..., Any]) -> None:
    spec = given(train="x,y\n1,a\n2,b\n")

    table = Table.of(read_given(spec, read_table))

    assert table.parts == {}
    assert len(table.part("test")) == 0
    assert table.digest == Table.of(read_table(spec.train_data_path)).digest
    assert fingerprint_given(spec, fingerprint) == fingerprint(spec.train_data_path)


@pytest.mark.parametrize(
    ("first", "second", "kind", "values"),
    [
        ("1", "2.5", "double", [1.0, 2.5]),
        ("1", "", "int64", [1, None]),
        ("", "1", "int64", [None, 1]),
        ("01", "12", "string", ["01", "12"]),
        ("7", "007", "string", ["7", "007"]),
        ("5", "new", "string", ["5", "new"]),
        (
            "2024-01-31",
            "2024-01-31 12:00",
            "timestamp[us]",
            [pd.Timestamp("2024-01-31"), pd.Timestamp("2024-01-31 12")],
        ),
        ("true", "false", "bool", [True, False]),
        ("", "", "null", [None, None]),
    ],
)
def test_a_column_has_the_type_that_holds_the_values_of_all_parts(
    given: Callable[..., Any], first: str, second: str, kind: str, values: list[Any]
) -> None:
    read = read_given(given(train=f"x,y\n{first},a\n", test=f"x,y\n{second},b\n"), read_table)

    assert str(read.schema.field("x").type) == kind
    assert read.column("x").to_pylist() == values


def test_numbers_that_become_text_are_told_with_the_notes_of_all_parts(given: Callable[..., Any]) -> None:
    read = read_given(given(train="x,y\n5,a\n", test="x,y\nold,b\nNA,b\n"), read_table)

    assert notes_of(read) == (
        "testDataPath: 'NA' in 'x' is read as missing (1 row).",
        "'x' is text in testDataPath and whole numbers elsewhere; it is read as text in all parts.",
    )


REFUSED = {
    "no target": ("x\n1\n", "testDataPath has no column 'y', which is the target"),
    "a column less": ("y\na\n", "testDataPath does not have the columns of trainDataPath: it lacks 'x'"),
    "a column more": ("x,y,z\n1,a,2\n", "has 'z' besides"),
    "another form": (
        "x,y\nmany,a\n",
        "'x' cannot be brought to one type: trainDataPath holds double such as '1.5'; test",
    ),
    "no rows": ("x,y\n", "testDataPath: The file .*test.csv has a header .* but no rows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_names_the_key_and_the_column(given: Callable[..., Any], case: str) -> None:
    text, message = REFUSED[case]

    with pytest.raises(DataError, match=message) as caught:
        read_given(given(train="x,y\n1.5,a\n", test=text), read_table)

    assert caught.value.suggestions


def test_a_file_that_is_not_there_names_its_own_key(given: Callable[..., Any]) -> None:
    spec = given(train="x,y\n1,a\n").model_copy(update={"validation_data_path": "/nowhere/v.csv"})

    with pytest.raises(DataError, match="validationDataPath: There is no file") as caught:
        read_given(spec, read_table)

    assert caught.value.suggestions == ("Check the path.",)


def test_the_parts_are_stored_and_make_another_table(given: Callable[..., Any], tmp_path: Path) -> None:
    whole = read_given(given(train="x,y\n1,a\n2,b\n", test="x,y\n3,b\n"), read_table)
    otherwise = read_given(given(train="x,y\n1,a\n", test="x,y\n2,b\n3,b\n"), read_table)

    Table.of(whole).save(tmp_path)
    stored = Table.load(tmp_path)

    assert stored.parts == {"train": 2, "test": 1}
    assert stored.take([2]).part("test").tolist() == [2]
    assert whole.equals(otherwise)
    assert parts_of(whole) != parts_of(otherwise)
    assert Table.of(whole).digest != Table.of(otherwise).digest


def test_the_fingerprint_covers_all_files_and_what_they_are(given: Callable[..., Any]) -> None:
    one, two, three = "x,y\n1,a\n", "x,y\n2,b\n", "x,y\n3,b\n"
    prints = [
        fingerprint_given(given(**parts), fingerprint)
        for parts in (
            {"train": one},
            {"train": one, "test": two},
            {"train": one, "validation": two},
            {"train": one, "validation": two, "test": three},
            {"train": one, "validation": three, "test": two},
        )
    ]

    assert len(np.unique(prints)) == len(prints)
    assert prints[1] == fingerprint_given(given(train=one, test=two), fingerprint)


def test_columns_of_typed_files_are_joined_too(given: Callable[..., Any], tmp_path: Path) -> None:
    """Parquet brings types that CSV does not: small integers, decimals, time zones."""
    spec = given(train="x,y\n1,a\n")
    parts = {
        spec.train_data_path: pa.table({"x": pa.array([1], pa.int8()), "y": ["a"]}),
        "v": pa.table({"x": pa.array([2**40], pa.int64()), "y": pa.array(["b"], pa.large_string())}),
    }

    read = read_given(spec.model_copy(update={"validation_data_path": "v"}), lambda source: parts[source])

    assert read.column("x").to_pylist() == [1, 2**40]
    zoned = {**parts, "v": pa.table({"x": pa.array([0], pa.timestamp("us", "UTC")), "y": ["b"]})}
    with pytest.raises(DataError, match="cannot be brought to one type"):
        read_given(spec.model_copy(update={"validation_data_path": "v"}), lambda source: zoned[source])
