"""From a search over several algorithms to one model: chosen, put together, delivered, read elsewhere."""

import io
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.algorithms.algorithm import FitReport
from mt_assets.trainer.data.profile import DataProfile, profile_data
from mt_assets.trainer.data.splits import Fold, Splits, split_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.ensemble.choice import out_of_fold, with_ensemble
from mt_assets.trainer.ensemble.final import forget_fold_models
from mt_assets.trainer.evaluation.delivery_choice import decide_delivery
from mt_assets.trainer.evaluation.evaluate import evaluate
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.importance import explain
from mt_assets.trainer.evaluation.metrics import METRICS, score
from mt_assets.trainer.evaluation.predictions import targets
from mt_assets.trainer.features.preprocessor import TablePreprocessor, check_fit_rows, fit_preprocessor
from mt_assets.trainer.model import TRUSTED_TYPES, TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan, make_plan
from mt_assets.trainer.search.candidate import FoldCache
from mt_assets.trainer.search.fold_fits import Fitted
from mt_assets.trainer.search.fold_models import REFITTED, FoldModels
from mt_assets.trainer.search.result import BestParams, StudyResult
from mt_assets.trainer.search.study import run_search, select_best
from mt_assets.trainer.training import check_loads_elsewhere, learning_curve, train_final


@dataclass(frozen=True)
class Training:
    """A search and what was chosen of it."""

    folder: Path
    plan: TrainingPlan
    table: Table
    profile: DataProfile
    splits: Splits
    preprocessor: TablePreprocessor
    study: StudyResult
    best: BestParams

    def final(self, folder: Path | None = None) -> TrainedModel:
        return train_final(
            self.plan, self.best, self.table, self.profile, self.splits, self.preprocessor, folder or self.folder
        )

    @property
    def test_rows(self) -> pd.DataFrame:
        return self.table.take(self.splits.test).frame()


def search(frame: pd.DataFrame, folder: Path, algorithm: Any, **keys: Any) -> Training:
    """Search on a frame with the column `target`; keywords are keys of the spec."""
    asked = {"hyperparameterSearch": {"nTrials": 6, "sampler": "random"}, "options": FAST}
    asked["validationStrategy"] = {"type": "kfold", "folds": 4}
    mapping = {"trainDataPath": "frame.csv", "targetColumn": "target", "algorithm": algorithm, **asked, **keys}
    spec = parse_spec(mapping, base=folder, default_name="made")
    table = Table.of(frame)
    profile = profile_data(table, spec)
    splits = split_data(table, profile, spec, None)
    plan = make_plan(spec, table, profile, splits)
    preprocessor = fit_preprocessor(plan, table, splits, profile).transformer
    study = run_search(plan, table, profile, splits, preprocessor, folder=folder)
    best = with_ensemble(select_best(study, plan), study, plan, table, profile, splits, folder)
    delivery = decide_delivery(plan, table, profile, out_of_fold(best, study, folder, splits))
    return Training(folder, plan, table, profile, splits, preprocessor, study, best.delivering(delivery))


def customers(rows: int = 400) -> pd.DataFrame:
    """A straight part and one of signs, so that linear models, trees and neighbours are better together."""
    rng = np.random.default_rng(2)
    numbers = rng.normal(size=(rows, 6)).round(3)
    frame = pd.DataFrame(numbers, columns=["age", "income", "visits", "spent", "load", "shift"])
    frame["city"] = rng.choice(np.array(["Graz", "Linz", "Wien", None], dtype=object), rows)
    straight = numbers[:, :4] @ [1, 0.8, -0.7, 0.6] + 0.7 * (frame["city"] == "Graz")
    risk = straight + np.sign(numbers[:, 4] * numbers[:, 5]) + rng.normal(0, 0.6, rows)
    return frame.assign(target=np.where(risk > 0, "yes", "no"))


FAST = {"earlyStoppingRounds": 5}

ALGORITHMS = ["logistic_regression", "lightgbm", "knn"]
NUMBERS = ["ridge", "lightgbm", "knn"]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Training]:
    """`trainings(kind)`: binary, multiclass or regression, searched once; each has an ensemble."""
    made: dict[str, Training] = {}

    def of(kind: str) -> Training:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            if kind == "binary":
                made[kind] = search(customers(), folder, ALGORITHMS)
            elif kind == "multiclass":
                frame = load_wine(as_frame=True).frame.iloc[:, [0, 1, 2, 4, 13]]
                made[kind] = search(frame, folder, ALGORITHMS, hyperparameterSearch={"nTrials": 9, "sampler": "tpe"})
            else:
                made[kind] = search(load_diabetes(as_frame=True).frame, folder, NUMBERS)
        return made[kind]

    return of


