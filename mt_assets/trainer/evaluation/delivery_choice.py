"""Choosing what people get of a model: whether its probabilities are calibrated, and the threshold of its labels.

What belongs here: the choice from out-of-fold predictions, with its reasons, and constraints that no choice keeps. What
does not: whether the two are tried at all (`planning.delivery_rules`), and what is made of the choice (`delivery`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mt_assets.trainer.data.choice import Choice, choose
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.calibration import Method, calibration_methods, fit_calibration
from mt_assets.trainer.evaluation.delivery import Delivery, Pool, calibrated
from mt_assets.trainer.evaluation.goal import Goal, Standing, scores_of_counts
from mt_assets.trainer.evaluation.metrics import METRICS, confusion_matrix, predicted_codes, score
from mt_assets.trainer.evaluation.predictions import FoldPrediction, targets
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.planning.plan import TrainingPlan

ERRORS = 2.0
"""Standard errors by which calibration has to improve the log-loss, and by which a constraint may be missed on other
folds before it counts as missed: one in forty by chance alone."""

RESAMPLES = 200
"""Of the confusion matrix, for the standard error of a figure; it is then known to about 5 % (1/sqrt(2 * 200))."""

RANKING = frozenset({"roc_auc", "average_precision"})
"""Metrics that look at the order of rows, which equal probabilities destroy."""


def decide_delivery(
    plan: TrainingPlan, table: Table, profile: DataProfile, out_of_fold: tuple[FoldPrediction, ...]
) -> Delivery:
    """Decide from out-of-fold predictions what becomes of the model's probabilities.

    Parameters
    ----------
    plan : TrainingPlan
    table : Table
        Any handle on the table; only the rows of the predictions are read.
    profile : DataProfile
    out_of_fold : tuple of FoldPrediction
        Of the candidate that is trained.
    """
    goal = Goal.of(plan, profile.target.positive)
    if plan.task == "regression" and not goal.constraints:
        return Delivery()
    positions = np.unique(np.concatenate([fold.positions for fold in out_of_fold]))
    pool = Pool.of(out_of_fold, targets(table, profile, positions), plan.seed)
    decisions: list[Decision] = []
    method: Method | None = None
    if plan.calibrate:
        decision, method = _choose_calibration(goal, pool)
        decisions.append(decision)
    prediction = calibrated(pool.prediction, pool.part, pool.calibrations(method, goal.positive))
    threshold: float | None = None
    crossed = goal.terms.threshold
    if len(profile.target.classes) == 2:
        decision, threshold, crossed = _choose_threshold(goal, pool, prediction)
        decisions.append(decision)
    tuned = goal.free and decisions[-1].rule == "threshold.tuned"
    warnings, suggestions = _missed(goal, pool.y, prediction, threshold, crossed, tuned=tuned)
    return Delivery(
        threshold=threshold,
        tuned=tuned,
        calibration=None if method is None else fit_calibration(method, pool.y, pool.prediction, goal.positive),
        decisions=tuple(decisions),
        warnings=warnings,
        suggestions=suggestions,
    )


@dataclass(frozen=True)
class _CalibrationFacts:
    """What calibration changes out of fold: log-loss, and the goal's metric where it looks at probabilities."""

    method: Method
    log_loss_before: float
    log_loss_after: float
    improvement: float
    standard_error: float
    metric: str
    metric_before: float | None
    metric_after: float | None

    @property
    def metric_suffers(self) -> bool:
        if self.metric_before is None or self.metric_after is None:
            return False
        return METRICS[self.metric].gain(self.metric_after, self.metric_before) < -1e-9


