"""Parts of the rows: where a challenger is worse in one, and where it treats groups more unequally."""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from mt_assets.trainer.evaluation.groups import group_rows
from mt_assets.trainer.promotion import Contest, compare_fairness, compare_segments
from mt_assets.trainer.promotion.segments import choose_groupings

ASKED = {"least": 50, "margin": 0.01, "confidence": 0.95, "seed": 0}
FAIR = {"least": 50, "confidence": 0.95, "seed": 0}


def both(score: np.ndarray) -> np.ndarray:
    clipped = np.clip(score, 0.01, 0.99)
    return np.column_stack([1 - clipped, clipped])


def rows(n: int = 1_200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    """Labels, the scores of a good model, and a column of three groups."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(np.int64)
    score = 0.35 + 0.3 * y + 0.15 * rng.normal(size=n)
    return y, score, pd.Series(rng.choice(["north", "south", "west"], n), name="region")


def test_a_challenger_that_is_worse_in_one_segment_alone_is_found_there() -> None:
    y, score, region = rows()
    noise = np.random.default_rng(1).normal(size=len(y))
    challenger = np.where(region == "south", score + 0.5 * noise, score)
    found = compare_segments(Contest(both(challenger), both(score), y, "roc_auc", 1), [group_rows(region, 3)], **ASKED)
    assert {each.segment: each.worse for each in found} == {"north": False, "south": True, "west": False}
    south = found[1]
    assert south.upper is not None and south.upper < -0.01
    assert south.rows == int((region == "south").sum())
    assert south.confidence == pytest.approx(1 - 0.05 / 3)


def test_equally_good_models_are_seldom_found_worse_in_any_of_many_segments() -> None:
    """At 95 % one in twenty trainings of equal models, however many segments; without correction every other."""
    false = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=1_000)
        column = pd.Series(rng.integers(0, 10, 1_000).astype(str), name="ten")
        contest = Contest(y + rng.normal(size=1_000), y + rng.normal(size=1_000), y, "mae", None)
        found = compare_segments(contest, [group_rows(column, 3)], **(ASKED | {"margin": 0.0}))
        false += any(each.worse for each in found)
    assert false <= 6


def test_segments_that_cannot_tell_are_listed_with_the_reason() -> None:
    y, score, region = rows()
    region[:20] = "east"
    y[region == "north"] = 0
    contest = Contest(both(np.zeros(len(y))), both(score), y, "roc_auc", 1)
    notes = {each.segment: each.note for each in compare_segments(contest, [group_rows(region, 3)], **ASKED)}
    assert notes["east"].startswith("fewer than 50 rows")
    assert notes["north"] == "one class alone"
    assert notes["south"] == ""


def test_large_segments_are_judged_by_a_part_of_their_rows_with_the_error_of_all() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=40_000)
    contest = Contest(y + rng.normal(size=len(y)), y + rng.normal(size=len(y)), y, "mae", None)
    (found,) = compare_segments(contest, [group_rows(pd.Series(["all"] * len(y), name="c"), 3)], **ASKED)
    error = np.std(np.abs(contest.challenger - y) - np.abs(contest.champion - y)) / np.sqrt(len(y))
    assert found.upper - found.difference == pytest.approx(1.645 * error, rel=0.2)


def test_segments_are_sensitive_columns_important_labels_and_terciles_of_the_first_number() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, 300),
            "income": rng.normal(size=300),
            "plan": rng.choice(["a", "b"], 300),
            "city": [f"city {number % 40}" for number in range(300)],
            "unused": rng.choice(["x", "y"], 300),
            "gender": rng.choice(["f", "m", None], 300),
        }
    )
    features = {"age": "numeric", "income": "numeric", "plan": "categorical", "city": "categorical"}
    features |= {"unused": "categorical"}
    importance = {"city": 0.4, "income": 0.3, "plan": 0.2, "age": 0.1, "unused": 0.0}
    found = choose_groupings(frame, features, importance, ["gender"])  # type: ignore[arg-type]
    assert [grouping.column for grouping in found] == ["gender", "plan", "income"]
    assert found[0].names == ("f", "m", "(missing)")
    assert list(found[2].counts) == [100, 100, 100]
    assert found[2].rule == "terciles of these rows"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0, 1, 1, 0], ("0", "1")),
        ([True, False, None], ("False", "True", "(missing)")),
        (list(range(100)), ("up to 24", "above 24 to 49", "above 49 to 74", "above 74")),
        ([0.0] * 90 + list(range(1, 21)), ("up to 0", "above 0")),
        ([None, None], ("(missing)",)),
        (list(pd.date_range("2024-01-01", periods=12)), None),
        ([f"v{number}" for number in range(30)], None),
    ],
)
def test_groups_of_any_column(values: list, names: tuple[str, ...] | None) -> None:
    grouping = group_rows(pd.Series(values, name="c"), 4)
    assert len(grouping.codes) == len(values)
    assert grouping.counts.sum() == len(values) and (grouping.counts > 0).all()
    if names is not None:
        assert grouping.names == names
    else:
        assert len(grouping.names) in (4, 20)


def test_the_fairness_guard_computes_what_fairlearn_computes() -> None:
    y, score, region = rows()
    champion = score + np.where(region == "west", 0.1, 0.0)
    contest = Contest(both(score), both(champion), y, "roc_auc", 1)
    found = {each.figure: each for each in compare_fairness(contest, [group_rows(region, 4)], **FAIR)}
    labels = [(values >= 0.5).astype(int) for values in (both(score)[:, 1], both(champion)[:, 1])]
    by_fairlearn = {
        "demographic_parity_difference": demographic_parity_difference,
        "equalized_odds_difference": equalized_odds_difference,
    }
    for name, figure in by_fairlearn.items():
        expected = [figure(y, each, sensitive_features=region) for each in labels]
        assert [found[name].challenger, found[name].champion] == pytest.approx(expected)
        assert found[name].lower <= found[name].increase
        assert not found[name].worse


def test_a_challenger_that_favours_a_group_is_found_and_one_that_hardly_does_is_not() -> None:
    y, score, region = rows()
    group = [group_rows(region, 4)]
    much = both(score + np.where(region == "west", 0.2, 0.0))
    assert {each.worse for each in compare_fairness(Contest(much, both(score), y, "roc_auc", 1), group, **FAIR)} == {
        True
    }
    little = both(score + np.where(region == "west", 0.01, 0.0))
    assert not any(
        each.worse for each in compare_fairness(Contest(little, both(score), y, "roc_auc", 1), group, **FAIR)
    )


def test_groups_of_few_rows_and_targets_of_other_kinds_are_not_judged() -> None:
    y, score, region = rows()
    region[:] = "west"
    region[:40] = "east"
    contest = Contest(both(score), both(score), y, "roc_auc", 1)
    assert compare_fairness(contest, [group_rows(region, 4)], **FAIR) == ()
    assert compare_fairness(Contest(score, score, score, "mae", None), [group_rows(region, 4)], **FAIR) == ()
