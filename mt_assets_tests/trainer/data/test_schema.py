"""Data that breaks its form is told with the cases; what is merely new passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.schema import TableSchema, check_schema, check_target, infer_schema, read_schema
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError

SpecFor = Callable[..., TrainingSpec]
ROWS = 40


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n": np.arange(ROWS) % 5,
            "x": np.linspace(0, 1, ROWS),
            "s": ["a", "b"] * (ROWS // 2),
            "b": [True, False] * (ROWS // 2),
            "t": pd.date_range("2024-01-01", periods=ROWS),
            "id": [f"k{at}" for at in range(ROWS)],
            "y": ["no", "yes"] * (ROWS // 2),
        }
    )


SCHEMA = infer_schema(Table.of(frame()))

FINE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "the same": lambda f: f,
    "other order": lambda f: f[f.columns[::-1]],
    "gaps": lambda f: f.where(pd.Series(np.arange(ROWS) % 3 > 0), None),
    "fractions in whole numbers": lambda f: f.assign(n=f["n"] + 0.5),
    "whole numbers in fractions": lambda f: f.assign(x=np.arange(ROWS)),
    "new labels": lambda f: f.assign(s="c"),
    "zeros and ones for booleans": lambda f: f.assign(b=[1, 0] * (ROWS // 2)),
}


@pytest.mark.parametrize("case", FINE)
def test_what_is_allowed(case: str) -> None:
    check = check_schema(Table.of(FINE[case](frame())), SCHEMA)

    assert (check.name, check.blocking, check.passed) == ("schema", True, True), check.message


BROKEN: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str, str]] = {
    "a new column": (lambda f: f.assign(new=1), "new", "the column is new"),
    "lost column": (lambda f: f.drop(columns="x"), "x", "gone"),
    "number to text": (lambda f: f.assign(x="1 kg"), "x", "'1 kg'"),
    "one text among numbers": (lambda f: f.assign(x=["oops", *f["x"].astype(str)[1:]]), "x", "text"),
    "whole number to text": (lambda f: f.assign(n="a"), "n", "text"),
    "text to number": (lambda f: f.assign(s=1.5), "s", "numbers"),
    "time to text": (lambda f: f.assign(t="soon"), "t", "'soon'"),
    "time to number": (lambda f: f.assign(t=1), "t", "numbers"),
    "all missing number": (lambda f: f.assign(x=np.nan), "x", "all values are missing"),
    "all missing text": (lambda f: f.assign(s=None), "s", "all values are missing"),
    "all missing time": (lambda f: f.assign(t=pd.NaT), "t", "all values are missing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_allowed(case: str) -> None:
    change, column, told = BROKEN[case]

    check = check_schema(Table.of(change(frame())), SCHEMA)

    assert not check.passed
    assert [failure["column"] for failure in check.evidence["failure_cases"]] == [column]
    assert told in check.evidence["failure_cases"][0]["failure_case"]
    assert f"'{column}'" in check.message
    assert "\n" not in check.message


SAID: list[tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    (lambda f: f.drop(columns="x"), "in 1 column: 'x': the column is gone."),
    (lambda f: f.assign(s=None), "in 1 column: 's': all values are missing."),
    (lambda f: f.assign(x="1 kg"), "in 1 column: 'x' holds text such as '1 kg', where numbers are expected."),
]


@pytest.mark.parametrize(("change", "said"), SAID)
def test_what_broke_is_said_in_words_of_the_data(change: Callable[[pd.DataFrame], pd.DataFrame], said: str) -> None:
    assert said in check_schema(Table.of(change(frame())), SCHEMA).message


def test_new_labels_are_noted_and_new_columns_where_a_schema_of_ones_own_lets_them_pass() -> None:
    table = Table.of(frame().assign(new=1, s="c"))
    assert check_schema(table, SCHEMA).evidence["notes"] == ["New labels in 's': 'c'."]

    check = check_schema(table, SCHEMA.model_copy(update={"closed": False}))

    assert check.passed

    assert check.evidence["notes"] == ["New columns: 'new'.", "New labels in 's': 'c'."]


def test_many_more_gaps_are_noted() -> None:
    few = frame().assign(x=np.where(np.arange(ROWS) < 3, np.nan, 1.0))
    many = frame().assign(x=np.where(np.arange(ROWS) < 10, np.nan, 1.0), s=["a", None] * (ROWS // 2))

    assert check_schema(Table.of(few), SCHEMA).evidence["notes"] == []
    notes = check_schema(Table.of(many), SCHEMA).evidence["notes"]
    assert check_schema(Table.of(many), SCHEMA).passed
    assert ["'x' lacks 25%" in notes[0], "'s' lacks 50%" in notes[1], len(notes)] == [True, True, 2]


def test_a_schema_about_rows_sees_all_columns_at_once(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("columns:\n  x: {dtype: float64}\n  n: {dtype: int64}\nunique: [x, n]\n")
    schema = read_schema(tmp_path / "own.yaml")

    assert check_schema(Table.of(frame()), schema).passed
    assert not check_schema(Table.of(pd.concat([frame(), frame()])), schema).passed


def test_columns_that_are_not_used_may_go(spec_for: SpecFor) -> None:
    table = Table.of(frame())
    schema = infer_schema(table, profile_data(table, spec_for("y")))

    without_id = check_schema(Table.of(frame().drop(columns="id")), schema)
    without_feature = check_schema(Table.of(frame().drop(columns="s")), schema)

    assert without_id.passed
    assert not without_feature.passed


def test_an_inferred_schema_is_stored_and_is_pandera_s(tmp_path: Path) -> None:
    SCHEMA.save(tmp_path)
    (tmp_path / "schema.yaml").write_text(SCHEMA.yaml)

    assert TableSchema.load(tmp_path) == SCHEMA
    assert check_schema(Table.of(frame()), read_schema(tmp_path / "schema.yaml")).passed


OWN = """
schema_type: dataframe
columns:
  x: {dtype: float64, nullable: false, checks: {in_range: {min_value: 0, max_value: 0.5}}}
  n: {dtype: int64}
  s: {dtype: object, checks: {isin: [a]}}