KINDS = ("binary", "multiclass", "regression")


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_beats_the_best_single_candidate_and_becomes_one_model(trainings: Any, kind: str) -> None:
    training = trainings(kind)
    best, plan = training.best, training.plan
    assert len(best.ensemble) >= 2
    assert sum(member.weight for member in best.ensemble) == pytest.approx(1)
    assert METRICS[plan.metric].gain(best.ensemble_score, best.score) > 0
    assert best.leaderboard[0]["score"] == best.ensemble_score
    assert best.leaderboard[1]["algorithm"] == best.algorithm
    assert [each.value for each in best.decisions] == [True]
    told = best.told
    assert {name: told[name] for name in best.params} == best.params
    assert [set(member) for member in told["ensemble"]] == [{"algorithm", "params", "weight"}] * len(best.ensemble)

    trained = training.final()
    assert trained.algorithm == "ensemble"
    assert len(trained.model.estimators) == len(best.ensemble) * len(training.splits.folds)
    assert check_fit_rows(training.splits, study=training.study, trained=trained).passed
    rows = training.test_rows
    y = targets(training.table, training.profile, training.splits.test).to_numpy()
    metric = "r2" if kind == "regression" else "roc_auc"
    assert score(metric, y, trained.model.scores(rows), training.profile.target.positive) > 0.3
    if kind != "regression":
        np.testing.assert_allclose(trained.model.predict_proba(rows).sum(axis=1), 1, rtol=1e-6)
        assert set(trained.model.predict(rows)) <= set(trained.model.classes_)


@pytest.mark.parametrize("kind", KINDS)
def test_fold_models_say_of_their_validation_rows_what_was_judged(trainings: Any, kind: str) -> None:
    """The bag keeps the very models that the search has judged, each behind the preprocessor of its fold."""
    training = trainings(kind)
    model = training.final().model
    folds = len(training.splits.folds)
    judged = out_of_fold(training.best, training.study, training.folder, training.splits)
    for fold in judged:
        rows = training.table.take(fold.positions).frame()
        views = [view.encoded for view in model.views(rows)]
        ours = sum(
            folds * part.weight * model.estimator._predicted(part, views[part.view])
            for part in model.estimators[fold.fold :: folds]
        )
        np.testing.assert_allclose(ours, fold.prediction, rtol=1e-5, atol=1e-6)


