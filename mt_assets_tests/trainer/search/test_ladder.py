"""The sample-size ladder: who climbs, on which rows, and that a search with it is as repeatable as one without."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna import load_study

from mt_assets.trainer.planning.search_rules import ladder_for
from mt_assets.trainer.search.candidate import Candidate, FoldCache
from mt_assets.trainer.search.fold_fits import FoldFits
from mt_assets.trainer.search.ladder import JUDGED_ROWS, RUNGS
from mt_assets.trainer.search.storage import open_storage
from mt_assets.trainer.search.study import StudyResult, run_search

SIZES = (60, 240)


def outcome(study: StudyResult) -> list[dict[str, Any]]:
    return [trial.model_dump(exclude={"seconds"}) for trial in study.trials]


@pytest.fixture
def work(make_work: Any) -> Any:
    """Candidates that differ a lot: neighbours among columns of noise, few of which are better than many."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(1_500, 8)), columns=[*"abcdefgh"])
    frame["target"] = np.where(frame["a"] + frame["b"] + rng.normal(0, 0.6, len(frame)) > 0, "yes", "no")
    return make_work(frame, ("knn", "logistic_regression"), n_trials=14, sampler="random", pruner="none", ladder=SIZES)


def rungs(study: StudyResult, folder: Path) -> list[list[float]]:
    storage, _ = open_storage(None, folder)
    trials = load_study(study_name=study.study_name, storage=storage).get_trials()
    return [trial.user_attrs[RUNGS] for trial in trials]


def test_who_is_worse_than_half_on_few_rows_is_not_fitted_on_all(tmp_path: Path, work: Any) -> None:
    study = run_search(*work.arguments, folder=tmp_path)
    climbed = rungs(study, tmp_path)
    held = [trial for trial in study.trials if trial.state == "pruned"]
    assert held
    assert all(trial.fold_keys == () and "sample of the rows" in trial.notes[0] for trial in held)
    assert {len(climbed[trial.number]) for trial in held} <= {1, 2}
    for trial in study.trials:
        if trial.state == "complete":
            assert len(climbed[trial.number]) == len(SIZES)
            assert len(trial.fold_scores) == 3
    assert {trial.state for trial in study.trials[:4]} == {"complete"}  # nobody to be held against
    # The mean over whole folds ranks the candidates; a score on a sample never does.
    assert study.best.score == pytest.approx(np.mean(study.best.fold_scores))
    whole = run_search(*work.planned(ladder=()).arguments, folder=tmp_path / "whole")
    assert study.best.score >= np.median([trial.score for trial in whole.trials])


def test_it_is_the_same_with_any_number_of_workers_and_when_gone_on_with(tmp_path: Path, work: Any) -> None:
    work = work.planned(sampler="tpe")
    one = run_search(*work.arguments, folder=tmp_path / "one")
    two = run_search(*work.planned(workers=2).arguments, folder=tmp_path / "two")
    assert outcome(one) == outcome(two)
    run_search(*work.planned(n_trials=7).arguments, folder=tmp_path / "more")
    assert outcome(run_search(*work.arguments, folder=tmp_path / "more")) == outcome(one)


def test_samples_lie_in_the_training_rows_and_in_each_other(tmp_path: Path, work: Any) -> None:
    fits = FoldFits(*work.arguments, FoldCache(tmp_path), tmp_path / "scratch")
    fold, (small, large) = work.splits.folds[0], fits.rungs
    assert (len(small.train), len(large.train)) == SIZES
    assert set(small.train) < set(large.train) < set(fold.train)
    assert set(small.validation) == set(large.validation) <= set(fold.validation)
    assert len(small.validation) <= JUDGED_ROWS
    result = fits.run(Candidate("logistic_regression", {"C": 1.0}), -2)
    assert len(result.prediction) == len(small.validation)
    assert result.key != fits.run(Candidate("logistic_regression", {"C": 1.0}), -1).key


def test_steps_grow_by_four_up_to_a_quarter_of_the_rows_and_hold_rare_classes() -> None:
    assert ladder_for(1_000_000, None) == [10_000, 40_000, 160_000]
    assert ladder_for(120_000, 0.3) == [10_000]
    assert ladder_for(1_000_000, 0.001) == [50_000, 200_000]
    assert ladder_for(200_000, 0.0001) == []
