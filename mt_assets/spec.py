"""The training spec: what a person may ask for.

What belongs here: every section and key of the spec with its type, default and meaning; the docstrings below the keys
are also the descriptions in the JSON Schema. What does not: types of single values (`spec_values`), rules that concern
several keys (`spec_support`), reading and its error messages (`spec_reading`: `load_spec`, `parse_spec`).
"""

import functools
import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Strict, Tag
from pydantic.alias_generators import to_camel

from mt_assets.spec_values import (
    ALL_ALGORITHMS,
    LONGEST_S,
    MOST_PARTS,
    Algorithms,
    AssetName,
    AutoOrShare,
    AutoOrSwitch,
    Columns,
    Condition,
    Connection,
    Count,
    Cron,
    DataPath,
    Day,
    Duration,
    Gate,
    GateMetric,
    Label,
    MetricName,
    ModelName,
    Number,
    Parts,
    Paths,
    Positive,
    Share,
    Switch,
    TestSize,
    Text,
    TimeZone,
    ValidationSize,
    Whole,
    masked_uri,
    no_duplicates,
    refuse,
    slug,
)

__all__ = [
    "AssetSource",
    "ExperimentTracking",
    "Gate",
    "HyperparameterSearch",
    "Inputs",
    "MetricSource",
    "Objective",
    "Options",
    "Predictions",
    "Promotion",
    "Retention",
    "Retraining",
    "SqlSource",
    "TrainingSpec",
    "ValidationStrategy",
    "masked_uri",
    "slug",
    "spec_json_schema",
]

MINIMUM_TIME_BUDGET_S = 30.0
"""Seconds below which no run can keep its budget.

Imports, the load check in a fresh process and a first MLflow store together take about 10 s on two cores; as much again
is the least in which a model can be searched, fitted and evaluated.
"""

MOST_TRIALS = 1_000_000
"""Most trials of a study, or rounds of a booster: nobody has waited for as many."""

LARGEST_SEED = 4_000_000_000
"""Seeds of NumPy have 32 bits, and some are counted on from this one."""


class Section(BaseModel):
    """A part of the spec: frozen, closed to unknown keys, camelCase in files, without secrets when printed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        field_title_generator=lambda name, _: name.replace("_", " ").capitalize(),
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, _masked(value)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return masked_uri(value)
    return tuple(map(_masked, value)) if isinstance(value, tuple) else value


class SqlSource(Section):
    """Rows that a database query gives."""

    connection: Connection
    """SQLAlchemy address of the database; may carry a password, which is never shown."""
    query: Text
    """The SELECT statement whose rows are the table."""


class AssetSource(Section):
    """A table that another Dagster asset materializes."""

    asset: AssetName
    """Key of that asset, its parts joined by `/`."""


class MetricSource(Section):
    """A metric that is logged to MLflow while the model is at work."""

    metric: Text
    """Its name, such as `live.roc_auc`; what follows the last dot is the metric that gates speak of."""
    experiment: Text | None = None
    """Experiment in whose newest run with that metric it is read; by default it is read in the champion's own run."""


def _source_kind(value: Any) -> str | None:
    """The branch of a data source that a value means; named like JSON types and models, as in the JSON Schema."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, list | tuple):
        return "array"
    if isinstance(value, SqlSource) or (isinstance(value, dict) and {"connection", "query"} & value.keys()):
        return "SqlSource"
    if isinstance(value, MetricSource) or (isinstance(value, dict) and "metric" in value):
        return "MetricSource"
    return "AssetSource" if isinstance(value, AssetSource) or (isinstance(value, dict) and "asset" in value) else None


_BY_SOURCE = Discriminator(_source_kind, custom_error_type="wrong_type", custom_error_message="not a data source")

DataSource = Annotated[
    Annotated[DataPath, Tag("string")]
    | Annotated[Paths, Tag("array")]
    | Annotated[SqlSource, Tag("SqlSource")]
    | Annotated[AssetSource, Tag("AssetSource")],
    _BY_SOURCE,
]
"""File, glob, folder or address; several of them; a database query; or another asset's table."""

