"""What a person can do about a missed quality gate: the rows of one table that fit the miss, the likeliest first.

What belongs here: advice that rests on what this run has shown. What does not: whether a gate is met (`promotion`),
and failures of the run itself (`recovery`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mt_assets.spec import TrainingSpec
from mt_assets.spec_values import OF_INTERVALS, Gate
from mt_assets.trainer.evaluation.metrics import METRICS
from mt_assets.trainer.planning.delivery_rules import ONE_SIDED
from mt_assets.trainer.promotion.gates import GateVerdict

if TYPE_CHECKING:  # these bring estimator libraries along
    from mt_assets.trainer.evaluation.evaluate import Evaluation
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.search.result import StudyResult, TrialRecord

MOST = 4
"""Remedies of one gate: who is told everything does nothing."""

ENOUGH_TRIALS = 100
"""As many as the scenario `production` has; beyond it more trials are the least likely remedy."""

LATE = 2 / 3
"""A best trial after this share of them means that the search was still finding better ones."""


@dataclass(frozen=True)
class Miss:
    """A gate that was missed, and the run that missed it."""

    gate: Gate
    value: float
    spec: TrainingSpec
    plan: "TrainingPlan"
    evaluation: "Evaluation"
    study: "StudyResult"
    threshold: float | None

    @property
    def part(self) -> str:
        return self.gate.metric.partition(".")[0]

    @property
    def metric(self) -> str:
        """The plain name, without part and statistic."""
        name = self.gate.metric.partition(".")[2]
        return name.removesuffix("_mean").removesuffix("_std") if self.part == "cv" else name

    @property
    def counterpart(self) -> str:
        """Of recall and precision the other."""
        return "precision" if self.metric == "recall" else "recall"

    @property
    def own_bound(self) -> str | None:
        """The goal's own bound of the metric."""
        return self.plan.constraints.get(self.metric)

    @property
    def looser(self) -> bool:
        """Whether the goal bounds the metric, and less tightly than the gate."""
        return self.own_bound is not None and not self.gate.holds(Gate.parse(self.metric, self.own_bound).bound)

    @property
    def of_spread(self) -> bool:
        return self.part == "cv" and self.gate.metric.endswith("_std")

    @property
    def needs(self) -> str | None:
        """What the metric looks at; None of a figure of the model itself."""
        return METRICS[self.metric].needs if self.metric in METRICS and not self.of_spread else None

    @property
    def shortfall(self) -> float:
        return abs(self.gate.bound - self.value)

    @property
    def aimed_at(self) -> bool:
        return self.metric == self.plan.metric or self.metric in self.plan.constraints

    @property
    def may_be_chance(self) -> bool:
        error = self.evaluation.test_error or 0.0
        return self.part == "test" and self.metric == self.plan.metric and self.shortfall <= 2 * error

    @property
    def folds_keep_it(self) -> bool:
        mean = self.evaluation.cross_validation.get(f"{self.metric}_mean")
        return self.part == "test" and mean is not None and self.gate.holds(mean)

    @property
    def complete(self) -> "list[TrialRecord]":
        return [trial for trial in self.study.trials if trial.state == "complete"]

    @property
    def still_improving(self) -> bool:
        return len(self.study.trials) > 3 and self.study.best_number >= LATE * len(self.study.trials)

    @property
    def all_alike(self) -> bool:
        """Whether the best trial of every algorithm lies within the spread of the best one's folds."""
        best, spread = self.study.best.score, self.study.best.score_std
        tops: dict[str, float] = {}
        for trial in self.complete:
            if trial.score is not None:
                gain = METRICS[self.plan.metric].gain
                known = tops.get(trial.algorithm)
                tops[trial.algorithm] = trial.score if known is None or gain(trial.score, known) > 0 else known
        if best is None or spread is None or len(tops) < 2:
            return False
        return all(abs(best - score) <= spread for score in tops.values())


@dataclass(frozen=True)
class Remedy:
    """One row of the table: when it may help, and what is then told."""

    when: Callable[[Miss], bool]
    text: str


