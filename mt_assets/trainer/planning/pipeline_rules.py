"""Rules about what stands around the estimator: generated features, and the scale that a target is learned on.

Both are parameters of candidates, so that validation decides between a pipeline with and one without; the rules say
only whether they are offered.
"""

from mt_assets.trainer.planning.facts import Facts
from mt_assets.trainer.planning.rule import Rule, RuleTable, always

LEAST_GENERATION_ROWS = 500
"""With fewer learning rows the few trials that they can tell apart (`TRIALS_BY_ROWS`) are better spent otherwise."""

MOST_GENERATION_CELLS = 5_000_000
"""Rows x features up to which columns are generated: a fold of `adult` (0.4 million cells) takes 0.6 s of CPU more than
without, and what grows with the rows is most of it beyond that size."""

SKEWED = 1.0
"""Skewness from which a target's logarithm is offered; AutoGluon transforms features for linear models beyond 0.99.
Prices (`ames` 1.7, `diamonds` 1.6) and counts are beyond it."""


def _cells(facts: Facts) -> int:
    return facts.rows * facts.features


def _log_evens(facts: Facts) -> bool:
    """Whether the target is skewed to the right, and its logarithm at most half as much."""
    return (
        facts.target_skew is not None
        and facts.target_log_skew is not None
        and facts.target_skew >= SKEWED
        and abs(facts.target_log_skew) <= facts.target_skew / 2
    )


FEATURE_GENERATION = RuleTable(
    "feature_generation",
    (
        Rule(
            "generation.off",
            lambda f: f.spec.options.feature_generation is False,
            False,
            "The spec asks for none.",
            "options.featureGeneration",
        ),
        Rule(
            "generation.nothing",
            lambda f: f.combinable == 0,
            False,
            "No feature is a number or a category, so that there is nothing to make new columns of.",
            "options.featureGeneration",
            ("features", "combinable"),
        ),
        Rule(
            "generation.on",
            lambda f: f.spec.options.feature_generation is True,
            True,
            "The spec asks for it: boosted trees compete with and without generated columns.",
            "options.featureGeneration",
        ),
        Rule(
            "generation.few_rows",
            lambda f: f.rows < LEAST_GENERATION_ROWS,
            False,
            "{facts.rows:,} learning rows are too few to tell useful combinations of columns from lucky ones.",
            "options.featureGeneration",
            ("rows",),
        ),
        Rule(
            "generation.large",
            lambda f: _cells(f) > MOST_GENERATION_CELLS,
            False,
            "{facts.rows:,} rows of {facts.features} features would take too long for each fold.",
            "options.featureGeneration",
            ("rows", "features"),
        ),
        Rule(
            "generation.offered",
            always,
            True,
            "Some boosted trees also see columns made from others inside the fold (sums, ratios, crosses by the target,"
            " group means); validation decides between them and those without.",
            "options.featureGeneration",
            ("rows", "features", "combinable"),
        ),
    ),
)


LOG_TARGET = RuleTable(
    "log_target",
    (
        Rule(
            "log_target.classes",
            lambda f: f.task == "classification",
            False,
            "Classes have no logarithm.",
            "hyperparameterSearch.searchSpace",
            ("task",),
        ),
        Rule(
            "log_target.offered",
            _log_evens,
            True,
            "The target is nowhere negative and skewed to the right ({facts.target_skew:.2f}), its logarithm far less"
            " ({facts.target_log_skew:.2f}): candidates that learn the logarithm compete with others, on the scale of"
            " the target itself.",
            "hyperparameterSearch.searchSpace",
            ("target_low", "target_skew", "target_log_skew"),
        ),
        Rule(
            "log_target.as_it_is",
            always,
            False,
            "The target is learned as it is: it has negative values, is not skewed to the right, or is as skewed on"
            " its logarithm.",
            "hyperparameterSearch.searchSpace",
            ("target_low", "target_skew", "target_log_skew"),
        ),
    ),
)
