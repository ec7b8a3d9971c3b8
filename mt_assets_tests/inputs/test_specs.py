"""Specs that nobody should hand over: each is refused with its key, before any data is read, or means what it says."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SMALLEST = '"trainDataPath": "nowhere.csv", "targetColumn": "target"'
HUGE = 10**400


@dataclass(frozen=True)
class Text:
    """One case: the file's text or bytes, what the refusal names, and the file's suffix."""

    content: str | bytes
    named: tuple[str, ...]
    suffix: str = ".yaml"


def with_keys(named: tuple[str, ...], **keys: Any) -> Text:
    """A spec of JSON with these keys besides the smallest ones."""
    return Text(
        "{" + ", ".join([SMALLEST, *(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in keys.items())]) + "}",
        named,
        ".json",
    )


def doubling(levels: int, leaf: str, form: str) -> str:
    """YAML in which each anchor holds the one before it nine times."""
    lines = [f"a0: &a0 {leaf}"]
    for at in range(1, levels):
        lines.append(f"a{at}: &a{at} {form.format(', '.join([f'*a{at - 1}'] * 9))}")
    return "\n".join(lines)


def bomb(key: str, levels: int = 30) -> str:
    lines = doubling(levels, "[x, x]", "[{}]").splitlines()
    return "\n".join([*lines, f"{key}: *a{levels - 1}", "trainDataPath: nowhere.csv", "targetColumn: target"])


SPECS: dict[str, Text] = {
    # --- files
    "empty": Text("", ("empty",)),
    "noise": Text(bytes(range(128, 256)) * 20, ("not text",)),
    "nul": Text("trainDataPath: a\0b", ("YAML",)),
    "utf-16": Text(("{" + SMALLEST + ', "x": 1}').encode("utf-16"), ("`x`",), ".json"),
    "mark and latin": Text(b"\xef\xbb\xbfname: gr\xf6\xdfe", ("not text", "utf-8")),
    "too large": Text(b"# " + b"x" * (5 << 20), ("5 MB", "4 MB")),
    "too large json": Text(b"[" + b"1," * (3 << 20) + b"1]", ("6 MB", "4 MB"), ".json"),
    "list": Text("[1, 2]", ("mapping",)),
    "number": Text("12", ("mapping",)),
    "tag": Text("name: !!python/object/apply:os.system ['touch pwned']", ("python/object/apply",)),
    "date tag": Text("name: !!timestamp 2024-99-99", ("cannot be read",)),
    "two documents": Text("a: 1\n---\na: 2", ("document",)),
    # --- growth and depth
    "bomb of lists": Text(bomb("features"), ("aliases",)),
    "bomb in free keys": Text(bomb("hyperparameterSearch: {searchSpace: {lightgbm: *a29}}\nx"), ("aliases",)),
    "bomb in an unknown key": Text(bomb("x"), ("aliases",)),
    "bomb in a name": Text(bomb("name"), ("aliases",)),
    "bomb of merges": Text(
        doubling(30, "{k0: 1}", "{{<<: [{}]}}") + "\ntrainDataPath: a\ntargetColumn: b", ("aliases",)
    ),
    "alias of itself": Text("features: &a [*a]\ntrainDataPath: a\ntargetColumn: b", ("itself",)),
    "mapping in itself": Text(
        "hyperparameterSearch: {searchSpace: &a {svm: *a}}\ntrainDataPath: a\ntargetColumn: b", ("itself",)
    ),
    "merge of itself": Text("options: &a {<<: *a}\ntrainDataPath: a\ntargetColumn: b", ("itself",)),
    "deep yaml": Text("features: " + "[" * 20_000, ("deeply",)),
    "deep blocks": Text("".join(" " * n + "a:\n" for n in range(2_000)), ("deeply",)),
    "deep json": Text("[" * 200_000, ("deeply",), ".json"),
    "deep search space": Text(
        "{" + SMALLEST + ', "hyperparameterSearch": {"searchSpace": ' + '{"svm": ' * 300 + "1" + "}" * 302,
        ("searchSpace",),
        ".json",
    ),
    "many keys": Text(
        "{" + SMALLEST + "".join(f', "k{n}": {n}' for n in range(5_000)) + "}", ("`k0`", "problems"), ".json"
    ),
    # --- keys
    "key twice": Text("targetColumn: a\ntargetColumn: b", ("targetColumn", "second time")),
    "key twice in json": Text("{" + SMALLEST + ', "targetColumn": "b"}', ("targetColumn", "more than once"), ".json"),
    "keys of no text": Text("1: a\ntrue: b\nnull: c\ntrainDataPath: a\ntargetColumn: b", ("1",)),
    "a list as key": Text("? [a, b]\n: c", ("YAML",)),
    "long key": with_keys(("xxxx",), **{"x" * 100_000: 1}),
    "key of markup": with_keys(("<script>",), **{"<script>alert(1)</script>": 1}),
    "key of a terminal": with_keys(("[/red]",), **{"[/red]\x1b[2J": 1}),
    # --- types
    "path of number": Text("trainDataPath: 1\ntargetColumn: b", ("`trainDataPath`",)),
    "path of nothing": Text("trainDataPath: []\ntargetColumn: b", ("`trainDataPath`",)),
    "path with nul": Text(
        '{"trainDataPath": "a\\u0000.csv", "targetColumn": "b"}', ("`trainDataPath`", "NUL"), ".json"
    ),
    "target of half a surrogate": Text(
        '{"trainDataPath": "a", "targetColumn": "\\ud800"}', ("`targetColumn`", "surrogate"), ".json"
    ),
    "target of list": with_keys(("`features`",), features={"a": 1}),
    "features of everything": with_keys(("features",), features=[1, None, True, {}, [], "a"]),
    "section of text": with_keys(("`options`",), options="all"),
    "section of null": with_keys(("`hyperparameterSearch`",), hyperparameterSearch=None),
    # --- numbers
    "nan": Text("{" + SMALLEST + ', "options": {"timeBudget": NaN}}', ("`options.timeBudget`",), ".json"),
    "infinity": Text("{" + SMALLEST + ', "hyperparameterSearch": {"timeout": Infinity}}', ("timeout",), ".json"),
    "yaml nan": Text("trainDataPath: a\ntargetColumn: b\ntestSize: .nan", ("`testSize`",)),
    "thousands of digits": Text("{" + SMALLEST + ', "testSize": ' + "9" * 5_000 + "}", ("digits",), ".json"),
    "negative budget": with_keys(("`options.timeBudget`", "-5"), options={"timeBudget": -5}),
    "tiny budget": with_keys(("`options.timeBudget`", "30"), options={"timeBudget": 1e-300}),
    "absurd budget": with_keys(("timeBudget", "31,622,400"), options={"timeBudget": 1e300}),
    "absurd timeout": with_keys(("timeout", "31,622,400"), hyperparameterSearch={"timeout": 1e300}),
    "absurd memory": with_keys(("memoryLimit",), options={"memoryLimit": 1e300}),
    "absurd trials": with_keys(("nTrials", "1,000,000"), hyperparameterSearch={"nTrials": HUGE}),
    "absurd workers": with_keys(("workers", "1,000"), hyperparameterSearch={"workers": HUGE}),
    "absurd threads": with_keys(("threads", "1,000"), options={"threads": HUGE}),
    "absurd folds": with_keys(("folds", "1,000"), validationStrategy={"folds": HUGE}),
    "absurd repeats": with_keys(("repeats", "1,000"), validationStrategy={"type": "repeated_kfold", "repeats": HUGE}),
    "absurd seed": with_keys(("seed",), options={"seed": HUGE}),
    "absurd rounds": with_keys(("earlyStoppingRounds",), options={"earlyStoppingRounds": HUGE}),
    "absurd rounds of search": with_keys(("improveRounds",), retraining={"improveRounds": HUGE}),
    "absurd test": with_keys(("testSize",), testSize=HUGE),
    "absurd validation": with_keys(("validationSize",), validationSize=HUGE, validationStrategy={"type": "holdout"}),
    "absurd gap": with_keys(("gap",), validationStrategy={"gap": HUGE}, timeColumn="t"),
    "absurd new rows": with_keys(("minNewRows",), retraining={"minNewRows": HUGE}),
    "absurd segment": with_keys(("minSegment",), promotion={"minSegment": HUGE}),
    "absurd cooldown": with_keys(("cooldown",), retraining={"cooldown": 1e300}),
    "absurd beta": with_keys(("beta",), objective={"metric": "fbeta", "beta": 1e300}),
    "absurd costs": with_keys(
        ("falsePositive",), objective={"metric": "cost", "costs": {"falsePositive": 1e308, "falseNegative": 1}}
    ),
    "absurd range": with_keys(
        ("n_estimators",), algorithm="lightgbm", hyperparameterSearch={"searchSpace": {"n_estimators": [1, HUGE]}}
    ),
    # --- names
    "name of dots": with_keys(("`name`",), name="../.."),
    "name of another script": with_keys(("`name`",), name="模型"),
    "name of emoji": with_keys(("`name`",), name="🙂"),
    "schedule of the clock": with_keys(("schedule",), retraining={"schedule": "* * * * * * *"}),
    "time zone of a path": with_keys(("timezone",), retraining={"timezone": "../../etc/passwd"}),
    "predictions beyond": with_keys(
        ("predictions.output",), predictions={"dataPath": "a.csv", "output": "../../x.exe"}
    ),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", SPECS)
def test_a_hostile_spec_is_refused_with_its_key(case: str, tmp_path: Path, promise: Callable[..., Any]) -> None:
    spec = SPECS[case]
    path = tmp_path / f"spec{spec.suffix}"
    path.write_bytes(spec.content if isinstance(spec.content, bytes) else spec.content.encode())
    kept = promise("train", path)
    assert kept.code == 2, kept.told
    assert kept.error["type"] == "SpecError"
    assert kept.error["phase"] == "spec"
    assert "nowhere" not in kept.told
    assert all(name in kept.error["message"] for name in spec.named), kept.error["message"][:600]


def _loop(folder: Path) -> Path:
    (folder / "a.yaml").symlink_to("b.yaml")
    (folder / "b.yaml").symlink_to("a.yaml")
    return folder / "a.yaml"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "spec.yaml")
    return folder / "spec.yaml"


def _device(folder: Path) -> Path:
    (folder / "spec.yaml").symlink_to("/dev/zero")
    return folder / "spec.yaml"


PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "links in a circle": (_loop, "a.yaml"),
    "a pipe": (_pipe, "no regular file"),
    "a device": (_device, "no regular file"),
    "a folder": (lambda folder: folder, "folder"),
    "a name too long": (lambda folder: folder / ("x" * 5_000 + ".yaml"), "too long"),
    "nothing": (lambda folder: folder / "nothing.yaml", "nothing.yaml"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("key", "case"),
    [
        *(("spec", case) for case in PLACES),
        *(("inputs.featureRecommendations", case) for case in PLACES),
        *(("dataSchema", case) for case in ("a pipe", "nothing")),  # which a whole run alone reads
    ],
)
def test_a_place_that_is_no_file_is_refused(
    case: str, key: str, tmp_path: Path, promise: Callable[..., Any], data_spec: Callable[..., Path]
) -> None:
    make, told = PLACES[case]
    (tmp_path / "place").mkdir()
    path = make(tmp_path / "place")
    if key == "spec":
        kept = promise("train", path)
    else:
        outer, _, inner = key.partition(".")
        command = "train" if key == "dataSchema" else "plan"
        kept = promise(
            command, data_spec(b"a,target\n1,x\n2,y\n3,x\n" * 20, **{outer: {inner: str(path)} if inner else str(path)})
        )
    assert kept.code == 2, kept.told
    assert told in kept.told, kept.told


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\evil", "=<b>a\nb</b>", "größe" * 1_000])
def test_a_name_becomes_a_slug_wherever_it_is_written(
    name: str, promise: Callable[..., Any], data_spec: Callable[..., Path], shared_home: Path
) -> None:
    kept = promise("train", data_spec("nowhere.csv", name=name))
    assert kept.code == 2
    made = max((shared_home / "models").iterdir(), key=lambda path: path.stat().st_mtime).name
    assert made.replace("_", "").isalnum() and made.isascii() and len(made) <= 66
