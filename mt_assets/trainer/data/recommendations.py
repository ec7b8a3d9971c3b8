"""What an exploration step recommends about columns: which to use, to drop and to transform.

What belongs here: the format, and what a recommendation means for one column. What does not: reading the file, and what
the transformations compute (`features.columns`).
"""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, Protocol, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mt_assets.trainer.data.names import nearest
from mt_assets.trainer.data.roles import FEATURE_ROLES
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.planning.decision import Decision

Transformation = Literal["log", "sqrt", "square", "clip", "rank"]
"""Of a numeric column x. `log`: sign(x) log(1 + |x|). `sqrt`: sign(x) sqrt(|x|). `square`: x². `clip`: to the 1st and
99th percentile of the rows that are learned from. `rank`: share of those rows that are smaller, 0 to 1."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class RecommendedTransformation(_Part):
    """A transformation with the reason for it."""

    to: Transformation
    """What becomes of the numbers."""
    reason: str = ""
    """Why, in words for people."""

    @property
    def told(self) -> str:
        """As it stands in the reason of a column's role."""
        return _told(f"transformed by {self.to} as recommended", self.reason)


Columns = tuple[str, ...] | dict[str, str]
"""A list of columns, or a mapping of each to the reason."""


class FeatureRecommendations(_Part):
    """The content of `inputs.featureRecommendations`.

    What the spec says itself wins: with `features` nothing is used or dropped by recommendation, and a column that
    `featureTypes` gives a type is neither dropped nor transformed by one. Columns of other use (target, time, group)
    stay what they are.

    Examples
    --------
    >>> FeatureRecommendations.model_validate({"drop": {"zip": "leaks"}, "transform": {"income": "log"}}).dropped
    {'zip': 'leaks'}
    """

    use: Annotated[Columns | None, Field(union_mode="left_to_right")] = None
    """Columns to learn from; without it all. A list, or a mapping of column to reason."""
    drop: Annotated[Columns, Field(union_mode="left_to_right")] = ()
    """Columns to leave out. A list, or a mapping of column to reason."""
    transform: dict[str, Transformation | RecommendedTransformation] = {}
    """Numeric columns and what becomes of them: a transformation's name, or that with a reason."""

    @property
    def digest(self) -> str:
        """A digest of what is recommended; empty where nothing is."""
        return "" if self == NO_ADVICE else sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def used(self) -> Mapping[str, str] | None:
        """Columns to learn from, with reasons; None for all."""
        return None if self.use is None else _reasons(self.use)

    @property
    def dropped(self) -> Mapping[str, str]:
        """Columns to leave out, with reasons."""
        return _reasons(self.drop)

    @property
    def transformed(self) -> Mapping[str, RecommendedTransformation]:
        """Columns to transform."""
        return {
            name: each if isinstance(each, RecommendedTransformation) else RecommendedTransformation(to=each)
            for name, each in self.transform.items()
        }

    def against(self, name: str) -> str | None:
        """Why a column is not to be used, or None."""
        if name in self.dropped:
            return _told("recommended to be dropped", self.dropped[name])
        return None if self.used is None or name in self.used else "not among the columns recommended for use"


NO_ADVICE: Final = FeatureRecommendations()


class Described(Protocol):
    """What is asked of a column here; `profile.ColumnProfile` has it."""

    @property
    def role(self) -> str: ...
    @property
    def transform(self) -> str | None: ...


def followed(advice: FeatureRecommendations, columns: Mapping[str, Described]) -> tuple[Decision, ...]:
    """What was made of the advice, for the record: nothing where there was none.

    Parameters
    ----------
    advice : FeatureRecommendations
    columns : mapping of str to ColumnProfile
        As they were decided.
    """
    if advice == NO_ADVICE:
        return ()
    against = [name for name in columns if advice.against(name)]
    dropped = [name for name in against if columns[name].role == "drop"]
    transformed = {name: str(columns[name].transform) for name in advice.transformed if columns[name].transform}
    overruled = [name for name in against if columns[name].role in FEATURE_ROLES]
    unused = [name for name in advice.transformed if name not in transformed]
    reason = "The spec names recommendations; its own `features` and `featureTypes` win."
    if unused:
        reason += f" Not transformed, being no numeric feature: {', '.join(map(repr, unused))}."
    evidence = {"dropped": dropped, "transformed": transformed, "overruled": overruled}
    return (
        Decision(
            decision="feature_recommendations",
            value={"drop": dropped, "transform": transformed},
            rule="features.recommended",
            reason=reason,
            evidence={name: each for name, each in evidence.items() if each},
            override="inputs.featureRecommendations",
        ),
    )


def parse_recommendations(content: Any, source: str) -> FeatureRecommendations:
    """Make recommendations of the content of a file.

    Parameters
    ----------
    content : Any
        What the file holds.
    source : str
        Begins the sentence of an error: "The feature recommendations advice.json".

    Raises
    ------
    SpecError
        It has unknown keys or values, or recommends both to use and to drop a column.
    """
    try:
        found = FeatureRecommendations.model_validate(content)
    except ValidationError as error:
        problems = [_problem(details["loc"], details["type"], details["input"]) for details in error.errors()]
    else:
        both = [name for name in found.used or () if name in found.dropped]
        problems = [f"'{name}' stands in both `use` and `drop`; keep one" for name in both]
        if not problems:
            return found
    raise SpecError(
        f"{source} cannot be used: {'; '.join(dict.fromkeys(problems))}.",
        suggestions=(
            'An example that is right: {"drop": ["zip"], "transform": {"income": {"to": "log", "reason": "skewed"}}}.',
        ),
    )


@cache
def recommendations_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of such files. Not to be changed by callers."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **FeatureRecommendations.model_json_schema(by_alias=True),
    }


def _problem(loc: tuple[str | int, ...], kind: str, value: Any) -> str:
    # Branches of a union stand in pydantic's location behind the user's own keys; two of these lead to any value.
    key, *inner = [str(part) for part in loc] or [""]
    where = ".".join([key, *inner[:1]]) if key == "transform" else key
    if not loc:
        return "it must be a mapping with the keys `use`, `drop` and `transform`"
    if kind == "extra_forbidden":
        known = RecommendedTransformation.model_fields if len(loc) > 1 else FeatureRecommendations.model_fields
        return f"it has the unknown key `{loc[-1]}`{_meant(str(loc[-1]), known)}"
    if key == "transform" and inner:
        asked = value.get("to") if isinstance(value, dict) else value
        names = get_args(Transformation)
        return f"`{where}` must be one of {', '.join(names)}, or a mapping of `to` and `reason`{_meant(asked, names)}"
    form = "a mapping of columns to transformations" if key == "transform" else "a list of columns or a mapping"
    return f"`{where}` must be {form}"


def _meant(name: Any, known: Any) -> str:
    close = nearest(name, known) if isinstance(name, str) else None
    return f" (did you mean `{close}`?)" if close and close != name else ""


def _reasons(columns: Columns) -> Mapping[str, str]:
    return columns if isinstance(columns, dict) else dict.fromkeys(columns, "")


def _told(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
