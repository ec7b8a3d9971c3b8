"""How a person is told what is wrong with a spec: one paragraph from the problems, and pydantic's errors in our words.

What belongs here: sentences. What does not: what is allowed; that is read off the spec's own JSON Schema, so that
types, documentation and messages cannot differ.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from mt_assets.spec import spec_json_schema
from mt_assets.spec_values import LONGEST_SHOWN, Problem, shown
from mt_assets.trainer.errors import SpecError

MOST_NAMES = 30
"""Names that a message lists in full (every list of the contract is shorter); of gates and time zones it names the
nearest."""


MOST_PROBLEMS = 30
"""Problems that one message tells; who mends as many looks again."""


def spec_error(source: str, problems: Sequence[Problem], untold: int = 0) -> SpecError:
    """One error with every problem in one message; `source` begins the sentence: "The training spec churn.yaml"."""
    told = list(dict.fromkeys(f"{_path(problem.where)} {problem.text}".strip() for problem in problems))
    if len(told) == 1:
        message = f"{source} cannot be used: {told[0]}"
    else:
        numbered = "; ".join(f"({number}) {text}" for number, text in enumerate(told, 1))
        message = f"{source} has {len(told) + untold} problems: {numbered}{f'; and {untold} more' if untold else ''}"
    message += "" if message.endswith("?") else "."
    return SpecError(
        message, suggestions=tuple(dict.fromkeys(text for problem in problems for text in problem.suggestions))
    )


def _path(where: Iterable[str | int]) -> str:
    """`hyperparameterSearch.nTrials`, `features[2]`, `qualityGates["test.roc_auc"]`, in backquotes."""
    path = ""
    for part in where:
        if isinstance(part, str) and re.fullmatch(rf"\w{{1,{LONGEST_SHOWN}}}", part):
            path += f".{part}" if path else part
        else:
            path += f"[{shown(part)}]"
    return f"`{path}`" if path else "it"


# --- from pydantic's errors to sentences ------------------------------------------------------------------------------


def problem_of(details: ErrorDetails) -> Problem:
    """One of pydantic's errors, in our words."""
    loc = details["loc"]
    if details["type"] == "extra_forbidden":
        return _unknown_key(loc[:-1], str(loc[-1]))
    if loc and loc[-1] == "[key]":
        return _wrong_key(_locate(loc[:-2])[0], details)
    if details["type"] == "invalid_key":
        return _wrong_key(_locate(loc[:-1])[0], details)
    where, schema = _locate(loc)
    if details["type"] == "missing":
        meaning = schema.get("description", "it must be given").rstrip(".")
        return Problem(where, f"is missing: {meaning[:1].lower()}{meaning[1:]}")
    return _wrong_value(where, schema, details)


def _wrong_value(where: tuple[str | int, ...], schema: dict[str, Any], details: ErrorDetails) -> Problem:
    value, context = details["input"], details.get("ctx", {})
    if details["type"] == "spec_problem":
        return Problem(where, context["text"], tuple(context["suggestions"]))
    if details["type"] == "string_unicode":
        return Problem(where, f"holds {shown(value)}, in which half a surrogate pair stands alone; that is no text")
    if details["type"] == "too_short":
        return Problem(where, "is an empty list; it needs at least one entry")
    names = context.get("known") or schema.get("enum")
    if names:
        return _unknown_name(where, f"is {shown(value)}", value, names)
    text = f"is {shown(value)}; it must be {_allowed(schema)}"
    kinds = {branch.get("type") for branch in _branches(schema)}
    if isinstance(value, str) and kinds & {"integer", "number"} and _is_number(value):
        text += f" (this is text: write {value.strip()} without quotes)"
    elif isinstance(value, bool | int | float) and kinds == {"string"}:
        text += f' (write "{shown(value)}", in quotes)'
    return Problem(where, text)


def _wrong_key(where: tuple[str | int, ...], details: ErrorDetails) -> Problem:
    """A key that a mapping of free keys (columns, metrics) cannot have."""
    key, context = details["input"], details.get("ctx", {})
    if not isinstance(key, str):
        return Problem(where, f"has the key {shown(key)}, which is not text; put it in quotes")
    if "known" in context:
        return _unknown_name(where, f"has the key {shown(key)}", key, context["known"])
    return Problem(where, f"has a key that {context.get('text', f'is {shown(key)}')}")


def _unknown_name(where: tuple[str | int, ...], told: str, value: Any, names: Sequence[str]) -> Problem:
    near = _nearest(value, names, 3) if isinstance(value, str) else []
    known = ", ".join(names if len(names) <= MOST_NAMES else [f"{names[0]}, {names[len(names) // 2]} and their like"])
    if len(names) <= MOST_NAMES:
        text = f"{told}; it must be one of {known}" if len(names) > 1 else f"{told}; it must be {known}"
    else:
        text = f"{told}, which is not known" if near else f"{told}, which is not known; known are {known}"
    if near:
        text += f"; did you mean {shown(near[0])}?"
    return Problem(where, text, tuple(f"Or did you mean {shown(name)}?" for name in near[1:]))


