"""Rules about the search: how many trials, proposed and cut short how, and with what time and machine."""

from operator import attrgetter

import numpy as np

from mt_assets.trainer.clock import AFTER_SEARCH, START_SECONDS
from mt_assets.trainer.planning.facts import Facts
from mt_assets.trainer.planning.model_rules import MANY_ROWS, candidates
from mt_assets.trainer.planning.rule import Rule, RuleTable, always, asked

LARGE_CELLS = 5_000_000
"""Rows x features x trees a round above which a trial is slow: one thread of LightGBM takes about 1 microsecond a cell
for 150 trees, hence 5 s a fit and 25 s a trial of five folds."""

TRIALS_BY_ROWS = ((100, 4), (500, 8), (2_500, 15), (10_000, 40), (100_000, 100))
"""How many models are worth trying, by learning rows, log-log interpolated: AutoGluon's answer to overfitting the
validation rows of small tables (`EarlyStoppingCountCallback`, presets of version 1.5)."""

MOST_TRIALS = 100
"""In so much time as the spec gives, on tables of any size: what the largest get."""

MOST_PATIENCE = 100
"""AutoGluon waits `max(20, round(300 * min(1, 10000 / rows)))` rounds. Measured with LightGBM at learning rate 0.05 in
five folds, 300 instead of 100 rounds double the time and gain 0.0000 of ROC AUC on `telco_churn`, 0.0009 on
`german_credit` and 0.4 % of the RMSE on `ames`; 20 lose 0.011 and 2 % on the latter two."""

WILCOXON_FOLDS = 8
"""Folds from which the signed-rank test prunes: on n folds its p-value is 2^-n at least, so that at a threshold of 0.1
four folds are the first that can end a trial; from 8 on that saves half of a hopeless trial."""


FIRST_RUNG, RUNG_FACTOR = 10_000, 4
"""Rows of the first sample of the ladder, and by how much each next one grows (FLAML, Wang et al. 2021)."""

RARE_ROWS = 50
"""Rows of the rarest class that a sample should have."""


def ladder_for(rows: int, minority_share: float | None) -> list[int]:
    """Sizes of the samples, the largest a quarter of the rows at most."""
    size = max(FIRST_RUNG, round(RARE_ROWS / minority_share) if minority_share else 0)
    sizes = []
    while size <= rows / RUNG_FACTOR:
        sizes.append(size)
        size *= RUNG_FACTOR
    return sizes


def trials_for_rows(rows: int) -> int:
    """Trials by the size rule: log-log interpolated, constant beyond the ends of `TRIALS_BY_ROWS`."""
    sizes, trials = np.log(np.asarray(TRIALS_BY_ROWS, dtype=np.float64)).T
    return round(float(np.exp(np.interp(np.log(max(rows, 1)), sizes, trials))))


def patience_for_rows(rows: int) -> int:
    """Early stopping rounds by learning rows."""
    return min(MOST_PATIENCE, max(20, round(300 * min(1.0, 10_000 / max(rows, 1)))))


def search_share(budget: float) -> float:
    """Seconds of a time budget that the search may take on a quiet machine."""
    return round(budget - START_SECONDS - AFTER_SEARCH, 1)


def _large(facts: Facts) -> bool:
    return facts.rows > MANY_ROWS or facts.cells > LARGE_CELLS


TRIALS_SAID = (
    asked("trials.asked", "hyperparameter_search.n_trials", "hyperparameterSearch.nTrials"),
    Rule(
        "trials.quick",
        lambda f: f.spec.scenario == "quick",
        20,
        "A quick baseline is 20 trials.",
        "hyperparameterSearch.nTrials",
    ),
    Rule(
        "trials.production",
        lambda f: f.spec.scenario == "production",
        100,
        "A production model is 100 trials.",
        "hyperparameterSearch.nTrials",
    ),
)
"""What the spec says about the number of trials, for tables and for series."""


TRIALS = RuleTable(
    "n_trials",
    (
        Rule(
            "trials.disabled",
            lambda f: not f.spec.hyperparameter_search.enabled,
            lambda f: len(candidates(f)),
            "The search is switched off: each algorithm is tried once, with its start configuration.",
            "hyperparameterSearch.enabled",
        ),
        *TRIALS_SAID,
        Rule(
            "trials.time",
            lambda f: f.time_budget is not None,
            MOST_TRIALS,
            "As many as there is time for, but no more than {value}: the spec gives the time to be used.",
            "hyperparameterSearch.nTrials",
            ("time_budget",),
        ),
        Rule(
            "trials.size",
            always,
            lambda f: max(trials_for_rows(f.rows), len(candidates(f))),
            "As many as {facts.rows:,} learning rows can tell apart, and one for each algorithm at least.",
            "hyperparameterSearch.nTrials",
            ("rows",),
        ),
    ),
)


