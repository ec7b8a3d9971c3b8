"""The training plan: every automatic choice of a run, made once, before anything is trained.

What belongs here: the plan's type, and how its choices are put together from the facts and the rule tables. What does
not: the rules themselves (`rules`), how facts are gathered (`facts`), and the choices that are made elsewhere and only
recorded here (the target's in `data.profile`, the folds' in `data.splits`).
"""

import difflib
import json
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from mt_assets.spec import TrainingSpec
from mt_assets.spec_values import GATE_METRICS
from mt_assets.trainer.algorithms.registry import CONTRACT_NAMES, algorithm, forecaster
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.evaluation.metrics import Terms, metric_names
from mt_assets.trainer.planning import forecast_rules
from mt_assets.trainer.planning.candidates import competing, left_out
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.planning.facts import Facts, gather_facts
from mt_assets.trainer.planning.forecast_costs import with_costs
from mt_assets.trainer.planning.rules import CANDIDATES, RECOMMENDATION, meant, tables_of
from mt_assets.trainer.planning.search_space import KEY, forecaster_space, search_space
from mt_assets.trainer.store.record import Record


class TrainingPlan(Record):
    """What the run will do, with the reasons.

    Attributes
    ----------
    task : {"classification", "regression", "time_series"}
    metric : str
        The metric that search, selection and promotion look at; a name of `evaluation.metrics.METRICS`.
    objectives : tuple of str
        Metrics that are searched for together, `metric` first, where there are several; empty otherwise.
    algorithms : tuple of str
        The candidates, in the order of their first trials.
    recommended : str
        The algorithm that a run of one single model uses: the first that the table of algorithms recommends.
    sampler : {"tpe", "random", "nsga2", "qmc", "grid", "cmaes", "gp", "none"}
    pruner : {"median", "hyperband", "successive_halving", "percentile", "wilcoxon", "none"}
    search_space : dict
        Ranges that the spec sets, by algorithm and parameter, in the forms of the spec; others are the algorithms' own.
    n_trials : int
        Trials of the search; with the search switched off one per algorithm.
    timeout : float or None
        Seconds that the search may take; None is without limit.
    search_enabled : bool
    class_weight : {"balanced", None}
    early_stopping_rounds : int
        Rounds without improvement on the validation fold after which a booster stops.
    folds_per_trial : int
        Fits of one unpruned trial.
    folds_by_time : bool
        Whether a trial may run on fewer of them where a measured fit is too slow for the time.
    ladder : tuple of int
        Training rows of the samples that a candidate is fitted on before it is fitted on folds, ascending; empty where
        tables are small.
    threads : int
        Threads of each fit.
    workers : int
        Processes that fit at the same time.
    memory_limit : float or None
        Gigabytes that the run may use; None is what is free.
    seed : int
    constraints : dict
        Metric to the bound that it has to keep, such as `precision` to `>=0.5`.
    threshold : float, "tuned" or None
        Probability of the positive class from which a row is labelled as it, or that it is found out of fold; None for
        more classes and for regression.
    beta : float or None
        Of `fbeta`, where the spec speaks of it.
    costs : (float, float) or None
        Of a false positive and a false negative, where the spec speaks of `cost`.
    calibrate : bool
        Whether calibration is tried; it is kept only where it helps out of fold.
    feature_generation, log_target : bool
        Whether candidates with columns made from others, and of the target's logarithm, compete with those without.
    ensemble : bool
        Whether candidates are combined; the ensemble is kept only where it beats the best single one.
    ensemble_rounds : int
        Rounds of the greedy selection.
    final_fit : {"bag", "refit", "by_time"}
        Whether an ensemble keeps its members' fold models or fits each member once on all learning rows, or the one
        or the other as there is time; a single model is always fitted once.
    decisions : tuple of Decision
        Every choice above and those about target and folds, in the order in which they were made.
    """

    filename: ClassVar[str] = "training_plan.json"

    task: Literal["classification", "regression", "time_series"]
    metric: str
    objectives: tuple[str, ...] = ()
    search_space: dict[str, dict[str, Any]] = {}
    algorithms: tuple[str, ...]
    recommended: str
    sampler: Literal["tpe", "random", "nsga2", "qmc", "grid", "cmaes", "gp", "none"]
    pruner: Literal["median", "hyperband", "successive_halving", "percentile", "wilcoxon", "none"]
    n_trials: int
    timeout: float | None
    search_enabled: bool
    class_weight: Literal["balanced"] | None
    early_stopping_rounds: int
    folds_per_trial: int
    folds_by_time: bool = False
    ladder: tuple[int, ...] = ()
    threads: int
    workers: int = 1
    memory_limit: float | None = None
    seed: int
    constraints: dict[str, str] = {}
    threshold: float | Literal["tuned"] | None = 0.5
    beta: float | None = None
    costs: tuple[float, float] | None = None
    calibrate: bool = False
    feature_generation: bool = False
    log_target: bool = False
    ensemble: bool = False
    ensemble_rounds: int = 0
    final_fit: Literal["bag", "refit", "by_time"] = "refit"
    decisions: tuple[Decision, ...]

    def extended(self, rounds: int) -> "TrainingPlan":
        """The plan with as many further rounds of search, each of as many trials and as long as the first."""
        timeout = None if self.timeout is None else self.timeout * (1 + rounds)
        return self.model_copy(update={"n_trials": self.n_trials * (1 + rounds), "timeout": timeout})

    def table(self) -> list[dict[str, str]]:
        """One row a decision, every cell as text: decision, value, rule, reason, evidence, override."""
        return [
            {
                "decision": decision.decision,
                "value": _text(decision.value),
                "rule": decision.rule,
                "reason": decision.reason,
                "evidence": ", ".join(f"{key} = {_text(value)}" for key, value in decision.evidence.items()),
                "override": decision.override,
            }
            for decision in self.decisions
        ]

    def note(self) -> str:
        """The decision table as Markdown, for the note of a tracked run."""
        rows = self.table()
        columns = ("decision", "value", "reason", "evidence", "rule", "override")
        lines = ["## Decisions", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines += [f"| {' | '.join(_cell(row[column]) for column in columns)} |" for row in rows]
        return "\n".join(lines) + "\n"


def make_plan(spec: TrainingSpec, table: Table, profile: DataProfile, splits: Splits) -> TrainingPlan:
    """Make every choice of the run from the spec and the learning rows.

    Parameters
    ----------
    spec : TrainingSpec
    table : Table
        The whole table; its test rows are not read.
    profile : DataProfile
    splits : Splits

    Raises
    ------
    SpecError
        A metric, a gate or an algorithm of the spec does not suit the task that the data has.
    """
    from mt_assets.trainer.search.fold_fits import fit_setting  # scikit-learn, which a mere reader of plans spares

    earlier = (*profile.target.decisions, *profile.decisions, *splits.decisions)
    plan = decide(gather_facts(spec, table, profile, splits), earlier=earlier)
    if plan.task == "time_series":
        from mt_assets.trainer.forecasting.window_fits import forecast_setting

        series = forecast_setting(plan, profile, splits)
        _check_search_space(plan, lambda name, asked: forecaster_space(forecaster(name), series, asked))
    else:
        setting = fit_setting(plan, profile, splits)
        _check_search_space(plan, lambda name, asked: search_space(algorithm(name), setting, asked))
    return plan


def _check_search_space(plan: TrainingPlan, space: Callable[[str, dict[str, Any]], Any]) -> None:
    """Refuse ranges that no candidate has, or that it cannot take."""
    for name, asked in plan.search_space.items():
        if name not in plan.algorithms:
            raise SpecError(
                f"`{KEY}.{name}` sets ranges of an algorithm that is not a candidate here; candidates are "
                f"{', '.join(plan.algorithms)}.",
                suggestions=(f"Name it in `algorithm`, or take it out of `{KEY}`.",),
            )
        space(name, asked)


def decide(facts: Facts, earlier: tuple[Decision, ...] = ()) -> TrainingPlan:
    """Apply every rule table to the facts.

    Parameters
    ----------
    facts : Facts
    earlier : tuple of Decision
        What was decided about target, columns and folds; comes first in the plan's record.
    """
    facts = with_costs(facts) if facts.task == "time_series" else facts
    _refuse_impossible(facts)
    decisions = {table.decision: table.decide(facts) for table in tables_of(facts.task)}
    if facts.spec.algorithms is None:
        decisions |= _without_absent(decisions, facts)
    value = {name: decision.value for name, decision in decisions.items()}
    return TrainingPlan(
        task=facts.task,
        metric=value["metric"],
        objectives=facts.objectives if len(facts.objectives) > 1 else (),
        search_space=facts.spec.search_space,
        algorithms=value["algorithms"],
        recommended=value["recommended"][0],
        sampler=value["sampler"],
        pruner=value["pruner"],
        n_trials=value["n_trials"],
        timeout=value["timeout"],
        search_enabled=facts.spec.hyperparameter_search.enabled,
        class_weight=value.get("class_weight"),
        early_stopping_rounds=value["early_stopping_rounds"],
        folds_per_trial=facts.folds,
        folds_by_time=value["folds_per_trial"] == "by_time",
        ladder=tuple(value.get("sample_ladder", ())),
        threads=value["threads"],
        workers=value["workers"],
        memory_limit=facts.spec.options.memory_limit,
        seed=value["seed"],
        constraints=facts.constraints,
        threshold=value.get("threshold"),
        beta=facts.spec.beta,
        costs=facts.spec.costs,
        calibrate=value.get("calibrate", False),
        feature_generation=value.get("feature_generation", False),
        log_target=value.get("log_target", False),
        ensemble=value["ensemble"],
        ensemble_rounds=value["ensemble_rounds"],
        final_fit=value.get("final_fit", "refit"),
        decisions=(*earlier, *decisions.values()),
    )


def _without_absent(decisions: dict[str, Decision], facts: Facts) -> dict[str, Decision]:
    """The two decisions about algorithms without what cannot be trained here, and saying so."""
    if facts.task == "time_series":
        recommended, entered = forecast_rules.meant(facts), forecast_rules.competing(facts)
    else:
        recommended = meant(facts)
        entered = competing(recommended, CONTRACT_NAMES[facts.task], facts.rows)
    others = tuple(name for name in entered if name not in recommended)
    candidates = decisions[CANDIDATES.decision].value
    value = {
        RECOMMENDATION.decision: [name for name in recommended if name in facts.available] or candidates[:1],
        CANDIDATES.decision: candidates,
    }
    lacking = {
        RECOMMENDATION.decision: left_out(recommended, facts.available, facts.task),
        CANDIDATES.decision: left_out(others, facts.available, facts.task),
    }
    return {
        name: decisions[name].model_copy(
            update={"value": value[name], "reason": f"{decisions[name].reason} {lacking[name]}".strip()}
        )
        for name in value
    }


def _refuse_impossible(facts: Facts) -> None:
    """Refuse metrics and algorithms that do not suit the task.

    Reading a spec refuses what is wrong in itself; here the task and the number of classes are known as well.
    """
    suitable = metric_names(facts.task, facts.n_classes, Terms(beta=facts.spec.beta, costs=facts.spec.costs))
    kind = f"{facts.task} with {facts.n_classes} classes" if facts.n_classes else facts.task
    metric = tables_of(facts.task)[0]
    metrics = [(metric.rule(facts).override, metric.value(facts)), ("promotion.metric", facts.spec.promotion.metric)]
    metrics += [("objective.constraints", name) for name in facts.constraints]
    metrics += [("hyperparameterSearch.objectives", name) for name in facts.objectives]
    for key, metric in metrics:
        if metric is not None and metric not in suitable:
            _refuse(key, metric, f"is not a metric of {kind}", suitable)
    if facts.spec.objective.threshold is not None and facts.n_classes != 2:
        raise SpecError(
            f"`objective.threshold` is for two classes, but this is {kind}.",
            suggestions=("Leave `objective.threshold` out.",),
        )
    for name in facts.spec.algorithms or ():
        if name not in facts.available:
            _refuse("algorithm", name, f"cannot be trained for {facts.task} by this version", facts.available)
    known = GATE_METRICS[facts.task]
    for gate in facts.spec.gates:
        if gate.metric not in known:
            _refuse("qualityGates", gate.metric, f"is not a figure of {kind}", tuple(sorted(known)))
        if gate.metric.startswith("fairness.") and facts.n_classes != 2:
            allowed = tuple(sorted(name for name in known if not name.startswith("fairness.")))
            _refuse("qualityGates", gate.metric, f"is for two classes, but this is {kind}", allowed)


def _refuse(key: str, value: str, problem: str, allowed: tuple[str, ...]) -> None:
    near = difflib.get_close_matches(value, allowed, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise SpecError(
        f"`{key}` is {value!r}, which {problem}.{hint}",
        suggestions=(f"Allowed for `{key}`: {', '.join(allowed)}.",),
    )


def _text(value: Any) -> str:
    """A decision's value or fact as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value)


def _cell(text: str) -> str:
    """Text that does not break a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
