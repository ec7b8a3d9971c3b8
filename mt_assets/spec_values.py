"""The values that a training spec is made of: names, texts, paths, conditions, and how they are shown to people.

What belongs here: types of single values with their own rules, and the vocabulary of the contract that no other module
owns. What does not: keys and sections (`spec`), rules that concern several keys (`spec_support`), and reading
(`spec_reading`). Nothing heavy is imported, because every load of the code location reads specs.
"""

import json
import keyword
import math
import operator
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Strict,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from mt_assets.trainer.algorithms.registry import CONTRACT_NAMES
from mt_assets.trainer.errors import SpecError

METRIC_NAMES: dict[str, tuple[str, ...]] = {
    "classification": (
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "balanced_accuracy",
        "mcc",
        "fbeta",
        "cost",
    ),
    "regression": ("rmse", "mae", "r2", "mape", "median_ae"),
    "time_series": ("mase", "smape", "rmse", "mae", "wql", "coverage"),
}
"""Metrics of each task as a spec may name them; kept apart from their functions so that reading a spec stays light."""

OF_INTERVALS = ("coverage", "wql")
"""Metrics of forecast intervals, which the final model has, and the candidates of a search do not."""

MODEL_FIGURES = ("latency_ms", "size_mb")
"""What a gate can ask of the model itself: milliseconds for one row, megabytes on disk."""

FAIRNESS_FIGURES = ("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference")
"""What a gate can ask of the groups of sensitive columns, of a target of two classes; the worst column counts."""

SLUG_LENGTH = 60
"""Longest name. With an asset's or job's name behind it, it stays within 100 characters: a name that a person can still
read in a list, and far below the 255 that file systems take."""

RESERVED_NAMES = frozenset(keyword.kwlist) | frozenset(
    [
        "arg_dict",
        "bool",
        "conf",
        "config",
        "context",
        "dict",
        "float",
        "input",
        "input_arg_dict",
        "int",
        "meta",
        "output",
        "output_arg_dict",
        "str",
        "type",
    ]
)
"""Names that Dagster refuses for a group (`DISALLOWED_NAMES` of dagster 1.13); `slug` steps aside for them."""

LONGEST_SHOWN = 80
"""Characters of a wrong value that a message repeats; the value is to be recognised, not reprinted."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a spec.

    Attributes
    ----------
    where : tuple of str or int
        Keys and list positions from the spec's root, or from the field that raises.
    text : str
        What follows the field's name in a sentence, without full stop: "is 0; a whole number of at least 1 is needed".
    suggestions : tuple of str
        Further remedies, each a sentence.
    """

    where: tuple[str | int, ...]
    text: str
    suggestions: tuple[str, ...] = ()


def refuse(text: str, *suggestions: str) -> PydanticCustomError:
    """The error that a field's validator raises when pydantic has no words for what is wrong."""
    return PydanticCustomError("spec_problem", "{text}", {"text": text, "suggestions": suggestions})


def masked_uri(uri: str) -> str:
    """Replace passwords and tokens in a URI, connection string or any text that holds one, by `***`.

    Covers `scheme://user:password@host`, `https://token@host`, and `password=`, `token=`, `sig=` and their like in a
    query or connection string, percent-encoded or not. In doubt too much is masked. Masking twice changes nothing.
    """
    uri = _USER_AND_PASSWORD.sub(r"\1:***@", uri)
    uri = _TOKEN_AS_USER.sub(r"\1***@", uri)
    return _SECRET_PARAMETER.sub(r"\1***", uri)


# A colon before a port (digits up to the host's end) opens no password; a password may hold `@`, `/` and `#`.
_USER_AND_PASSWORD = re.compile(r"(://[^:/?#@\s]*):(?!\d{1,5}(?:[/?#\s\"']|$))\S*@")
_TOKEN_AS_USER = re.compile(r"(https?://)[^:/?#@\s]+@", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    r"((?:password|passwd|pwd|token|secret|sig|signature|api[-_]?key|access[-_]?key|credential)(?:=|%3D))"
    r"(?:(?!%3B|%26)[^&;\s\"'])+",
    re.IGNORECASE,
)


