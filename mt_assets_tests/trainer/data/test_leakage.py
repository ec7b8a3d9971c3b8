"""Features that give the answer away, and tests of another population, are told; ordinary data is not suspected."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.encoded_target import check_target_encoded
from mt_assets.trainer.data.leakage import check_near_perfect, check_shift
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.splits import Fold, Splits, split_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.features.label_shuffle import check_label_shuffle
from mt_assets.trainer.features.preprocessor import TablePreprocessor

SpecFor = Callable[..., TrainingSpec]
ROWS = 600
RNG = np.random.default_rng(0)


def base() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=ROWS)
    return {
        "x": x,
        "c": rng.choice(["a", "b", "c"], ROWS),
        "words": [f"some words about thing {at}" for at in rng.integers(0, 50, ROWS)],
        "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, ROWS), unit="D"),
        "y": np.where(x + rng.normal(size=ROWS) > 0, "yes", "no"),
        "k": rng.choice(["A", "B", "C"], ROWS),
        "z": x * 3 + rng.normal(size=ROWS),
    }


def checked(columns: dict[str, Any], spec: TrainingSpec, check: Callable[..., Check]) -> Check:
    table = Table.of(pd.DataFrame(columns))
    profile = profile_data(table, spec)
    return check(table, profile, split_data(table, profile, spec, None))


def test_ordinary_features_are_not_suspected(spec_for: SpecFor) -> None:
    for target in ("y", "k", "z"):
        check = checked(base(), spec_for(target), check_near_perfect)
        assert (check.name, check.blocking) == ("near_perfect_feature", False)
        assert check.passed, check.message


LEAKS = {
    "a number for two classes": ("y", lambda c: (c["y"] == "yes") * 2.0 + RNG.normal(size=ROWS) * 0.1),
    "labels for two classes": ("y", lambda c: np.where(c["y"] == "yes", "paid", "open")),
    "labels with gaps for two classes": (
        "y",
        lambda c: np.where(c["y"] == "yes", RNG.choice(["paid", "sent"], ROWS), None),
    ),
    "a number for three classes": ("k", lambda c: pd.factorize(c["k"])[0] + RNG.normal(size=ROWS) * 0.05),
    "labels for three classes": ("k", lambda c: np.char.add("code ", c["k"])),
    "a copy of an amount": ("z", lambda c: c["z"] * 1.19 + RNG.normal(size=ROWS) * 0.01),
}


@pytest.mark.parametrize("case", LEAKS)
def test_a_feature_that_gives_the_answer_away_is_told(spec_for: SpecFor, case: str) -> None:
    target, leak = LEAKS[case]
    columns = base()
    columns["leak"] = leak(columns)

    check = checked(columns, spec_for(target), check_near_perfect)

    assert not check.passed
    assert not check.blocking
    assert [suspect["feature"] for suspect in check.evidence["suspects"]] == ["leak"]
    assert "'leak'" in check.message


def test_a_class_that_is_nearly_everything_is_no_suspicion(spec_for: SpecFor) -> None:
    columns = {"x": RNG.normal(size=ROWS), "k": ["A"] * (ROWS - 6) + ["B", "C"] * 3}

    assert checked(columns, spec_for("k"), check_near_perfect).passed


def test_only_learning_rows_are_read(spec_for: SpecFor) -> None:
    """A leak in every learning row is seen whatever the test rows hold, and one in the test rows alone is not."""
    columns = base()
    spec = spec_for("z")
    table = Table.of(pd.DataFrame(columns))
    splits = split_data(table, profile_data(table, spec), spec, None)
    tested = np.isin(np.arange(ROWS), splits.test)
    noise = RNG.normal(size=ROWS) * 50

    def suspects(x: np.ndarray) -> list[str]:
        changed = Table.of(pd.DataFrame({**columns, "x": x}))
        check = check_near_perfect(changed, profile_data(changed, spec), splits)
        return [suspect["feature"] for suspect in check.evidence["suspects"]]

    assert suspects(np.where(tested, noise, columns["z"])) == ["x"]
    assert suspects(np.where(tested, columns["z"], noise)) == []


def test_known_tables_are_not_suspected(spec_for: SpecFor) -> None:
    for bunch in (load_breast_cancer(as_frame=True), load_wine(as_frame=True), load_diabetes(as_frame=True)):
        columns = {str(name): bunch.frame[name] for name in bunch.frame}
        assert checked(columns, spec_for("target"), check_near_perfect).passed
        assert checked(columns, spec_for("target"), check_shift).passed


def test_a_random_test_is_the_same_population(spec_for: SpecFor) -> None:
    check = checked(base(), spec_for("y"), check_shift)

    assert (check.name, check.blocking, check.passed) == ("train_test_shift", False, True)
    assert check.evidence["auc"] == pytest.approx(0.5, abs=0.1)


def test_a_test_of_another_population_is_told(spec_for: SpecFor) -> None:
    columns = base()
    columns["t"] = np.arange(ROWS)
    columns["drifting"] = np.arange(ROWS) / 100 + RNG.normal(size=ROWS)

    check = checked(columns, spec_for("y", timeColumn="t"), check_shift)

    assert not check.passed
    assert not check.blocking
    assert check.evidence["auc"] > 0.9
    assert check.evidence["features"][0]["feature"] == "drifting"
    assert "'drifting'" in check.message
    assert "Dated data" in check.message


def test_checks_are_deterministic(spec_for: SpecFor) -> None:
    for check in (check_near_perfect, check_shift):
        assert checked(base(), spec_for("y"), check) == checked(base(), spec_for("y"), check)


def test_too_few_rows_are_not_judged(spec_for: SpecFor) -> None:
    columns = {"x": RNG.normal(size=24), "y": ["a", "b"] * 12}

    assert "not looked into" in checked(columns, spec_for("y"), check_shift).message
    assert "not looked into" in checked(columns, spec_for("y"), check_near_perfect).message


def test_without_a_test_there_is_no_shift(spec_for: SpecFor) -> None:
    def without_test(table: Table, profile: Any, splits: Splits) -> Check:
        return check_shift(table, profile, splits)

    assert checked(base(), spec_for("y", testSize=0), without_test).passed


def by_label(rows: int, each: int, seed: int) -> pd.DataFrame:
    """Customers with some rows each, whose target is noise, and what their mean target over the whole data is."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"customer": [f"c{at}" for at in rng.integers(0, rows // each, rows)]})
    frame["x"] = rng.normal(size=rows)
    frame["y"] = rng.choice(["no", "yes"], rows)
    frame["rate"] = (frame["y"] == "yes").groupby(frame["customer"]).transform("mean")
    return frame


