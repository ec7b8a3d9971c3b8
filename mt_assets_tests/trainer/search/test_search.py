"""Searches as a whole: what they find, what they leave out, and what they say."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import KFold

from mt_assets.trainer.data.splits import Fold
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import SpecError, StoreError, TrainingError
from mt_assets.trainer.evaluation.metrics import score
from mt_assets.trainer.evaluation.search_plots import study_plots
from mt_assets.trainer.features.preprocessor import check_fit_rows
from mt_assets.trainer.search.proposals import WINDOW
from mt_assets.trainer.search.study import (
    SearchProgress,
    StudyResult,
    fold_predictions,
    leaderboard,
    run_search,
    select_best,
)


def outcome(study: StudyResult) -> list[dict[str, Any]]:
    """What must be the same whenever and however often a search is run: everything of the trials but the seconds."""
    return [trial.model_dump(exclude={"seconds"}) for trial in study.trials]


@pytest.fixture(scope="module")
def cancer() -> pd.DataFrame:
    return load_breast_cancer(as_frame=True).frame.iloc[:220, [0, 1, 4, 20, 27, 30]]


def test_several_algorithms(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression", "lightgbm", "xgboost"), n_trials=21)
    told: list[SearchProgress] = []
    study = run_search(*work.arguments, folder=tmp_path, progress=told.append)
    assert [trial.number for trial in study.trials] == list(range(21))
    algorithms = [trial.algorithm for trial in study.trials if trial.start_configuration]
    assert algorithms[:3] == ["logistic_regression", "lightgbm", "xgboost"]  # the first configuration of each
    assert set(algorithms[3:-2]) == {"lightgbm", "xgboost"}
    assert algorithms[-2:] == ["logistic_regression"] * 2
    assert [trial.start_configuration for trial in study.trials] == [True] * 17 + [False] * 4
    assert study.trials[0].params == {"C": 1.0}
    assert study.trials[1].params["learning_rate"] == 0.1
    assert {trial.state for trial in study.trials} <= {"complete", "pruned"}
    assert study.best.score == max(trial.score for trial in study.trials if trial.state == "complete" and trial.score)
    assert study.best.score > 0.7
    assert [state.done for state in told] == list(range(1, 22))
    assert told[-1].best == study.best.score
    assert told[-1].seconds_left == 0

    best = select_best(study, work.plan)
    assert best.score == study.best.score
    assert best.trial_number == study.best_number
    assert leaderboard(study)[0]["algorithm"] == best.algorithm
    assert {row["algorithm"] for row in best.leaderboard} == {"logistic_regression", "lightgbm", "xgboost"}
    booster = next(trial for trial in study.trials if trial.algorithm == "lightgbm")
    assert len(booster.best_iterations) == len(booster.fold_scores) == 3


def test_trials_that_keep_the_constraints_come_first(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression", "lightgbm"), n_trials=8, metric="accuracy", pruner="none")
    free = run_search(*work.arguments, folder=tmp_path / "free")
    truth = work.profile.target.classes.index
    losses = {}
    for trial in free.trials:
        folds = fold_predictions(free, tmp_path / "free", work.splits, trial.number)
        y = [np.array([truth(label) for label in work.table.take(fold.positions).frame()["target"]]) for fold in folds]
        losses[trial.number] = score("log_loss", np.concatenate(y), np.concatenate([f.prediction for f in folds]), 1)
    bound = min(value for value in losses.values() if value > min(losses.values()))
    assert losses[free.best_number] > bound  # the most accurate one breaks the constraint

    work = work.planned(constraints={"log_loss": f"<={bound + 1e-6:.6f}"})
    study = run_search(*work.arguments, folder=tmp_path / "bound")
    for trial in study.trials:
        value = losses.get(trial.number) if trial.params == free.trials[trial.number].params else None
        assert value is None or (trial.violation > 0) == (value > bound + 1e-6)
    assert study.best.violation == 0
    assert study.best.score == max(trial.score for trial in study.trials if trial.violation == 0 and trial.score)
    assert "The constraints are kept out of fold by" in select_best(study, work.plan).reason

    study = run_search(*work.planned(constraints={"log_loss": "<=0.001"}).arguments, folder=tmp_path / "bound")
    assert study.best.violation == min(trial.violation for trial in study.trials) > 0
    assert "None keeps the constraints" in select_best(study, work.planned(constraints={"a": ""}).plan).reason


def test_a_free_threshold_is_the_best_of_each_fold(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=1, metric="f1")
    usual = run_search(*work.arguments, folder=tmp_path)
    free = run_search(*work.planned(threshold="tuned").arguments, folder=tmp_path)
    assert all(a >= b for a, b in zip(free.best.fold_scores, usual.best.fold_scores, strict=True))
    assert free.best.score > usual.best.score
    assert free.study_name != usual.study_name
    assert free.best.fold_keys == usual.best.fold_keys  # fits are shared whatever they are judged by


def test_one_algorithm_has_flat_parameters(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer, ("random_forest",), n_trials=5, folds_per_trial=1)
    study = run_search(*work.arguments, folder=tmp_path)
    assert set(study.best.params) == {
        "n_estimators", "max_depth", "min_samples_split", "min_samples_leaf", "max_features",
    }  # fmt: skip
    assert set(study.parameter_importance) <= set(study.best.params)
    assert len(study.best.fold_scores) == 1
    assert study.best.score_std is None


def test_the_mean_best_round_is_what_is_trained(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer, ("lightgbm",), n_trials=2)
    study = run_search(*work.arguments, folder=tmp_path)
    best = select_best(study, work.plan)
    assert best.iterations == round(np.mean(study.best.best_iterations))
    assert best.params["n_estimators"] == best.iterations


def test_predictions_of_the_best_are_kept(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer, ("logistic_regression",), n_trials=3)
    study = run_search(*work.arguments, folder=tmp_path)
    kept = fold_predictions(study, tmp_path, work.splits)
    target = work.table.frame()["target"].to_numpy()
    scores = [score("roc_auc", target[fold.positions], fold.prediction, 1) for fold in kept]
    assert tuple(scores) == study.best.fold_scores
    (tmp_path / "folds" / f"{study.best.fold_keys[1]}.npz").unlink()
    with pytest.raises(TrainingError, match="fold 1"):
        fold_predictions(study, tmp_path, work.splits)


def test_test_rows_change_nothing(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression", "lightgbm"), n_trials=8)
    one = run_search(*work.arguments, folder=tmp_path / "one")
    spoilt = mixed.copy()
    spoilt.loc[work.splits.test, "age"] = 10_000
    spoilt.loc[work.splits.test, "city"] = "Nowhere"
    other = replace(work, table=Table.of(spoilt))
    two = run_search(*other.arguments, folder=tmp_path / "two")
    keys = {"fold_keys", "seconds"}
    assert [trial.model_dump(exclude=keys) for trial in one.trials] == [
        trial.model_dump(exclude=keys) for trial in two.trials
    ]


def test_check_fit_rows_finds_folds_that_saw_too_much(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer, ("logistic_regression",), n_trials=2)
    honest = run_search(*work.arguments, folder=tmp_path / "honest")
    verdict = check_fit_rows(work.splits, study=honest)
    assert verdict.passed
    assert verdict.evidence["fits"] == 6
    first = work.splits.folds[0]
    leaky = Fold(np.union1d(first.train, work.splits.test), first.validation)
    greedy = replace(work, splits=replace(work.splits, folds=(leaky, *work.splits.folds[1:])))
    study = run_search(*greedy.arguments, folder=tmp_path / "greedy")
    verdict = check_fit_rows(work.splits, study=study)
    assert not verdict.passed
    assert {entry["where"] for entry in verdict.evidence["wrong"]} == {"preprocessor in fold 0", "fit in fold 0"}


def test_without_search_the_defaults_are_tried(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer, ("logistic_regression", "lightgbm"), n_trials=50, search_enabled=False, sampler="none")
    study = run_search(*work.arguments, folder=tmp_path)
    assert study.stopped_by == "disabled"
    assert "of 2 start configurations, without a search" in select_best(study, work.plan).reason
    assert set(study_plots(study)) == {"optimization_history", "leaderboard"}
    assert [trial.algorithm for trial in study.trials] == ["logistic_regression", "lightgbm"]
    assert all(trial.start_configuration for trial in study.trials)


def test_random_search_prunes_the_bad(tmp_path: Path, make_work: Any) -> None:
    frame = load_diabetes(as_frame=True).frame.astype(float)
    work = make_work(frame, ("ridge",), n_trials=20, sampler="random")
    study = run_search(*work.arguments, folder=tmp_path)
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.number >= 5 and 2 <= len(trial.fold_scores) < 3 for trial in pruned)
    assert study.direction == "minimize"
    full = run_search(*work.planned(pruner="none").arguments, folder=tmp_path)
    assert all(trial.state == "complete" for trial in full.trials)
    assert [trial.params for trial in full.trials] == [trial.params for trial in study.trials]


@pytest.mark.parametrize("pruner", ["median", "percentile", "hyperband", "successive_halving", "wilcoxon"])
def test_every_pruner_spares_the_start_configurations_and_gives_up_bad_trials(
    tmp_path: Path, make_work: Any, pruner: str
) -> None:
    frame = load_diabetes(as_frame=True).frame.astype(float)
    work = make_work(frame, ("ridge",), n_trials=25, sampler="random", pruner=pruner, folds_per_trial=6)
    rows = work.splits.learning
    folds = tuple(Fold(rows[train], rows[valid]) for train, valid in KFold(6, shuffle=True, random_state=0).split(rows))
    study = run_search(*replace(work, splits=replace(work.splits, folds=folds)).arguments, folder=tmp_path)
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.state == "complete" for trial in study.trials if trial.start_configuration)
    # Two folds at least; the signed-rank test on two or three folds cannot say 0.1.
    assert {len(trial.fold_scores) for trial in pruned} <= set(range(4 if pruner == "wilcoxon" else 2, 6))
    assert all(trial.score == pytest.approx(np.mean(trial.fold_scores)) for trial in study.trials)
    complete = [trial.score for trial in study.trials if trial.state == "complete" and trial.score]
    assert np.mean([trial.score for trial in pruned if trial.score]) > np.median(complete)


def test_the_signed_rank_test_compares_fold_by_fold(tmp_path: Path, make_work: Any) -> None:
    """The verdict of every trial that was given up, worked out from the scores of its folds."""
    frame = load_diabetes(as_frame=True).frame.astype(float)
    work = make_work(frame, ("ridge",), n_trials=25, sampler="random", pruner="wilcoxon", folds_per_trial=6)
    rows = work.splits.learning
    folds = tuple(Fold(rows[train], rows[valid]) for train, valid in KFold(6, shuffle=True, random_state=0).split(rows))
    study = run_search(*replace(work, splits=replace(work.splits, folds=folds)).arguments, folder=tmp_path)
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        complete = [each for each in study.trials[: trial.number - WINDOW + 1] if each.state == "complete"]
        best = min(complete, key=lambda each: each.score or 0)
        worse = np.subtract(trial.fold_scores, best.fold_scores[: len(trial.fold_scores)])
        assert wilcoxon(worse, alternative="greater").pvalue < 0.1
        assert wilcoxon(worse[:-1], alternative="greater").pvalue >= 0.1


def test_a_grid_ends_when_it_is_exhausted(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer, ("logistic_regression", "lightgbm"), n_trials=13, sampler="grid", folds_per_trial=1)
    study = run_search(*work.arguments, folder=tmp_path)
    points = [(trial.algorithm, str(trial.params)) for trial in study.trials]
    assert len(points) == len(set(points)) < 13
    assert study.stopped_by == "exhausted"
    counts = Counter(trial.algorithm for trial in study.trials if not trial.start_configuration)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_failing_candidate_is_recorded(tmp_path: Path, make_work: Any) -> None:
    """XGBoost refuses targets beyond float32; ridge regression does not mind."""
    frame = load_diabetes(as_frame=True).frame.astype(float)
    frame["target"] *= 1e60
    work = make_work(frame, ("ridge", "xgboost"), n_trials=4)
    study = run_search(*work.arguments, folder=tmp_path)
    assert [trial.state for trial in study.trials] == ["complete", "failed", "failed", "failed"]
    assert "XGBoostError" in (study.trials[1].error or "")
    assert study.trials[1].score is None
    assert select_best(study, work.plan).algorithm == "ridge"
    with pytest.raises(TrainingError, match=r"All 2 trials of xgboost failed, 2 of them with XGBoostError"):
        run_search(*work.planned(algorithms=("xgboost",), n_trials=2).arguments, folder=tmp_path)


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "xgboost", "lightgbm"])
def test_a_fold_may_lack_a_class(tmp_path: Path, make_work: Any, name: str) -> None:
    frame = load_iris(as_frame=True).frame
    work = make_work(frame, (name,), n_trials=1, metric="log_loss", class_weight="balanced", folds_per_trial=2)
    target = frame["target"].to_numpy()
    first, second, *_ = work.splits.folds
    without = Fold(first.train[target[first.train] != 1], first.validation)
    alone = Fold(second.train[target[second.train] == 2], second.validation)
    lacking = replace(work, splits=replace(work.splits, folds=(without, alone)))
    study = run_search(*lacking.arguments, folder=tmp_path)
    assert study.best.state == "complete"
    one, two = fold_predictions(study, tmp_path, lacking.splits)
    assert one.prediction.shape == (len(first.validation), 3)
    assert (one.prediction[:, 1] == 0).all()
    np.testing.assert_allclose(one.prediction.sum(axis=1), 1, rtol=1e-5)
    assert (two.prediction[:, 2] == 1).all()
    assert "one class only" in study.best.notes[0]


def test_folds_of_one_row_are_scored_together(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer.iloc[::6], ("logistic_regression",), n_trials=1, pruner="none", folds_per_trial=99)
    rows = work.splits.learning
    folds = tuple(Fold(np.delete(rows, at), rows[[at]]) for at in range(len(rows)))
    alone = replace(work, splits=replace(work.splits, folds=folds, strategy="leave_one_out"))
    study = run_search(*alone.arguments, folder=tmp_path)
    kept = fold_predictions(study, tmp_path, alone.splits)
    y = alone.table.frame()["target"].to_numpy()[rows]
    together = score("roc_auc", y, np.concatenate([fold.prediction for fold in kept]), 1)
    assert study.best.score == together
    assert together > 0.8


def test_time_is_up_after_the_first_complete_trial(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression", "lightgbm"), n_trials=5)
    cut = run_search(*work.arguments, folder=tmp_path / "cut", deadline=time.monotonic() - 1)
    assert cut.stopped_by == "timeout"
    assert [trial.state for trial in cut.trials] == ["complete"]
    by_plan = run_search(*work.planned(timeout=1e-9).arguments, folder=tmp_path / "by_plan")
    assert by_plan.stopped_by == "timeout"
    assert len(by_plan.trials) == 1
    whole = run_search(*work.arguments, folder=tmp_path / "whole")
    gone_on = run_search(*work.planned(timeout=1e9).arguments, folder=tmp_path / "cut")
    assert gone_on.resumed_trials >= 1
    assert outcome(gone_on) == outcome(whole)


@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_other_storages(tmp_path: Path, make_work: Any, cancer: pd.DataFrame, scheme: str) -> None:
    work = make_work(cancer, ("logistic_regression",), n_trials=4)
    url = f"{scheme}:///{tmp_path.as_posix().lstrip('/')}/studies.{scheme}"
    if scheme == "sqlite":
        url = url.replace("sqlite:///", "sqlite:////")
    there = run_search(*work.arguments, folder=tmp_path / "there", storage_url=url)
    here = run_search(*work.arguments, folder=tmp_path / "here")
    assert there.storage == url
    assert (tmp_path / f"studies.{scheme}").is_file()
    assert outcome(there) == outcome(here)
    again = run_search(*work.planned(n_trials=5).arguments, folder=tmp_path / "there", storage_url=url)
    assert again.resumed_trials == 4
    assert outcome(again)[:4] == outcome(here)


def test_storages_that_cannot_be(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer, ("logistic_regression",))
    with pytest.raises(SpecError, match="MT_ASSETS_STUDY_STORAGE"):
        run_search(*work.arguments, folder=tmp_path, storage_url="redis://localhost")
    with pytest.raises(SpecError, match="absolute"):
        run_search(*work.arguments, folder=tmp_path, storage_url="journal://studies.log")
    with pytest.raises(StoreError) as caught:
        run_search(*work.arguments, folder=tmp_path, storage_url="mysql+nothing://me:secret@localhost/x")
    assert "secret" not in str(caught.value)
    (tmp_path / "notes.txt").write_text("no journal,\nbut notes\n")
    for place in ("notes.txt", "notes.txt/studies.journal"):
        with pytest.raises(StoreError, match="cannot be opened"):
            run_search(*work.arguments, folder=tmp_path, storage_url=f"journal://{tmp_path}/{place}")


def test_other_work_does_not_mix(tmp_path: Path, make_work: Any, cancer: pd.DataFrame) -> None:
    work = make_work(cancer, ("logistic_regression",), n_trials=3)
    one = run_search(*work.arguments, folder=tmp_path)
    other_rows = make_work(cancer.iloc[10:], ("logistic_regression",), n_trials=3)
    for other in (other_rows, work.planned(seed=8), work.planned(metric="accuracy"), work.planned(sampler="random")):
        study = run_search(*other.arguments, folder=tmp_path)
        assert study.study_name != one.study_name
        assert study.resumed_trials == 0


def test_boosters_that_cannot_reach_the_others_are_given_up_while_they_boost(
    tmp_path: Path, make_work: Any, cancer: pd.DataFrame
) -> None:
    """The same ones with any number of workers, and when it is stopped in between; never a start configuration."""
    work = make_work(cancer, ("xgboost",), n_trials=16, seed=3)
    alone = run_search(*work.arguments, folder=tmp_path / "alone")
    lost = [trial for trial in alone.trials if any("being out of reach" in note for note in trial.notes)]
    assert lost
    assert all(trial.state == "pruned" and len(trial.fold_scores) == 1 for trial in lost)
    assert not any(trial.start_configuration for trial in lost)
    together = work.planned(workers=2)
    assert outcome(run_search(*together.arguments, folder=tmp_path / "together")) == outcome(alone)
    run_search(*work.planned(n_trials=9).arguments, folder=tmp_path / "begun")
    for name in ("study.log", "optuna.log"):
        (tmp_path / "begun" / name).unlink(missing_ok=True)
    assert outcome(run_search(*work.arguments, folder=tmp_path / "begun")) == outcome(alone)
    unpruned = run_search(*work.planned(pruner="none").arguments, folder=tmp_path / "unpruned")
    assert all(trial.state == "complete" for trial in unpruned.trials)
