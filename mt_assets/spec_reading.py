"""Reading a training spec: from a file or a mapping to a `TrainingSpec`, or to one error that says all that is wrong.

What belongs here: file formats, and what depends on where the spec lies (its default name, relative paths). What does
not: what is allowed (`spec`, `spec_values`, `spec_support`), and how that is told (`spec_errors`).
"""

import difflib
import json
import re
import stat
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mt_assets.spec import TrainingSpec
from mt_assets.spec_errors import MOST_PROBLEMS, problem_of, spec_error
from mt_assets.spec_support import contradictions, unsupported
from mt_assets.spec_values import Problem, shown, slug
from mt_assets.trainer.errors import SpecError

_SMALLEST = "The smallest spec has the two keys `trainDataPath` and `targetColumn`."

LARGEST_DOCUMENT = 4_000_000
"""Bytes of a file that is written by hand or about columns: 10,000 columns with a sentence about each are 1 MB."""

MOST_GROWTH = 100_000
"""Values that aliases may make of a YAML file. Nine lines of nine aliases each are a thousand million."""


def load_spec(path: Path | str) -> TrainingSpec:
    """Read a spec from a `.json`, `.yaml` or `.yml` file; relative paths in it are relative to its folder.

    Raises
    ------
    SpecError
        When the file cannot be read or holds anything but a right spec; the message names the file and every problem.
    """
    path = Path(path).absolute()
    content = read_document(path, "training spec", (_SMALLEST,))
    return _parse(content, base=path.parent, default_name=path.stem, source=f"The training spec {path}")


def read_document(path: Path, what: str, remedy: Sequence[str] = ()) -> Any:
    """What a `.json`, `.yaml` or `.yml` file holds.

    Parameters
    ----------
    path : Path
    what : str
        What the file is, for messages: "training spec".
    remedy : sequence of str
        What to do with an empty one.

    Raises
    ------
    SpecError
        When the file cannot be read, is empty, or is not of the form that its suffix says.
    """
    return _parse_text(read_text(path, what, remedy), path, what)


def parse_spec(mapping: Mapping[str, Any], *, base: Path, default_name: str) -> TrainingSpec:
    """Make a spec of a mapping as it would stand in a file.

    Parameters
    ----------
    mapping : mapping
        Keys in camelCase.
    base : Path
        Folder that relative paths start from.
    default_name : str
        What the name is made of when neither `name` nor `experimentTracking.experimentName` gives one.

    Raises
    ------
    SpecError
        With every problem in one message.
    """
    return _parse(mapping, base=base, default_name=default_name, source="The training spec")


def _parse(content: Any, *, base: Path, default_name: str, source: str) -> TrainingSpec:
    if not isinstance(content, Mapping):
        raise SpecError(
            f"{source} must be a mapping of keys to values, but it is {shown(content)}.",
            suggestions=(_SMALLEST,),
        )
    asked, untold = dict(content), 0
    try:
        if asked.get("name") is None:
            asked["name"] = _default_name(asked.get("experimentTracking"), default_name)
        spec = TrainingSpec.model_validate(asked, by_alias=True, by_name=False, context={"base": base.absolute()})
        problems = [*contradictions(spec), *unsupported(spec)]
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = [problem_of(details) for details in found[:MOST_PROBLEMS]]
        untold = len(found) - len(problems)
    except RecursionError:
        problems = [Problem((), "is nested too deeply to be read")]
    if problems:  # raised here, outside the handler: the original error would carry values that must not be shown
        raise spec_error(source, problems, untold)
    return spec


def _default_name(tracking: Any, default_name: str) -> str:
    """A name from the experiment's name; where that gives none, from the file's."""
    experiment = tracking.get("experimentName") if isinstance(tracking, Mapping) else None
    if isinstance(experiment, str):
        try:
            return slug(experiment)
        except SpecError:
            pass  # of letters that no slug can hold; the file's name is the next in line
    return default_name


