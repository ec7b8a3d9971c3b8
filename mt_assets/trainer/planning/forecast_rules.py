"""Rules about forecasting: which forecasters compete, and how many trials they are given. The others are shared."""

from typing import Final

from mt_assets.trainer.planning.ensemble_rules import ROUNDS
from mt_assets.trainer.planning.facts import Facts
from mt_assets.trainer.planning.forecast_costs import RECOMMENDED, affordable
from mt_assets.trainer.planning.model_rules import ALGORITHM_NAMED, METRIC_SAID
from mt_assets.trainer.planning.rule import Rule, RuleTable, always
from mt_assets.trainer.planning.search_rules import TRIALS_SAID

ALWAYS: Final = ("seasonal_naive", "theta", "ets", "lightgbm")
"""What competes in any run: the baseline, and what wins most often beside a combination of all. On the monthly series
of the M4 competition ETS has a MASE of .96, theta of .98 and the seasonal naive forecast of 1.26; boosted trees on lags
are what AutoGluon keeps in each of its presets for forecasting."""

BESIDES: Final = ("xgboost",)
"""What competes where there is time: another kind of boosted trees."""


def meant(facts: Facts) -> tuple[str, ...]:
    """The forecasters that the table recommends, as far as time and data allow; else what always competes."""
    if facts.spec.algorithms is not None:
        return facts.spec.algorithms
    return tuple(name for name in RECOMMENDED if affordable(name, facts)) or ("theta",)


def competing(facts: Facts) -> tuple[str, ...]:
    """Every forecaster that competes, whether or not its package is installed: the cheapest first."""
    if facts.spec.algorithms is not None:
        return facts.spec.algorithms
    besides = tuple(name for name in BESIDES if affordable(name, facts))
    return (*ALWAYS, *besides, *(name for name in meant(facts) if name not in ALWAYS))


def candidates(facts: Facts) -> tuple[str, ...]:
    """Those of them that are installed; those that the spec names, in any case."""
    named = facts.spec.algorithms
    return tuple(name for name in competing(facts) if name in facts.available) if named is None else named


QUICK_ROWS: Final = 5_000
"""Steps of all series together up to which a fit of boosted trees on lags takes about half a second."""


METRIC = RuleTable(
    "metric",
    (
        *METRIC_SAID,
        Rule(
            "metric.forecast",
            always,
            "mase",
            "It can be averaged over series of any size, and 1 is what the seasonal naive forecast errs by.",
            "objective.metric",
            ("series",),
        ),
    ),
)


RECOMMENDATION = RuleTable(
    "recommended",
    (
        ALGORITHM_NAMED,
        Rule(
            "algorithm.series",
            lambda f: all(affordable(name, f) for name in RECOMMENDED),
            meant,
            "Values follow each other in time.",
            "algorithm",
            ("series", "rows"),
        ),
        Rule(
            "algorithm.series.as_affordable",
            always,
            meant,
            "Values follow each other in time; {facts.passed_over}.",
            "algorithm",
            ("series", "rows", "folds"),
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
            "candidates.series",
            always,
            candidates,
            "Theta, ETS and boosted trees on lags win most often, so they always compete, with the seasonal naive"
            " forecast that every model has to beat; what the table recommends comes after them: it takes longest.",
            "algorithm",
            ("series", "rows", "folds"),
        ),
    ),
)


TRIALS = RuleTable(
    "n_trials",
    (
        Rule(
            "trials.disabled",
            lambda f: not f.spec.hyperparameter_search.enabled,
            lambda f: len(candidates(f)),
            "The search is switched off: each forecaster is tried once, with its start configuration.",
            "hyperparameterSearch.enabled",
        ),
        *TRIALS_SAID,
        Rule(
            "trials.many_series",
            lambda f: f.series >= 500,
            lambda f: len(candidates(f)) + 4,
            "Each trial forecasts {facts.series:,} series: one for each forecaster, and a few more.",
            "hyperparameterSearch.nTrials",
            ("series",),
        ),
        Rule(
            "trials.short_series",
            lambda f: f.rows <= QUICK_ROWS,
            lambda f: len(candidates(f)) + 32,
            "A fit takes little on {facts.rows:,} steps: every start configuration, and some trials to tune what"
            " can be tuned.",
            "hyperparameterSearch.nTrials",
            ("rows", "folds"),
        ),
        Rule(
            "trials.series",
            always,
            lambda f: len(candidates(f)) + 16,
            "Start configurations of each forecaster; a few origins do not tell more apart.",
            "hyperparameterSearch.nTrials",
            ("series", "folds"),
        ),
    ),
)


ENSEMBLE = RuleTable(
    "ensemble",
    (
        Rule(
            "ensemble.objectives",
            lambda f: len(f.objectives) > 1,
            False,
            "Several objectives: there is no one metric that a combination could serve.",
            "hyperparameterSearch.objectives",
        ),
        Rule(
            "ensemble.asked",
            lambda f: f.spec.options.ensemble != "auto",
            lambda f: f.spec.options.ensemble == "greedy",
            "The spec says so.",
            "options.ensemble",
        ),
        Rule(
            "ensemble.single",
            lambda f: f.spec.algorithms is not None and len(f.spec.algorithms) == 1,
            False,
            "The spec names a single forecaster.",
            "options.ensemble",
        ),
        Rule(
            "ensemble.forecasts",
            always,
            True,
            "Of the 17 most accurate methods of the M4 competition 12 were combinations; kept where it is better.",
            "options.ensemble",
            ("series",),
        ),
    ),
)


ENSEMBLE_ROUNDS = RuleTable(
    "ensemble_rounds",
    (
        Rule("ensemble_rounds.none", lambda f: not ENSEMBLE.value(f), 0, "There is no ensemble.", "options.ensemble"),
        Rule(
            "ensemble_rounds.usual", always, ROUNDS, "More rounds have not been observed to help.", "options.ensemble"
        ),
    ),
)