HandedOver = Annotated[Annotated[DataPath, Tag("string")] | Annotated[AssetSource, Tag("AssetSource")], _BY_SOURCE]
Feedback = Annotated[
    Annotated[DataPath, Tag("string")]
    | Annotated[AssetSource, Tag("AssetSource")]
    | Annotated[MetricSource, Tag("MetricSource")],
    _BY_SOURCE,
]


class ValidationStrategy(Section):
    """How candidates are validated."""

    type: Literal[
        "auto",
        "stratified_kfold",
        "kfold",
        "repeated_stratified_kfold",
        "repeated_kfold",
        "time_series_split",
        "group_kfold",
        "stratified_group_kfold",
        "leave_one_out",
        "holdout",
    ] = "auto"
    """How the rows that are not test rows are split; `auto` decides from types, counts and class labels."""
    folds: Annotated[Parts, Field(ge=2)] = 5
    """Number of folds of the strategies that have folds."""
    shuffle: Switch = True
    """Whether rows are dealt to folds at random instead of in their order."""
    repeats: Parts | None = None
    """How often a `repeated_…` strategy draws its folds anew; by default a rule decides. Other strategies draw once."""
    gap: Whole = 0
    """Rows left out between training and validation rows of dated data."""


class HyperparameterSearch(Section):
    """How hard to search, and how."""

    enabled: Switch = True
    """Whether to search; otherwise each algorithm is tried once with its start configuration."""
    n_trials: Annotated[Count, Field(le=MOST_TRIALS)] | None = None
    """Number of trials; without it the scenario decides."""
    timeout: Duration | None = None
    """Seconds that the search may take."""
    sampler: Literal["auto", "tpe", "random", "nsga2", "qmc", "grid", "cmaes", "gp"] = "auto"
    """How the next trial is proposed."""
    pruner: Literal["auto", "median", "hyperband", "successive_halving", "percentile", "wilcoxon", "none"] = "auto"
    """How hopeless trials are ended early."""
    objectives: Annotated[tuple[MetricName, ...], AfterValidator(no_duplicates)] = ()
    """Metrics to search for together; several mean a Pareto search."""
    search_space: dict[Text, Any] = {}
    """Ranges of hyperparameters in place of the built-in ones: {algorithm: {parameter: range}}, or {parameter: range}
    where `algorithm` names one. A range is [low, high], {"low", "high", "log" or "step"}, {"choices": [...]}, or a
    single value."""
    workers: Parts | None = None
    """Processes that run trials side by side."""


class Costs(Section):
    """What wrong labels cost, in any unit; right ones cost nothing."""

    false_positive: Positive
    """Cost of a row that is labelled positive and is not."""
    false_negative: Positive
    """Cost of a positive row that is not labelled so."""


class Objective(Section):
    """What counts as better."""

    metric: MetricName | None = None
    """What search and selection look at; by default `roc_auc`, `log_loss`, `rmse` or `mase`, as the task is."""
    constraints: dict[MetricName, Condition] = {}
    """Bounds that other metrics must keep, such as precision: ">=0.5"."""
    threshold: AutoOrShare | None = None
    """Probability from which a binary prediction is positive; `auto` finds it out of fold. By default a rule decides:
    found where metric or constraints depend on it and there are rows enough, else 0.5."""
    beta: Positive | None = None
    """How many times as much recall counts as precision in `fbeta`; by default 1, which is f1."""
    costs: Costs | None = None
    """What wrong labels cost; the metric `cost` is the mean cost of a row."""


class ExperimentTracking(Section):
    """Where runs and models are recorded."""

    enabled: Switch = True
    """Whether MLflow is written at all."""
    experiment_name: Text | None = None
    """MLflow experiment; by default the spec's name."""
    tracking_uri: Text | None = None
    """Address of the MLflow server or store; by default SQLite beside the state. A password in it is never shown."""
    register_model: Switch = True
    """Whether the model is registered as a new version."""
    registered_model_name: Text | None = None
    """Name in the model registry; by default the spec's name."""


