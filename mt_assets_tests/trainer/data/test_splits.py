"""A split covers every usable row once, keeps what it assigned, and looks at classes, groups and times alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.identity import content_hashes, identities
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.splits import Splits, check_splits, split_data
from mt_assets.trainer.data.strategy import holdout_share
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError

SpecFor = Callable[..., TrainingSpec]


def churn(rows: int = 200, seed: int = 0, positives: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "c": rng.choice(["a", "b", "c"], rows),
            "g": rng.integers(0, max(rows // 6, 2), rows),
            "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, min(rows, 3000), rows), unit="D"),
            "z": rng.normal(size=rows),
            "y": np.where(np.arange(rows) < positives * rows, "yes", "no"),
        }
    )


def split(frame: pd.DataFrame, spec: TrainingSpec, previous: Splits | None = None) -> Splits:
    table = Table.of(frame)
    return split_data(table, profile_data(table, spec), spec, previous)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Small tables with doubled rows, rare classes, missing targets and uneven groups."""
    rows = draw(st.integers(30, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frame = pd.DataFrame(
        {
            "x": rng.integers(0, draw(st.sampled_from([5, 1000])), rows).astype(float),
            "s": rng.choice(["a", "b", None], rows),
            "g": rng.integers(0, 12, rows),
            "t": rng.integers(0, 30, rows),
            "y": rng.choice(["A", "B", "C", None], rows, p=[0.6, 0.25, 0.1, 0.05]),
        }
    )
    frame.loc[:9, ["x", "y"]] = [[at, label] for at, label in enumerate("ABABABABAB")]
    return frame


STRATEGIES: list[dict[str, Any]] = [
    {},
    {"testSize": 7},
    {"testSize": 0},
    {"testSize": 0.5, "validationStrategy": {"type": "stratified_kfold", "folds": 3}},
    {"validationStrategy": {"type": "kfold", "shuffle": False}},
    {"validationStrategy": {"type": "repeated_kfold", "repeats": 3}},
    {"validationStrategy": {"type": "holdout"}, "validationSize": 0.3},
    {"validationStrategy": {"type": "leave_one_out"}},
    {"groupColumn": "g"},
    {"groupColumn": "g", "validationStrategy": {"type": "holdout"}},
    {"timeColumn": "t"},
    {"timeColumn": "t", "validationStrategy": {"type": "time_series_split", "folds": 3, "gap": 4}},
    {"timeColumn": "t", "validationStrategy": {"type": "holdout", "gap": 2}},
]
quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(tables(), st.sampled_from(STRATEGIES), st.integers(0, 5))
def test_splits_are_disjoint_and_cover_what_has_a_target(
    spec_for: SpecFor, frame: pd.DataFrame, keys: dict[str, Any], seed: int
) -> None:
    spec = spec_for("y", options={"seed": seed}, **keys)
    table = Table.of(frame)
    profile = profile_data(table, spec)

    splits = split_data(table, profile, spec, None)

    usable = np.flatnonzero(frame["y"].notna())
    assert np.array_equal(np.sort(np.concatenate([splits.learning, splits.test])), usable)
    for fold in splits.folds:
        assert not set(fold.train) & set(fold.validation)
        assert set(fold.train) | set(fold.validation) <= set(splits.learning)
        assert len(fold.train) and len(fold.validation)
        assert np.array_equal(fold.train, np.unique(fold.train))
        assert np.array_equal(fold.validation, np.unique(fold.validation))
    assert all(check.passed for check in check_splits(splits, table, spec, profile))
    assert splits.strategy != "auto"
    assert any(decision.rule.startswith("validation.") for decision in splits.decisions)


@quick
@given(tables(), st.sampled_from([keys for keys in STRATEGIES if "timeColumn" not in keys]), st.integers(20, 80))
def test_growth_keeps_every_old_split(spec_for: SpecFor, frame: pd.DataFrame, keys: dict[str, Any], extra: int) -> None:
    spec = spec_for("y", **keys)
    before = split(frame, spec)
    rng = np.random.default_rng(extra)
    more = frame.sample(extra, replace=True, random_state=extra).assign(x=rng.integers(0, 9, extra).astype(float))
    grown = pd.concat([frame, more]).sample(frac=1, random_state=extra)

    after = split(grown, spec, before)

    tested, learned = set(before.identities[before.test]), set(before.identities[before.learning])
    assert tested <= set(after.identities[after.test]) or not spec.test_size
    assert learned <= set(after.identities[after.learning])
    again = split(grown, spec, after)
    assert np.array_equal(again.test, after.test)


@quick
@given(tables(), st.sampled_from([keys for keys in STRATEGIES if "shuffle" not in str(keys)]), st.randoms())
def test_row_order_and_column_order_do_not_matter(
    spec_for: SpecFor, frame: pd.DataFrame, keys: dict[str, Any], random: Any
) -> None:
    spec = spec_for("y", **keys)
    order = list(range(len(frame)))
    random.shuffle(order)
    other = frame.iloc[order][["y", "t", "s", "x", "g"]]

    one, two = split(frame, spec), split(other, spec)

    assert sorted(one.identities) == sorted(two.identities)
    assert set(one.identities[one.test]) == set(two.identities[two.test])
    assert len(one.folds) == len(two.folds)
    for first, second in zip(one.folds, two.folds, strict=True):
        assert set(one.identities[first.validation]) == set(two.identities[second.validation])
        assert set(one.identities[first.train]) == set(two.identities[second.train])


@quick
@given(st.lists(st.integers(5, 40), min_size=2, max_size=4), st.integers(2, 5), st.integers(0, 9))
def test_stratified_folds_hold_each_class_alike(spec_for: SpecFor, sizes: list[int], folds: int, seed: int) -> None:
    labels = np.repeat(list("ABCD")[: len(sizes)], sizes)
    frame = pd.DataFrame({"x": np.random.default_rng(seed).normal(size=len(labels)), "y": labels})
    strategy = {"type": "stratified_kfold", "folds": folds}

    splits = split(frame, spec_for("y", testSize=0, validationStrategy=strategy, options={"seed": seed}))

    counts = [frame["y"].iloc[fold.validation].value_counts() for fold in splits.folds]
    spread = pd.DataFrame(counts).fillna(0)
    assert len(counts) == folds
    assert ((spread.max() - spread.min()) <= 1).all()
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in splits.folds])), splits.learning)