def shown(value: Any) -> str:
    """A value as a message repeats it: as JSON, without secrets, cut to a length that can be read."""
    if isinstance(value, dict):
        return "a mapping"
    if value is None:
        return "empty (null)"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"of the type {type(value).__name__}"
    # Secrets are looked for in far more than is shown, since one that begins there may end behind it.
    text = masked_uri(text[: 100 * LONGEST_SHOWN]).encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def slug(text: str) -> str:
    """Make a name of lower-case letters, digits and underscores that starts with a letter.

    Raises
    ------
    SpecError
        When `text` holds no letter or digit that could be kept.
    """
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode("ascii")
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not name:
        raise SpecError(
            f"No name can be made of {shown(text)}: it holds no letter from a to z and no digit.",
            suggestions=("Set `name` to something like `customer_churn`.",),
        )
    if name[0].isdigit():
        name = f"model_{name}"
    name = name[:SLUG_LENGTH].rstrip("_")
    return f"{name}_model" if name in RESERVED_NAMES else name


_CONDITION = re.compile(r"\s*(>=|<=|>|<)\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*", re.ASCII)
_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Gate:
    """A bound that a metric of the finished model must keep.

    Attributes
    ----------
    metric : str
        `test.`, `validation.`, `cv.`, `model.` or `fairness.` and a name, for example `test.roc_auc` or
        `cv.accuracy_std`.
    operator : {">=", "<=", ">", "<"}
    bound : float
        Finite, in the unit of the metric.
    """

    metric: str
    operator: Literal[">=", "<=", ">", "<"]
    bound: float

    @classmethod
    def parse(cls, metric: str, condition: str) -> "Gate":
        """Read a condition such as `>=0.85`.

        Raises
        ------
        ValueError
            When `condition` is not an operator and a finite number.
        """
        match = _CONDITION.fullmatch(condition)
        if not match or not math.isfinite(float(match[2])):
            raise ValueError(condition)
        return cls(metric, match[1], float(match[2]))  # type: ignore[arg-type]  # one of the four, by the pattern

    def holds(self, value: float) -> bool:
        """Whether the metric's value keeps the bound; NaN keeps none."""
        return _HOLDS[self.operator](value, self.bound)

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {self.bound:.12g}"


GATE_METRICS: dict[str, frozenset[str]] = {
    task: frozenset(
        [f"{part}.{name}" for part in ("test", "validation") for name in names]
        + [f"cv.{name}_{statistic}" for name in names for statistic in ("mean", "std")]
        + [f"model.{name}" for name in MODEL_FIGURES]
        + [f"fairness.{name}" for name in FAIRNESS_FIGURES if task == "classification"]
    )
    for task, names in METRIC_NAMES.items()
}
"""What a quality gate can be about, for each task."""

_ALL_METRICS = tuple(dict.fromkeys(name for names in METRIC_NAMES.values() for name in names))
_ALL_GATE_METRICS = frozenset().union(*GATE_METRICS.values())
ALL_ALGORITHMS = frozenset(name for names in CONTRACT_NAMES.values() for name in names)
"""Every algorithm that a spec can name, for whatever task."""

_ALL_ALGORITHMS = tuple(dict.fromkeys(name for names in CONTRACT_NAMES.values() for name in names))


def _usable_text(value: str) -> str:
    if not value.strip():
        raise refuse("is empty")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise refuse(f"is {shown(value)}, which holds a character that no text can hold (NUL or half a surrogate pair)")
    return value


def _absolute(value: str, info: ValidationInfo) -> str:
    """Paths are relative to the spec file, whose folder is the context's `base`; addresses stay as they are."""
    if info.context is None or re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
        return value
    expanded = os.path.expanduser(value)  # noqa: PTH111  # unlike Path's, it leaves an unknown `~name` as it stands
    return os.path.normpath(Path(info.context["base"], expanded))


def _absolute_database(value: str, info: ValidationInfo) -> str:
    """A path of SQLite is relative to the spec file too."""
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)(?!:memory:|file:)([^?]+)(.*)", value)
    return f"{match[1]}{_absolute(match[2], info)}{match[3]}" if match else value