class Promotion(Section):
    """When a new model takes the champion's place."""

    metric: MetricName | None = None
    """Metric on which champion and challenger are compared; by default the objective's."""
    margin: Number | None = None
    """How much worse, in the metric's unit, a challenger may be and still take over; by default about 1 %."""
    confidence: Share = 0.95
    """Confidence of the interval around the paired difference."""
    min_segment: Count = 50
    """Rows that a segment needs before its own result can stop a promotion."""
    approval: Literal["auto", "manual"] = "auto"
    """Whether a person has to approve each promotion."""


class Inputs(Section):
    """What other steps hand over."""

    feature_recommendations: HandedOver | None = None
    """Columns to use, drop or transform, from an exploration step."""
    evaluation_feedback: Feedback | None = None
    """Metrics seen in production and verdicts on thresholds, from a model evaluator: a file, a folder of them, {asset},
    or {metric} that is logged to MLflow. Below their gates they are a reason to train again."""


class Predictions(Section):
    """Batch scoring of new rows by the champion."""

    data_path: DataSource
    """The rows to score, in any of the forms of `trainDataPath`; where they hold the target, live metrics follow."""
    output: DataPath | None = None
    """File that the scored rows go to (.parquet, .csv, .feather or .jsonl), with partitions a folder; by default in the
    folder of all state."""
    labels_path: DataSource | None = None
    """The answers, once they are known: a table with `keyColumns` and the target."""
    key_columns: Columns = ()
    """Columns by which rows and answers are matched."""
    time_column: Text | None = None
    """When a row was due to be scored; by default the spec's `timeColumn`."""
    partitions: Literal["none", "daily", "file"] = "none"
    """Whether all rows are scored together, by day (UTC) of the time column, or file by file."""
    start: Day | None = None
    """First day of `daily` partitions."""
    schedule: Cron | None = None
    """Cron expression of five fields by which to score, in `retraining.timezone`; of daily partitions the last whole
    day. Files that are scored one by one are scored when they arrive."""


class Retraining(Section):
    """When the model is trained again by itself."""

    on_new_data: Switch = True
    """Whether new content of the data starts a training."""
    min_new_rows: Count = 1
    """New rows below which new data waits."""
    schedule: Cron | None = None
    """Cron expression of five fields by which to retrain."""
    timezone: TimeZone = "UTC"
    """IANA time zone of the schedule, such as `Europe/Berlin`."""
    warm_start: Switch = True
    """Whether the last study's best configurations are tried first."""
    drift_threshold: Positive | None = None
    """Drift of the new rows from which to retrain: 0 (none) to 1, the columns' mean PSI by importance."""
    cooldown: Annotated[Number, Field(le=LONGEST_S)] = 0.0
    """Seconds to wait after a training before the next."""
    improve_rounds: Annotated[Whole, Field(le=MOST_PARTS)] = 0
    """Further rounds of search, each as long as the first, that a model which missed its gates is given."""


class Retention(Section):
    """What is kept of earlier trainings. Champion, the one before it, and what waits for a person or for the tracker
    always are."""

    keep_versions: Annotated[Count, Field(ge=2)] = 10
    """Newest versions that are kept with everything they were made of: to be scored by, promoted and reproduced."""
    keep_days: Number = 7.0
    """Days for which everything younger is kept as well."""
    run_days: Number = 30.0
    """Days after which Dagster's record of a run is removed, unless its version is kept."""


def _enough_time(value: float) -> float:
    if value < MINIMUM_TIME_BUDGET_S:
        raise refuse(
            f"is {value:g} s; the smallest budget is {MINIMUM_TIME_BUDGET_S:g} s, because imports, final model, load "
            "check in a fresh process, evaluation and a first MLflow store alone take about 25 s"
        )
    return value


