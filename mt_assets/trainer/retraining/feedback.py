"""What a model evaluator says of a model at work, and whether that is a reason to train again.

What belongs here: the format, and how it is held against gates. What does not: where it is read from
(`mt_assets.evaluation_feedback`).
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mt_assets.spec_values import Condition, Gate, shown
from mt_assets.trainer.data.names import nearest
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.store.record import Record


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("in UTC it lies before the year 1 or after 9999") from None


Moment = Annotated[datetime, AfterValidator(_utc)]
"""A time; without a zone it is UTC."""

Figure = Annotated[float, Field(allow_inf_nan=False)]


class Window(BaseModel):
    """When the rows were scored that the figures are about."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, use_attribute_docstrings=True
    )

    from_: Annotated[Moment | None, Field(alias="from")] = None
    """Their beginning."""
    to: Moment
    """Their end; of several feedbacks the one with the latest end counts."""


class EvaluationFeedback(Record):
    """The content of `inputs.evaluationFeedback`: how a model did on rows that it scored.

    Examples
    --------
    >>> parse_feedback({"version": 3, "metrics": {"roc_auc": 0.71}, "gates": {"roc_auc": ">=0.8"}}, "It").missed({})
    ['roc_auc is 0.71, and >= 0.8 is asked for']
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, use_attribute_docstrings=True)
    filename: ClassVar[str] = "evaluation_feedback.json"

    model: str | None = None
    """Name of the model; feedback about another one is passed over. Without it, it is about the model that reads it."""
    version: Annotated[int, Field(ge=1)] | None = None
    """Which version scored the rows, as `mt-assets models` counts them; without it the one that served at the time."""
    window: Window | None = None
    """When the rows were scored."""
    rows: Annotated[int, Field(ge=0)] | None = None
    """How many rows with a known answer the figures are of."""
    metrics: dict[str, Figure] = {}
    """Metric to value, such as roc_auc: 0.71."""
    gates: dict[str, Condition] = {}
    """Metric to the bound that it must keep, such as roc_auc: ">=0.8". For metrics that are not named here the spec's
    qualityGates `test.<metric>` hold."""
    verdict: Literal["pass", "fail"] | None = None
    """The evaluator's own verdict; it goes before the gates."""
    reason: str = ""
    """Why, in words for people."""
    drift: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How far the scored rows have moved from the training rows; held against `retraining.driftThreshold`."""

    @model_validator(mode="after")
    def _says_something(self) -> "EvaluationFeedback":
        if not self.metrics and self.verdict is None and self.drift is None:
            raise ValueError("says nothing: give `metrics`, `verdict` or `drift`")
        ungiven = [name for name in self.gates if name not in self.metrics]
        if ungiven:
            raise ValueError(f"has a gate for {shown(ungiven[0])}, which is not among its `metrics`")
        return self

    @property
    def identity(self) -> str:
        """The same for the same content."""
        content = json.dumps(self.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=True)
        return sha256(content.encode()).hexdigest()[:16]

    def missed(self, spec_gates: Mapping[str, Gate], drift_threshold: float | None = None) -> list[str]:
        """Every bound that is missed, each as the beginning of a sentence; the evaluator's verdict goes before all.

        Parameters
        ----------
        spec_gates : mapping of str to Gate
            By plain metric; the gates of the feedback itself go before them.
        drift_threshold : float, optional
        """
        if self.verdict is not None:
            failed = f"the evaluator's verdict is `fail`{f' ({self.reason})' if self.reason else ''}"
            return [failed] if self.verdict == "fail" else []
        return list(self._missed(spec_gates, drift_threshold))

    def _missed(self, spec_gates: Mapping[str, Gate], drift_threshold: float | None) -> Iterator[str]:
        own = {metric: Gate.parse(metric, condition) for metric, condition in self.gates.items()}
        for metric, gate in {**spec_gates, **own}.items():
            if metric in self.metrics and not gate.holds(self.metrics[metric]):
                asked = f"{gate.operator} {gate.bound:g} is asked for"
                yield f"{metric} is {self.metrics[metric]:.4g}, and {asked}"
        if self.drift is not None and drift_threshold is not None and self.drift >= drift_threshold:
            yield f"drift is {self.drift:.3g}, and {drift_threshold:g} is the threshold"


def parse_feedback(content: Any, source: str) -> EvaluationFeedback:
    """Make feedback of one entry of a file.

    Columns of a flat table may be named `metrics.roc_auc`, `gates.roc_auc`, `window.to`; what is empty is left out.

    Parameters
    ----------
    content : Any
    source : str
        Begins the sentence of an error: "The evaluation feedback drops/june.json".

    Raises
    ------
    DataError
        It has an unknown field or a value that cannot be; field and value are named.
    """
    try:
        return EvaluationFeedback.model_validate(_unfolded(content) if isinstance(content, Mapping) else content)
    except ValidationError as error:
        problems = [_problem(details["loc"], details["type"], details) for details in error.errors()]
    raise DataError(
        f"{source} cannot be used: {'; '.join(dict.fromkeys(problems))}.",
        suggestions=(
            'An example that is right: {"version": 3, "window": {"to": "2026-06-30"}, "rows": 1200, '
            '"metrics": {"roc_auc": 0.71}, "gates": {"roc_auc": ">=0.8"}}.',
        ),
    )


@cache
def feedback_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one entry. Not to be changed by callers."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **EvaluationFeedback.model_json_schema(by_alias=True),
    }


def _unfolded(row: Mapping[str, Any]) -> dict[str, Any]:
    """`{"metrics.roc_auc": 0.7}` as `{"metrics": {"roc_auc": 0.7}}`, without what is empty."""
    whole: dict[str, Any] = {}
    for key, value in row.items():
        if value is None:
            continue
        outer, dot, inner = str(key).partition(".")
        if dot and outer in ("metrics", "gates", "window"):
            value = {inner: value}
        else:
            outer = str(key)
        if isinstance(value, Mapping):
            known = {name: each for name, each in value.items() if each is not None}
            if not known:
                continue
            value = {**whole[outer], **known} if isinstance(whole.get(outer), dict) else known
        whole[outer] = value
    return whole


def _problem(loc: tuple[str | int, ...], kind: str, details: Mapping[str, Any]) -> str:
    if not loc:
        said = details.get("ctx", {}).get("error")
        return f"it {said}" if said else "it must be a mapping such as {metrics: {roc_auc: 0.71}}"
    where = ".".join(str(part) for part in loc)
    if kind == "extra_forbidden":
        known = Window.model_fields if len(loc) > 1 else EvaluationFeedback.model_fields
        close = nearest(str(loc[-1]), known)
        return f"it has the unknown field `{where}`{f' (did you mean `{close}`?)' if close else ''}"
    if kind == "missing":
        return f"`{where}` is missing"
    told = details.get("ctx", {}).get("text") or f"is {shown(details['input'])}; {_lower(str(details['msg']))}"
    return f"`{where}` {told}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
