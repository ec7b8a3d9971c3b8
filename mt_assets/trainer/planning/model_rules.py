"""Rules about the model: metric, algorithms, class weights. Those about the ensemble are in `ensemble_rules`."""

from collections.abc import Callable

from mt_assets.trainer.planning.candidates import competing, first_in_time
from mt_assets.trainer.planning.facts import Facts
from mt_assets.trainer.planning.rule import Rule, RuleTable, always, asked

SMALL_ROWS, MANY_ROWS = 10_000, 100_000
"""Below the first the data is small for the choice of algorithm, above the second large."""

LINEAR_GAP = 0.02
"""A linear model whose R² is at most this much below that of small trees makes the relationship linear. Measured: on
truly linear data with any noise the linear model is 0.08 to 0.14 above the trees, on `diabetes` 0.05; it is 0.03
below on `wine_quality`, 0.01 or 0.05 on `ames` and 0.05 or 0.18 on `diamonds` (with one set of folds or another: single
rows weigh much on the linear model), and 0.16 to 0.19 on Friedman's first function."""

IMBALANCE = 0.2
"""A rarest class with less than this share of its even number of rows is imbalanced: 10 % of two classes."""

PROBABILITY_METRICS = frozenset({"log_loss", "brier"})
"""Metrics that judge the probabilities themselves; class weights shift those away from the observed frequencies."""


def _task(name: str) -> Callable[[Facts], bool]:
    return lambda facts: facts.task == name


def _linear(facts: Facts) -> bool:
    return facts.linear_r2 is not None and facts.tree_r2 is not None and facts.linear_r2 >= facts.tree_r2 - LINEAR_GAP


def _imbalanced(facts: Facts) -> bool:
    return facts.balance is not None and facts.balance < IMBALANCE


def _few_trials(facts: Facts) -> bool:
    n_trials = facts.spec.hyperparameter_search.n_trials
    return n_trials is not None and n_trials < len(candidates(facts))


def meant(facts: Facts) -> tuple[str, ...]:
    """The algorithms that the table recommends, whether or not their packages are installed."""
    return tuple(RECOMMENDATION.value(facts))


def candidates(facts: Facts) -> tuple[str, ...]:
    """The algorithms that compete, the recommended first."""
    named = facts.spec.algorithms
    return competing(meant(facts), facts.available, facts.rows) if named is None else named


METRIC_SAID = (
    asked("metric.asked", "objective.metric", "objective.metric"),
    Rule(
        "metric.objectives",
        lambda f: bool(f.objectives),
        lambda f: f.objectives[0],
        "The first of the objectives asked for.",
        "hyperparameterSearch.objectives",
    ),
)
"""What the spec says about the metric, for tables and for series."""

ALGORITHM_NAMED = Rule(
    "algorithm.named",
    lambda f: f.spec.algorithms is not None,
    lambda f: f.spec.algorithms,
    "The spec names it.",
    "algorithm",
)
"""What the spec says about the algorithm."""


METRIC = RuleTable(
    "metric",
    (
        *METRIC_SAID,
        Rule(
            "metric.binary",
            lambda f: f.n_classes == 2,
            "roc_auc",
            "Of two classes it is the order of the rows that counts, at whatever threshold is chosen later.",
            "objective.metric",
            ("task", "n_classes"),
        ),
        Rule(
            "metric.multiclass",
            lambda f: f.n_classes > 2,
            "log_loss",
            "With more than two classes it judges the probabilities of all of them.",
            "objective.metric",
            ("task", "n_classes"),
        ),
        Rule(
            "metric.regression",
            always,
            "rmse",
            "The usual error of a number, in the unit of the target.",
            "objective.metric",
            ("task",),
        ),
    ),
)