def test_the_test_has_its_share_of_each_class(spec_for: SpecFor) -> None:
    frame = churn(500, positives=0.1)

    splits = split(frame, spec_for("y"))

    assert frame["y"].iloc[splits.test].value_counts().to_dict() == {"no": 90, "yes": 10}
    assert splits.decisions[0].rule == "test.classes"
    assert len(split(frame, spec_for("y", testSize=37)).test) == 37
    assert len(split(frame, spec_for("y", testSize=0)).test) == 0


def test_another_seed_is_another_draw(spec_for: SpecFor) -> None:
    frame = churn()
    one, same, other = (split(frame, spec_for("y", options={"seed": seed})) for seed in (0, 0, 1))

    assert np.array_equal(one.test, same.test)
    assert all(np.array_equal(a.validation, b.validation) for a, b in zip(one.folds, same.folds, strict=True))
    assert not np.array_equal(one.test, other.test)
    assert not np.array_equal(one.validation, other.validation)


def test_no_value_but_the_target_steers_the_draw(spec_for: SpecFor) -> None:
    """The split is decided by identity hashes: it does not follow a feature, and not the order of the rows."""
    frame = churn(4000)

    test = np.zeros(4000)
    test[split(frame, spec_for("y")).test] = 1

    assert abs(np.corrcoef(test, frame["x"])[0, 1]) < 0.05
    assert abs(np.corrcoef(test, np.arange(4000))[0, 1]) < 0.05


def test_rare_classes_keep_learning_rows(spec_for: SpecFor) -> None:
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


def test_fewer_folds_where_a_class_is_rare(spec_for: SpecFor) -> None:
    frame = churn(600)
    frame.loc[:2, "y"] = "rare"

    splits = split(frame, spec_for("y", testSize=0, validationStrategy={"type": "stratified_kfold", "folds": 5}))

    assert len(splits.folds) == 3
    reduced = next(decision for decision in splits.decisions if decision.rule == "validation.reduced")
    assert reduced.evidence == {"asked": 5, "possible": 3}
    assert "the rarest class has 3 rows" in reduced.reason