def read_text(path: Path, what: str, remedy: Sequence[str] = ()) -> str:
    """The text of a file in any form of Unicode; parameters as of `read_document`.

    Raises
    ------
    SpecError
        When there is no such file, or it is empty, no text, larger than any of its kind, or no regular file: a pipe
        would be waited for without end.
    """
    try:
        known = path.stat()
        if not stat.S_ISREG(known.st_mode) and not stat.S_ISDIR(known.st_mode):
            raise SpecError(f"The {what} {path} is no regular file, but a pipe, a socket or a device; name a file.")
        if known.st_size > LARGEST_DOCUMENT:
            raise SpecError(
                f"The {what} {path} has {known.st_size / 1e6:,.0f} MB; more than {LARGEST_DOCUMENT / 1e6:.0f} MB are "
                "not read.",
                suggestions=("Write into it only what it is for.",),
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SpecError(f"There is no {what} {path}.", suggestions=_files_like(path)) from None
    except IsADirectoryError:
        raise SpecError(f"The {what} {path} is a folder; name one file in it.") from None
    except OSError as error:
        raise SpecError(f"The {what} {path} cannot be read: {error.strerror}.") from None
    try:
        text = raw.decode(json.detect_encoding(raw))  # UTF-8, -16 or -32, with or without byte order mark
    except UnicodeDecodeError as error:
        raise SpecError(
            f"The {what} {path} is not text: byte {error.start} cannot be read as {error.encoding}.",
            suggestions=("Save the file as UTF-8.",),
        ) from None
    if not text.strip():
        raise SpecError(f"The {what} {path} is empty.", suggestions=remedy)
    return text


def _files_like(path: Path) -> tuple[str, ...]:
    if not path.parent.is_dir():
        return (f"There is no folder {path.parent} either.",)
    near = difflib.get_close_matches(path.name, sorted(each.name for each in path.parent.iterdir()), n=3)
    return tuple(f"Did you mean {path.parent / name}?" for name in near)


def _parse_text(text: str, path: Path, what: str) -> Any:
    """What the file holds; which format it is in is told by its suffix."""
    suffix = path.suffix.lower()
    if suffix not in (".json", ".yaml", ".yml"):
        raise SpecError(f"The {what} {path} must be a .json, .yaml or .yml file, but its suffix is {suffix!r}.")
    try:
        return _parse_json(text, what) if suffix == ".json" else parse_yaml(text)
    except json.JSONDecodeError as error:
        said = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        told = f"is no valid JSON: {said} at line {error.lineno}, column {error.colno}"
    except yaml.MarkedYAMLError as error:
        told = f"is no valid YAML: {_yaml_message(error)}"
    except yaml.YAMLError as error:
        told = f"is no valid YAML: {getattr(error, 'reason', 'it cannot be read')}"
    except RecursionError:
        told = "is nested too deeply to be read"
    except (ValueError, LookupError, TypeError, AttributeError):  # a value that its own tag or form forbids
        told = "holds a value that cannot be read, such as a number of thousands of digits or a wrong `!!` tag"
    raise SpecError(f"The {what} {path} {told}.")


def parse_yaml(text: str) -> Any:
    """What a YAML text holds.

    Raises
    ------
    yaml.YAMLError
        It is no YAML, or its aliases make far more of it than stands there.
    """
    return yaml.load(text, _Loader)


def _parse_json(text: str, what: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        doubled.extend(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        return dict(pairs)

    doubled: list[str] = []
    content = json.loads(text, object_pairs_hook=unique)
    if doubled:
        raise SpecError(
            f"The {what} has the key {', '.join(map(shown, doubled[:10]))} more than once in one mapping; "
            "it is not clear which value is meant."
        )
    return content


def _yaml_message(error: yaml.MarkedYAMLError) -> str:
    """The problem and its place, without the excerpt of the file, which may hold a password."""
    problem = error.problem or "it cannot be read"
    mark = error.problem_mark or error.context_mark
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    hint = '; a condition such as ">=0.85" has to be put in quotes' if "chomping or indentation" in problem else ""
    return f"{problem}{place}{hint}"


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars, and no key twice.

    Only `true` and `false` are booleans (a label `no` or a column `y` stays text); digits with a leading zero, dates
    and `12:30` stay text; `1e-3` is a number. So a value means the same in YAML as in JSON.
    """

    yaml_implicit_resolvers = {}

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            sizes: dict[int, int] = {}
            if _unfolded(node, sizes) > MOST_GROWTH and len(sizes) < MOST_GROWTH:
                problem = f"its aliases unfold to more than {MOST_GROWTH:,} values; write out what is meant"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {shown(key.value)} stands there a second time", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


_OPEN = -1
"""In place of the size of a node that is still being counted."""


def _unfolded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node stands for, those of aliases counted wherever they are used."""
    known = sizes.get(id(node))
    if known == _OPEN:
        raise yaml.constructor.ConstructorError(None, None, "an alias stands inside of itself", node.start_mark)
    if known is not None:
        return known
    sizes[id(node)] = _OPEN
    inner = node.value if isinstance(node, yaml.CollectionNode) else ()
    children = [each for pair in inner for each in pair] if isinstance(node, yaml.MappingNode) else inner
    sizes[id(node)] = 1 + sum(_unfolded(child, sizes) for child in children)
    return sizes[id(node)]


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])
