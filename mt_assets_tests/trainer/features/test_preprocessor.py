"""What the preprocessor makes of columns, of which rows it learns, and what it bears at prediction."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from mt_assets.trainer.algorithms.algorithm import Encoding
from mt_assets.trainer.data.frames import canonical
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.features.columns import MAX_LEVELS, MAX_ONE_HOT, SQUASH_AT
from mt_assets.trainer.features.preprocessor import (
    FittedPreprocessor,
    TablePreprocessor,
    check_fit_rows,
    fit_preprocessor,
    rows_digest,
)

ENCODINGS: tuple[Encoding, ...] = ("native", "all_levels", "ordinal", "one_hot")
ROLES = {"age": "numeric", "income [USD]": "numeric", "member": "boolean", "city": "categorical", "plan": "categorical"}


@pytest.fixture(params=ENCODINGS)
def fitted(request: pytest.FixtureRequest, mixed: pd.DataFrame) -> TablePreprocessor:
    return TablePreprocessor(ROLES, request.param).fit(canonical(mixed))


def test_outputs_are_named_and_traced_to_columns(fitted: TablePreprocessor, mixed: pd.DataFrame) -> None:
    encoded = fitted.transform(canonical(mixed))
    assert encoded.shape == (len(mixed), len(fitted.get_feature_names_out()))
    assert set(fitted.source_columns_.values()) == set(ROLES)


def test_native_and_ordinal_keep_gaps_and_put_categories_last(mixed: pd.DataFrame) -> None:
    frame = canonical(mixed)
    native = TablePreprocessor(ROLES, "native").fit_transform(frame)
    np.testing.assert_array_equal(np.isnan(native[:, 1]), mixed["income [USD]"].isna())
    np.testing.assert_array_equal(np.isnan(native[:, 3]), mixed["city"].isna())
    assert set(native[~np.isnan(native[:, 3]), 3]) == {0.0, 1.0, 2.0, 3.0}
    ordinal = TablePreprocessor(ROLES, "ordinal").fit_transform(frame)
    assert ordinal.dtype == np.float32
    np.testing.assert_allclose(ordinal, native, rtol=1e-6)


def test_one_hot_has_no_gaps_and_marks_them(mixed: pd.DataFrame) -> None:
    preprocessor = TablePreprocessor(ROLES, "one_hot")
    encoded = preprocessor.fit_transform(canonical(mixed))
    names = list(preprocessor.get_feature_names_out())
    assert np.isfinite(encoded).all()
    np.testing.assert_array_equal(encoded[:, names.index("income [USD]_missing")] == 1, mixed["income [USD]"].isna())
    assert preprocessor.source_columns_["income [USD]_missing"] == "income [USD]"
    np.testing.assert_array_equal(encoded[:, names.index("city_Graz")] == 1, mixed["city"] == "Graz")


def test_new_rows_may_have_anything(fitted: TablePreprocessor, mixed: pd.DataFrame) -> None:
    frame = mixed.iloc[:4].copy()
    usual = fitted.transform(canonical(frame))
    shuffled = frame[list(frame.columns[::-1])].assign(more=1)
    np.testing.assert_array_equal(fitted.transform(canonical(shuffled)), usual)
    strange = pd.DataFrame(
        {"age": [np.nan, np.inf], "income [USD]": ["12.5", "n/a"], "member": [None, True], "city": ["Rom", None],
         "plan": [None, "z"]}
    )  # fmt: skip
    encoded = fitted.transform(canonical(strange))
    assert encoded.shape == (2, usual.shape[1])
    assert not np.isinf(encoded).any()
    if fitted.encoding == "one_hot":
        assert not np.isnan(encoded).any()


def test_a_lost_column_is_named(fitted: TablePreprocessor, mixed: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"'income \[USD\]'"):
        fitted.transform(canonical(mixed.drop(columns="income [USD]")))


def test_unseen_levels_are_missing(mixed: pd.DataFrame) -> None:
    preprocessor = TablePreprocessor(ROLES, "native").fit(canonical(mixed))
    encoded = preprocessor.transform(canonical(mixed.iloc[:1].assign(city="Rom")))
    assert np.isnan(encoded[0, 3])


def test_numbers_as_categories_are_the_same_with_and_without_gaps() -> None:
    preprocessor = TablePreprocessor({"code": "categorical"}, "native").fit(pd.DataFrame({"code": [10, 20, 30]}))
    whole = preprocessor.transform(pd.DataFrame({"code": [30, 10]}))
    with_gap = preprocessor.transform(canonical(pd.DataFrame({"code": [30, None, 10]})))
    np.testing.assert_array_equal(whole[:, 0], with_gap[[0, 2], 0])


def test_booleans_written_as_words_are_categories() -> None:
    frame = pd.DataFrame({"ok": ["yes", "no", "yes", "no"]}, dtype=object)
    assert TablePreprocessor({"ok": "boolean"}, "native").fit_transform(frame)[:, 0].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(("encoding", "most"), [("native", MAX_LEVELS), ("one_hot", MAX_ONE_HOT)])
def test_rare_levels_are_one_level(encoding: Any, most: int) -> None:
    frame = pd.DataFrame({"id": [str(number // 2) for number in range(600)]}, dtype=object)
    encoded = TablePreprocessor({"id": "categorical"}, encoding).fit_transform(frame)
    levels = encoded.shape[1] if encoding == "one_hot" else len(np.unique(encoded))
    assert levels == most
    assert len(np.unique(TablePreprocessor({"id": "categorical"}, "all_levels").fit_transform(frame))) == 300


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_dates_and_text_become_numbers(encoding: Any) -> None:
    n = 60
    frame = canonical(
        pd.DataFrame(
            {
                "when": pd.date_range("2024-01-01", periods=n, freq="7h"),
                "note": [f"the {word} order number {at}" for at, word in enumerate(["late", "early", "lost"] * 20)],
                "empty": [None] * n,
            }
        )
    )
    roles = {"when": "datetime", "note": "text", "empty": "text"}
    preprocessor = TablePreprocessor(roles, encoding, seed=1)
    encoded = preprocessor.fit_transform(frame)
    assert np.isfinite(encoded).all()
    assert {"when_year", "when_weekday"} <= set(preprocessor.source_columns_)
    assert set(preprocessor.source_columns_.values()) == {"when", "note"}
    np.testing.assert_array_equal(clone(preprocessor).fit_transform(frame), encoded)
    later = pd.DataFrame({"when": ["2025-05-05T10:00:00", None], "note": [None, "lost"], "empty": ["now", None]})
    assert preprocessor.transform(canonical(later)).shape == (2, encoded.shape[1])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_encoded_before_is_the_text_encoded_now(encoding: Any) -> None:
    """What a fold's encodings share is what each would have made of the text alone."""
    words = np.random.default_rng(0).choice(["red", "green", "late", "early", "box"], (80, 6))
    frame = canonical(pd.DataFrame({"x": np.arange(80.0), "note": [" ".join(row) for row in words]}))
    train, others = frame.iloc[:60], frame.iloc[60:]
    preprocessor = TablePreprocessor({"x": "numeric", "note": "text"}, encoding, seed=1)
    alone = preprocessor.fit_transform(train), preprocessor.transform(others)
    text = clone(preprocessor).encode_text(train, others)
    shared = clone(preprocessor)
    np.testing.assert_array_equal(shared.fit_transform(train, text=text), alone[0])
    np.testing.assert_array_equal(shared.transform(others, text), alone[1])
    np.testing.assert_array_equal(shared.transform(others), alone[1])