AUTO = [
    ({"rows": 200}, {}, "repeated_stratified_kfold", 10),
    ({"rows": 1000}, {}, "stratified_kfold", 5),
    ({"rows": 200}, {"targetColumn": "z"}, "repeated_kfold", 10),
    ({"rows": 1000}, {"targetColumn": "z"}, "kfold", 5),
    ({"rows": 1000}, {"timeColumn": "t"}, "time_series_split", 5),
    ({"rows": 1000}, {"groupColumn": "g"}, "stratified_group_kfold", 5),
    ({"rows": 1000}, {"groupColumn": "g", "targetColumn": "z"}, "group_kfold", 5),
    ({"rows": 1000}, {"validationSize": 0.25}, "holdout", 1),
    ({"rows": 130_000}, {}, "holdout", 1),
]


@pytest.mark.parametrize(("size", "keys", "strategy", "folds"), AUTO)
def test_auto_chooses_by_the_table(
    spec_for: SpecFor, size: dict[str, int], keys: dict[str, Any], strategy: str, folds: int
) -> None:
    asked = {"targetColumn": "y", **keys}

    splits = split(churn(**size), spec_for(asked.pop("targetColumn"), **asked))

    assert (splits.strategy, len(splits.folds)) == (strategy, folds)
    assert any(decision.decision == "validation" and decision.value == strategy for decision in splits.decisions)


@pytest.mark.parametrize(
    ("keys", "strategy", "rule"),
    [
        ({"groupColumn": "g", "validationStrategy": {"type": "kfold"}}, "group_kfold", "validation.groups_kept"),
        (
            {"groupColumn": "g", "validationStrategy": {"type": "stratified_kfold"}},
            "stratified_group_kfold",
            "validation.groups_kept",
        ),
        ({"timeColumn": "t", "validationStrategy": {"type": "kfold"}}, "time_series_split", "validation.time_kept"),
        (
            {"targetColumn": "z", "validationStrategy": {"type": "stratified_kfold"}},
            "kfold",
            "validation.no_classes",
        ),
    ],
)
def test_what_would_leak_is_not_done_and_recorded(
    spec_for: SpecFor, keys: dict[str, Any], strategy: str, rule: str
) -> None:
    asked = {"targetColumn": "y", **keys}

    splits = split(churn(), spec_for(asked.pop("targetColumn"), **asked))

    assert splits.strategy == strategy
    assert rule in [decision.rule for decision in splits.decisions]


def test_holdout_sizes_follow_the_rows() -> None:
    assert [holdout_share(rows, tuning=False) for rows in (1000, 4000, 10_000, 50_000, 10**6)] == [
        0.2,
        0.125,
        0.1,
        0.05,
        0.01,
    ]
    assert [holdout_share(rows, tuning=True) for rows in (1000, 4000, 50_000, 10**6)] == [0.2, 0.2, 0.1, 0.02]


def test_groups_stay_together(spec_for: SpecFor) -> None:
    frame = churn(1000)

    splits = split(frame, spec_for("y", groupColumn="g"))

    groups = frame["g"].to_numpy()
    assert not set(groups[splits.test]) & set(groups[splits.learning])
    assert 150 <= len(splits.test) <= 200
    for fold in splits.folds:
        assert not set(groups[fold.train]) & set(groups[fold.validation])


