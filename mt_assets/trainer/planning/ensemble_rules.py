"""Rules about the ensemble: whether there is one, how many rounds select it, and what the final model is made of."""

from mt_assets.trainer.planning.facts import Facts
from mt_assets.trainer.planning.model_rules import candidates
from mt_assets.trainer.planning.rule import Rule, RuleTable, always

ROUNDS, FEW_ROUNDS, FEW_ROWS = 25, 10, 500
"""Rounds of the selection: beyond 25 TabRepo (Salinas & Erickson 2024) measured no improvement, and on less than 500
rows more weights than 10 rounds can give would follow noise."""

BAGGED = frozenset(
    {"kfold", "stratified_kfold", "group_kfold", "stratified_group_kfold"}
    | {"repeated_kfold", "repeated_stratified_kfold"}
)
"""Strategies whose folds are alike, so that their models can be averaged. The early ones of dated folds know the past
alone, and folds of `leave_one_out` are as many as rows."""

LEAST_FOLDS, MOST_FOLDS = 4, 40
"""A fold model of 3 folds has learned from two thirds of the rows, which one fit on all of them beats, and so it beats
the models of 3 folds of more; more than 40 models a member predict too slowly for the little that they add."""


def _ensemble(facts: Facts) -> bool:
    return bool(ENSEMBLE.value(facts))


ENSEMBLE = RuleTable(
    "ensemble",
    (
        Rule(
            "ensemble.off",
            lambda f: f.spec.options.ensemble == "none",
            False,
            "The spec asks for a single model.",
            "options.ensemble",
        ),
        Rule(
            "ensemble.objectives",
            lambda f: len(f.objectives) > 1,
            False,
            "Several objectives: the compromise is chosen among single candidates, on their Pareto front.",
            "hyperparameterSearch.objectives",
        ),
        Rule(
            "ensemble.one_candidate",
            lambda f: not f.spec.hyperparameter_search.enabled and len(candidates(f)) == 1,
            False,
            "There is one candidate, and nothing to combine it with.",
            "hyperparameterSearch.enabled",
        ),
        Rule(
            "ensemble.asked",
            lambda f: f.spec.options.ensemble == "greedy",
            True,
            "The spec asks for it; it is kept where it beats the best single model out of fold.",
            "options.ensemble",
        ),
        Rule(
            "ensemble.named",
            lambda f: len(candidates(f)) == 1,
            False,
            "One algorithm is named, and a model of that algorithm is what the spec gets.",
            "options.ensemble",
        ),
        Rule(
            "ensemble.auto",
            always,
            True,
            "Several algorithms compete, and models that err differently are better together; the ensemble is kept"
            " where it beats the best single model out of fold.",
            "options.ensemble",
        ),
    ),
)


ENSEMBLE_ROUNDS = RuleTable(
    "ensemble_rounds",
    (
        Rule("ensemble_rounds.none", lambda f: not _ensemble(f), 0, "There is no ensemble.", "options.ensemble"),
        Rule(
            "ensemble_rounds.few_rows",
            lambda f: f.rows < FEW_ROWS,
            FEW_ROUNDS,
            "Fewer than 500 rows tell too little for finer weights.",
            "options.ensemble",
            ("rows",),
        ),
        Rule(
            "ensemble_rounds.usual",
            always,
            ROUNDS,
            "More rounds have not been observed to help.",
            "options.ensemble",
            ("rows",),
        ),
    ),
)


FINAL_FIT = RuleTable(
    "final_fit",
    (
        Rule(
            "final_fit.single",
            lambda f: not _ensemble(f),
            "refit",
            "One model is fitted on all learning rows, with the mean number of rounds that early stopping found.",
            "options.ensemble",
        ),
        Rule(
            "final_fit.folds_differ",
            lambda f: f.strategy not in BAGGED or not f.folds_cover,
            "refit",
            "The folds of `{facts.strategy}` do not share out all learning rows at random, so that each member of an"
            " ensemble is fitted once on all of them.",
            "validationStrategy.type",
            ("strategy",),
        ),
        Rule(
            "final_fit.time",
            lambda f: f.time_limited and f.folds <= MOST_FOLDS,
            "by_time",
            "Time is limited: where it is enough for trials on four folds or more, each member of an ensemble keeps its"
            " fold models, averaged, but for forests; where it is not, members are fitted once on all learning rows as"
            " long as there is time, and the others keep what they have.",
            "validationStrategy.folds",
            ("strategy", "folds", "time_budget", "search_timeout"),
        ),
        Rule(
            "final_fit.few_folds",
            lambda f: f.folds < LEAST_FOLDS,
            "refit",
            "With {facts.folds} folds a fold's model has seen too few of the rows: each member of an ensemble is fitted"
            " once on all of them.",
            "validationStrategy.folds",
            ("folds",),
        ),
        Rule(
            "final_fit.many_folds",
            lambda f: f.folds > MOST_FOLDS,
            "refit",
            "{facts.folds} models for each member of an ensemble would predict too slowly: each is fitted once on all"
            " learning rows.",
            "validationStrategy.folds",
            ("folds",),
        ),
        Rule(
            "final_fit.bag",
            always,
            "bag",
            "Each member of an ensemble keeps its {facts.folds} fold models, averaged: they are the ones that were"
            " judged, each stopped early on rows of its own. Forests, averages by themselves, are fitted once on all"
            " learning rows.",
            "validationStrategy.folds",
            ("strategy", "folds"),
        ),
    ),
)
