"""Several objectives: the front, the choice on it, and what a search for them tells."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mt_assets.trainer.search.pareto import distances, pareto_front
from mt_assets.trainer.search.result import TrialRecord
from mt_assets.trainer.search.selection import front_table, ranked
from mt_assets.trainer.search.study import leaderboard, run_search, select_best


def trials_of(values: list[tuple[float, ...]]) -> list[TrialRecord]:
    return [
        TrialRecord(number=number, state="complete", algorithm="ridge", params={}, score=each[0], values=each)
        for number, each in enumerate(values)
    ]


figures = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))


@given(st.integers(2, 4).flatmap(lambda n: st.tuples(
    st.lists(st.tuples(*[figures] * n), min_size=1, max_size=12),
    st.tuples(*[st.sampled_from(["maximize", "minimize"])] * n),
)))  # fmt: skip
@example(([(0.0, 1.0), (1.0, 0.0), (2e-39, 1.0)], ("maximize", "maximize")))  # a lead that is lost in rounding
def test_the_chosen_trial_is_beaten_by_none_in_every_objective(drawn: Any) -> None:
    values, directions = drawn
    trials = trials_of(values)
    front = pareto_front(trials, directions)
    assert front

    def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        pairs = [(a, b) if way == "maximize" else (b, a) for a, b, way in zip(one, other, directions, strict=True)]
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    expected = [at for at, own in enumerate(values) if not any(dominates(other, own) for other in values)]
    assert list(front) == expected
    assert ranked(trials, directions)[0].number in front


def test_the_choice_is_the_nearest_to_the_ideal_whatever_the_units() -> None:
    values = [(1.0, 900.0), (0.9, 200.0), (0.2, 100.0), (0.1, 950.0)]
    trials = trials_of(values)
    assert pareto_front(trials, ("maximize", "minimize")) == (0, 1, 2)
    assert ranked(trials, ("maximize", "minimize"))[0].number == 1
    # By hand: ranges over the front are 0.8 and 800, trial 1 is 0.1 and 100 from the ideal (1.0, 100).
    expected = [1.001, 0.125 + 0.001 * 0.25, 1.001]
    np.testing.assert_allclose(distances(trials, ("maximize", "minimize"))[:3], expected)


def test_an_end_of_a_front_that_is_bent_inwards_is_not_chosen() -> None:
    trials = trials_of([(0.70, 0.82), (0.71, 0.80), (0.74, 0.79)])
    assert ranked(trials, ("maximize", "maximize"))[0].number == 1


@pytest.fixture(scope="module")
def compromise(tmp_path_factory: pytest.TempPathFactory, make_work: Any, mixed: pd.DataFrame) -> tuple[Any, Any, Path]:
    work = make_work(
        mixed, ("logistic_regression", "lightgbm"), n_trials=14, sampler="nsga2", pruner="none",
        metric="recall", objectives=("recall", "precision", "log_loss"),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("compromise")
    return work, run_search(*work.arguments, folder=folder), folder


def test_a_search_for_several_objectives(compromise: Any) -> None:
    work, study, folder = compromise
    assert study.directions == ("maximize", "maximize", "minimize")
    assert all(len(trial.values) == 3 and trial.values[0] == trial.score for trial in study.trials)
    assert {trial.state for trial in study.trials} == {"complete"}
    assert study.best_number in study.front
    best = select_best(study, work.plan)
    assert best.trial_number == study.best_number
    assert "compromise programming" in best.reason
    assert "log_loss" in best.reason
    assert run_search(*work.arguments, folder=folder).model_copy(update={"resumed_trials": 0}) == study
    other = work.planned(objectives=("recall", "precision"))
    assert run_search(*other.arguments, folder=folder).study_name != study.study_name


def test_tables_of_several_objectives_put_the_chosen_first(compromise: Any) -> None:
    _, study, _ = compromise
    rows = front_table(study)
    assert [row["chosen"] for row in rows] == [True] + [False] * (len(study.front) - 1)
    assert {row["trial"] for row in rows} == set(study.front)
    assert [row["distance"] for row in rows] == sorted(row["distance"] for row in rows)
    board = leaderboard(study)
    assert board[0]["trial"] == study.best_number
    assert {"recall", "precision", "log_loss", "distance"} <= set(board[1])
