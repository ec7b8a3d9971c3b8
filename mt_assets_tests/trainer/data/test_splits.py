"""Who is tested on: rows within each class, whole groups or the newest, and never by the value of a feature."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.splits import Splits, check_splits, split_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError

SpecFor = Callable[..., TrainingSpec]
Churn = Callable[..., pd.DataFrame]
Split = Callable[..., Splits]
CheckByName = Callable[..., dict[str, Any]]


def test_the_test_has_its_share_of_each_class(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(500, positives=0.1)

    splits = split(frame, spec_for("y"))

    assert frame["y"].iloc[splits.test].value_counts().to_dict() == {"no": 90, "yes": 10}
    assert splits.decisions[0].rule == "test.classes"
    assert len(split(frame, spec_for("y", testSize=37)).test) == 37
    assert len(split(frame, spec_for("y", testSize=0)).test) == 0


def test_another_seed_is_another_draw(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn()
    one, same, other = (split(frame, spec_for("y", options={"seed": seed})) for seed in (0, 0, 1))

    assert np.array_equal(one.test, same.test)
    assert all(np.array_equal(a.validation, b.validation) for a, b in zip(one.folds, same.folds, strict=True))
    assert not np.array_equal(one.test, other.test)
    assert not np.array_equal(one.validation, other.validation)


def test_no_value_but_the_target_steers_the_draw(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    """The split is decided by identity hashes: it does not follow a feature, and not the order of the rows."""
    frame = churn(4000)

    test = np.zeros(4000)
    test[split(frame, spec_for("y")).test] = 1

    assert abs(np.corrcoef(test, frame["x"])[0, 1]) < 0.05
    assert abs(np.corrcoef(test, np.arange(4000))[0, 1]) < 0.05


def test_rare_classes_keep_learning_rows(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(100)
    frame.loc[:0, "y"] = "single"
    frame.loc[1:2, "y"] = "double"
    frame.loc[3:5, "y"] = "triple"

    splits = split(frame, spec_for("y", testSize=0.6))

    learned = frame["y"].iloc[splits.learning].value_counts()
    assert (learned["single"], learned["double"], learned["triple"]) == (1, 2, 2)
    # The single row is fitted on in every fold, so that no model meets a class for the first time.
    for fold in splits.folds:
        assert set(frame["y"].iloc[fold.train]) == set(frame["y"])


def test_groups_stay_together(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(1000)

    splits = split(frame, spec_for("y", groupColumn="g"))

    groups = frame["g"].to_numpy()
    assert not set(groups[splits.test]) & set(groups[splits.learning])
    assert 150 <= len(splits.test) <= 200
    for fold in splits.folds:
        assert not set(groups[fold.train]) & set(groups[fold.validation])


@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_few_groups_is_learned_from(churn: Churn, split: Split, spec_for: SpecFor, seed: int) -> None:
    frame = churn(200).assign(g=np.arange(200) // 4)
    frame.loc[frame["g"].isin([3, 4]), "y"] = "rare"

    splits = split(frame, spec_for("y", groupColumn="g", testSize=0.6, options={"seed": seed}))

    assert "rare" in set(frame["y"].iloc[splits.learning])


def test_the_newest_rows_are_the_test(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(500)

    splits = split(frame, spec_for("y", timeColumn="t"))

    times = frame["t"].to_numpy()
    assert times[splits.learning].max() < times[splits.test].min()
    assert abs(len(splits.test) - 100) <= 3
    newest_first = [times[fold.validation].min() for fold in splits.folds]
    assert newest_first == sorted(newest_first, reverse=True)
    for fold in splits.folds:
        assert times[fold.train].max() < times[fold.validation].min()


def test_rows_without_a_time_are_left_out_and_told(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(300)
    frame.loc[:4, "t"] = pd.NaT

    splits = split(frame, spec_for("y", timeColumn="t"))

    assert not set(range(5)) & (set(splits.learning) | set(splits.test))
    assert next(d for d in splits.decisions if d.rule == "test.undated").value == 5


def test_dated_groups_are_on_one_side_or_left_out(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(600).assign(t=np.arange(600), g=np.arange(600) // 9)
    spec = spec_for("y", timeColumn="t", groupColumn="g")
    table = Table.of(frame)
    profile = profile_data(table, spec)

    splits = split_data(table, profile, spec, None)

    assert all(check.passed for check in check_splits(splits, table, spec, profile))
    left = set(range(600)) - set(splits.learning) - set(splits.test)
    assert 0 < len(left) < 9
    with pytest.raises(DataError, match="groups that are also"):
        split(frame.assign(g=np.arange(600) % 5), spec)


REFUSED = {
    "more test rows than rows": ({"testSize": 50}, {}, "testSize asks for 50 rows of 50"),
    "no times": ({"timeColumn": "t"}, {"t": "soon"}, "neither dates nor whole-number steps"),
    "one time": ({"timeColumn": "t"}, {"t": 1}, "same time"),
    "classes in the test only": (
        {"timeColumn": "t"},
        {"t": np.arange(50), "y": np.where(np.arange(50) < 45, "a", "b")},
        "the class 'a'",
    ),
    "two groups": ({"groupColumn": "g"}, {"g": np.arange(50) % 2}, "1 groups"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_split_is_refused(churn: Churn, split: Split, spec_for: SpecFor, case: str) -> None:
    keys, columns, message = REFUSED[case]

    with pytest.raises(DataError, match=message) as caught:
        split(churn(50).assign(**columns), spec_for("y", **keys))

    assert caught.value.suggestions


def test_one_fit_for_each_of_thousands_of_rows_is_refused(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    with pytest.raises(DataError, match="leave_one_out means one fit for each") as caught:
        split(churn(3000), spec_for("y", validationStrategy={"type": "leave_one_out"}))

    assert caught.value.suggestions


def test_splits_are_stored(churn: Churn, split: Split, spec_for: SpecFor, tmp_path: Path) -> None:
    splits = split(churn(), spec_for("y", groupColumn="g"))

    splits.save(tmp_path)
    loaded = Splits.load(tmp_path)

    for name in ("identities", "test", "learning", "tested", "learned", "train", "validation"):
        assert np.array_equal(getattr(loaded, name), getattr(splits, name))
        assert getattr(loaded, name).dtype == getattr(splits, name).dtype
    assert len(loaded.folds) == len(splits.folds)
    facts = ("strategy", "repeats", "decisions", "columns", "unit")
    assert [getattr(loaded, name) for name in facts] == [getattr(splits, name) for name in facts]