REMEDIES = (
    Remedy(
        lambda m: m.part == "model",
        "Name smaller or faster algorithms, such as `algorithm: [logistic_regression, lightgbm]` (or `ridge`); it is a"
        " {miss.study.best.algorithm} now.",
    ),
    Remedy(
        lambda m: m.part == "model" and "n_estimators" in m.study.best.params,
        "Bound the number of trees in `hyperparameterSearch.searchSpace`; it has {miss.study.best.params[n_estimators]}"
        " now.",
    ),
    Remedy(
        lambda m: m.part == "fairness",
        "Keep the sensitive columns from the model (`featureTypes: {{<column>: drop}}`); other columns may still tell"
        " of them.",
    ),
    Remedy(
        lambda m: m.part == "fairness",
        "Look at the groups in the asset `fairness`: what the data itself says of them no other model mends.",
    ),
    Remedy(
        lambda m: m.of_spread,
        "Folds of few rows wander: get more rows, or set `validationStrategy.folds` lower, so that each fold has more.",
    ),
    Remedy(
        lambda m: m.needs == "labels" and not m.aimed_at and m.threshold is not None,
        'Aim at it: set `objective.constraints.{miss.metric}: "{miss.gate.operator}{miss.gate.bound:g}"` or'
        " `objective.metric: {miss.metric}`. The threshold ({miss.threshold:.3g} now) and the search then serve it.",
    ),
    Remedy(
        lambda m: m.needs == "labels" and m.aimed_at and isinstance(m.spec.objective.threshold, float),
        "Let the threshold be found: `objective.threshold: auto` instead of {miss.threshold:g}.",
    ),
    Remedy(
        lambda m: m.needs is not None and m.looser,
        'Tighten the constraint: `objective.constraints.{miss.metric}: "{miss.gate.operator}{miss.gate.bound:g}"`'
        " ({miss.own_bound} now); that costs {miss.plan.metric}.",
    ),
    Remedy(
        lambda m: m.metric in ONE_SIDED and m.aimed_at and not m.plan.constraints and m.plan.threshold == 0.5,
        "Bound what it is bought with, and its threshold is looked for (0.5 now): set"
        " `objective.constraints.{miss.counterpart}`.",
    ),
    Remedy(
        lambda m: m.needs == "labels" and m.aimed_at and m.plan.threshold == 0.5 and m.metric not in ONE_SIDED,
        "Ask for a threshold of its own (`objective.threshold: auto`); so far it is 0.5.",
    ),
    Remedy(
        lambda m: m.metric in ("log_loss", "brier") and m.plan.class_weight is not None,
        "Leave class weights out (`classImbalance: none`): they shift the probabilities that {miss.metric} judges.",
    ),
    Remedy(
        lambda m: m.metric in ("log_loss", "brier") and not m.plan.calibrate,
        "Have calibration tried: `options.calibrate: true`.",
    ),
    Remedy(
        lambda m: m.needs in ("proba", "values") and not m.aimed_at,
        "Aim at it: `objective.metric: {miss.metric}`; the search looked at {miss.plan.metric}.",
    ),
    Remedy(
        lambda m: m.may_be_chance,
        "It may be chance: it is missed by {miss.shortfall:.3g}, and the standard error on {miss.evaluation.n_test:,}"
        " test rows is {miss.evaluation.test_error:.2g}. More test rows tell.",
    ),
    Remedy(
        lambda m: m.folds_keep_it and m.plan.task != "time_series",
        "Cross-validation keeps the bound: see the checks cv_test_gap and train_test_shift for test rows of another"
        " kind.",
    ),
    Remedy(
        lambda m: m.folds_keep_it and m.plan.task == "time_series",
        "At the origins the bound is kept: see the check cv_test_gap, and the plots, for last steps of another kind.",
    ),
    Remedy(
        lambda m: m.needs is not None and not m.plan.search_enabled,
        "Switch the search on (`hyperparameterSearch.enabled: true`): only start configurations were tried.",
    ),
    Remedy(
        lambda m: m.needs is not None and m.plan.search_enabled and m.still_improving,
        "Search longer: trial {miss.study.best_number} of {miss.plan.n_trials} was the best, so better ones may follow"
        " (`hyperparameterSearch.nTrials`, `timeout`).",
    ),
    Remedy(
        lambda m: m.needs is not None and len(m.plan.algorithms) == 1 and m.spec.algorithms is not None,
        "Let other algorithms compete: `algorithm: auto` instead of {miss.plan.algorithms[0]}.",
    ),
    Remedy(
        lambda m: m.needs is not None and m.all_alike,
        "All algorithms come out alike, so the columns may tell no more about the target, or the target is noisy: look"
        " for columns that say more, and for wrong labels.",
    ),
    Remedy(
        lambda m: (
            m.needs is not None and m.plan.search_enabled and not m.still_improving and m.plan.n_trials < ENOUGH_TRIALS
        ),
        "Search more widely: `hyperparameterSearch.nTrials` is {miss.plan.n_trials}.",
    ),
    Remedy(
        lambda m: m.needs is not None and m.plan.task != "time_series",
        "Get more rows, if the learning curve (on `trained_model`) still rises.",
    ),
    Remedy(
        lambda m: m.needs is not None and m.plan.task == "time_series" and not m.spec.known_ahead,
        "Tell what is known of the future (holidays, prices, promotions): columns in `knownAhead`.",
    ),
    Remedy(
        lambda m: m.metric in OF_INTERVALS,
        "Judge forecasts from more origins (`validationStrategy.folds`): intervals are made of the errors there.",
    ),
    Remedy(lambda m: True, "Or ask for less: {miss.gate.metric} is {miss.value:.4g}."),
)


def with_remedies(
    verdicts: tuple[GateVerdict, ...],
    spec: TrainingSpec,
    plan: "TrainingPlan",
    evaluation: "Evaluation",
    study: "StudyResult",
    threshold: float | None,
) -> tuple[GateVerdict, ...]:
    """The verdicts, each missed one with what may help.

    Parameters
    ----------
    verdicts : tuple of GateVerdict
        One for each gate of the spec, in its order.
    spec, plan, evaluation, study
        Of the run.
    threshold : float or None
        By which the model labels rows of two classes.
    """
    told = []
    for gate, verdict in zip(spec.gates, verdicts, strict=True):
        if not verdict.passed and verdict.value is not None:
            miss = Miss(gate, verdict.value, spec, plan, evaluation, study, threshold)
            texts = [remedy.text.format(miss=miss) for remedy in REMEDIES if remedy.when(miss)]
            verdict = verdict.model_copy(update={"suggestions": tuple(texts[:MOST])})
        told.append(verdict)
    return tuple(told)
