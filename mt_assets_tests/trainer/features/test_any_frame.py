"""Whatever columns hold at fit and at prediction, what comes out has the same columns and nothing infinite."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mt_assets.trainer.data.frames import canonical
from mt_assets.trainer.features.preprocessor import TablePreprocessor
from mt_assets.trainer.model import TRUSTED_TYPES

ENCODINGS = ("native", "all_levels", "ordinal", "one_hot")
INSTANTS = [pd.Timestamp("2020-02-29"), pd.Timestamp("1999-12-31 23:59"), pd.Timestamp("2262-01-01"), pd.NaT]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "numeric": st.one_of(st.none(), st.integers(-(2**62), 2**62), st.floats()),
    "boolean": st.sampled_from([True, False, None]),
    "categorical": st.one_of(st.none(), st.sampled_from(["a", "b", "c d"]), st.text(max_size=5)),
    "datetime": st.sampled_from(INSTANTS),
    "text": st.one_of(st.none(), st.lists(st.sampled_from(["late", "box", "é", ""]), max_size=6).map(" ".join)),
}
FORMS = ("as it is", "text", "category", "reversed", "missing", "of another kind")


@st.composite
def columns(draw: st.DrawFn, role: str, rows: int) -> pd.Series:
    values = draw(st.lists(VALUES[role], min_size=rows, max_size=rows))
    return pd.Series(
        pd.to_datetime(values) if role == "datetime" else values, dtype=None if role == "datetime" else object
    )


def changed(frame: pd.DataFrame, form: str) -> pd.DataFrame:
    """The frame as somebody else may hand it over."""
    if form == "text":
        return frame.astype(str)
    if form == "category":
        return frame.astype(str).astype("category")
    if form == "reversed":
        return frame[frame.columns[::-1]].assign(more=1)
    if form == "missing":
        return frame.assign(**dict.fromkeys(frame.columns, None))
    return frame.iloc[:, ::1].assign(**dict.fromkeys(frame.columns, 7.5)) if form == "of another kind" else frame


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.data(), form=st.sampled_from(FORMS), target=st.sampled_from(["none", "classes", "values"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_frame_of_any_types(encoding: Any, data: st.DataObject, form: str, target: str) -> None:
    rows = data.draw(st.integers(2, 12))
    roles = {role: role for role in data.draw(st.sets(st.sampled_from(list(VALUES)), min_size=1))}
    frame = pd.DataFrame({role: data.draw(columns(role, rows)) for role in roles})
    y = {"none": None, "classes": np.arange(rows) % 2, "values": np.linspace(0, 1, rows)}[target]
    preprocessor = TablePreprocessor(roles, encoding, seed=1)
    learned = preprocessor.fit_transform(canonical(frame), y)
    later = preprocessor.transform(canonical(changed(frame, form)))
    assert learned.shape == later.shape == (rows, len(preprocessor.source_columns_))
    for matrix in (learned, later):
        assert not np.isinf(matrix).any()
        assert encoding != "one_hot" or not np.isnan(matrix).any()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_numbers_mean_the_same_in_every_type(encoding: Any) -> None:
    whole = pd.DataFrame({"x": [3, 1, 2, 8] * 5, "code": [10, 20, 30, 40] * 5})
    preprocessor = TablePreprocessor({"x": "numeric", "code": "categorical"}, encoding).fit(canonical(whole))
    usual = preprocessor.transform(canonical(whole))
    for dtype in ("float64", "Int64", "float32", "int8", "category", "str", "object"):
        np.testing.assert_array_equal(preprocessor.transform(canonical(whole.astype(dtype))), usual, err_msg=dtype)


def test_instants_mean_the_same_in_every_zone() -> None:
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=60, freq="31h")})
    preprocessor = TablePreprocessor({"when": "datetime"}, "one_hot").fit(canonical(frame))
    usual = preprocessor.transform(canonical(frame))
    in_vienna = frame["when"].dt.tz_localize("UTC").dt.tz_convert("Europe/Vienna")
    for other in (in_vienna, frame["when"].astype(str), frame["when"].astype("datetime64[s]")):
        np.testing.assert_array_equal(preprocessor.transform(canonical(pd.DataFrame({"when": other}))), usual)


@pytest.mark.parametrize("encoding", ["ordinal", "one_hot"])
@pytest.mark.parametrize("classes", [2, 3, 20])
def test_many_levels_are_stored_without_foreign_types(encoding: Any, classes: int) -> None:
    frame = canonical(pd.DataFrame({"shop": [f"s{at % 90}" for at in range(400)], "n": range(400)}))
    preprocessor = TablePreprocessor({"shop": "categorical", "n": "numeric"}, encoding)
    preprocessor.fit(frame, np.arange(400) % 90 % classes)
    again = skops.io.loads(skops.io.dumps(preprocessor), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.transform(frame), preprocessor.transform(frame))
