"""Any small table with any small spec: the promise is kept, whatever hypothesis thinks of."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DEFECTS = ("defect", "dagster", "unexplained")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
odd = st.sampled_from(
    ["", "NA", "inf", "-inf", "1e308", "1e-320", "9007199254740993", "2024-02-30", "01", "true", "=1+1"]
)
cells = st.one_of(
    st.integers(-5, 5).map(str),
    st.floats().map(repr),
    st.integers().map(str),
    st.dates().map(str),
    st.datetimes().map(str),
    odd,
    texts,
)
names = st.one_of(st.sampled_from(["a", "id", "date", "price", "a b", "../x", "<b>", "=x", "🙂", "Target"]), texts)


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """CSV of up to four columns of 0 to 60 rows, each column of one kind or of all, and the names."""
    header = draw(st.lists(names, min_size=1, max_size=4))
    rows = draw(st.one_of(st.integers(0, 6), st.integers(30, 60)))
    columns = []
    for _ in header:
        kind = draw(st.sampled_from(["number", "label", "any"]))
        few = draw(st.lists(cells, min_size=1, max_size=3))
        step = draw(st.integers(1, 7))
        numbers = [str(n * step % 13) for n in range(rows)]
        labels = [few[n * step % len(few)] for n in range(rows)]
        mixed = [few[n % len(few)] if n % 5 == 0 else numbers[n] for n in range(rows)]
        columns.append({"number": numbers, "label": labels, "any": mixed}[kind])
    quoted = [
        ",".join('"' + value.replace('"', '""') + '"' for value in row) for row in [header, *zip(*columns, strict=True)]
    ]
    text = "\n".join(quoted) + draw(st.sampled_from(["\n", "", "\n\n", "\nx"]))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]))), header


specs = st.fixed_dictionaries(
    {},
    optional={
        "modelType": st.sampled_from(["auto", "classification", "regression"]),
        "algorithm": st.sampled_from(["logistic_regression", "ridge", "random_forest", "lightgbm"]),
        "testSize": st.sampled_from([0, 0.2, 0.5, 1, 5, 10**6]),
        "validationStrategy": st.sampled_from(
            [
                {"type": "kfold"},
                {"type": "holdout"},
                {"folds": 50},
                {"type": "leave_one_out"},
                {"type": "stratified_kfold"},
            ]
        ),
        "classImbalance": st.sampled_from(["auto", "class_weight"]),
        "positiveLabel": st.sampled_from([1, "1", True, "x"]),
        "timeColumn": st.sampled_from(["date", "a"]),
        "groupColumn": st.sampled_from(["id", "a"]),
        "featureTypes": st.dictionaries(
            st.sampled_from(["a", "id", "date"]), st.sampled_from(["numeric", "datetime", "text"])
        ),
        "sensitiveColumns": st.just(["a"]),
        "options": st.fixed_dictionaries({}, optional={"calibrate": st.booleans(), "seed": st.integers(0, 9)}),
    },
)


@pytest.fixture(scope="module")
def one_home(tmp_path_factory: pytest.TempPathFactory, at_home: Any) -> Iterator[Path]:
    with at_home(tmp_path_factory.mktemp("any") / "home") as folder:
        folder.mkdir()
        yield folder


def _command(folder: Path, command: str, table: tuple[bytes, list[str]], asked: dict[str, Any], target: int) -> None:
    """Run a command on a table and a spec in this process, and hold it to the promise."""
    from mt_assets.cli import main

    content, header = table
    (folder / "x.csv").write_bytes(content)
    column = header[target % len(header)]
    quick = {"hyperparameterSearch": {"enabled": False}, "experimentTracking": {"enabled": False}}
    spec = {"name": "any", "trainDataPath": "x.csv", "targetColumn": column, **quick, **asked}
    spec["validationStrategy"] = {"folds": 2} | spec.get("validationStrategy", {})
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    output = folder / "result.json"
    output.unlink(missing_ok=True)
    arguments = ["mt-assets", command, str(folder / "spec.yaml")]
    before, said = sys.argv, io.StringIO()
    sys.argv = [*arguments, *(["--output", str(output)] if command == "train" else [])]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    assert ended.value.code in (0, 1, 2, 3)
    assert "Traceback" not in said.getvalue()
    if command == "train":
        result = json.loads(output.read_text())
        assert result["success"] is (ended.value.code in (0, 3))
        assert result["success"] or result["error"]["cause"] not in DEFECTS, result["error"]
        assert result["success"] or result["error"]["message"]


profile = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], derandomize=True
)


@settings(profile, max_examples=30)
@given(tables(), specs, st.integers(0, 3))
def test_any_table_is_planned_for_or_refused(one_home, tmp_path, table, asked, target):
    _command(tmp_path, "plan", table, asked, target)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(profile, max_examples=1_000)
@given(tables(), specs, st.integers(0, 3))
def test_any_table_is_planned_for_or_refused_at_length(one_home, tmp_path, table, asked, target):
    _command(tmp_path, "plan", table, asked, target)


def _train(folder: Path, home: Path, table: Any, asked: dict[str, Any], target: int) -> None:
    # Each training is one of a new model: the schema of the first would refuse all others.
    _command(folder, "train", table, asked | {"name": f"any{os.urandom(4).hex()}"}, target)


@pytest.mark.slow
@settings(profile, max_examples=2)
@given(tables(), specs, st.integers(0, 3))
def test_any_table_is_learned_from_or_refused(one_home, tmp_path, table, asked, target):
    _train(tmp_path, one_home, table, asked, target)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(profile, max_examples=150)
@given(tables(), specs, st.integers(0, 3))
def test_any_table_is_learned_from_or_refused_at_length(one_home, tmp_path, table, asked, target):
    _train(tmp_path, one_home, table, asked, target)