TimeBudget = Annotated[
    float,
    Strict(),
    Field(le=LONGEST_S, allow_inf_nan=False, json_schema_extra={"minimum": MINIMUM_TIME_BUDGET_S}),
    AfterValidator(_enough_time),
]


class Options(Section):
    """Settings of the run itself."""

    seed: Annotated[Whole, Field(le=LARGEST_SEED)] = 0
    """Seed of everything random."""
    early_stopping_rounds: Annotated[Count, Field(le=MOST_TRIALS)] | None = None
    """Boosting rounds without improvement on the validation rows after which to stop; by default a rule decides."""
    verbosity: Annotated[Whole, Field(le=3)] = 1
    """How much is told during the run. 0: only what went wrong; 1: how it stands, and the result; 2: also each decision
    and each trial; 3: also Dagster's own log."""
    ensemble: Literal["auto", "none", "greedy"] = "auto"
    """Whether the best candidates are combined when that is better out of fold."""
    time_budget: TimeBudget | None = None
    """Seconds for the whole run, from reading to registering."""
    memory_limit: Annotated[Positive, Field(le=1_000_000)] | None = None
    """Gigabytes of memory that the run may use; by default what is free. Of a table that would take more a sample is
    read; a fit that would take more is left out."""
    threads: Parts | None = None
    """Threads of one fit; by default one, which is fastest where cores are shared."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where models are fitted."""
    calibrate: AutoOrSwitch = "auto"
    """Whether calibration of probabilities is tried; by default a rule decides. It is kept only if it helps out of
    fold."""
    feature_generation: AutoOrSwitch = "auto"
    """Whether features are made of combinations of columns."""