RECOMMENDATION = RuleTable(
    "recommended",
    (
        ALGORITHM_NAMED,
        Rule(
            "algorithm.classification.small",
            lambda f: f.task == "classification" and f.rows < SMALL_ROWS,
            ("random_forest", "svm"),
            "Classification with fewer than 10,000 rows.",
            "algorithm",
            ("task", "rows"),
        ),
        Rule(
            "algorithm.classification.medium",
            lambda f: f.task == "classification" and f.rows <= MANY_ROWS,
            ("xgboost", "lightgbm"),
            "Classification with 10,000 to 100,000 rows.",
            "algorithm",
            ("task", "rows"),
        ),
        Rule(
            "algorithm.classification.large",
            _task("classification"),
            ("neural_network",),
            "Classification with more than 100,000 rows.",
            "algorithm",
            ("task", "rows"),
        ),
        Rule(
            "algorithm.regression.linear",
            _linear,
            ("ridge", "lasso"),
            "The relationship is linear: on held-out rows a linear model has an R² of {facts.linear_r2:.3f}, small"
            " trees of {facts.tree_r2:.3f}.",
            "algorithm",
            ("task", "linear_r2", "tree_r2"),
        ),
        Rule(
            "algorithm.regression.untested",
            lambda f: f.linear_r2 is None or f.tree_r2 is None,
            ("ridge", "lasso"),
            "Whether the relationship is linear cannot be tested on this data, so the simplest models come first.",
            "algorithm",
            ("task", "rows", "features"),
        ),
        Rule(
            "algorithm.regression.nonlinear",
            always,
            ("gradient_boosting", "xgboost"),
            "The relationship is not linear: on held-out rows small trees have an R² of {facts.tree_r2:.3f}, a linear"
            " model of {facts.linear_r2:.3f}.",
            "algorithm",
            ("task", "linear_r2", "tree_r2"),
        ),
    ),
)


CANDIDATES = RuleTable(
    "algorithms",
    (
        Rule(
            "candidates.named",
            lambda f: f.spec.algorithms is not None,
            candidates,
            "The spec names them.",
            "algorithm",
        ),
        Rule(
            "candidates.first_in_time",
            lambda f: f.time_limited and not _few_trials(f),
            lambda f: first_in_time(candidates(f), f.n_classes),
            "The recommendation does not always win, so a linear model, extra trees and as many other kinds of models"
            " as {facts.rows:,} rows can tell apart compete, and validation decides; time is limited, so the cheapest"
            " goes first and there is a model soon.",
            "algorithm",
            ("task", "rows", "n_classes", "time_budget", "search_timeout"),
        ),
        Rule(
            "candidates.auto",
            always,
            candidates,
            "The recommendation does not always win, so a linear model, extra trees and as many other kinds of models"
            " as {facts.rows:,} rows can tell apart compete, and validation decides; the recommended goes first.",
            "algorithm",
            ("task", "rows"),
        ),
    ),
)


CLASS_WEIGHT = RuleTable(
    "class_weight",
    (
        Rule("imbalance.regression", _task("regression"), None, "There are no classes.", "classImbalance", ("task",)),
        Rule(
            "imbalance.asked_none",
            lambda f: f.spec.class_imbalance == "none",
            None,
            "The spec asks for no weights.",
            "classImbalance",
        ),
        Rule(
            "imbalance.asked_weights_probabilities",
            lambda f: f.spec.class_imbalance == "class_weight" and METRIC.value(f) in PROBABILITY_METRICS,
            "balanced",
            "The spec asks for class weights. They shift the probabilities that the metric judges, so that the scores"
            " of the search look worse; calibration undoes it where it is tried and helps.",
            "classImbalance",
            ("minority_share", "balance"),
        ),
        Rule(
            "imbalance.asked_weights",
            lambda f: f.spec.class_imbalance == "class_weight",
            "balanced",
            "The spec asks for class weights.",
            "classImbalance",
        ),
        Rule(
            "imbalance.probabilities",
            lambda f: _imbalanced(f) and METRIC.value(f) in PROBABILITY_METRICS,
            None,
            "The rarest class has {facts.minority_share:.1%} of the rows, but the metric judges probabilities, which"
            " class weights would distort.",
            "classImbalance",
            ("minority_share", "balance"),
        ),
        Rule(
            "imbalance.weights",
            _imbalanced,
            "balanced",
            "The rarest class has {facts.minority_share:.1%} of the rows: classes are weighted by their rarity while"
            " fitting, folds are stratified, and scores are those of the data as it is.",
            "classImbalance",
            ("minority_share", "balance"),
        ),
        Rule(
            "imbalance.even",
            always,
            None,
            "The rarest class has {facts.minority_share:.1%} of the rows, which needs no weights.",
            "classImbalance",
            ("minority_share", "balance"),
        ),
    ),
)
