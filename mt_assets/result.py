"""The training result: what a run says in the end, as one JSON file, whether it succeeded or failed.

What belongs here: the keys of `result.json` and the promises about their values. What does not: how they are found.
"""

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from mt_assets.spec_values import masked_uri
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store.atomic import write_atomic
from mt_assets.trainer.store.record import Record

IMPORTANCE_TOLERANCE = 1e-6
"""How far the sum of the importances may lie from 1: rounding of some thousands of columns in double precision."""


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN and infinity become None, numpy scalars numbers, paths and others text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and hasattr(value, "dtype"):  # a numpy scalar, without importing numpy
        return _plain(value.item())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _shares(value: dict[str, float]) -> dict[str, float]:
    if value and (min(value.values()) < 0 or abs(sum(value.values()) - 1) > IMPORTANCE_TOLERANCE):
        raise ValueError("feature importances must be non-negative and sum to 1")
    return value


Scores = Annotated[dict[str, float | None], BeforeValidator(_plain)]
"""Metric name -> value; None where the metric is not defined, never NaN."""

PlainMapping = Annotated[dict[str, Any], BeforeValidator(_plain)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PathText = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, PurePath) else value)]


class ResultSection(Record):
    """A part of the result: snake_case attributes in Python, camelCase keys in the file."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        ser_json_inf_nan="null",
        use_attribute_docstrings=True,
    )


class ErrorReport(ResultSection):
    """Why a run failed, and what to do about it."""

    type: str
    """Class of the error, such as `DataError`."""
    message: Annotated[str, AfterValidator(masked_uri)]
    """What happened, on what; without passwords."""
    phase: str
    """Asset that was being made."""
    cause: str
    """Root cause by its name in the table of known ones, such as `spec_or_data` or `out_of_memory`."""
    suggestions: tuple[str, ...] = ()
    """What the person can do, most likely remedy first."""
    remediation: tuple[str, ...] = ()
    """What was already tried automatically."""


class Metrics(ResultSection):
    """How good the model is, and on which rows."""

    test: Scores = {}
    """On the test rows; out-of-fold where there are none."""
    cross_validation: Scores = {}
    """`<metric>_mean` and `<metric>_std` over the folds."""
    baseline: Scores = {}
    """Of the baseline (class prior, mean, or seasonal naive) on the test rows."""
    validation: Scores = {}
    """On the validation rows."""


class Experiment(ResultSection):
    """Where the run is recorded; all None with tracking off or pending."""

    run_id: str | None = None
    """MLflow run."""
    experiment_id: str | None = None
    """MLflow experiment."""
    tracking_uri: Annotated[str, AfterValidator(masked_uri)] | None = None
    """Address of the tracker; a password in it is masked."""


class Metadata(ResultSection):
    """Figures of the run."""

    training_time: Seconds = 0.0
    """Seconds from reading the data to the result."""
    n_trials: Annotated[int, Field(ge=0)] = 0
    """Trials of the study, finished in whatever way."""
    best_trial_number: int | None = None
    """Number of the best trial, from 0; None without one."""


class Budget(ResultSection):
    """The time that was asked for and where it went."""

    asked: Seconds | None = None
    """Seconds; None without a time budget."""
    spent: Seconds = 0.0
    """Seconds of the whole run, on the command line from the start of the process."""
    phases: dict[str, Seconds] = {}
    """Asset -> seconds; `start_and_between` is what was spent outside them."""


class DataSummary(ResultSection):
    """What was learned from."""

    fingerprint: str | None = None
    """SHA-256 of the table: names, types and values of all rows."""
    rows: int | None = None
    """Rows of the table."""
    columns: int | None = None
    """Columns of the table."""


class TrainingResult(ResultSection):
    """The outcome of one training run. After a failure, whatever exists of it."""

    filename: ClassVar[str] = "result.json"

    success: bool
    """Whether a model was trained; a missed quality gate does not make it false."""
    model_path: PathText | None = None
    """The model's file; None when training did not come that far."""
    metrics: Metrics = Metrics()
    """How good the model is."""
    best_params: PlainMapping = {}
    """Hyperparameters of the best single candidate, flat; an ensemble adds `ensemble`, its members with weights."""
    feature_importance: Annotated[dict[str, float], BeforeValidator(_plain), AfterValidator(_shares)] = {}
    """Importance by the user's own column names, non-negative, sum 1."""
    experiment: Experiment = Experiment()
    """Where the run is recorded."""
    metadata: Metadata = Metadata()
    """Figures of the run."""
    artifacts: tuple[PathText, ...] = ()
    """Files that the run left."""
    algorithm: str | None = None
    """Algorithm of the model, or `ensemble`."""
    metric: str | None = None
    """Metric that the search, the choice and the comparison with the champion look at."""
    leaderboard: tuple[PlainMapping, ...] = ()
    """The best trial of each algorithm, best first; before them the ensemble, where the model is one."""
    decisions: tuple[Decision, ...] = ()
    """The plan: every automatic choice with its reason."""
    gates: tuple[PlainMapping, ...] = ()
    """Each quality gate with its value and verdict."""
    promotion: PlainMapping | None = None
    """Whether the model became champion, and why."""
    fairness: PlainMapping | None = None
    """Figures of each group of the sensitive columns, and how far the groups lie apart; None without such columns."""
    budget: Budget = Budget()
    """The time asked for and spent."""
    warnings: tuple[str, ...] = ()
    """What a person should know."""
    suggestions: tuple[str, ...] = ()
    """What a person can do about missed constraints and gates."""
    threshold: float | None = None
    """Probability of the positive class from which the model labels a row as it; None without two classes."""
    data: DataSummary = DataSummary()
    """What was learned from."""
    error: ErrorReport | None = None
    """Why the run failed; not in the file of a success."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.success and (self.error is not None or self.model_path is None):
            raise ValueError("a success has a model and no error")
        if not self.success and self.error is None:
            raise ValueError("a failure needs its error")
        return self

    def to_json(self) -> str:
        """The file's content: camelCase keys, no NaN (null instead), `error` only after a failure."""
        content = _plain(self.model_dump(mode="json"))
        if self.error is None:
            del content["error"]
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, folder: Path) -> None:
        (folder / self.filename).write_text(self.to_json(), encoding="utf-8")
        for name, content in self._attachments.items():
            (folder / name).write_bytes(content)

    def write(self, path: Path) -> None:
        """Write the file so that a reader sees the old content or the whole new one; missing folders are made.

        What is no regular file (a pipe, `/dev/stdout`) is written to directly, since it cannot be replaced.
        """
        content = self.to_json().encode("utf-8", "backslashreplace")
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            write_atomic(path, content)


@functools.cache
def result_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `result.json`. Not to be changed by callers."""
    schema = TrainingResult.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