def _asset_key(value: str) -> str:
    if not all(part.strip() for part in value.split("/")):
        raise refuse(f"is {shown(value)}; the parts of an asset's key are joined by one `/` each, as in some/asset/key")
    return value


def _slugged(value: str) -> str:
    try:
        return slug(value)
    except SpecError as error:
        raise refuse(f"is {shown(value)}; a name needs a letter from a to z or a digit", *error.suggestions) from None


def no_duplicates(values: tuple[str, ...]) -> tuple[str, ...]:
    """Validate that a list names each thing once."""
    doubled = [value for value, times in Counter(values).items() if times > 1]
    if doubled:
        raise refuse(f"lists {', '.join(map(shown, doubled))} more than once; each entry may stand there once")
    return values


def _condition(value: Any) -> str:
    try:
        Gate.parse("", value)
    except (TypeError, ValueError):
        raise refuse(
            f'is {shown(value)}; a condition is one of >=, <=, >, < and a finite number, in quotes: ">=0.85"'
        ) from None
    return str(value)


def _time_zone(value: str) -> str:
    if value == "UTC":  # known even where no time zone database is installed
        return value
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):  # unknown, malformed, or a folder of the database such as `Europe`
        raise PydanticCustomError(
            "unknown_name", "unknown time zone", {"known": sorted(available_timezones())}
        ) from None
    return value


# croniter knows the nearest weekday (`15W`), Dagster does not; a random time (`R`) changes whenever the spec is read.
_NOT_SCHEDULED = re.compile(r"\dW|W\d|\bR\b", re.IGNORECASE)


def _cron(value: str) -> str:
    from croniter import CroniterError, croniter

    example = 'a cron expression has five fields, minute hour day month weekday, such as "0 3 * * 1" (Mondays at 3:00)'
    if _NOT_SCHEDULED.search(value):
        raise refuse(f"is {shown(value)}, and `W` and `R` cannot be scheduled; {example}")
    try:
        fields = len(croniter.expand(value)[0])
    except (CroniterError, ValueError, TypeError, LookupError, AttributeError):
        raise refuse(f"is {shown(value)}, which is no cron expression; {example}") from None
    if fields != 5:
        raise refuse(f"is {shown(value)}, which has {fields} fields; {example}")
    try:
        croniter(value).get_next()
    except (CroniterError, ValueError):
        raise refuse(f"is {shown(value)}, a date that never comes; {example}") from None
    return value


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise refuse(f'is {shown(value)}; a day is written "2026-01-31"') from None