def test_the_same_again_gives_the_same_model(trainings: Any, tmp_path: Path) -> None:
    first, again = trainings("binary"), search(customers(), tmp_path, ALGORITHMS)
    same = {"leaderboard": (), "delivery": first.best.delivery}  # seconds stand in the one
    assert again.best.model_copy(update=same) == first.best.model_copy(update=same)
    rows = first.test_rows
    np.testing.assert_array_equal(again.final().model.scores(rows), first.final().model.scores(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_it_lives_elsewhere(trainings: Any, kind: str, tmp_path: Path) -> None:
    training = trainings(kind)
    trained = training.final()
    assert check_loads_elsewhere(trained).passed
    content = skops.io.dumps(trained.model)
    assert set(skops.io.get_untrusted_types(data=content)) <= set(TRUSTED_TYPES)
    again = skops.io.loads(content, trusted=list(TRUSTED_TYPES))
    rows = training.test_rows
    np.testing.assert_array_equal(again.predict(rows), trained.model.predict(rows))
    memory = io.BytesIO()
    joblib.dump(trained.model, memory)
    memory.seek(0)
    np.testing.assert_array_equal(joblib.load(memory).scores(rows), trained.model.scores(rows))
    assert trained.model.predict(rows.iloc[:0]).shape == (0,)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_evaluation_and_importance_are_those_of_the_ensemble(trainings: Any, kind: str) -> None:
    training = trainings(kind)
    facts: dict[str, Any] = {
        "plan": training.plan, "trained": training.final(), "table": training.table,
        "profile": training.profile, "splits": training.splits,
    }  # fmt: skip
    folds = out_of_fold(training.best, training.study, training.folder, training.splits)
    evaluation = evaluate(**facts, out_of_fold=folds)
    goal = Goal.of(training.plan, training.profile.target.positive)
    scores = [
        goal.judge(targets(training.table, training.profile, fold.positions).to_numpy(), fold.prediction).score
        for fold in folds
    ]
    assert evaluation.cross_validation[f"{training.plan.metric}_mean"] == pytest.approx(np.mean(scores))
    importance = explain(**facts)
    assert set(importance.permutation) == set(training.profile.features)
    assert sum(importance.permutation.values()) == pytest.approx(1)
    most = "age" if kind == "binary" else "s5"
    assert most in list(importance.permutation)[:2]


def test_members_that_there_is_no_time_for_are_left_out(trainings: Any, tmp_path: Path) -> None:
    """Members that are not the first take a minute to predict a fold."""
    training = trainings("binary")
    folder = tmp_path / "slow"
    shutil.copytree(training.folder, folder)
    cache = FoldCache(folder / "folds")
    for member in training.best.ensemble[1:]:
        for result in map(cache.get, member.fold_keys):
            assert result is not None
            cache.put(replace(result, seconds=61.0, predicting=60.0))
    work = (training.study, training.plan, training.table, training.profile, training.splits, folder)
    assert len(training.best.ensemble) > 2
    unlimited = with_ensemble(select_best(training.study, training.plan), *work)
    assert [each.trial_number for each in unlimited.ensemble] == [each.trial_number for each in training.best.ensemble]
    hasty = with_ensemble(select_best(training.study, training.plan), *work, time.monotonic() + 5.0)
    slow = {each.trial_number for each in training.best.ensemble[1:]} - {training.study.best_number}
    assert slow
    assert not slow & {each.trial_number for each in hasty.ensemble}


def test_an_ensemble_may_take_as_long_as_its_best_member_would_alone(trainings: Any, tmp_path: Path) -> None:
    """Time is up, but without an ensemble the best candidate would be fitted for a minute."""
    training = trainings("binary")
    folder = tmp_path / "late"
    shutil.copytree(training.folder, folder)
    cache, late = FoldCache(folder / "folds"), time.monotonic()
    work = (training.study, training.plan, training.table, training.profile, training.splits, folder)
    slowly = {"seconds": 3.0, "predicting": 2.0}
    for member in training.best.ensemble:
        for result in map(cache.get, member.fold_keys):
            assert result is not None
            cache.put(replace(result, **slowly))
    best = select_best(training.study, training.plan)
    assert len(with_ensemble(best, *work, late).ensemble) < len(training.best.ensemble)
    record = next(trial for trial in training.study.trials if trial.number == training.study.best_number)
    for result in map(cache.get, record.fold_keys):
        assert result is not None
        cache.put(replace(result, **slowly | {"seconds": 100.0}))
    chosen = with_ensemble(best, *work, late).ensemble
    assert [each.trial_number for each in chosen] == [each.trial_number for each in training.best.ensemble]


def test_learning_curve_names_the_single_candidate(trainings: Any) -> None:
    training = trainings("binary")
    curve = learning_curve(
        training.plan, training.best, training.table, training.profile, training.splits, training.preprocessor
    )
    assert curve.algorithm == training.best.algorithm


def test_a_spoilt_fold_model_is_fitted_again_and_never_read(trainings: Any, tmp_path: Path) -> None:
    training = search(customers(), tmp_path, ALGORITHMS)
    rows = training.test_rows
    usual = training.final().model.scores(rows)
    member = training.best.ensemble[0]
    spoilt, gone = (tmp_path / "folds" / f"{key}.model" for key in member.fold_keys[:2])
    content = spoilt.read_bytes()
    spoilt.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    gone.unlink()
    np.testing.assert_allclose(training.final().model.scores(rows), usual, rtol=1e-12)
    assert spoilt.read_bytes()[-1] == content[-1]
    assert gone.exists()


def test_models_that_were_never_kept_are_fitted_when_they_are_wanted(trainings: Any, tmp_path: Path) -> None:
    usual = trainings("binary")
    keys = {"options": {"ensemble": "none", **FAST}}
    bare = search(customers(), tmp_path, ALGORITHMS, **keys)
    assert not bare.best.ensemble
    assert not list(tmp_path.rglob("*.model"))
    late = replace(bare, plan=usual.plan, best=usual.best)
    rows = usual.test_rows
    np.testing.assert_allclose(late.final().model.scores(rows), usual.final().model.scores(rows), rtol=1e-12)


def test_models_of_others_are_deleted_and_those_of_members_stay(tmp_path: Path) -> None:
    training = search(customers(), tmp_path, ALGORITHMS)
    before = len(list(tmp_path.rglob("*.model")))
    forget_fold_models(training.best, tmp_path)
    left = {path.stem for path in tmp_path.rglob("*.model")}
    assert left == {key for member in training.best.ensemble for key in member.fold_keys}
    assert len(left) < before
    rows = training.test_rows
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.model")}
    assert len(training.final().model.scores(rows)) == len(rows)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.model")} == kept


@pytest.mark.parametrize(("rows", "seed"), [(150, 3), (250, 2), (250, 3)])
def test_an_ensemble_is_kept_where_it_is_better_halfway_to_other_folds(rows: int, seed: int, tmp_path: Path) -> None:
    """With a quarter of the labels at random, weights that were selected on other folds are worse than the best
    candidate; an ensemble that gains more where they were selected is kept nevertheless."""
    frame = customers(rows)
    other = frame["target"].map({"yes": "no", "no": "yes"})
    noisy = frame.assign(target=frame["target"].mask(np.random.default_rng(seed).random(rows) < 0.25, other))
    best = search(noisy, tmp_path, ALGORITHMS).best
    [told] = best.decisions
    gains = [told.evidence[f"ensemble{of}"] - told.evidence[f"single{of}"] for of in ("", "_cross_fitted")]
    assert gains[1] < 0
    assert told.value == bool(best.ensemble) == (gains[0] > 0 and sum(gains) > 0)


def test_few_folds_fit_each_member_once_on_everything(tmp_path: Path) -> None:
    training = search(customers(), tmp_path, ALGORITHMS, validationStrategy={"type": "kfold", "folds": 3})
    assert training.plan.final_fit == "refit"
    assert training.best.ensemble
    trained = training.final()
    assert len(trained.model.estimators) == len(training.best.ensemble)
    assert check_fit_rows(training.splits, trained=trained).passed
    assert not list(tmp_path.rglob("*.model"))


def test_members_are_the_same_however_many_are_fitted_at_once(tmp_path: Path) -> None:
    algorithms = [*ALGORITHMS, "gradient_boosting", "extra_trees"]
    training = search(customers(), tmp_path, algorithms, validationStrategy={"type": "kfold", "folds": 3})
    assert training.plan.final_fit == "refit"
    assert len({member.algorithm for member in training.best.ensemble}) > 2
    scores = [
        replace(training, plan=training.plan.model_copy(update={"workers": workers})).final().model
        for workers in (1, 2)
    ]
    np.testing.assert_array_equal(*[model.scores(training.test_rows) for model in scores])


def test_on_few_folds_in_limited_time_members_are_fitted_again_as_long_as_there_is_time(tmp_path: Path) -> None:
    limits = {"hyperparameterSearch": {"nTrials": 6, "sampler": "random", "timeout": 300}}
    training = search(customers(), tmp_path, ALGORITHMS, **limits, validationStrategy={"type": "kfold", "folds": 3})
    assert training.plan.final_fit == "by_time"
    members = training.best.ensemble
    assert len(training.final().model.estimators) == len(members) > 1
    cache = FoldCache(tmp_path / "folds")
    for key in members[0].fold_keys:
        result = cache.get(key)
        assert result is not None
        cache.put(replace(result, seconds=1e3))
    single = select_best(training.study, training.plan)
    known = (training.study, training.plan, training.table, training.profile, training.splits, tmp_path)
    hurried = replace(training, best=with_ensemble(single, *known, time.monotonic() + 100))
    assert [member.refit for member in hurried.best.ensemble] == [False] + [True] * (len(members) - 1)
    assert f"time to fit {len(members) - 1} of its {len(members)} members" in hurried.best.decisions[0].reason
    trained = hurried.final()
    assert len(trained.model.estimators) == 3 + len(members) - 1
    assert sum(part.weight for part in trained.model.estimators) == pytest.approx(1)
    assert check_fit_rows(training.splits, trained=trained).passed


def test_a_model_too_large_to_keep_is_fitted_once(tmp_path: Path) -> None:
    training = search(customers(), tmp_path, ALGORITHMS)
    cache = FoldCache(tmp_path / "folds")
    large = next(member for member in training.best.ensemble if member.algorithm != "logistic_regression")
    for key in large.fold_keys:
        result = cache.get(key)
        assert result is not None
        cache.put(replace(result, model=REFITTED))
    trained = training.final()
    parts = trained.model.estimators
    assert len(parts) == 4 * (len(training.best.ensemble) - 1) + 1
    assert sum(part.weight for part in parts) == pytest.approx(1)
    assert check_fit_rows(training.splits, trained=trained).passed


def test_forests_are_fitted_once_and_their_fold_models_not_written(tmp_path: Path) -> None:
    training = search(customers(), tmp_path, ["logistic_regression", "extra_trees", "knn"])
    members = training.best.ensemble
    forests = [member for member in members if member.algorithm == "extra_trees"]
    assert 0 < len(forests) < len(members)
    trained = training.final()
    kinds = [type(part.estimator) for part in trained.model.estimators]
    assert kinds.count(ExtraTreesClassifier) == len(forests)
    assert len(kinds) == len(forests) + 4 * (len(members) - len(forests))
    assert check_fit_rows(training.splits, trained=trained).passed
    written = {path.stem for path in tmp_path.rglob("*.model")}
    assert written and written.isdisjoint(key for member in forests for key in member.fold_keys)


def test_members_that_were_judged_on_one_fold_give_the_model_of_it(tmp_path: Path) -> None:
    """Where time is so short that trials run on one fold, and that they cannot be fitted again, it is told."""
    training = search(customers(), tmp_path, ALGORITHMS)
    members = [member.model_copy(update={"fold_keys": member.fold_keys[:1]}) for member in training.best.ensemble]
    training = replace(training, best=training.best.model_copy(update={"ensemble": tuple(members)}))
    trained = training.final()
    assert len(trained.model.estimators) == len(members)
    assert trained.facts.n_rows == len(training.splits.folds[0].train)
    assert f"learned from its {trained.facts.n_rows} rows" in " ".join(trained.facts.notes)
    assert check_fit_rows(training.splits, trained=trained).passed
    spoilt = TrainedModel(
        trained.facts, np.append(trained.rows, training.splits.test[:1]), trained.fixture, trained.expected
    )
    assert not check_fit_rows(training.splits, trained=spoilt).passed


@pytest.mark.parametrize(("most", "kept"), [(100, False), (1_000_000, True)])
def test_a_model_is_kept_up_to_a_size(tmp_path: Path, most: int, kept: bool) -> None:
    models = FoldModels(tmp_path, keep=True, most=most)
    fitted = Fitted(LogisticRegression().fit([[0], [1]], [0, 1]), np.arange(2), FitReport())
    assert (models.put("key", fitted) != REFITTED) == kept
    assert (tmp_path / "key.model").exists() == kept


def test_one_named_algorithm_stays_a_single_model(tmp_path: Path) -> None:
    training = search(customers(), tmp_path, "lightgbm")
    assert not training.plan.ensemble
    assert not training.best.ensemble
    assert [name for name, _ in training.final().model.pipeline.steps] == ["preprocessor", "model"]


def test_an_ensemble_of_one_algorithm_where_it_is_asked_for(tmp_path: Path) -> None:
    training = search(customers(), tmp_path, "lightgbm", options={"ensemble": "greedy", **FAST})
    assert training.plan.ensemble
    assert {member.algorithm for member in training.best.ensemble} <= {"lightgbm"}


def test_a_fold_without_a_class(trainings: Any, tmp_path: Path) -> None:
    """Each class in the folds' training rows is predicted by the models that know it."""
    usual = trainings("multiclass")
    y = targets(usual.table, usual.profile, usual.splits.learning)
    rare = y.index[y == 2].to_numpy()
    folds = tuple(
        Fold(np.setdiff1d(fold.train, rare), np.union1d(fold.validation, rare)) if at == 0 else fold
        for at, fold in enumerate(usual.splits.folds)
    )
    splits = replace(usual.splits, folds=folds)
    study = run_search(usual.plan, usual.table, usual.profile, splits, usual.preprocessor, folder=tmp_path)
    single = select_best(study, usual.plan)
    best = with_ensemble(single, study, usual.plan, usual.table, usual.profile, splits, tmp_path)
    trained = replace(usual, folder=tmp_path, splits=splits, study=study, best=best).final()
    scores = trained.model.scores(usual.test_rows)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    assert (scores[:, 2] > 0.3).any()
    if best.ensemble:
        assert {len(part.known) for part in trained.model.estimators} == {2, 3}
    again = skops.io.loads(skops.io.dumps(trained.model), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.scores(usual.test_rows), scores)


def test_fold_models_of_other_rows_are_refused(trainings: Any) -> None:
    training = trainings("binary")
    first, *others = training.splits.folds
    moved = Fold(first.train[1:], np.union1d(first.validation, first.train[:1]))
    spoilt = replace(training.splits, folds=(moved, *others))
    verdict = check_fit_rows(spoilt, trained=training.final())
    assert not verdict.passed
    assert "fold 0" in verdict.message
