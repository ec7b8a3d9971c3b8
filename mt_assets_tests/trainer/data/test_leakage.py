"""Features that give the answer away, and tests of another population, are told; ordinary data is not suspected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.leakage import check_near_perfect, check_shift
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.splits import Splits, split_data
from mt_assets.trainer.data.table import Table

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
