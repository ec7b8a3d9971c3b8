"""Every column gets a role with a reason, the target a task, the data a score, and the person a warning."""

import math
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_wine

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.profile import DataProfile, encode_target, profile_data
from mt_assets.trainer.data.table import Table, with_notes
from mt_assets.trainer.errors import DataError

SpecFor = Callable[..., TrainingSpec]
ROWS = 60
RNG = np.random.default_rng(0)
Y = np.tile(["no", "yes", "no"], ROWS // 3)


def profile_of(columns: dict[str, Any], spec: TrainingSpec) -> DataProfile:
    return profile_data(Table.of(pd.DataFrame(columns)), spec)


COLUMNS = {
    "numeric": RNG.normal(size=ROWS),
    "near-unique fractions are no id": np.arange(ROWS) / 7,
    "few whole numbers": np.arange(ROWS) % 3,
    "many whole numbers in no order": RNG.permutation(ROWS),
    "row number": np.arange(ROWS),
    "customer_id": RNG.permutation(ROWS),
    "customerId": RNG.permutation(ROWS) * 7,
    "hotel_id": np.arange(ROWS) % 7,
    "__index_level_0__": RNG.permutation(np.arange(ROWS) % 40),
    "uuid": [str(uuid.UUID(int=at * 7919)) for at in range(ROWS)],
    "boolean": np.arange(ROWS) % 2 == 0,
    "labels": np.tile(["a", "b", "c"], ROWS // 3),
    "mostly missing": [1.0, 2.0] + [np.nan] * (ROWS - 2),
    "text": [f"the customer said thing {at % 30}" for at in range(ROWS)],
    "names": [f"Jane D{at}" for at in range(ROWS)],
    "when": pd.date_range("2024-01-01", periods=ROWS),
    "constant": ["x"] * ROWS,
    "nothing": [None] * ROWS,
    "one value or missing": ["x", None] * (ROWS // 2),
}
ROLES = {
    "numeric": "numeric",
    "near-unique fractions are no id": "numeric",
    "few whole numbers": "numeric",
    "many whole numbers in no order": "numeric",
    "row number": "id",
    "customer_id": "id",
    "customerId": "id",
    "hotel_id": "numeric",
    "__index_level_0__": "id",
    "uuid": "id",
    "boolean": "boolean",
    "labels": "categorical",
    "mostly missing": "numeric",
    "text": "text",
    "names": "text",
    "when": "datetime",
    "constant": "constant",
    "nothing": "constant",
    "one value or missing": "categorical",
}


def test_roles_come_from_what_columns_hold(spec_for: SpecFor) -> None:
    profile = profile_of({**COLUMNS, "y": Y}, spec_for("y"))

    assert {column.name: column.role for column in profile.columns} == {**ROLES, "y": "target"}
    assert list(profile.features) == [name for name, role in ROLES.items() if role not in ("id", "constant")]
    assert all(column.reason for column in profile.columns)


def test_booleans_with_gaps_are_booleans(spec_for: SpecFor) -> None:
    profile = profile_of({"b": [True, False, None] * 20, "y": Y}, spec_for("y"))

    assert profile.features == {"b": "boolean"}


def test_columns_left_out_are_told(spec_for: SpecFor) -> None:
    warnings = profile_of({**COLUMNS, "y": Y}, spec_for("y")).warnings

    for name in ("row number", "customer_id", "uuid", "constant", "nothing"):
        assert any(f"'{name}' is left out" in warning for warning in warnings)


def test_columns_are_described(spec_for: SpecFor) -> None:
    columns = profile_of({"x": [1.0, 1.0, np.nan, 4.0] * 15, "s": ["a", "b", "a", None] * 15, "y": Y}, spec_for("y"))
    x, s, _ = columns.columns

    assert (x.missing, x.unique, x.minimum, x.maximum, x.mean, x.dtype) == (15, 2, 1.0, 4.0, 2.0, "double")
    assert (s.missing, s.unique, s.mean, s.examples, s.dtype) == (15, 2, None, ("a", "b"), "string")


def test_the_spec_decides_over_inference(spec_for: SpecFor) -> None:
    spec = spec_for(
        "y",
        featureTypes={"few": "categorical", "row": "numeric", "labels": "drop", "code": "id", "when": "datetime"},
        timeColumn="t",
        groupColumn="g",
    )
    columns = {
        "few": np.arange(ROWS) % 3,
        "row": np.arange(ROWS),
        "labels": ["a", "b"] * 30,
        "code": ["c", "d"] * 30,
        "when": ["2024-01-01", "2024-01-02 10:00"] * 30,
        "t": np.arange(ROWS),
        "g": ["k", "l"] * 30,
        "y": Y,
    }

    roles = {column.name: column.role for column in profile_of(columns, spec).columns}

    assert roles == {
        "few": "categorical",
        "row": "numeric",
        "labels": "drop",
        "code": "id",
        "when": "datetime",
        "t": "time",
        "g": "group",
        "y": "target",
    }


def test_listed_features_are_the_only_ones(spec_for: SpecFor) -> None:
    columns = {"a": RNG.normal(size=ROWS), "b": RNG.normal(size=ROWS), "c": ["x"] * ROWS, "n": np.arange(ROWS), "y": Y}

    profile = profile_of(columns, spec_for("y", features=["b", "c", "n"]))

    assert profile.features == {"b": "numeric", "n": "numeric"}
    assert any("'c' is left out although it is listed" in warning for warning in profile.warnings)


TASKS = {
    "text": (Y, "classification", "task.text"),
    "boolean": (Y == "yes", "classification", "task.boolean"),
    "zeros and ones": ((Y == "yes").astype(int), "classification", "task.two_values"),
    "zeros and ones as floats with gaps": (np.where(np.arange(ROWS) == 0, np.nan, Y == "yes"), "classification", None),
    "three of sixty": (np.arange(ROWS) % 3, "classification", "task.few_numbers"),
    "seven of sixty": (np.arange(ROWS) % 7, "regression", "task.many_numbers"),
    "fractions": (RNG.normal(size=ROWS), "regression", "task.fractions"),
}


@pytest.mark.parametrize("case", TASKS)
def test_the_task_follows_from_the_target(spec_for: SpecFor, case: str) -> None:
    values, task, rule = TASKS[case]

    target = profile_of({"x": RNG.normal(size=ROWS), "y": values}, spec_for("y")).target

    assert target.task == task
    assert rule in (None, target.decisions[0].rule)
    assert target.decisions[0].override == "modelType"
    assert bool(target.classes) == (task == "classification")


def test_many_different_amounts_are_a_regression_in_any_number_of_rows(spec_for: SpecFor) -> None:
    rows = 20_000
    columns = {"x": RNG.normal(size=rows), "y": np.arange(rows) % 300}

    assert profile_of(columns, spec_for("y")).target.task == "regression"
    assert profile_of(columns, spec_for("y", modelType="classification")).target.task == "classification"


def test_tasks_of_known_tables(spec_for: SpecFor) -> None:
    def task(bunch: Any) -> str:
        return profile_data(Table.of(bunch.frame), spec_for("target")).target.task

    assert task(load_iris(as_frame=True)) == "classification"
    assert task(load_wine(as_frame=True)) == "classification"
    assert task(load_diabetes(as_frame=True)) == "regression"


POSITIVE = {
    "yes among rare noes": (["yes"] * 50 + ["no"] * 10, None, "yes", "positive.word"),
    "one": ([1] * 50 + [0] * 10, None, 1, "positive.word"),
    "one in a column with gaps": ([1.0] * 50 + [0.0] * 9 + [None], None, 1, "positive.word"),
    "true": ([True] * 50 + [False] * 10, None, True, "positive.word"),
    "POSITIVE": (["POSITIVE"] * 50 + ["negative"] * 10, None, "POSITIVE", "positive.word"),
    "the rarer": (["good"] * 50 + ["bad"] * 10, None, "bad", "positive.rarer"),
    "as asked": (["good"] * 50 + ["bad"] * 10, "good", "good", "positive.asked"),
    "as asked in other type": ([1] * 50 + [0] * 10, "0", 0, "positive.asked"),
}


@pytest.mark.parametrize("case", POSITIVE)
def test_the_positive_label_follows_a_recorded_rule(spec_for: SpecFor, case: str) -> None:
    values, asked, positive, rule = POSITIVE[case]
    keys = {} if asked is None else {"positiveLabel": asked}

    target = profile_of({"x": RNG.normal(size=ROWS), "y": values}, spec_for("y", **keys)).target

    assert target.positive is not None
    assert target.classes[target.positive] == positive
    assert target.decisions[1].rule == rule
    assert target.decisions[1].override == "positiveLabel"


def test_classes_are_sorted_original_labels(spec_for: SpecFor) -> None:
    target = profile_of(
        {"x": RNG.normal(size=ROWS), "y": [3, 1, 2, None] * 15}, spec_for("y", modelType="classification")
    )

    assert target.target.classes == (1, 2, 3)
    assert all(type(label) is int for label in target.target.classes)
    assert target.target.counts == (15, 15, 15)
    assert target.target.missing == 15
    assert target.target.positive is None
    assert any("15 of 60 rows have no 'y'" in warning for warning in target.warnings)


def test_targets_are_encoded_and_unknown_labels_refused(spec_for: SpecFor) -> None:
    text = profile_of({"x": RNG.normal(size=ROWS), "y": Y}, spec_for("y")).target
    numbers = profile_of({"x": RNG.normal(size=ROWS), "y": (Y == "yes") * 2}, spec_for("y")).target
    amounts = profile_of({"x": RNG.normal(size=ROWS), "y": RNG.normal(size=ROWS)}, spec_for("y")).target

    assert encode_target(pd.Series(["yes", "no"]), text).tolist() == [1, 0]
    assert encode_target(pd.Series([2, 0]), numbers).tolist() == [1, 0]
    assert encode_target(pd.Series([2.0, 0.0]), numbers).tolist() == [1, 0]
    assert encode_target(pd.Series([1, 2]), amounts).tolist() == [1.0, 2.0]
    for values, target in ((["maybe"], text), ([1], numbers), ([1], text), (["2"], numbers), (["a"], amounts)):
        with pytest.raises(DataError):
            encode_target(pd.Series(values), target)
    with pytest.raises(DataError, match="no value"):
        encode_target(pd.Series(["yes", None]), text)


def test_quality_falls_with_what_is_wrong(spec_for: SpecFor) -> None:
    good = {"a": RNG.normal(size=ROWS), "b": RNG.normal(size=ROWS), "y": Y}
    clean = profile_of(good, spec_for("y")).quality
    gaps = profile_of({**good, "b": [None, 1.0] * 30}, spec_for("y")).quality
    constant = profile_of({**good, "c": ["x"] * ROWS}, spec_for("y")).quality
    odd = profile_of({**good, "c": ["1,200", "35,100"] * 30}, spec_for("y")).quality
    frame = pd.DataFrame(good)
    twice = profile_data(Table.of(pd.concat([frame, frame])), spec_for("y")).quality

    assert clean.score == 100
    assert clean.parts == {"completeness": 100, "duplicates": 100, "constants": 100, "consistency": 100}
    assert gaps.parts["completeness"] == pytest.approx(100 * 5 / 6, abs=0.01)
    assert gaps.score == pytest.approx(100 - 40 / 6, abs=0.01)
    assert constant.parts["constants"] == 75
    assert odd.parts["consistency"] == 75
    assert (twice.parts["duplicates"], twice.score) == (50, 90)
    assert all(quality.notes for quality in (gaps, constant, odd, twice))


ODD = {
    "thousands": (["1,200", "35,100"], "separators or units"),
    "decimal commas": (["1,5", "2,75"], "separators or units"),
    "units": (["12 kg", "3.5 kg"], "separators or units"),
    "percent": (["12%", "3.5%"], "separators or units"),
    "dates": (["01/02/2024", "02/03/2024"], "dates that are not written as"),
    "numbers": (["12", "35"], "numbers as text"),
    "spellings": (["Berlin", "berlin "], "differ only in case"),
}


@pytest.mark.parametrize("case", ODD)
def test_text_that_may_be_something_else_is_told(spec_for: SpecFor, case: str) -> None:
    values, message = ODD[case]

    profile = profile_of({"odd": values * 30, "y": Y}, spec_for("y"))

    assert profile.features == {"odd": "categorical"}
    assert any("'odd'" in warning and message in warning for warning in profile.warnings)


@pytest.mark.parametrize("values", [["a", "b"], ["A1", "B2"], ["red", "1"], ["10-20", "20-30"], ["3 rooms", "4 rooms"]])
def test_ordinary_labels_are_not_suspected(spec_for: SpecFor, values: list[str]) -> None:
    assert profile_of({"x": values * 30, "y": Y}, spec_for("y")).quality.parts["consistency"] == 100


def test_infinities_and_notes_of_reading_are_told(spec_for: SpecFor) -> None:
    table = Table.of(with_notes(pa.table({"x": [math.inf, 1.0, 2.0] * 20, "y": Y}), ["read so"]))

    profile = profile_data(table, spec_for("y"))

    assert "read so" in profile.warnings
    assert any("20 infinite values" in warning for warning in profile.warnings)
    assert profile.columns[0].maximum == 2.0


X = {"x": RNG.normal(size=ROWS), "group": ["a", "b"] * 30}
REFUSED = {
    "target not there": ({**X, "target": Y}, {"targetColumn": "traget"}, "'traget' is not in the data", "'target'"),
    "target all missing": ({**X, "y": [None] * ROWS}, {}, "all 60 values are missing", None),
    "one class": ({**X, "y": ["a"] * 59 + [None]}, {}, "one class only, 'a'", None),
    "one number": ({**X, "y": [3.5] * ROWS}, {}, "one class only", None),
    "features not there": ({**X, "y": Y}, {"features": ["x", "gruop"]}, "features names 'gruop'", "'group'"),
    "type of no column": ({**X, "y": Y}, {"featureTypes": {"z": "id"}}, "featureTypes names 'z'", "x, group"),
    "no time column": ({**X, "y": Y}, {"timeColumn": "when"}, "timeColumn names 'when'", None),
    "no group column": ({**X, "y": Y}, {"groupColumn": "groups"}, "groupColumn names 'groups'", "'group'"),
    "every feature constant": ({"a": [1] * ROWS, "b": [None] * ROWS, "y": Y}, {}, "Every feature is constant", None),
    "only ids": ({"a": np.arange(ROWS), "b": ["k"] * ROWS, "y": Y}, {}, "No column is left", None),
    "only the target": ({"y": Y}, {}, "the only column", None),
    "text as regression": ({**X, "y": Y}, {"modelType": "regression"}, "'y' holds text", "classification"),
    "fractions as classes": (
        {**X, "y": RNG.normal(size=ROWS)},
        {"modelType": "classification"},
        "numbers with fractions",
        "regression",
    ),
    "dates as target": ({**X, "y": pd.date_range("2024", periods=ROWS)}, {}, "holds dates", None),
    "no such positive label": ({**X, "y": Y}, {"positiveLabel": 1}, "its classes are 'no', 'yes'", "positiveLabel"),
    "no numbers at all": ({**X, "y": Y}, {"featureTypes": {"group": "numeric"}}, "'group' is numeric", None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learned_is_refused(spec_for: SpecFor, case: str) -> None:
    columns, keys, message, remedy = REFUSED[case]
    asked = {"targetColumn": "y", **keys}

    with pytest.raises(DataError, match=message) as caught:
        profile_of(columns, spec_for(asked.pop("targetColumn"), **asked))

    assert "\n" not in caught.value.message
    assert remedy is None or any(remedy in suggestion for suggestion in caught.value.suggestions)


def test_more_classes_than_can_be_learned_are_refused(spec_for: SpecFor) -> None:
    columns = {"x": RNG.normal(size=3000), "y": [f"k{at % 1001}" for at in range(3000)]}

    with pytest.raises(DataError, match="1,001 different values"):
        profile_of(columns, spec_for("y"))


def test_a_profile_reads_back_as_it_was(spec_for: SpecFor) -> None:
    profile = profile_of({**COLUMNS, "y": [True, False] * 30}, spec_for("y"))

    assert DataProfile.model_validate_json(profile.model_dump_json()) == profile
