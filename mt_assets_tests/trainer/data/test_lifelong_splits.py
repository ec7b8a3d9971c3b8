"""A row or group keeps its split for life, when data grows, shrinks, comes back or gets new columns."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.splits import Splits

SpecFor = Callable[..., TrainingSpec]
Churn = Callable[..., pd.DataFrame]
Split = Callable[..., Splits]
CheckByName = Callable[..., dict[str, Any]]


def test_new_rows_follow_their_group(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame, spec = churn(300), spec_for("y", groupColumn="g")
    before = split(frame, spec)
    tested = set(frame["g"].iloc[before.test])
    # All old rows of the groups are gone: the group alone must be remembered.
    new = churn(300, seed=1)

    after = split(new, spec, before)

    known = new["g"].isin(set(frame["g"])).to_numpy()
    in_test = np.isin(np.arange(300), after.test)
    assert np.array_equal(in_test[known], new["g"].isin(tested).to_numpy()[known])


def test_rows_that_come_back_are_remembered(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(300)
    first = split(frame, spec_for("y"))
    second = split(churn(300, seed=1), spec_for("y"), first)

    # Another seed would draw other rows, if these were new.
    third = split(frame, spec_for("y", options={"seed": 1}), second)

    assert np.array_equal(third.test, first.test)


def test_a_new_column_changes_no_split(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame, spec = churn(300), spec_for("y")
    before = split(frame, spec)

    after = split(frame.assign(new=np.arange(300) % 7), spec, before)

    assert np.array_equal(after.test, before.test)
    assert np.array_equal(after.identities, before.identities)


def test_a_draw_that_cannot_be_kept_says_so(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame = churn(300)
    before = split(frame, spec_for("y"))

    grouped = split(frame, spec_for("y", groupColumn="g"), before)
    narrower = split(frame.drop(columns="c"), spec_for("y"), before)

    for splits in (grouped, narrower):
        assert "test.redrawn" in [decision.rule for decision in splits.decisions]


def test_dated_rows_never_move_from_learning_to_test(churn: Churn, split: Split, spec_for: SpecFor) -> None:
    frame, spec = churn(300), spec_for("y", timeColumn="t")
    before = split(frame, spec)
    late = churn(200, seed=1).assign(t=lambda rows: rows["t"] + pd.Timedelta(days=290))
    early = churn(2000, seed=2).assign(t=lambda rows: rows["t"] - pd.Timedelta(days=3000))

    moved_on = split(pd.concat([frame, late]), spec, before)
    filled_in = split(pd.concat([frame, early]), spec, before)

    learned = set(before.identities[before.learning])
    for splits in (moved_on, filled_in):
        assert not learned & set(splits.identities[splits.test])
    assert len(moved_on.test) > len(before.test)
    assert set(before.identities[before.test]) & set(moved_on.identities[moved_on.learning])