def _name_of(known: tuple[str, ...] | frozenset[str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known:
            raise PydanticCustomError(
                "unknown_name", "unknown name", {"known": sorted(known) if isinstance(known, frozenset) else known}
            )
        return value

    return AfterValidator(check)


Text = Annotated[str, Strict(), Field(min_length=1), AfterValidator(_usable_text)]
"""Text that is not blank."""

ModelName = Annotated[Text, AfterValidator(_slugged)]
"""Any text that a slug can be made of; becomes that slug."""

DataPath = Annotated[Text, AfterValidator(_absolute)]
"""A path or address; relative paths become absolute when a spec is read."""

Connection = Annotated[Text, AfterValidator(_absolute_database)]
"""SQLAlchemy address of a database; the path of an SQLite file becomes absolute when a spec is read."""

AssetName = Annotated[Text, AfterValidator(_asset_key)]
"""Key of a Dagster asset, its parts joined by `/`."""

Day = Annotated[Text, AfterValidator(_day)]
"""A day as ISO 8601 writes it."""

TimeZone = Annotated[Text, AfterValidator(_time_zone)]
Cron = Annotated[Text, AfterValidator(_cron)]

MetricName = Annotated[
    str, Strict(), _name_of(_ALL_METRICS), WithJsonSchema({"type": "string", "enum": list(_ALL_METRICS)})
]
AlgorithmName = Annotated[
    str, Strict(), _name_of(_ALL_ALGORITHMS), WithJsonSchema({"type": "string", "enum": list(_ALL_ALGORITHMS)})
]
AlgorithmOrAuto = Annotated[
    str,
    Strict(),
    _name_of(("auto", *_ALL_ALGORITHMS)),
    WithJsonSchema({"type": "string", "enum": ["auto", *_ALL_ALGORITHMS]}),
]
GateMetric = Annotated[str, Strict(), _name_of(_ALL_GATE_METRICS)]
Condition = Annotated[str, BeforeValidator(_condition)]
"""An operator and a finite number."""

Columns = Annotated[tuple[Text, ...], AfterValidator(no_duplicates)]
"""Column names, each once."""

Paths = Annotated[tuple[DataPath, ...], Field(min_length=1), AfterValidator(no_duplicates)]

_ROWS = {"type": "integer", "description": "rows"}
_SHARE = {"type": "number", "description": "share of the rows"}

Switch = Annotated[bool, Strict()]
MOST = 10**15
"""Largest number that a spec may ask for where nothing narrower is said: what counts, weighs or costs so much is still
exact in double precision."""

MOST_PARTS = 1000
"""Most folds, repeats, threads, processes or rounds: an order above what a large machine has a use for."""

LONGEST_S = 366 * 24 * 3600
"""Longest time that can be waited for: a year. What counts seconds for the operating system ends at 292 of them."""

Whole = Annotated[int, Strict(), Field(ge=0, le=MOST)]
Count = Annotated[int, Strict(), Field(ge=1, le=MOST)]
Parts = Annotated[int, Strict(), Field(ge=1, le=MOST_PARTS)]
Number = Annotated[float, Strict(), Field(ge=0, le=MOST, allow_inf_nan=False)]
Positive = Annotated[float, Strict(), Field(gt=0, le=MOST, allow_inf_nan=False)]
Duration = Annotated[float, Strict(), Field(gt=0, le=LONGEST_S, allow_inf_nan=False)]
Share = Annotated[float, Strict(), Field(gt=0, lt=1, allow_inf_nan=False)]


def _json_type(value: Any) -> str | None:
    """The JSON Schema type of a value; it picks the branch of a union, so that only that branch's errors are told."""
    kinds: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "array" if isinstance(value, tuple) else kinds.get(type(value))


BY_JSON_TYPE = Discriminator(_json_type, custom_error_type="wrong_type", custom_error_message="wrong type of value")

TestSize = Annotated[
    Annotated[Whole, Tag("integer")]
    | Annotated[float, Strict(), Field(ge=0, lt=1, allow_inf_nan=False), Tag("number")],
    BY_JSON_TYPE,
    WithJsonSchema(
        {"anyOf": [_ROWS | {"minimum": 0, "maximum": MOST}, _SHARE | {"minimum": 0, "exclusiveMaximum": 1}]}
    ),
]
"""Rows, or a share of all rows; 0 is no test rows."""

ValidationSize = Annotated[
    Annotated[int, Strict(), Field(ge=2, le=MOST), Tag("integer")] | Annotated[Share, Tag("number")],
    BY_JSON_TYPE,
    WithJsonSchema(
        {"anyOf": [_ROWS | {"minimum": 2, "maximum": MOST}, _SHARE | {"exclusiveMinimum": 0, "exclusiveMaximum": 1}]}
    ),
]
"""Rows, or a share of the rows that are not test rows; one single row validates nothing."""

Label = Annotated[
    Annotated[Switch, Tag("boolean")]
    | Annotated[int, Strict(), Tag("integer")]
    | Annotated[float, Strict(), Field(allow_inf_nan=False), Tag("number")]
    | Annotated[Text, Tag("string")],
    BY_JSON_TYPE,
    WithJsonSchema({"anyOf": [{"type": kind} for kind in ("string", "integer", "number", "boolean")]}),
]
"""A class label as it stands in the data."""

AutoOrSwitch = Annotated[Annotated[Literal["auto"], Tag("string")] | Annotated[Switch, Tag("boolean")], BY_JSON_TYPE]
AutoOrShare = Annotated[Annotated[Literal["auto"], Tag("string")] | Annotated[Share, Tag("number")], BY_JSON_TYPE]
Algorithms = Annotated[
    Annotated[AlgorithmOrAuto, Tag("string")]
    | Annotated[Annotated[tuple[AlgorithmName, ...], Field(min_length=1), AfterValidator(no_duplicates)], Tag("array")],
    BY_JSON_TYPE,
]
"""`auto`, one name, or several."""