@pytest.mark.parametrize("target", ["y", "z", "k"])
def test_a_mean_target_that_was_made_from_the_whole_data_is_told(spec_for: SpecFor, target: str) -> None:
    frame = by_label(1500, 4, seed=3)
    rng = np.random.default_rng(4)
    frame["z"], frame["k"] = rng.normal(size=1500), rng.choice(["A", "B", "C"], 1500)
    shares = {"y": frame["rate"], "z": frame["z"], "k": frame["k"] == "B"}
    encoded = 100 * shares[target].groupby(frame["customer"]).transform("mean") + 5  # in whatever unit
    data = {"customer": frame["customer"], "x": frame["x"], "rate": encoded, target: frame[target]}
    check = checked(data, spec_for(target), without_seed(check_target_encoded))
    assert (check.name, check.passed, check.blocking) == ("target_encoded_feature", False, False)
    assert check.evidence["suspects"] == [{"feature": "rate", "encodes": "customer"}]
    assert "'rate' (of 'customer')" in check.message
    assert checked(data, spec_for(target), check_near_perfect).passed, "the other check would have told it"


def without_seed(check: Callable[..., Check]) -> Callable[..., Check]:
    return lambda table, profile, splits: check(table, profile, splits)


def test_properties_of_labels_are_no_encoded_targets(spec_for: SpecFor) -> None:
    """Also such as the target really depends on, and means that were made from other data."""
    frame = by_label(1500, 4, seed=5)
    rng = np.random.default_rng(6)
    income = dict(zip(frame["customer"].unique(), rng.normal(size=1500), strict=False))
    frame["income"] = frame["customer"].map(income)
    frame["y"] = np.where(frame["income"] + 0.3 * rng.normal(size=1500) > 0, "yes", "no")
    other = (rng.random(1500) < 0.5).astype(float)
    frame["rate"] = pd.Series(other).groupby(frame["customer"]).transform("mean")
    check = checked(dict(frame.items()), spec_for("y"), without_seed(check_target_encoded))
    assert check.passed, check.message