SAMPLER = RuleTable(
    "sampler",
    (
        Rule(
            "sampler.disabled",
            lambda f: not f.spec.hyperparameter_search.enabled,
            "none",
            "The search is switched off: nothing is proposed, start configurations alone are tried.",
            "hyperparameterSearch.enabled",
        ),
        asked("sampler.asked", "hyperparameter_search.sampler", "hyperparameterSearch.sampler"),
        Rule(
            "sampler.objectives",
            lambda f: len(f.objectives) > 1,
            "nsga2",
            "Several objectives: NSGA-II looks for the whole front of compromises.",
            "hyperparameterSearch.sampler",
        ),
        Rule(
            "sampler.quick",
            lambda f: f.spec.scenario == "quick",
            "random",
            "A quick baseline: random search.",
            "hyperparameterSearch.sampler",
        ),
        Rule(
            "sampler.production",
            lambda f: f.spec.scenario == "production",
            "tpe",
            "A production model: TPE learns from the trials before.",
            "hyperparameterSearch.sampler",
        ),
        Rule(
            "sampler.large",
            _large,
            "tpe",
            "A trial is slow on data of this size: TPE makes the most of each.",
            "hyperparameterSearch.sampler",
            ("rows", "cells"),
        ),
        Rule(
            "sampler.auto",
            always,
            "tpe",
            "TPE learns from the trials before.",
            "hyperparameterSearch.sampler",
            ("rows",),
        ),
    ),
)


PRUNER = RuleTable(
    "pruner",
    (
        Rule(
            "pruner.disabled",
            lambda f: not f.spec.hyperparameter_search.enabled,
            "none",
            "The search is switched off: every start configuration is evaluated on all folds.",
            "hyperparameterSearch.enabled",
        ),
        Rule(
            "pruner.single_fold",
            lambda f: f.folds < 2,
            "none",
            "With a single fold a trial is over before anything could be cut short.",
            "validationStrategy.folds",
            ("folds",),
        ),
        Rule(
            "pruner.objectives",
            lambda f: len(f.objectives) > 1,
            "none",
            "No trial can be cut short by several objectives: it may be the best by any of them.",
            "hyperparameterSearch.objectives",
        ),
        asked("pruner.asked", "hyperparameter_search.pruner", "hyperparameterSearch.pruner"),
        Rule(
            "pruner.large",
            _large,
            "median",
            "A trial is slow on data of this size: those below the median after some folds end early.",
            "hyperparameterSearch.pruner",
            ("rows", "cells"),
        ),
        Rule(
            "pruner.many_folds",
            lambda f: f.folds >= WILCOXON_FOLDS and f.spec.validation_strategy.type != "leave_one_out",
            "wilcoxon",
            "Trials that are worse than the best one fold by fold (Wilcoxon's signed-rank test) end early;"
            " {facts.folds} folds are enough for the test to save work.",
            "hyperparameterSearch.pruner",
            ("folds",),
        ),
        Rule(
            "pruner.folds",
            always,
            "median",
            "Trials whose mean over the first folds is below the median end early.",
            "hyperparameterSearch.pruner",
            ("folds",),
        ),
    ),
)


FOLDS = RuleTable(
    "folds_per_trial",
    (
        Rule(
            "folds.asked",
            lambda f: "folds" in f.spec.validation_strategy.model_fields_set,
            "all",
            "The spec says how many folds there are: each trial runs on all of them.",
            "validationStrategy.folds",
        ),
        Rule(
            "folds.time",
            lambda f: f.time_limited and f.folds > 1,
            "by_time",
            "Time is limited: one fit is measured first, and trials run on as many of the {facts.folds} folds as it"
            " takes to rank candidates, and leave room for a dozen; on more where there is time for forty.",
            "validationStrategy.folds",
            ("folds", "time_budget", "search_timeout"),
        ),
        Rule(
            "folds.all",
            always,
            "all",
            "Each trial runs on every fold.",
            "validationStrategy.folds",
            ("folds",),
        ),
    ),
)


LADDER = RuleTable(
    "sample_ladder",
    (
        Rule(
            "ladder.small",
            lambda f: f.rows <= MANY_ROWS,
            (),
            "Tables of this size are fitted whole.",
            "hyperparameterSearch.pruner",
            ("rows",),
        ),
        Rule(
            "ladder.all_finish",
            lambda f: not f.spec.hyperparameter_search.enabled or f.spec.hyperparameter_search.pruner == "none",
            (),
            "No trial is to end early.",
            "hyperparameterSearch.pruner",
        ),
        Rule(
            "ladder.objectives",
            lambda f: len(f.objectives) > 1,
            (),
            "No trial can be held back by several objectives: it may be the best by any of them.",
            "hyperparameterSearch.objectives",
        ),
        Rule(
            "ladder.large",
            always,
            lambda f: ladder_for(f.rows, f.minority_share),
            "A candidate is fitted on samples of so many rows first; those that are worse there than half of the others"
            " are not fitted on all.",
            "hyperparameterSearch.pruner",
            ("rows", "minority_share"),
        ),
    ),
)