@pytest.mark.parametrize("encoding", [*ENCODINGS, "generated"])
def test_parts_make_the_same_matrix(
    encoding: Any, mixed: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows are encoded at a time, in memory or into a file."""
    y = np.arange(len(mixed)) % 2
    preprocessor = TablePreprocessor(ROLES, encoding)
    made, again = preprocessor.fit_transform(mixed, y), preprocessor.transform(mixed)
    monkeypatch.setattr("mt_assets.trainer.features.preprocessor.ROWS_AT_ONCE", 7)
    clone(preprocessor).fit_encode(mixed, y).save(tmp_path / "made.npy")
    preprocessor.encode(mixed).save(tmp_path / "again.npy")
    for name, matrix in (("made", made), ("again", again)):
        saved = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        assert saved.dtype == matrix.dtype
        np.testing.assert_array_equal(saved, matrix)


def test_few_words_are_told_by_their_letters() -> None:
    names = [f"{first}{end} x{at}" for at, (first, end) in enumerate([("meier", "hof"), ("huber", "berg")] * 20)]
    frame = canonical(pd.DataFrame({"name": names}))
    preprocessor = TablePreprocessor({"name": "text"}, "native").fit(frame)
    alike, unlike = preprocessor.transform(canonical(pd.DataFrame({"name": ["meierhofer", "huberbach"]})))
    usual = preprocessor.transform(frame.iloc[:1])[0]
    assert alike @ usual > unlike @ usual


def many_levels(rows: int = 600) -> tuple[pd.DataFrame, np.ndarray]:
    """A column of 100 levels by which the target goes, and one more."""
    rng = np.random.default_rng(0)
    level = rng.integers(0, 100, rows)
    frame = canonical(pd.DataFrame({"shop": [f"s{at}" for at in level], "x": rng.normal(size=rows)}))
    return frame, (level % 2 + (rng.random(rows) < 0.1)) % 2


@pytest.mark.parametrize("encoding", ["ordinal", "one_hot"])
def test_many_levels_are_told_by_the_target_of_other_rows(encoding: Any) -> None:
    frame, y = many_levels()
    roles = {"shop": "categorical", "x": "numeric"}
    preprocessor = TablePreprocessor(roles, encoding, seed=3)
    learned = preprocessor.fit_transform(frame, y)
    at = list(preprocessor.source_columns_).index("shop_target")
    assert abs(np.corrcoef(preprocessor.transform(frame)[:, at], y)[0, 1]) > 0.7
    np.testing.assert_array_equal(clone(preprocessor).fit_transform(frame, y), learned)
    # A row's own target leaves no mark on how it is encoded: noise learned so tells nothing of itself.
    noise = np.random.default_rng(1).integers(0, 2, len(y))
    own = clone(preprocessor).fit(frame, noise)
    assert np.corrcoef(own.transform(frame)[:, at], noise)[0, 1] > 0.3
    assert abs(np.corrcoef(clone(preprocessor).fit_transform(frame, noise)[:, at], noise)[0, 1]) < 0.15
    unseen = preprocessor.transform(frame.iloc[:2].assign(shop=["never", np.nan]))
    assert np.isfinite(unseen).all()


def test_many_levels_with_classes_and_amounts() -> None:
    frame, y = many_levels()
    roles = {"shop": "categorical", "x": "numeric"}
    amounts = TablePreprocessor(roles, "one_hot").fit(frame, y * 1000.0)
    assert list(amounts.source_columns_.values()).count("shop") == 1
    three = TablePreprocessor(roles, "one_hot").fit(frame, np.arange(len(y)) % 3)
    assert list(three.source_columns_.values()).count("shop") == 3
    many = np.arange(len(y)) % 20
    assert len(TablePreprocessor(roles, "one_hot").fit(frame, many).source_columns_) > 20  # by their letters
    assert TablePreprocessor(roles, "ordinal").fit(frame, many).n_categories_ == 1
    assert TablePreprocessor(roles, "native").fit(frame, y).n_categories_ == 1


def test_hours_and_weekdays_are_told_apart_for_linear_models() -> None:
    when = pd.date_range("2024-01-01", periods=24 * 21, freq="h")
    frame = canonical(pd.DataFrame({"when": when}))
    preprocessor = TablePreprocessor({"when": "datetime"}, "one_hot")
    encoded = preprocessor.fit_transform(frame)
    names = list(preprocessor.source_columns_)
    np.testing.assert_array_equal(encoded[:, names.index("when_hour_23")], when.hour == 23)
    assert not any(name.startswith("when_month_") for name in names)  # it is January throughout
    gone = preprocessor.transform(canonical(pd.DataFrame({"when": pd.Series([pd.NaT], dtype="datetime64[ns]")})))
    assert np.isfinite(gone).all()
    assert gone[0, names.index("when_hour_0")] == 0


def test_it_learns_from_its_rows_alone(mixed: pd.DataFrame) -> None:
    frame = canonical(mixed)
    part = frame.iloc[20:90]
    others_changed = frame.copy()
    others_changed.loc[frame.index[90:], "income [USD]"] = 1e9
    for encoding in ENCODINGS:
        one = TablePreprocessor(ROLES, encoding).fit(part)
        other = TablePreprocessor(ROLES, encoding).fit(others_changed.iloc[20:90])
        np.testing.assert_array_equal(one.rows_seen_, np.arange(20, 90))
        np.testing.assert_array_equal(one.transform(frame), other.transform(frame))


def test_equal_output_names_are_told_apart() -> None:
    frame = pd.DataFrame({"a": ["b_c", "b"], "a_b": ["c", "d"]}, dtype=object)
    preprocessor = TablePreprocessor({"a": "categorical", "a_b": "categorical"}, "one_hot").fit(frame)
    assert list(preprocessor.source_columns_.values()).count("a_b") == 2
    assert len(preprocessor.get_feature_names_out()) == 4


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_linear_features_are_always_finite_and_bounded(values: list[float]) -> None:
    frame = pd.DataFrame({"x": values})
    encoded = TablePreprocessor({"x": "numeric"}, "one_hot").fit_transform(frame)
    assert np.isfinite(encoded).all()
    assert np.abs(encoded).max() <= SQUASH_AT + 1e-9


def test_stored_and_read_back(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",))
    fitted = fit_preprocessor(work.plan, work.table, work.splits, work.profile)
    fitted.save(tmp_path)
    again = FittedPreprocessor.load(tmp_path)
    frame = work.table.frame()
    np.testing.assert_array_equal(again.transformer.transform(frame), fitted.transformer.transform(frame))
    assert again.digest == fitted.digest == rows_digest(work.splits.train)
    assert [row["column"] for row in again.table()] == list(work.profile.features)


def test_check_fit_rows_finds_a_preprocessor_that_saw_too_much(make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("lightgbm",))
    honest = fit_preprocessor(work.plan, work.table, work.splits, work.profile)
    assert check_fit_rows(work.splits, preprocessor=honest).passed
    greedy = FittedPreprocessor(work.preprocessor.fit(work.table.frame()))
    verdict = check_fit_rows(work.splits, preprocessor=greedy)
    assert not verdict.passed
    assert verdict.blocking
    assert verdict.evidence["wrong"][0]["test_rows"] == len(work.splits.test)


@pytest.mark.parametrize("encoding", ["native", "ordinal"])
def test_an_unseen_label_is_encoded_like_one_that_was_seen_once(encoding: Encoding) -> None:
    frame = pd.DataFrame({"city": ["Wien"] * 5 + ["Graz"] * 4 + ["Linz", "Wels", None]}, dtype=object)
    preprocessor = TablePreprocessor({"city": "categorical"}, encoding).fit(frame)
    asked = pd.DataFrame({"city": ["Linz", "Wels", "Steyr", "Wien", None]}, dtype=object)
    codes = preprocessor.transform(asked)[:, 0]
    assert codes[0] == codes[1] == codes[2]
    assert codes[3] not in codes[:3]
    assert np.isnan(codes[4])


def test_an_unseen_label_is_missing_where_no_label_is_rare() -> None:
    frame = pd.DataFrame({"city": ["Wien"] * 5 + ["Graz"] * 4}, dtype=object)
    preprocessor = TablePreprocessor({"city": "categorical"}, "native").fit(frame)
    assert np.isnan(preprocessor.transform(pd.DataFrame({"city": ["Steyr"]}, dtype=object))[0, 0])