_CALIBRATION_EVIDENCE = ("method", "log_loss_before", "log_loss_after", "standard_error")
_CALIBRATION_RULES: tuple[Choice[_CalibrationFacts], ...] = (
    Choice(
        "calibration.noise",
        None,
        lambda f: f.improvement <= ERRORS * f.standard_error,
        "Out of fold, {facts.method} takes the log-loss from {facts.log_loss_before:.4f} to {facts.log_loss_after:.4f},"
        " which is no improvement beyond noise (standard error {facts.standard_error:.2g}): probabilities stay as they"
        " are.",
        _CALIBRATION_EVIDENCE,
    ),
    Choice(
        "calibration.metric",
        None,
        lambda f: f.metric_suffers,
        "Out of fold, {facts.method} improves the log-loss, but takes {facts.metric} from {facts.metric_before:.4f} to"
        " {facts.metric_after:.4f}: probabilities stay as they are.",
        (*_CALIBRATION_EVIDENCE, "metric_before", "metric_after"),
    ),
    Choice(
        "calibration.better",
        "calibrated",
        lambda f: True,
        "Out of fold, {facts.method} takes the log-loss from {facts.log_loss_before:.4f} to {facts.log_loss_after:.4f}"
        " (standard error of the difference {facts.standard_error:.2g}).",
        _CALIBRATION_EVIDENCE,
    ),
)


def _choose_calibration(goal: Goal, pool: Pool) -> tuple[Decision, Method | None]:
    """The map with the best log-loss on parts that it was not fitted on, if it is better than none."""
    keeps_order = not RANKING.isdisjoint(goal.figures)
    methods = calibration_methods(pool.prediction.shape[1], keeps_order=keeps_order)
    tried = {
        method: calibrated(pool.prediction, pool.part, pool.calibrations(method, goal.positive)) for method in methods
    }
    before = _row_losses(pool.y, pool.prediction)
    method = min(methods, key=lambda name: _row_losses(pool.y, tried[name]).mean())
    after = _row_losses(pool.y, tried[method])
    metrics: list[float | None] = [None, None]
    if METRICS[goal.metric].needs == "proba":
        metrics = [_mean_over_parts(goal, pool, prediction) for prediction in (pool.prediction, tried[method])]
    facts = _CalibrationFacts(
        method=method,
        log_loss_before=float(before.mean()),
        log_loss_after=float(after.mean()),
        improvement=float((before - after).mean()),
        standard_error=float((before - after).std() / np.sqrt(len(before))),
        metric=goal.metric,
        metric_before=metrics[0],
        metric_after=metrics[1],
    )
    decision = choose("chosen_calibration", _CALIBRATION_RULES, facts, "options.calibrate")
    if decision.value is None:
        return decision, None
    return decision.model_copy(update={"value": method}), method


def _row_losses(y: npt.NDArray, prediction: npt.NDArray) -> npt.NDArray[np.float64]:
    true = np.asarray(prediction, dtype=np.float64)[np.arange(len(y)), y.astype(np.int64)]
    return -np.log(np.clip(true, np.finfo(np.float64).eps, 1.0))


def _mean_over_parts(goal: Goal, pool: Pool, prediction: npt.NDArray) -> float:
    rows = [pool.part == part for part in pool.parts]
    return float(np.mean([score(goal.metric, pool.y[at], prediction[at], goal.positive) for at in rows]))


@dataclass(frozen=True)
class _ThresholdFacts:
    """How the goal stands out of fold: at the usual threshold, and at thresholds that were found on other parts."""

    goal: Goal
    usual: Standing
    found: float
    crossed: Standing

    @property
    def metric(self) -> str:
        return self.goal.metric

    @property
    def at(self) -> float:
        return float(np.mean(self.usual.threshold))

    @property
    def constraints(self) -> str:
        names = ", ".join(f"{bound.metric} {bound.operator} {bound.bound:g}" for bound in self.goal.constraints)
        return f" under {names}" if names else ""

    @property
    def score_when_tuned(self) -> float:
        return self.crossed.score

    @property
    def score_when_usual(self) -> float:
        return self.usual.score

    @property
    def missed_when_usual(self) -> str:
        return ", where constraints are missed" if self.usual.violation else ""