"""


def test_a_schema_of_one_s_own_is_enforced_with_counts(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    schema = read_schema(tmp_path / "own.yaml")

    check = check_schema(Table.of(frame()), schema)
    fine = check_schema(Table.of(frame().assign(x=0.25, s="a")), schema)

    labels = [failure for failure in check.evidence["failure_cases"] if failure["column"] == "s"]
    assert [(failure["failure_case"], failure["count"]) for failure in labels] == [("b", ROWS // 2)]
    assert sum(failure["count"] for failure in check.evidence["failure_cases"] if failure["column"] == "x") == 20
    assert fine.passed


def test_failure_cases_are_few(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("columns:\n  x: {dtype: float64, checks: {less_than: 0}}\n")
    many = pd.DataFrame({"x": np.arange(500.0)})

    check = check_schema(Table.of(many), read_schema(tmp_path / "own.yaml"))

    assert len(check.evidence["failure_cases"]) == 50
    assert check.evidence["failures"] == 500


@pytest.mark.parametrize(
    "text", [None, "", "columns: [", "a: 1", "columns:\n  x: {dtype: nonsense}", "columns:\n  x: {checks: {nope: 1}}"]
)
def test_what_is_no_schema_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "own.yaml").write_text(text)

    with pytest.raises(DataError, match=r"own\.yaml") as caught:
        read_schema(tmp_path / "own.yaml")

    assert "\n" not in caught.value.message


TARGETS: list[tuple[dict[str, Any], bool, str]] = [
    ({"targetColumn": "y"}, True, "40 of 40 rows"),
    ({"targetColumn": "yy"}, False, "Did you mean 'y'"),
    ({"targetColumn": "gone"}, False, "all 40 values are missing"),
]


@pytest.mark.parametrize(("keys", "passed", "message"), TARGETS)
def test_the_target_must_be_there(spec_for: SpecFor, keys: dict[str, str], passed: bool, message: str) -> None:
    check = check_target(Table.of(frame().assign(gone=None)), spec_for(keys["targetColumn"]))

    assert (check.name, check.blocking, check.passed) == ("target_present", True, passed)
    assert message in check.message