@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_few_groups_is_learned_from(spec_for: SpecFor, seed: int) -> None:
    frame = churn(200).assign(g=np.arange(200) // 4)
    frame.loc[frame["g"].isin([3, 4]), "y"] = "rare"

    splits = split(frame, spec_for("y", groupColumn="g", testSize=0.6, options={"seed": seed}))

    assert "rare" in set(frame["y"].iloc[splits.learning])


def test_new_rows_follow_their_group(spec_for: SpecFor) -> None:
    frame, spec = churn(300), spec_for("y", groupColumn="g")
    before = split(frame, spec)
    tested = set(frame["g"].iloc[before.test])
    # All old rows of the groups are gone: the group alone must be remembered.
    new = churn(300, seed=1)

    after = split(new, spec, before)

    known = new["g"].isin(set(frame["g"])).to_numpy()
    in_test = np.isin(np.arange(300), after.test)
    assert np.array_equal(in_test[known], new["g"].isin(tested).to_numpy()[known])


def test_rows_that_come_back_are_remembered(spec_for: SpecFor) -> None:
    frame = churn(300)
    first = split(frame, spec_for("y"))
    second = split(churn(300, seed=1), spec_for("y"), first)

    # Another seed would draw other rows, if these were new.
    third = split(frame, spec_for("y", options={"seed": 1}), second)

    assert np.array_equal(third.test, first.test)


def test_a_new_column_changes_no_split(spec_for: SpecFor) -> None:
    frame, spec = churn(300), spec_for("y")
    before = split(frame, spec)

    after = split(frame.assign(new=np.arange(300) % 7), spec, before)

    assert np.array_equal(after.test, before.test)
    assert np.array_equal(after.identities, before.identities)


def test_a_draw_that_cannot_be_kept_says_so(spec_for: SpecFor) -> None:
    frame = churn(300)
    before = split(frame, spec_for("y"))

    grouped = split(frame, spec_for("y", groupColumn="g"), before)
    narrower = split(frame.drop(columns="c"), spec_for("y"), before)

    for splits in (grouped, narrower):
        assert "test.redrawn" in [decision.rule for decision in splits.decisions]


def test_the_newest_rows_are_the_test(spec_for: SpecFor) -> None:
    frame = churn(500)

    splits = split(frame, spec_for("y", timeColumn="t"))

    times = frame["t"].to_numpy()
    assert times[splits.learning].max() < times[splits.test].min()
    assert abs(len(splits.test) - 100) <= 3
    newest_first = [times[fold.validation].min() for fold in splits.folds]
    assert newest_first == sorted(newest_first, reverse=True)
    for fold in splits.folds:
        assert times[fold.train].max() < times[fold.validation].min()


def test_dated_rows_never_move_from_learning_to_test(spec_for: SpecFor) -> None:
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


def test_a_gap_is_left_before_validation(spec_for: SpecFor) -> None:
    frame = churn(400).assign(t=np.arange(400))
    strategy = {"type": "time_series_split", "folds": 4, "gap": 10}

    splits = split(frame, spec_for("z", timeColumn="t", testSize=0, validationStrategy=strategy))

    assert [int(fold.validation.min() - fold.train.max()) for fold in splits.folds] == [11] * 4


def test_rows_without_a_time_are_left_out_and_told(spec_for: SpecFor) -> None:
    frame = churn(300)
    frame.loc[:4, "t"] = pd.NaT

    splits = split(frame, spec_for("y", timeColumn="t"))

    assert not set(range(5)) & (set(splits.learning) | set(splits.test))
    assert next(d for d in splits.decisions if d.rule == "test.undated").value == 5


def test_dated_groups_are_on_one_side_or_left_out(spec_for: SpecFor) -> None:
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
    "more test rows than rows": (churn(50), {"testSize": 50}, "testSize asks for 50 rows of 50"),
    "no times": (churn(50).assign(t="soon"), {"timeColumn": "t"}, "neither dates nor whole-number steps"),
    "one time": (churn(50).assign(t=1), {"timeColumn": "t"}, "same time"),
    "classes in the test only": (
        churn(50).assign(t=np.arange(50), y=np.where(np.arange(50) < 45, "a", "b")),
        {"timeColumn": "t"},
        "the class 'a'",
    ),
    "too many left out": (
        churn(3000),
        {"validationStrategy": {"type": "leave_one_out"}},
        "leave_one_out means one fit for each",
    ),
    "two groups": (churn(60).assign(g=np.arange(60) % 2), {"groupColumn": "g"}, "1 groups"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_split_is_refused(spec_for: SpecFor, case: str) -> None:
    frame, keys, message = REFUSED[case]

    with pytest.raises(DataError, match=message) as caught:
        split(frame, spec_for("y", **keys))

    assert caught.value.suggestions


def test_splits_are_stored(spec_for: SpecFor, tmp_path: Path) -> None:
    splits = split(churn(), spec_for("y", groupColumn="g"))

    splits.save(tmp_path)
    loaded = Splits.load(tmp_path)

    for name in ("identities", "test", "learning", "tested", "learned", "train", "validation"):
        assert np.array_equal(getattr(loaded, name), getattr(splits, name))
        assert getattr(loaded, name).dtype == getattr(splits, name).dtype
    assert len(loaded.folds) == len(splits.folds)
    facts = ("strategy", "repeats", "decisions", "columns", "unit")
    assert [getattr(loaded, name) for name in facts] == [getattr(splits, name) for name in facts]


def check_by_name(splits: Splits, frame: pd.DataFrame, spec: TrainingSpec) -> dict[str, Any]:
    table = Table.of(frame)
    return {check.name: check for check in check_splits(splits, table, spec, profile_data(table, spec))}


def broken(splits: Splits, **changes: Any) -> Splits:
    return Splits(**{**vars(splits), **changes})


def test_checks_find_shared_rows(spec_for: SpecFor) -> None:
    frame, spec = churn(), spec_for("y")
    splits = split(frame, spec)

    sound = check_by_name(splits, frame, spec)
    leaking = check_by_name(broken(splits, test=np.sort(np.append(splits.test, splits.train[0]))), frame, spec)
    of_another_table = check_by_name(splits, frame.assign(x=frame["x"] + 1), spec)

    assert all(check.passed and check.blocking for check in sound.values())
    assert not leaking["no_row_overlap"].passed
    assert leaking["no_row_overlap"].evidence["shared"]["train and test"] == 1
    assert not of_another_table["no_row_overlap"].passed


def test_checks_find_rows_without_a_target(spec_for: SpecFor) -> None:
    frame, spec = churn(), spec_for("y")
    frame.loc[3, "y"] = None
    splits = split(frame, spec)

    with_missing = broken(splits, learning=np.sort(np.append(splits.learning, 3)))

    assert not check_by_name(with_missing, frame, spec)["no_row_overlap"].passed


def test_equal_rows_on_both_sides_are_a_warning_with_a_count(spec_for: SpecFor) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0] * 50, "y": ["a", "b"] * 50})

    check = check_by_name(split(frame, spec_for("y")), frame, spec_for("y"))["no_row_overlap"]

    assert check.passed
    assert check.evidence["equal_rows_in_train_and_test"] == 20
    assert "20 of 20 test rows have an exact twin" in check.message


