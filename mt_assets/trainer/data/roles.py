"""What a column is used as, and why."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from mt_assets.trainer.data.names import is_frame_index

Role = Literal[
    "numeric", "boolean", "categorical", "datetime", "text",
    "id", "constant", "target", "time", "group", "series", "drop",
]  # fmt: skip
"""The first five are features; the others are never shown to a model."""

FEATURE_ROLES: frozenset[str] = frozenset(get_args(Role)[:5])

NEAR_UNIQUE = 0.95
"""Share of different values from which a column may be an id; below it repeats are common enough to learn from."""

ID_LEAST_ROWS = 20
"""In fewer rows even a measurement has all different values."""

TEXT_WORDS = 3.0
TEXT_UNIQUE = 0.01
"""Free text: at least 3 words on average in the different values, which are more than 1 % of the rows. AutoGluon's rule
(`infer_types.py`)."""

_ID_WORDS = frozenset({"id", "ids", "uuid", "guid", "key", "index", "idx", "rowid", "rownum", "rownames", "unnamed"})


@dataclass(frozen=True)
class ColumnFacts:
    """What the role of a column is decided from.

    Attributes
    ----------
    name : str
    kind : str
        Form of the canonical column: `number`, `boolean`, `datetime` or `string`.
    rows, missing, unique : int
        All rows; rows without a value; different values in the others.
    whole : bool
        All numbers are whole.
    monotone : bool
        The numbers never fall, or never rise, in the order of the rows.
    words : float
        Mean words in the different values of a string column.
    spaced : bool
        Some string holds a blank.
    """

    name: str
    kind: Literal["number", "boolean", "datetime", "string"]
    rows: int
    missing: int
    unique: int
    whole: bool = False
    monotone: bool = False
    words: float = 0.0
    spaced: bool = False

    @property
    def unique_share(self) -> float:
        """Different values by rows with a value."""
        return self.unique / max(self.rows - self.missing, 1)

    @property
    def near_unique(self) -> bool:
        """Nearly every row has a value of its own."""
        return self.rows - self.missing >= ID_LEAST_ROWS and self.unique_share >= NEAR_UNIQUE

    @property
    def named_id(self) -> bool:
        """A word of the name says that it identifies rows."""
        words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", self.name).lower())
        return not _ID_WORDS.isdisjoint(words)

    @property
    def frame_index(self) -> bool:
        """It is called as pandas calls an index without a name that is written with the columns."""
        return is_frame_index(self.name)


@dataclass(frozen=True)
class RoleRule:
    """One row of the table below: when it is the first that holds, the column has the role."""

    role: Role
    when: Callable[[ColumnFacts], bool]
    reason: str


ROLE_RULES: tuple[RoleRule, ...] = (
    RoleRule("constant", lambda c: c.unique == 0, "all values are missing"),
    RoleRule("constant", lambda c: c.unique == 1 and c.missing == 0, "every row has the same value"),
    RoleRule("boolean", lambda c: c.kind == "boolean", "true or false"),
    RoleRule("datetime", lambda c: c.kind == "datetime", "dates or timestamps"),
    RoleRule(
        "id",
        lambda c: c.kind == "number" and c.whole and c.near_unique and c.monotone,
        "whole numbers that count the rows: {unique} different values in order",
    ),
    RoleRule(
        "id",
        lambda c: c.kind == "number" and c.whole and c.near_unique and c.named_id,
        "named as an id, with {unique} different whole numbers in {rows} rows",
    ),
    RoleRule(
        "id",
        lambda c: c.kind == "number" and c.whole and c.frame_index,
        "row numbers of a pandas frame, which were written as a column",
    ),
    RoleRule("numeric", lambda c: c.kind == "number", "numbers"),
    RoleRule(
        "id",
        lambda c: c.near_unique and not c.spaced,
        "{unique} different codes without blanks in {rows} rows",
    ),
    RoleRule(
        "text",
        lambda c: c.unique_share > TEXT_UNIQUE and c.words >= TEXT_WORDS and c.unique > 1,
        "{words:.1f} words on average in {unique} different values",
    ),
    RoleRule("text", lambda c: c.near_unique, "{unique} different values with blanks in {rows} rows"),
    RoleRule("categorical", lambda c: True, "{unique} different labels"),
)
"""First match decides. Columns that hardly vary, have many gaps or hold few whole numbers stay features."""


def infer_role(facts: ColumnFacts) -> tuple[Role, str]:
    """Role of a column and the reason, from what the column holds alone."""
    rule = next(rule for rule in ROLE_RULES if rule.when(facts))
    return rule.role, rule.reason.format(
        unique=f"{facts.unique:,}", rows=f"{facts.rows:,}", words=facts.words, missing=facts.missing
    )