SEARCH_SPACE = RuleTable(
    "search_space",
    (
        Rule(
            "search_space.asked",
            lambda f: bool(f.spec.search_space),
            lambda f: f.spec.search_space,
            "The spec sets these ranges; start configurations are moved into them, and what it does not name is the"
            " algorithms' own.",
            "hyperparameterSearch.searchSpace",
        ),
        Rule(
            "search_space.own",
            always,
            "own",
            "Each algorithm's own ranges, which depend on the rows.",
            "hyperparameterSearch.searchSpace",
        ),
    ),
)


SELECTION = RuleTable(
    "selection",
    (
        Rule(
            "selection.compromise",
            lambda f: len(f.objectives) > 1,
            "compromise",
            "Of the trials that no other beats in every objective the one nearest to the best of each, every objective"
            " scaled to its range over them (compromise programming, Zeleny 1973).",
            "hyperparameterSearch.objectives",
        ),
        Rule(
            "selection.score",
            always,
            "score",
            "The trial with the best mean score over the folds; of equal ones the earliest.",
            "objective.metric",
        ),
    ),
)


TIMEOUT = RuleTable(
    "timeout",
    (
        Rule(
            "timeout.budget",
            lambda f: f.time_budget is not None and (f.search_timeout or np.inf) > search_share(f.time_budget),
            lambda f: search_share(f.time_budget or 0.0),
            "What the time budget leaves for the search: about 18 s go to the start, and to final model, evaluation and"
            " registration; more on a machine that is slow now, which the start tells.",
            "options.timeBudget",
            ("time_budget", "search_timeout"),
        ),
        asked("timeout.asked", "hyperparameter_search.timeout", "hyperparameterSearch.timeout"),
        Rule("timeout.none", always, None, "No limit is asked for.", "hyperparameterSearch.timeout"),
    ),
)


EARLY_STOPPING = RuleTable(
    "early_stopping_rounds",
    (
        asked("early_stopping.asked", "options.early_stopping_rounds", "options.earlyStoppingRounds"),
        Rule(
            "early_stopping.size",
            always,
            lambda f: patience_for_rows(f.rows),
            "The fewer the rows, the noisier a fold's score and the longer a booster waits for the next improvement.",
            "options.earlyStoppingRounds",
            ("rows",),
        ),
    ),
)


THREADS = RuleTable(
    "threads",
    (
        asked("threads.asked", "options.threads", "options.threads"),
        Rule(
            "threads.single",
            always,
            1,
            "One thread a worker: threads of one fit that wait for each other lose 10 to 40 times on a shared core and"
            " gain 1.2 times at best on tables of this size.",
            "options.threads",
            ("cells",),
        ),
    ),
)


WORKERS = RuleTable(
    "workers",
    (
        asked("workers.asked", "hyperparameter_search.workers", "hyperparameterSearch.workers"),
        Rule(
            "workers.memory",
            lambda f: f.fits_at_once is not None and f.fits_at_once < f.cores_for_fits,
            attrgetter("fits_at_once"),
            "More processes would not have room in memory: each encodes {facts.rows:,} rows of {facts.features}"
            " features. The trials are the same with any number.",
            "options.memoryLimit",
            ("fits_at_once", "cores"),
        ),
        Rule(
            "workers.cores",
            always,
            attrgetter("cores_for_fits"),
            "One process for each core that may be used here ({facts.cores}), divided by the threads of a fit. The"
            " trials are the same with any number.",
            "hyperparameterSearch.workers",
            ("cores",),
        ),
    ),
)


SEED = RuleTable(
    "seed",
    (
        Rule(
            "seed.options",
            always,
            attrgetter("spec.options.seed"),
            "Every random choice of the run follows from it.",
            "options.seed",
        ),
    ),
)


REPRODUCIBLE = RuleTable(
    "reproducible",
    (
        Rule(
            "reproducible.clock",
            lambda f: f.time_limited,
            False,
            "Which trials fit into the time depends on the clock; finished ones are always reused.",
            "hyperparameterSearch.timeout",
            ("time_budget", "search_timeout"),
        ),
        Rule(
            "reproducible.count",
            always,
            True,
            "The trials are counted, not timed: the same data, spec and versions give the same model.",
            "hyperparameterSearch.timeout",
            ("time_budget", "search_timeout"),
        ),
    ),
)
