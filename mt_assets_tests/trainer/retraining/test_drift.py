"""Drift: small for one population, large for another, finite for whatever a table holds."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.data.profile import DataProfile, profile_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.retraining.drift import DriftReport, measure_drift

EXAMPLES = Path(__file__).parents[3] / "mt_assets" / "examples" / "data"


def profile_of(table: Table, target: str = "target", **keys: Any) -> DataProfile:
    spec = parse_spec({"trainDataPath": "a.csv", "targetColumn": target, **keys}, base=Path(), default_name="a")
    return profile_data(table, spec)


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, rows),
            "income": rng.lognormal(10, 1, rows).round(2),
            "plan": rng.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1]),
            "member": rng.random(rows) < 0.4,
            "note": [" ".join(["word"] * int(n)) + f" {at:04d}" for at, n in enumerate(rng.integers(3, 12, rows))],
            "joined": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), "D"),
            "target": rng.choice(["yes", "no"], rows),
        }
    )


WEIGHTS = {"age": 0.4, "income": 0.3, "plan": 0.2, "member": 0.1}


def drift(before: pd.DataFrame, now: pd.DataFrame, weights: dict[str, float] | None = None) -> DriftReport:
    table = Table.of(before)
    return measure_drift(table, Table.of(now), profile_of(table), WEIGHTS if weights is None else weights)


def column(report: DriftReport, name: str) -> Any:
    return next(each for each in report.columns if each.column == name)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), rows=st.sampled_from([60, 200, 2_000]))
def test_one_population_hardly_drifts(seed: int, rows: int) -> None:
    report = drift(people(1_500, seed), people(rows, seed + 1))
    assert report.score < 0.1
    noise = math.sqrt((1_500 + rows + 1) / (12 * 1_500 * rows))  # standard error of the area for equal populations
    assert report.auc is not None and report.auc < 0.5 + 5 * noise
    assert set(WEIGHTS) < {each.column for each in report.columns}


@pytest.mark.parametrize(
    ("name", "shift"),
    [
        ("age", lambda frame: frame["age"] + 25),
        ("income", lambda frame: frame["income"] * 5),
        ("plan", lambda frame: np.where(np.arange(len(frame)) % 2, "pro", frame["plan"])),
        ("plan", lambda frame: np.where(np.arange(len(frame)) % 2, "gold", frame["plan"])),
        ("member", lambda frame: np.ones(len(frame), dtype=bool)),
        ("age", lambda frame: frame["age"].where(np.arange(len(frame)) % 3 > 0)),
    ],
)
def test_what_moved_is_named_and_counts_by_its_importance(name: str, shift: Any) -> None:
    now = people(800, 2)
    report = drift(people(1_500, 1), now.assign(**{name: shift(now)}))
    assert report.columns[0].column == name
    assert report.columns[0].psi is not None and report.columns[0].psi > 0.1
    assert report.columns[0].p_value is not None
    assert report.columns[0].significant
    assert report.score > 0.1 * WEIGHTS[name]
    assert f"'{name}'" in report.told
    assert report.auc is not None and report.auc > 0.6
    unimportant = drift(people(1_500, 1), now.assign(**{name: shift(now)}), {"target": 1.0} | WEIGHTS | {name: 0.0})
    assert unimportant.score < 0.02


def test_chance_alone_hardly_ever_counts_however_few_the_rows() -> None:
    """A score on one column alone is 0 in nearly all of many draws of 60 rows."""
    before, crowd = people(1_500, 1), people(3_000, 2)
    scores = [drift(before, crowd.sample(60, random_state=draw), {"income": 1.0}).score for draw in range(40)]
    assert sum(score > 0 for score in scores) <= 2


def test_longer_texts_are_drift_and_later_dates_are_none() -> None:
    now = people(800, 2)
    report = drift(
        people(1_500, 1), now.assign(note=now["note"] * 3, joined=now["joined"] + pd.Timedelta(days=400)), {}
    )
    assert column(report, "note").psi > 1
    joined = column(report, "joined")
    assert (joined.psi, joined.importance, joined.outside) == (None, 0.0, 1.0)
    assert drift(people(1_500, 1), now.assign(joined=now["joined"] + pd.Timedelta(days=400)), {}).score < 0.02


def test_a_column_that_is_another_altogether_adds_its_importance() -> None:
    now = people(800, 2)
    for other in (now.drop(columns="age"), now.assign(age=None), now.assign(age="unknown"), now.assign(age=1_000)):
        report = drift(people(1_500, 1), other)
        assert report.score == pytest.approx(0.4, abs=0.02)
        assert column(report, "age").outside + column(report, "age").missing_now == 1


VALUES = st.one_of(
    st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-(2**40), 2**40), st.just(0.0)
)


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(VALUES, min_size=1, max_size=8),
    others=st.lists(VALUES, min_size=1, max_size=8),
    labels=st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=6),
)
def test_whatever_stands_in_a_column_the_figures_are_finite(
    numbers: list[Any], others: list[Any], labels: list[Any]
) -> None:
    rows = 60
    before = people(rows, 0)
    now = people(rows, 1)
    before["odd"] = pd.Series([numbers[at % len(numbers)] for at in range(rows)], dtype="float64")
    now["odd"] = pd.Series([others[at % len(others)] for at in range(rows)], dtype="float64")
    now["plan"] = [labels[at % len(labels)] for at in range(rows)]
    report = drift(before, now, {})
    assert 0 <= report.score <= 1
    for each in report.columns:
        for value in (each.psi, each.js, each.statistic, each.p_value, each.missing_now, each.outside):
            assert value is None or math.isfinite(value)
        assert each.js is None or 0 <= each.js <= 1 + 1e-9
        assert each.psi is None or each.psi >= 0


def test_a_handful_of_rows_tells_nothing() -> None:
    report = drift(people(500, 1), people(10, 2))
    assert (report.score, report.auc, report.columns) == (0.0, None, ())
    assert "30 rows" in report.told


def test_the_order_of_a_real_table_is_drift_and_its_random_halves_are_none() -> None:
    """Houses by when they were built: the newer ones are others."""
    frame = pd.read_parquet(EXAMPLES / "house_prices.parquet")
    profile = profile_of(Table.of(frame), "Sale_Price")
    shuffled = frame.sample(frac=1, random_state=0)
    dated = frame.sort_values("Year_Built")
    half = len(frame) // 2
    halves = [(Table.of(each[:half]), Table.of(each[half:])) for each in (shuffled, dated)]
    random, old_and_new = (measure_drift(before, now, profile, {}) for before, now in halves)
    assert random.score < 0.01
    assert old_and_new.score > 0.1
    assert old_and_new.auc is not None and old_and_new.auc > 0.95


def test_it_is_the_same_again_and_large_tables_are_sampled() -> None:
    before, now = people(30_000, 1).drop(columns="note"), people(25_000, 2).drop(columns="note")
    report = drift(before, now)
    assert (report.rows_before, report.rows_now) == (20_000, 20_000)
    assert report == drift(before, now)