def test_checks_find_shared_groups_and_wrong_order(spec_for: SpecFor) -> None:
    frame = churn(300)
    independent = split(frame, spec_for("y"))

    groups = check_by_name(independent, frame, spec_for("y", groupColumn="g"))["no_group_overlap"]
    times = check_by_name(independent, frame, spec_for("y", timeColumn="t"))["time_order"]

    assert not groups.passed
    assert groups.evidence["shared"]["learning and test"] > 0
    assert not times.passed
    assert times.evidence["not_older"]["test"] > 0


values = st.one_of(st.integers(-(2**40), 2**40), st.none())


@quick
@given(st.lists(values, min_size=1, max_size=30), st.lists(values, min_size=1, max_size=30))
def test_identity_is_content_whatever_its_storage(first: list[int | None], second: list[int | None]) -> None:
    rows = min(len(first), len(second))
    ints = pd.DataFrame(
        {
            "a": pd.array(first[:rows], "Int64"),
            "b": pd.array(second[:rows], "Int64"),
            "s": [str(v) for v in first[:rows]],
        }
    )
    floats = pd.DataFrame(
        {"s": ints["s"].astype("category"), "b": ints["b"].astype(float), "a": ints["a"].astype(float)}
    )

    assert np.array_equal(content_hashes(Table.of(ints)), content_hashes(Table.of(floats)))


def test_zero_has_no_sign() -> None:
    hashes = content_hashes(Table.of(pd.DataFrame({"a": [0.0, -0.0]})))

    assert hashes[0] == hashes[1]


def test_identity_tells_content_and_occurrence_apart() -> None:
    frame = pd.DataFrame({"a": [1, 1, 2, 1], "b": [2, 2, 1, 2]})
    content = content_hashes(Table.of(frame))

    assert content[0] == content[1] == content[3] != content[2]
    assert len(set(identities(content))) == 4
    assert set(identities(content)) == set(identities(content[::-1]))
    assert set(identities(content[:2])) < set(identities(content))


def test_large_whole_numbers_are_told_apart() -> None:
    near = content_hashes(Table.of(pd.DataFrame({"a": [2**60, 2**60 + 1, 2**53 + 1, 2**53]})))

    assert len(set(near)) == 4
    assert content_hashes(Table.of(pd.DataFrame({"a": [float(2**60)]})))[0] == near[0]


def test_identities_are_the_same_for_ever() -> None:
    """Stored splits rest on these numbers: a change of the hash would draw every test anew."""
    frame = pd.DataFrame(
        {"n": [1, None], "s": ["a", None], "b": [True, False], "t": pd.to_datetime(["2024-01-01", None])}
    )

    assert identities(content_hashes(Table.of(frame))).tolist() == [11347168576347319962, 6398621832290107867]
