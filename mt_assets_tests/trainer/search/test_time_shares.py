"""How a limited time is dealt out to folds, fits and the final model."""

from typing import Any

import numpy as np
import pytest

from mt_assets.trainer.clock import QUICK_FINAL
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.search.candidate import Candidate, CandidateResult, FoldResult
from mt_assets.trainer.search.final_cost import AROUND, SPEED_UP, FinalCost
from mt_assets.trainer.search.fold_models import TOO_LARGE
from mt_assets.trainer.search.time_shares import ENSEMBLE_SHARE, FINAL_SHARE, USUAL_MEMBERS, TimeShares


def fold(seconds: float, predicting: float = 0.0, model: str = "digest") -> FoldResult:
    return FoldResult("k", 0, np.zeros(1), None, seconds, "", "", "", model=model, predicting=predicting)


def outcome(score: float, *folds: FoldResult) -> CandidateResult:
    return CandidateResult(Candidate("lightgbm", {}), folds, (score,), score)


def cost(**changes: Any) -> FinalCost:
    return FinalCost(**{"growth": 4 / 3, "judged": 0.5, "bag": True, "threads": 1} | changes)


def shares(*, ensemble: bool = False, **changes: Any) -> TimeShares:
    return TimeShares(0.0, 100.0, 2, cost(**changes), ensemble)


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
    kept.note(outcome(2.0, *[fold(0.2, predicting=0.1)] * 2), goal)
    members = USUAL_MEMBERS * AROUND * 2 * 0.1 * 0.5
    assert kept.search_ends() == pytest.approx(100.0 - (members - QUICK_FINAL))
    kept.note(outcome(3.0, *[fold(9.0, predicting=8.0)] * 2), goal)
    assert kept.search_ends() == pytest.approx(100.0 - (ENSEMBLE_SHARE * 100.0 - QUICK_FINAL))


def test_a_quick_final_model_takes_nothing_from_the_search() -> None:
    kept = shares(ensemble=True)
    kept.note(outcome(2.0, fold(0.02, predicting=0.01)), Goal("rmse"))
    assert kept.search_ends() == 100.0


def test_a_member_predicts_with_the_models_of_its_folds_or_is_fitted_again() -> None:
    folds = [fold(3.0, predicting=1.0), fold(5.0, predicting=1.0)]
    assert cost().member(folds) == pytest.approx(AROUND * 2.0 * 0.5)
    again = 3.0 * 4 / 3 + AROUND * 1.0 * 0.5
    assert cost().single(folds) == pytest.approx(again)
    assert cost(bag=False).member(folds) == pytest.approx(again)
    assert cost().member([fold(3.0, 1.0), fold(5.0, 1.0, model=TOO_LARGE)]) == pytest.approx(again)
    assert cost(threads=2).single(folds) == pytest.approx(3.0 * 4 / 3 / SPEED_UP + AROUND * 1.0 * 0.5)
