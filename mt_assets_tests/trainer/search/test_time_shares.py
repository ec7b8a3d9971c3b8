"""How a limited time is dealt out to folds, fits and the final fit."""

import numpy as np

from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.search.candidate import Candidate, CandidateResult, FoldResult
from mt_assets.trainer.search.time_shares import FINAL_SHARE, TimeShares


def outcome(score: float, seconds: float) -> CandidateResult:
    fold = FoldResult("k", 0, np.zeros(1), None, seconds, "", "", "")
    return CandidateResult(Candidate("lightgbm", {}), (fold,), (score,), score)


def test_the_final_fit_of_the_best_candidate_has_time() -> None:
    shares, goal = TimeShares(0.0, 100.0, 2, 1), Goal("rmse")
    assert shares.search_ends(4) == 100.0
    shares.note(outcome(2.0, 9.0), goal)
    assert shares.search_ends(4) == 100.0 - (9.0 * 4 / 3 - 1.0)
    shares.note(outcome(3.0, 1.0), goal)  # no better, so it is not the one that will be fitted
    assert shares.search_ends(4) == 100.0 - (9.0 * 4 / 3 - 1.0)
    shares.note(outcome(1.0, 500.0), goal)
    assert shares.search_ends(4) == 100.0 * (1 - FINAL_SHARE)
