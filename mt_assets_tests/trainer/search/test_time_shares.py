"""How a limited time is dealt out to folds, fits and the final model."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge

from mt_assets.trainer.algorithms.forest import keeping_seconds
from mt_assets.trainer.algorithms.log_target import LogTarget
from mt_assets.trainer.clock import QUICK_FINAL
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.search.candidate import Candidate, CandidateResult, FoldResult
from mt_assets.trainer.search.final_cost import AROUND, EFFICIENCY, SPEED_UP, FinalCost
from mt_assets.trainer.search.fold_models import REFITTED
from mt_assets.trainer.search.time_shares import (
    ANSWERING,
    ENOUGH_JUDGED,
    ENSEMBLE_SHARE,
    FINAL_SHARE,
    LONGEST_FINAL_FIT,
    REFIT_SHARE,
    USUAL_MEMBERS,
    TimeShares,
)


def fold(seconds: float, predicting: float = 0.0, model: str = "digest") -> FoldResult:
    return FoldResult("k", 0, np.zeros(1), None, seconds, "", "", "", model=model, predicting=predicting)


def outcome(score: float, *folds: FoldResult) -> CandidateResult:
    return CandidateResult(Candidate("lightgbm", {}), folds, (score,), score)


def cost(**changes: Any) -> FinalCost:
    return FinalCost(**{"growth": 4 / 3, "judged": 0.5, "final_fit": "bag", "threads": 1, "at_once": 1} | changes)


def shares(*, ensemble: bool = False, folds: int = 8, **changes: Any) -> TimeShares:
    return TimeShares(0.0, 100.0, 100.0, 2, cost(**changes), ensemble, folds=folds)


def test_the_final_fit_of_the_best_candidate_has_time() -> None:
    kept, goal = shares(), Goal("rmse")
    assert kept.search_ends() == 100.0
    kept.note(outcome(2.0, fold(9.0)), goal)
    assert kept.search_ends() == pytest.approx(100.0 - (9.0 * 4 / 3 - QUICK_FINAL))
    kept.note(outcome(3.0, fold(1.0)), goal)  # no better, so it is not the one that will be fitted
    assert kept.search_ends() == pytest.approx(100.0 - (9.0 * 4 / 3 - QUICK_FINAL))
    kept.note(outcome(1.0, fold(500.0)), goal)
    assert kept.search_ends() == pytest.approx(100.0 * (1 - FINAL_SHARE) + QUICK_FINAL)


def test_an_ensemble_that_predicts_slowly_has_time_up_to_a_share() -> None:
    kept, goal = shares(ensemble=True), Goal("rmse")
    assert kept.search_ends() == pytest.approx(100.0 - (ENSEMBLE_SHARE * 100.0 - QUICK_FINAL))
    one = AROUND * 2 * 0.8 * 0.5
    for number in range(2):
        kept.note(outcome(2.0 + number, *[fold(1.0, predicting=0.8)] * 2), goal)
    assert kept.search_ends() == pytest.approx(100.0 - (2 * one - QUICK_FINAL))
    kept.note(outcome(4.0, *[fold(9.0, predicting=8.0)] * 2), goal)
    assert kept.search_ends() == pytest.approx(100.0 - (ENSEMBLE_SHARE * 100.0 - QUICK_FINAL))


def test_members_that_learned_from_a_part_of_the_rows_have_more_time_to_be_fitted_again() -> None:
    kept, goal = shares(ensemble=True, final_fit="by_time", at_once=2, folds=3), Goal("rmse")
    most = 100.0 - (REFIT_SHARE * 100.0 - QUICK_FINAL)
    assert kept.search_ends() == pytest.approx(most)
    together = 6.0 * 4 / 3 / (2 * EFFICIENCY)
    kept.note(outcome(2.0, *[fold(6.0)] * 3), goal)
    kept.note(outcome(3.0, *[fold(6.0)] * 3), goal)
    assert kept.search_ends() == pytest.approx(100.0 - (2 * together - QUICK_FINAL))
    kept.note(outcome(4.0, *[fold(60.0)] * 3), goal)
    assert kept.search_ends() == pytest.approx(most)
    assert shares(ensemble=True, final_fit="by_time", folds=4).search_ends() > most


def test_time_is_kept_for_the_best_candidates_whatever_the_others_cost() -> None:
    kept, goal = shares(ensemble=True, final_fit="by_time", folds=1), Goal("rmse")
    for number in range(USUAL_MEMBERS):
        kept.note(outcome(float(number), fold(0.5)), goal)
    before = kept.search_ends()
    kept.note(outcome(100.0, fold(20.0)), goal)
    assert kept.search_ends() == before
    kept.note(outcome(-1.0, fold(20.0)), goal)
    assert kept.search_ends() < before


def test_candidates_come_before_folds_as_soon_as_enough_rows_are_judged() -> None:
    dealt = shares()
    assert dealt.affordable_folds(0.1, 8, judged=10_000, trials=100) == 8
    assert dealt.affordable_folds(1.0, 8, judged=10_000, trials=100) == 2
    assert dealt.affordable_folds(1.0, 8, judged=ENOUGH_JUDGED // 5, trials=100) == 5
    assert dealt.affordable_folds(1.0, 8, judged=10, trials=100) == 6
    assert dealt.affordable_folds(3.0, 8, judged=10, trials=100) == 2
    assert dealt.affordable_folds(4.0, 8, judged=10_000, trials=100) == 1
    assert dealt.affordable_folds(400.0, 8, judged=10, trials=100) == 1
    assert dealt.affordable_folds(2.0, 8, judged=10, trials=100) == 3
    assert dealt.affordable_folds(2.0, 8, judged=10, trials=6) == 6  # no more candidates than that will come


def test_no_fit_takes_longer_than_one_on_all_rows_may_afterwards() -> None:
    dealt = shares(folds=1)
    assert dealt.deadline(0.0, 1, 1, gradual=True) == pytest.approx(LONGEST_FINAL_FIT * 100.0 * 3 / 4)


def test_where_the_search_alone_is_limited_nothing_of_its_time_is_kept() -> None:
    for rest_begins in (math.inf, 130.0):
        alone = TimeShares(0.0, 100.0, rest_begins, 2, cost(final_fit="by_time"), ensemble=True, folds=1)
        alone.note(outcome(2.0, fold(9.0)), Goal("rmse"))
        assert alone.search_ends() == 100.0


def test_a_fit_stops_so_early_that_it_can_still_answer() -> None:
    dealt = shares(ensemble=True, final_fit="by_time", folds=1)
    ends = dealt.search_ends()
    assert dealt.deadline(ends - 10.0, 1, 1, gradual=True) == pytest.approx(ends - ANSWERING * 10.0)


def test_a_quick_final_model_takes_nothing_from_the_search() -> None:
    kept = shares(ensemble=True)
    kept.note(outcome(2.0, fold(0.02, predicting=0.01)), Goal("rmse"))
    assert kept.search_ends() == 100.0


def test_a_member_predicts_with_the_models_of_its_folds_or_is_fitted_again() -> None:
    folds = [fold(3.0, predicting=1.0), fold(5.0, predicting=1.0)]
    assert cost().member(folds) == pytest.approx(AROUND * 2.0 * 0.5)
    again = 3.0 * 4 / 3 + AROUND * 1.0 * 0.5
    assert cost().single(folds) == pytest.approx(again)
    assert cost(final_fit="refit").member(folds) == pytest.approx(again)
    assert cost(final_fit="by_time").member(folds) == pytest.approx(AROUND * 2.0 * 0.5)
    faster = 2 * EFFICIENCY
    judging = AROUND - 1 + 1 / faster
    assert cost(at_once=2).member(folds) == pytest.approx(judging * 2.0 * 0.5)
    assert cost(at_once=2).refitted(folds) == pytest.approx(3.0 * 4 / 3 / faster + judging * 1.0 * 0.5)
    assert cost().member([fold(3.0, 1.0), fold(5.0, 1.0, model=REFITTED)]) == pytest.approx(again)
    assert cost(threads=2).single(folds) == pytest.approx(3.0 * 4 / 3 / SPEED_UP + AROUND * 1.0 * 0.5)


def test_forests_cost_what_it_takes_to_keep_them() -> None:
    folds = [fold(3.0), fold(5.0)]
    large = [replace(each, keeping=6.0, model=REFITTED) for each in folds]
    assert cost().member(large) == cost().refitted(large)
    for of in ("single", "refitted"):
        difference = getattr(cost(at_once=2), of)(large) - getattr(cost(at_once=2), of)(folds)
        assert difference == pytest.approx(6.0 * 4 / 3)


def test_the_more_and_the_larger_trees_a_forest_has_the_longer_it_takes_to_keep() -> None:
    X = np.random.default_rng(0).normal(size=(400, 3))
    y = np.exp(X[:, 0])
    forest = ExtraTreesRegressor(20, random_state=0).fit(X, y)
    smaller = ExtraTreesRegressor(20, max_depth=3, random_state=0).fit(X, y)
    fewer = ExtraTreesRegressor(10, random_state=0).fit(X, y)
    assert keeping_seconds(forest) > keeping_seconds(smaller) > 0
    assert keeping_seconds(forest) == pytest.approx(2 * keeping_seconds(fewer), rel=0.1)
    assert keeping_seconds(LogTarget.around(forest, y)) == keeping_seconds(forest)
    assert keeping_seconds(Ridge().fit(X, y)) == 0