def shuffled(frame: pd.DataFrame, spec: TrainingSpec, change: Callable[[Splits], Splits] = lambda same: same) -> Check:
    table = Table.of(frame)
    profile = profile_data(table, spec)
    splits = change(split_data(table, profile, spec, None))
    return check_label_shuffle(table, profile, splits, TablePreprocessor(dict(profile.features)))


@pytest.mark.parametrize("target", ["y", "k", "z"])
def test_shuffled_labels_are_chance_where_nothing_gets_around_the_split(spec_for: SpecFor, target: str) -> None:
    frame = pd.DataFrame(base())
    check = shuffled(frame, spec_for(target))
    assert (check.name, check.passed, check.blocking) == ("label_shuffle", True, False)
    assert check.evidence["auc"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("target", ["y", "k", "z"])
def test_rows_on_both_sides_of_a_fold_are_told_by_shuffled_labels(spec_for: SpecFor, target: str) -> None:
    def overlapping(splits: Splits) -> Splits:
        first = splits.folds[0]
        both = np.unique(np.concatenate([first.train, first.validation[::2]]))
        return replace(splits, folds=(Fold(both, first.validation), *splits.folds[1:]))

    check = shuffled(pd.DataFrame(base()), spec_for(target), overlapping)
    assert not check.passed
    assert "rows that stand on both sides" in check.message


class Peeking(TablePreprocessor):
    """Built to leak: it is told the labels of rows that it only transforms, as an encoding of the whole data is."""

    answers: ClassVar[list[np.ndarray]] = []

    def fit_transform(self, frame: pd.DataFrame, y: Any = None) -> np.ndarray:
        return np.asarray(y, dtype=float).reshape(-1, 1)

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        return self.answers.pop(0).astype(float).reshape(-1, 1)


def test_a_transformation_that_knows_answers_is_told_by_shuffled_labels(spec_for: SpecFor) -> None:
    table, spec = Table.of(pd.DataFrame(base())[["x", "y"]]), spec_for("y")
    profile = profile_data(table, spec)
    splits = split_data(table, profile, spec, None)
    fold = splits.folds[0]
    rows = np.sort(splits.learning)
    labels = (table.take(rows).frame(["y"])["y"] == "yes").to_numpy().astype(int)
    held = np.searchsorted(rows, np.sort(fold.validation))
    rng = np.random.default_rng(0)  # the shuffles that seed 0 makes
    Peeking.answers[:] = [labels[rng.permutation(len(labels))][held] for _ in range(3)]
    check = check_label_shuffle(table, profile, splits, Peeking(dict(profile.features)), seed=0)
    assert not check.passed
    assert check.evidence["auc"] == 1.0


def test_labels_are_not_shuffled_where_time_or_rows_are_short(spec_for: SpecFor) -> None:
    table = Table.of(pd.DataFrame(base()))
    spec = spec_for("y")
    profile = profile_data(table, spec)
    splits = split_data(table, profile, spec, None)
    check = check_label_shuffle(table, profile, splits, TablePreprocessor(dict(profile.features)), left=20.0)
    assert check.passed
    assert "time budget" in check.message
    assert "Fewer than 30 rows" in shuffled(pd.DataFrame(base())[:60], spec_for("y")).message
