"""Rules about what people get of a model: the decision threshold, and whether calibration is tried."""

from mt_assets.trainer.evaluation.metrics import METRICS, Terms
from mt_assets.trainer.planning.facts import Facts
from mt_assets.trainer.planning.model_rules import METRIC
from mt_assets.trainer.planning.rule import Rule, RuleTable, always

THRESHOLD_ROWS, THRESHOLD_ROWS_ASKED = 50, 10
"""Rows of the rarest class below which no threshold is looked for. The first is AutoGluon's guard (pull request 4632);
the second holds where the spec asks for it: with fewer, one row moves recall by more than a tenth."""

ONE_SIDED = frozenset({"recall", "precision"})
"""Metrics that one label for all rows (or all but one) serves best."""

ACCURACY_ROWS = 10_000
"""Below, accuracy is not worth a threshold of its own (AutoGluon, same place): of true probabilities 0.5 is best."""

CALIBRATION_ROWS, CALIBRATION_ROWS_CLASSES = 3_000, 500
"""Rows from which calibration is tried by itself, for two and for more classes (AutoGluon, same place)."""

CALIBRATION_ROWS_ASKED = 100
"""Rows from which it is tried where the spec asks for it: ten for each of the two parameters in each of five parts."""


def _about_labels(facts: Facts) -> bool:
    return any(METRICS[name].needs == "labels" for name in (METRIC.value(facts), *facts.constraints))


def _bound_labels(facts: Facts) -> bool:
    return any(METRICS[name].needs == "labels" for name in facts.constraints)


def _few(facts: Facts) -> bool:
    asked = facts.spec.objective.threshold == "auto"
    return facts.minority_rows < (THRESHOLD_ROWS_ASKED if asked else THRESHOLD_ROWS)


def _accuracy_alone(facts: Facts) -> bool:
    return METRIC.value(facts) == "accuracy" and not facts.constraints and facts.spec.objective.threshold != "auto"


THRESHOLD = RuleTable(
    "threshold",
    (
        Rule(
            "threshold.classes",
            lambda f: f.n_classes != 2,
            None,
            "Only two classes have a threshold; of more a row gets the likeliest.",
            "objective.threshold",
            ("task", "n_classes"),
        ),
        Rule(
            "threshold.asked",
            lambda f: isinstance(f.spec.objective.threshold, float),
            lambda f: f.spec.objective.threshold,
            "The spec fixes it.",
            "objective.threshold",
        ),
        Rule(
            "threshold.objectives",
            lambda f: len(f.objectives) > 1,
            0.5,
            "All objectives are weighed at one threshold; tuned to one of them it would undo the compromise.",
            "objective.threshold",
        ),
        Rule(
            "threshold.independent",
            lambda f: not _about_labels(f),
            0.5,
            "Neither the metric nor a constraint depends on it.",
            "objective.metric",
            ("constraints",),
        ),
        Rule(
            "threshold.one_sided",
            lambda f: METRIC.value(f) in ONE_SIDED and not _bound_labels(f),
            0.5,
            "By recall or precision alone the best threshold gives every row, or none, the same label. A constraint on"
            ' the other, such as `objective.constraints.precision: ">=0.5"`, would make it worth looking for.',
            "objective.constraints",
            ("constraints",),
        ),
        Rule(
            "threshold.few_costs",
            lambda f: _few(f) and METRIC.value(f) == "cost",
            lambda f: Terms(costs=f.spec.costs).indifference,
            "The rarest class has {facts.minority_rows} rows, too few to find a threshold on; at this one either label"
            " costs the same, if the probabilities are true.",
            "objective.threshold",
            ("minority_rows",),
        ),
        Rule(
            "threshold.few",
            _few,
            0.5,
            "The rarest class has {facts.minority_rows} rows, too few to find a threshold on.",
            "objective.threshold",
            ("minority_rows",),
        ),
        Rule(
            "threshold.accuracy",
            lambda f: _accuracy_alone(f) and f.rows < ACCURACY_ROWS,
            0.5,
            "For accuracy 0.5 is best where probabilities are true, and {facts.rows:,} rows are too few to show more.",
            "objective.threshold",
            ("rows",),
        ),
        Rule(
            "threshold.tuned",
            always,
            "tuned",
            "The objective depends on it: it is found on out-of-fold predictions, and kept if it is better on folds"
            " that it was not found on.",
            "objective.threshold",
            ("minority_rows", "constraints"),
        ),
    ),
)


CALIBRATION = RuleTable(
    "calibrate",
    (
        Rule(
            "calibrate.regression",
            lambda f: f.task == "regression",
            False,
            "There are no probabilities.",
            "options.calibrate",
            ("task",),
        ),
        Rule(
            "calibrate.asked_not",
            lambda f: f.spec.options.calibrate is False,
            False,
            "The spec asks for none.",
            "options.calibrate",
        ),
        Rule(
            "calibrate.asked_few",
            lambda f: (
                f.spec.options.calibrate is True
                and (f.rows < CALIBRATION_ROWS_ASKED or f.minority_rows < THRESHOLD_ROWS_ASKED)
            ),
            False,
            "The spec asks for it, but {facts.rows:,} rows with {facts.minority_rows} of the rarest class are too few.",
            "options.calibrate",
            ("rows", "minority_rows"),
        ),
        Rule(
            "calibrate.asked",
            lambda f: f.spec.options.calibrate is True,
            True,
            "The spec asks for it; it is kept if it helps out of fold.",
            "options.calibrate",
        ),
        Rule(
            "calibrate.objectives",
            lambda f: len(f.objectives) > 1 and any(METRICS[name].needs == "labels" for name in f.objectives),
            False,
            "Other probabilities would be other labels at the same threshold, and undo the compromise.",
            "options.calibrate",
        ),
        Rule(
            "calibrate.few",
            lambda f: f.rows < (CALIBRATION_ROWS if f.n_classes == 2 else CALIBRATION_ROWS_CLASSES),
            False,
            "With {facts.rows:,} rows calibration does more harm than good.",
            "options.calibrate",
            ("rows", "n_classes"),
        ),
        Rule(
            "calibrate.tried",
            always,
            True,
            "There are rows enough to try; it is kept if it helps out of fold.",
            "options.calibrate",
            ("rows", "n_classes"),
        ),
    ),
)