class TrainingSpec(Section):
    """One training, as a person asks for it. The smallest spec is `trainDataPath` and `targetColumn`."""

    name: Annotated[ModelName, Field(json_schema_extra=lambda schema: schema.pop("default"))] = "model"
    """Asset key prefix, group and model name; by default made of the experiment's name, else of the file's."""
    task: Literal["train_model"] = "train_model"
    """What is to be done."""
    model_type: Literal["auto", "classification", "regression", "time_series"] = "auto"
    """What kind of target is predicted; `auto` decides from the target."""
    algorithm: Algorithms = "auto"
    """`auto` for the plan's candidates, one algorithm, or a list of algorithms that compete."""
    train_data_path: DataSource
    """The data: a file, glob, folder or address, a list of them, {connection, query}, or {asset}."""
    validation_data_path: DataSource | None = None
    """Given validation rows, in place of drawn ones."""
    test_data_path: DataSource | None = None
    """Given test rows, in place of drawn ones."""
    target_column: Text
    """The column to predict."""
    positive_label: Label | None = None
    """The class that precision, recall and the threshold speak of."""
    scenario: Literal["auto", "quick", "production"] = "auto"
    """How hard to search where `hyperparameterSearch` does not say."""
    features: Annotated[Columns, Field(min_length=1)] | None = None
    """Columns to learn from; by default all but the target, ids, time and group columns."""
    feature_types: dict[Text, Literal["numeric", "categorical", "text", "datetime", "boolean", "id", "drop"]] = {}
    """What columns hold, where inference would be wrong."""
    time_column: Text | None = None
    """Column of timestamps or whole-number steps by which rows are ordered."""
    group_column: Text | None = None
    """Column whose groups must not straddle splits, such as a customer."""
    series_column: Text | None = None
    """Column that tells several series apart in forecasting."""
    horizon: Count | None = None
    """Steps to forecast."""
    frequency: Text | None = None
    """Step of the series, such as `D` or `h`."""
    seasonality: Count | None = None
    """Season length in steps."""
    known_ahead: Columns = ()
    """Columns whose future values are known when forecasting."""
    test_size: TestSize = 0.2
    """Share or number of rows kept for the test; with 0 the evaluation is out-of-fold."""
    validation_size: ValidationSize | None = None
    """Share or number of rows of the validation part; by default one fold."""
    data_schema: DataPath | None = None
    """Pandera schema (YAML) to hold the data to; by default inferred once, then enforced."""
    validation_strategy: ValidationStrategy = ValidationStrategy()
    """How candidates are validated."""
    hyperparameter_search: HyperparameterSearch = HyperparameterSearch()
    """How hard to search, and how."""
    objective: Objective = Objective()
    """What counts as better."""
    class_imbalance: Literal["auto", "none", "class_weight"] = "auto"
    """Whether rare classes are given more weight."""
    experiment_tracking: ExperimentTracking = ExperimentTracking()
    """Where runs and models are recorded."""
    quality_gates: dict[GateMetric, Condition] = {}
    """Bounds that the model must keep to be promoted, such as "test.roc_auc": ">=0.85"."""
    promotion: Promotion = Promotion()
    """When a new model takes the champion's place."""
    inputs: Inputs = Inputs()
    """What other steps hand over."""
    retraining: Retraining = Retraining()
    """When the model is trained again by itself."""
    retention: Retention = Retention()
    """What is kept of earlier trainings, and for how long."""
    predictions: Predictions | None = None
    """New rows that the champion scores, and how live metrics come of them; without it there is no such asset."""
    sensitive_columns: Columns = ()
    """Columns by whose groups fairness is reported."""
    outputs: Annotated[tuple[Literal["model_card"], ...], AfterValidator(no_duplicates)] = ()
    """What is made besides: `model_card` is a Markdown file about the model, for people who are to use it."""
    options: Options = Options()
    """Settings of the run itself."""

    @property
    def forecasts(self) -> bool:
        """Whether steps of series are to be forecast, and not rows predicted one by one."""
        return self.model_type == "time_series"

    @property
    def algorithms(self) -> tuple[str, ...] | None:
        """The algorithms asked for; None for `auto`."""
        if self.algorithm == "auto":
            return None
        return (self.algorithm,) if isinstance(self.algorithm, str) else self.algorithm

    @property
    def metric(self) -> str | None:
        """The one metric asked for, as `objective.metric` or as the only entry of `objectives`."""
        return self.objective.metric or next(iter(self.hyperparameter_search.objectives), None)

    @property
    def beta(self) -> float | None:
        """The beta of `fbeta`; None where the spec does not speak of that metric."""
        return (self.objective.beta or 1.0) if self.speaks_of("fbeta") else None

    @property
    def costs(self) -> tuple[float, float] | None:
        """Cost of a false positive and of a false negative; None where the spec names none."""
        costs = self.objective.costs
        return None if costs is None else (costs.false_positive, costs.false_negative)

    def speaks_of(self, metric: str) -> bool:
        """Whether metric, objectives, constraints, promotion or a gate name this metric."""
        named = {
            self.metric,
            self.promotion.metric,
            *self.objective.constraints,
            *self.hyperparameter_search.objectives,
        }
        gates = {gate.partition(".")[2] for gate in self.quality_gates}
        return bool({metric, f"{metric}_mean", f"{metric}_std"} & (named | gates))

    @property
    def search_space(self) -> dict[str, dict[str, Any]]:
        """What the spec says about the ranges of hyperparameters, by algorithm and parameter."""
        asked = self.hyperparameter_search.search_space
        if self.algorithms is not None and len(self.algorithms) == 1 and not set(asked) & ALL_ALGORITHMS:
            return {self.algorithms[0]: asked} if asked else {}
        return asked

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The quality gates, ready to be held."""
        return tuple(Gate.parse(metric, condition) for metric, condition in self.quality_gates.items())

    @property
    def digest(self) -> str:
        """SHA-256 of everything asked for, defaults included; the order of keys does not matter."""
        content = self.model_dump(mode="json", by_alias=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@functools.cache
def spec_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of spec files, for editors and other programs. Not to be changed by callers."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TrainingSpec.model_json_schema(by_alias=True)}
