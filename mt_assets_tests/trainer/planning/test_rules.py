"""Rule tables, on facts made for each row."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.algorithms.registry import CONTRACT_NAMES, available
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.evaluation.metrics import METRICS
from mt_assets.trainer.planning.facts import Facts
from mt_assets.trainer.planning.plan import TrainingPlan, decide
from mt_assets.trainer.planning.rules import TABLES
from mt_assets.trainer.planning.search_rules import patience_for_rows, search_share, trials_for_rows

LINEAR = {"task": "regression", "n_classes": 0, "linear_r2": 0.80, "tree_r2": 0.81}
SKEWED = LINEAR | {"target_low": 0.0, "target_skew": 2.0, "target_log_skew": 0.4}
BENT = {"task": "regression", "n_classes": 0, "linear_r2": 0.50, "tree_r2": 0.81}


def made_facts(asked: dict | None = None, **changed) -> Facts:
    """Facts of a small, even, binary table, but for what is changed; `asked` are keys of the spec."""
    spec = TrainingSpec.model_validate({"trainDataPath": "/data.csv", "targetColumn": "y", **(asked or {})})
    task = changed.get("task", "classification")
    usual = {"task": task, "n_classes": 2, "rows": 5_000, "columns": 11, "features": 10, "folds": 5, "cores": 2}
    usual["combinable"] = 10
    if task == "classification":
        usual["minority_share"] = 0.4
    return Facts(spec=spec, **({"available": available(task)} | usual | changed))


def search(**keys) -> dict:
    return {"hyperparameterSearch": keys}


def objective(**keys) -> dict:
    return {"objective": keys}


def calibrate(value: bool | str) -> dict:
    return {"options": {"calibrate": value}}


COSTS = objective(metric="cost", costs={"falsePositive": 1, "falseNegative": 5})

GREEDY = {"options": {"ensemble": "greedy"}}

CASES = {
    "metric.asked": ({"objective": {"metric": "f1"}}, {}, "f1"),
    "metric.objectives": (search(objectives=["recall", "precision"]), {}, "recall"),
    "metric.binary": ({}, {}, "roc_auc"),
    "metric.multiclass": ({}, {"n_classes": 3}, "log_loss"),
    "metric.regression": ({}, LINEAR, "rmse"),
    "algorithm.named": ({"algorithm": "xgboost"}, {}, ["xgboost"]),
    "algorithm.classification.small": ({}, {"rows": 9_999}, ["random_forest", "svm"]),
    "algorithm.classification.medium": ({}, {"rows": 100_000}, ["xgboost", "lightgbm"]),
    "algorithm.classification.large": ({}, {"rows": 100_001}, ["neural_network"]),
    "algorithm.regression.linear": ({}, LINEAR, ["ridge", "lasso"]),
    "algorithm.regression.untested": ({}, {"task": "regression", "n_classes": 0}, ["ridge", "lasso"]),
    "algorithm.regression.nonlinear": ({}, BENT, ["gradient_boosting", "xgboost"]),
    "candidates.named": ({"algorithm": ["ridge", "xgboost"]}, LINEAR, ["ridge", "xgboost"]),
    "candidates.first_in_time": (
        {"options": {"timeBudget": 60}},
        {},
        [
            "logistic_regression",
            "lightgbm",
            "catboost",
            "extra_trees",
            "xgboost",
            "random_forest",
            "neural_network",
            "svm",
        ],
    ),
    "candidates.auto": (
        {},
        {},
        [
            "random_forest",
            "svm",
            "lightgbm",
            "extra_trees",
            "logistic_regression",
            "xgboost",
            "catboost",
            "neural_network",
        ],
    ),
    "trials.disabled": (search(enabled=False, nTrials=50), {}, 8),
    "trials.asked": (search(nTrials=50), {}, 50),
    "trials.quick": ({"scenario": "quick"}, {}, 20),
    "trials.production": ({"scenario": "production"}, {}, 100),
    "trials.time": ({"options": {"timeBudget": 60}}, {"rows": 200}, 100),
    "trials.size": ({}, {"rows": 10_000}, 40),
    "sampler.disabled": (search(enabled=False, sampler="qmc"), {}, "none"),
    "sampler.asked": (search(sampler="random"), {}, "random"),
    "sampler.objectives": (search(objectives=["recall", "precision"]), {}, "nsga2"),
    "sampler.quick": ({"scenario": "quick"}, {}, "random"),
    "sampler.production": ({"scenario": "production"}, {}, "tpe"),
    "sampler.large": ({}, {"rows": 200_000}, "tpe"),
    "sampler.auto": ({}, {}, "tpe"),
    "pruner.disabled": (search(enabled=False), {}, "none"),
    "pruner.single_fold": (search(pruner="median"), {"folds": 1}, "none"),
    "pruner.objectives": (search(objectives=["recall", "precision"]), {}, "none"),
    "pruner.asked": (search(pruner="none"), {}, "none"),
    "pruner.large": ({}, {"rows": 20_000, "n_classes": 26}, "median"),
    "pruner.many_folds": ({}, {"folds": 15}, "wilcoxon"),
    "pruner.folds": ({}, {}, "median"),
    "ladder.small": ({}, {"rows": 100_000}, []),
    "ladder.all_finish": (search(pruner="none"), {"rows": 200_000}, []),
    "ladder.objectives": (search(objectives=["recall", "precision"]), {"rows": 200_000}, []),
    "ladder.large": ({}, {"rows": 200_000, "minority_share": 0.3}, [10_000, 40_000]),
    "search_space.asked": (
        {"algorithm": "xgboost", **search(searchSpace={"max_depth": [2, 4]})},
        {},
        {"xgboost": {"max_depth": [2, 4]}},
    ),
    "search_space.own": ({}, {}, "own"),
    "generation.off": ({"options": {"featureGeneration": False}}, {}, False),
    "generation.nothing": ({"options": {"featureGeneration": True}}, {"combinable": 0}, False),
    "generation.on": ({"options": {"featureGeneration": True}}, {"rows": 100}, True),
    "generation.few_rows": ({}, {"rows": 499}, False),
    "generation.large": ({}, {"rows": 2_000_001}, False),
    "generation.offered": ({}, {"rows": 500}, True),
    "log_target.classes": ({}, {}, False),
    "log_target.offered": ({}, SKEWED, True),
    "log_target.as_it_is": ({}, SKEWED | {"target_log_skew": -1.1}, False),
    "selection.compromise": (search(objectives=["recall", "precision"]), {}, "compromise"),
    "selection.score": ({}, {}, "score"),
    "folds.asked": ({"validationStrategy": {"folds": 5}, "options": {"timeBudget": 60}}, {}, "all"),
    "folds.time": ({"options": {"timeBudget": 60}}, {}, "by_time"),
    "folds.all": ({}, {}, "all"),
    "timeout.budget": ({"options": {"timeBudget": 100}, **search(timeout=90)}, {}, 82.0),
    "timeout.asked": ({"options": {"timeBudget": 100}, **search(timeout=30)}, {}, 30.0),
    "timeout.none": ({}, {}, None),
    "imbalance.regression": ({"classImbalance": "class_weight"}, LINEAR, None),
    "imbalance.asked_none": ({"classImbalance": "none"}, {"minority_share": 0.01}, None),
    "imbalance.asked_weights": ({"classImbalance": "class_weight"}, {}, "balanced"),
    "imbalance.asked_weights_probabilities": (
        {"classImbalance": "class_weight", "objective": {"metric": "log_loss"}},
        {},
        "balanced",
    ),
    "imbalance.probabilities": ({}, {"n_classes": 3, "minority_share": 0.01}, None),
    "imbalance.weights": ({}, {"minority_share": 0.09}, "balanced"),
    "imbalance.even": ({}, {"minority_share": 0.11}, None),
    "threshold.classes": ({}, {"n_classes": 3, "minority_share": 0.3}, None),
    "threshold.asked": (objective(threshold=0.3), {}, 0.3),
    "threshold.objectives": (search(objectives=["recall", "precision"]), {}, 0.5),
    "threshold.independent": (objective(metric="log_loss", constraints={"brier": "<=0.2"}), {}, 0.5),
    "threshold.one_sided": (objective(metric="recall", constraints={"roc_auc": ">=0.5"}), {}, 0.5),
    "threshold.few_costs": (COSTS, {"rows": 100}, 1 / 6),
    "threshold.few": (objective(metric="f1"), {"rows": 122}, 0.5),
    "threshold.accuracy": (objective(metric="accuracy"), {"rows": 9_999}, 0.5),
    "threshold.tuned": (objective(metric="f1"), {"rows": 125}, "tuned"),
    "calibrate.regression": (calibrate(True), LINEAR, False),
    "calibrate.asked_not": (calibrate(False), {}, False),
    "calibrate.asked_few": (calibrate(True), {"rows": 99}, False),
    "calibrate.asked": (calibrate(True), {"rows": 100}, True),
    "calibrate.objectives": (search(objectives=["recall", "precision"]), {}, False),
    "calibrate.few": ({}, {"rows": 2_999}, False),
    "calibrate.tried": ({}, {"rows": 500, "n_classes": 3}, True),
    "early_stopping.asked": ({"options": {"earlyStoppingRounds": 10}}, {}, 10),
    "early_stopping.size": ({}, {"rows": 60_000}, 50),
    "threads.asked": ({"options": {"threads": 3}}, {}, 3),
    "threads.single": ({}, {}, 1),
    "workers.asked": (search(workers=9), {"fits_at_once": 1}, 9),
    "workers.memory": ({}, {"cores": 8, "fits_at_once": 3}, 3),
    "workers.cores": ({"options": {"threads": 3}}, {"cores": 8, "fits_at_once": 3}, 2),
    "ensemble.off": ({"options": {"ensemble": "none"}}, {}, False),
    "ensemble.objectives": (search(objectives=["recall", "precision"]), {}, False),
    "ensemble.one_candidate": ({"algorithm": "knn", **GREEDY, **search(enabled=False)}, {}, False),
    "ensemble.asked": ({"algorithm": "knn", **GREEDY}, {}, True),
    "ensemble.named": ({"algorithm": "knn"}, {}, False),
    "ensemble.auto": ({"algorithm": ["knn", "lightgbm"]}, {}, True),
    "ensemble_rounds.none": ({"algorithm": "knn"}, {}, 0),
    "ensemble_rounds.few_rows": ({}, {"rows": 499}, 10),
    "ensemble_rounds.usual": ({}, {"rows": 500}, 25),
    "final_fit.single": ({"algorithm": "knn"}, {}, "refit"),
    "final_fit.folds_differ": ({}, {"strategy": "time_series_split"}, "refit"),
    "final_fit.time": ({"options": {"timeBudget": 60}}, {"folds": 2}, "by_time"),
    "final_fit.few_folds": ({}, {"folds": 3}, "refit"),
    "final_fit.many_folds": ({}, {"folds": 41}, "refit"),
    "final_fit.bag": ({}, {"folds": 4}, "bag"),
    "seed.options": ({"options": {"seed": 7}}, {}, 7),
    "reproducible.clock": (search(timeout=30), {}, False),
    "reproducible.count": ({}, {}, True),
}
"""For each rule: what the spec asks, what else is changed, and the value that follows."""


def test_every_rule_has_its_own_id_and_is_reached():
    ids = [rule.id for table in TABLES for rule in table.rules]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(CASES)


@pytest.mark.parametrize("rule", CASES)
def test_rule_decides_on_its_facts(rule):
    asked, changed, value = CASES[rule]
    facts = made_facts(asked, **changed)
    decisions = {found.rule: found for found in (table.decide(facts) for table in TABLES)}
    assert decisions[rule].value == value
    assert decisions[rule].reason.endswith(".")
    assert decisions[rule].override.split(".")[0] in {field.alias for field in TrainingSpec.model_fields.values()}


@pytest.mark.parametrize(
    ("asked", "changed", "threshold"),
    [
        (objective(constraints={"precision": ">=0.5"}), {}, "tuned"),
        (objective(metric="accuracy"), {"rows": 10_000}, "tuned"),
        (objective(metric="accuracy", constraints={"recall": ">=0.5"}), {"rows": 500}, "tuned"),
        (objective(metric="f1", threshold="auto"), {"rows": 25}, "tuned"),
        (objective(metric="f1", threshold="auto"), {"rows": 22}, 0.5),
        (COSTS, {}, "tuned"),
        ({}, {}, 0.5),
    ],
)
def test_threshold_is_looked_for_where_it_matters_and_rows_can_tell(asked, changed, threshold):
    assert decide(made_facts(asked, **changed)).threshold == threshold


def test_what_the_objective_asks_for_stands_in_the_plan():
    gate = {"qualityGates": {"test.fbeta": ">=0.5"}}
    asked = objective(metric="recall", constraints={"cost": "<=1"}, costs={"falsePositive": 1, "falseNegative": 9})
    plan = decide(made_facts(asked | gate))
    assert (plan.constraints, plan.costs, plan.beta) == ({"cost": "<=1"}, (1.0, 9.0), 1.0)
    assert decide(made_facts()).costs is None
    assert decide(made_facts({"options": {"memoryLimit": 2.5}})).memory_limit == 2.5


@pytest.mark.parametrize(
    ("asked", "changed", "named"),
    [
        (objective(threshold=0.3), {"n_classes": 3, "minority_share": 0.3}, "objective.threshold"),
        (objective(threshold="auto"), LINEAR, "objective.threshold"),
        (objective(constraints={"mae": "<=3"}), {}, "objective.constraints"),
        (objective(constraints={"brier": "<=3"}), {"n_classes": 3, "minority_share": 0.3}, "objective.constraints"),
    ],
)
def test_an_objective_that_the_data_cannot_have_is_refused(asked, changed, named):
    with pytest.raises(SpecError, match=named):
        decide(made_facts(asked, **changed))


@pytest.mark.parametrize(
    ("asked", "changed", "recommended"),
    [
        ({}, {"rows": 9_999}, ("random_forest", "svm")),
        ({}, {"rows": 10_000}, ("xgboost", "lightgbm")),
        ({}, {"rows": 100_001}, ("neural_network",)),
        ({}, LINEAR, ("ridge", "lasso")),
        ({}, BENT, ("gradient_boosting", "xgboost")),
    ],
)
def test_auto_enters_the_recommended_a_boosted_tree_model_extra_trees_and_a_linear_model(asked, changed, recommended):
    task = changed.get("task", "classification")
    plan = decide(made_facts(asked, available=CONTRACT_NAMES[task], **changed))
    assert plan.recommended == recommended[0]
    assert plan.algorithms[: len(recommended)] == recommended
    assert {"lightgbm", "xgboost", "gradient_boosting"} & set(plan.algorithms)
    assert "extra_trees" in plan.algorithms
    assert {"logistic_regression", "ridge"} & set(plan.algorithms)


@pytest.mark.parametrize("changed", [{}, {"rows": 50_000}, LINEAR, BENT])
def test_everything_that_the_tables_name_is_there(changed):
    plan = decide(made_facts(**changed))
    assert "left out" not in reason(plan, "recommended") + reason(plan, "algorithms")


def test_auto_goes_on_without_a_package_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    plan = decide(made_facts(rows=50_000))
    assert plan.recommended == "lightgbm"
    assert "xgboost" not in plan.algorithms
    assert "xgboost needs the package xgboost, which is not installed here (`pip install xgboost`)" in reason(
        plan, "recommended"
    )


def test_a_network_is_entered_where_pytorch_trains_it(monkeypatch):
    assert "neural_network" in decide(made_facts(rows=5_000)).algorithms
    assert "neural_network" not in decide(made_facts(rows=400)).algorithms
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "neural_network" not in decide(made_facts(rows=5_000)).algorithms
    assert decide(made_facts(rows=200_000)).recommended == "neural_network"


def test_of_many_classes_a_network_learns_before_boosted_trees_in_limited_time():
    for n_classes, first in ((26, True), (9, False)):
        order = decide(made_facts({"options": {"timeBudget": 60}}, n_classes=n_classes)).algorithms
        assert (order.index("neural_network") < order.index("lightgbm")) == first


def test_the_next_of_the_family_competes_where_the_first_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    plan = decide(made_facts(rows=5_000))
    assert plan.recommended == "random_forest"
    assert "xgboost" in plan.algorithms
    assert "lightgbm needs the package" in reason(plan, "algorithms")


def test_a_recommendation_that_cannot_be_followed_leaves_what_always_competes():
    others = tuple(name for name in available("classification") if name != "neural_network")
    plan = decide(made_facts(rows=200_000, available=others))
    assert plan.algorithms == ("lightgbm", "extra_trees", "logistic_regression", "xgboost", "catboost")
    assert plan.recommended == "lightgbm"
    assert "neural_network" in reason(plan, "recommended")


def test_few_trials_go_to_the_recommended_even_when_time_is_limited():
    plan = decide(made_facts(search(nTrials=1, timeout=60)))
    assert plan.algorithms[0] == plan.recommended


def test_the_specs_word_wins_over_the_scenario():
    plan = decide(made_facts({"scenario": "quick", **search(nTrials=7, sampler="tpe", pruner="none")}))
    assert (plan.n_trials, plan.sampler, plan.pruner) == (7, "tpe", "none")


def test_size_rule_follows_the_published_curve():
    assert [trials_for_rows(rows) for rows in (1, 100, 500, 2_500, 10_000, 100_000, 10**7)] == [
        4,
        4,
        8,
        15,
        40,
        100,
        100,
    ]


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_more_rows_never_mean_fewer_trials_or_more_patience(first, second):
    fewer, more = sorted((first, second))
    assert trials_for_rows(fewer) <= trials_for_rows(more)
    assert patience_for_rows(fewer) >= patience_for_rows(more) >= 20


def test_smallest_budget_leaves_time_for_the_search():
    assert 0 < search_share(30) < 30


@pytest.mark.parametrize(
    ("asked", "changed", "named"),
    [
        ({"objective": {"metric": "rmse"}}, {}, "`objective.metric` is 'rmse'"),
        ({"objective": {"metric": "brier"}}, {"n_classes": 3}, "classification with 3 classes"),
        ({"algorithm": "ridge"}, {}, "`algorithm` is 'ridge'"),
        ({"algorithm": ["lightgbm", "lasso"]}, {}, "`algorithm` is 'lasso'"),
        ({"promotion": {"metric": "mae"}}, {}, "`promotion.metric` is 'mae'"),
        ({"qualityGates": {"test.rmse": "<=1"}}, {}, "`qualityGates` is 'test.rmse'"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(asked, changed, named):
    with pytest.raises(SpecError, match=named) as refused:
        decide(made_facts(asked, **changed))
    [remedy] = refused.value.suggestions
    assert remedy.startswith("Allowed for ")
    assert refused.value.message.count(",") < 2, "what is allowed is told once, as the remedy"


@pytest.mark.parametrize("changed", [{}, {"n_classes": 4}, LINEAR])
def test_plan_reads_back_equal_and_prints(changed, tmp_path):
    plan = decide(made_facts(search(nTrials=5, timeout=12.5), **changed))
    plan.save(tmp_path)
    assert TrainingPlan.load(tmp_path).model_dump() == plan.model_dump()
    assert plan.metric in METRICS
    rows = plan.table()
    assert [row["decision"] for row in rows] == [decision.decision for decision in plan.decisions]
    assert all(isinstance(cell, str) for row in rows for cell in row.values())
    lines = plan.note().splitlines()
    assert sum(line.startswith("| ") for line in lines) == len(rows) + 1
    widths = {line.replace("\\|", "").count("|") for line in lines if line.startswith("|")}
    assert len(widths) == 1


def test_a_bar_in_a_value_does_not_break_the_note():
    plan = decide(made_facts())
    odd = plan.decisions[0].model_copy(update={"value": "a|b\nc"})
    note = plan.model_copy(update={"decisions": (odd,)}).note()
    assert note.splitlines()[-1].startswith("| metric | a\\|b c |")


def reason(plan: TrainingPlan, decision: str) -> str:
    return next(made.reason for made in plan.decisions if made.decision == decision)


def test_evidence_is_plain_json():
    plan = decide(made_facts(minority_share=float(np.float64(0.05))))
    assert '"minority_share":0.05' in plan.model_dump_json()