_THRESHOLD_EVIDENCE = ("found", "score_when_tuned", "score_when_usual")
_THRESHOLD_RULES: tuple[Choice[_ThresholdFacts], ...] = (
    Choice("threshold.planned", None, lambda f: not f.goal.free, "As the plan has it."),
    Choice(
        "threshold.not_better",
        None,
        lambda f: not f.goal.better(f.crossed, f.usual),
        "At thresholds found on other folds {facts.metric}{facts.constraints} is {facts.crossed.score:.4f} out of fold,"
        " no better than {facts.usual.score:.4f} at {facts.at:.4g}.",
        _THRESHOLD_EVIDENCE,
    ),
    Choice(
        "threshold.tuned",
        None,
        lambda f: True,
        "Best for {facts.metric}{facts.constraints} out of fold: {facts.crossed.score:.4f} at thresholds found on other"
        " folds, {facts.usual.score:.4f} at {facts.at:.4g}{facts.missed_when_usual}.",
        _THRESHOLD_EVIDENCE,
    ),
)


def _choose_threshold(
    goal: Goal, pool: Pool, prediction: npt.NDArray
) -> tuple[Decision, float, float | npt.NDArray[np.float64]]:
    """The threshold, and by what threshold each row is labelled when it is looked at crosswise."""
    usual = float(goal.terms.indifference if goal.free else goal.terms.threshold)
    standing = goal.judge_at(pool.y, prediction, usual)
    facts = _ThresholdFacts(goal, standing, usual, standing)
    rows: float | npt.NDArray[np.float64] = usual
    if goal.free:
        rows = pool.thresholds(goal, prediction)
        values, errors = _figures(goal, pool.y, prediction, rows)
        crossed = Standing(goal.judge_at(pool.y, prediction, rows).score, goal.violation(values, errors), rows)
        facts = _ThresholdFacts(goal, standing, float(goal.best(pool.y, prediction).threshold), crossed)
    decision = choose("chosen_threshold", _THRESHOLD_RULES, facts, "objective.threshold")
    if decision.rule == "threshold.tuned":
        return decision.model_copy(update={"value": facts.found}), facts.found, rows
    return decision.model_copy(update={"value": usual}), usual, usual


def _figures(
    goal: Goal, y: npt.NDArray, prediction: npt.NDArray, threshold: float | npt.NDArray[np.float64]
) -> tuple[dict[str, float], dict[str, float]]:
    """What the constraints are about, and by how much each may be missed by chance; 0 of what labels do not change."""
    terms = goal.terms.at(threshold)
    names = [bound.metric for bound in goal.constraints]
    values = {name: score(name, y, prediction, goal.positive, terms) for name in names}
    labels = [name for name in names if METRICS[name].needs == "labels"]
    if not labels:
        return values, {}
    k = prediction.shape[1]
    counts = confusion_matrix(y, predicted_codes(prediction, goal.positive, threshold), k)
    drawn = np.random.default_rng(0).multinomial(len(y), counts.ravel() / len(y), RESAMPLES).reshape(-1, k, k)
    positive = 1 if goal.positive is None else goal.positive
    return values, {name: ERRORS * float(scores_of_counts(name, drawn, positive, terms).std()) for name in labels}


def _missed(
    goal: Goal,
    y: npt.NDArray,
    prediction: npt.NDArray,
    threshold: float | None,
    crossed: float | npt.NDArray[np.float64],
    *,
    tuned: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say which constraints are not kept out of fold, and what can be done."""
    values, errors = _figures(goal, y, prediction, crossed)
    warnings, suggestions = [], []
    for bound in goal.constraints:
        value = values[bound.metric]
        if bound.holds(value) or (tuned and abs(value - bound.bound) <= errors.get(bound.metric, 0.0)):
            continue
        where = "" if threshold is None else f" at the threshold {threshold:.4g}"
        nowhere = ", and no threshold keeps every constraint; this is the closest" if tuned else ""
        warnings.append(f"The constraint {bound} is missed: out of fold {bound.metric} is {value:.4g}{where}{nowhere}.")
        suggestions.append(
            f"Ask for what can be had, such as `objective.constraints.{bound.metric}: "
            f'"{bound.operator}{value:.2g}"`, or try more trials or other algorithms.'
        )
        if not tuned and threshold is not None and METRICS[bound.metric].needs == "labels" and not goal.free:
            suggestions.append("Let the threshold be found: `objective.threshold: auto`.")
    return tuple(warnings), tuple(dict.fromkeys(suggestions))