def _unknown_key(parents: tuple[str | int, ...], key: str) -> Problem:
    """An unknown key, with the nearest one of the same section, or the section in which there is such a key."""
    where, section = _locate(parents)
    known = [name for branch in _branches(section) for name in branch.get("properties", {})]
    accepts = (f"{_path(where) if where else 'The spec'} accepts: {', '.join(known)}.",)
    near = _nearest(key, known)
    elsewhere = [path for path in _all_keys() if _plain(path[-1]) == _plain(key)]
    if near and (_plain(near[0]) == _plain(key) or not elsewhere):
        return Problem((*where, key), f"is not a key of the spec; did you mean `{near[0]}`?", accepts)
    if elsewhere:
        return Problem((*where, key), f"is not a key of the spec; did you mean {_path(elsewhere[0])}?", accepts)
    return Problem((*where, key), f"is not a key of the spec; known here are {', '.join(known)}")


def _nearest(name: str, known: Sequence[str], count: int = 1) -> list[str]:
    """Names that `name` was probably meant to be, best first; case, `_`, `-`, blanks, order of words do not matter."""
    if len(name) > LONGEST_SHOWN:
        return []
    turned = [each for each in known if _words(each) == _words(name)]  # `auc_roc` for `roc_auc`
    if turned:
        return turned[:count]
    plain = {_plain(each): each for each in known}
    return [plain[match] for match in difflib.get_close_matches(_plain(name), plain, n=count, cutoff=0.6)]


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]", "", name).casefold()


def _words(name: str) -> list[str]:
    return sorted(re.split(r"[-_\s]+", name.casefold()))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*", text, re.ASCII) is not None


# --- what the JSON Schema says about a place of the spec --------------------------------------------------------------


def _locate(loc: Sequence[str | int]) -> tuple[tuple[str | int, ...], dict[str, Any]]:
    """The path as a person wrote it, and the schema of the value there.

    Pydantic's `loc` also holds the branch taken in a union; those parts are followed and left out of the path.
    """
    schema = spec_json_schema()
    where: list[str | int] = []
    for part in loc:
        branches = _branches(schema)
        chosen = [
            branch for branch in branches if len(branches) > 1 and part in (branch.get("type"), branch.get("title"))
        ]
        if chosen:
            # A wrong word in place of `auto` is best answered with the whole union, of which `auto` is one branch.
            schema = schema if "const" in chosen[0] else chosen[0]
            continue
        where.append(part)
        schema = next(filter(None, (_child(branch, part) for branch in branches)), {})
    return tuple(where), schema


def _child(schema: dict[str, Any], part: str | int) -> dict[str, Any] | None:
    if isinstance(part, int):
        return schema.get("items")
    extra = schema.get("additionalProperties")
    return schema.get("properties", {}).get(part) or (extra if isinstance(extra, dict) else None)


def _branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The alternatives of a schema without `null`, references followed; one alternative for a plain schema."""
    if "$ref" in schema:
        return _branches(spec_json_schema()["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    options = schema.get("anyOf") or schema.get("oneOf")
    if options is None:
        return [] if schema.get("type") == "null" else [schema]
    return [branch for option in options for branch in _branches(option)]


def _all_keys(schema: dict[str, Any] | None = None, parents: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for branch in _branches(spec_json_schema() if schema is None else schema):
        for key, child in branch.get("properties", {}).items():
            yield (*parents, key)
            yield from _all_keys(child, (*parents, key))


def _allowed(schema: dict[str, Any]) -> str:
    branches = _branches(schema)
    told = [_allowed_branch(branch, alone=len(branches) == 1) for branch in branches]
    return ", or ".join(dict.fromkeys(told))


def _bound(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"


def _allowed_branch(schema: dict[str, Any], *, alone: bool) -> str:
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    kind = schema.get("type")
    if kind == "array":
        return f"a list, each entry {_allowed(schema['items'])}" if alone else "a list of such entries"
    if kind == "object":
        keys = ", ".join(f"`{key}`" for key in schema.get("properties", {}))
        return f"a mapping of {keys}" if keys else "a mapping"
    noun = {"integer": "a whole number", "number": "a finite number", "boolean": "true or false"}.get(
        kind or "", "text"
    )
    if kind == "string" and schema.get("minLength"):
        noun = "text that is not empty"
    bounds = [
        f"{word} {_bound(schema[key])}"
        for key, word in (
            ("minimum", "of at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "of at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    of_what = f" ({schema['description']})" if schema.get("description") in ("rows", "share of the rows") else ""
    return " ".join([noun, " and ".join(bounds)]).strip() + of_what
