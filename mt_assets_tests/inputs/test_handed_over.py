"""What other steps hand over: recommendations stop a run when they are wrong, feedback is told of and passed over."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DATA = b"age,income,target\n" + b"".join(
    b"%d,%d,%s\n" % (n % 17, n * 37 % 101, b"yes" if n % 17 < 8 else b"no") for n in range(60)
)

RECOMMENDATIONS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty": ("", ("empty",)),
    "list": ("[1]", ("mapping",)),
    "text": ("drop", ("mapping",)),
    "noise": (bytes(range(128, 256)), ("not text",)),
    "unknown key": ("drops: [age]", ("`drops`", "`drop`")),
    "wrong type": ("drop: 1", ("`drop`",)),
    "unknown transformation": ("transform: {income: logg}", ("`transform.income`", "log")),
    "use and drop": ("use: [age]\ndrop: [age]", ("'age'", "`use`", "`drop`")),
    "markup": ("<script>: 1", ("<script>",)),
    "terminal": ('"\\e[2J[/]": 1', ("[2J[/]",)),
    "nothing left": ("drop: [age, income]", ("'age'",)),
    "bomb": (
        "a0: &a0 [x]\n"
        + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))
        + "\ndrop: *a29",
        ("aliases",),
    ),
    "deep": ("drop: " + "[" * 20_000, ("deeply",)),
    "huge": ("drop: [" + ",".join(f"c{n}" for n in range(3_000_000)) + "]", ("MB",)),
    "tag": ("drop: !!python/name:os.system", ("python/name",)),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", RECOMMENDATIONS)
def test_hostile_recommendations_are_refused(
    case: str, tmp_path: Path, promise: Callable[..., Any], data_spec: Callable[..., Path]
) -> None:
    content, named = RECOMMENDATIONS[case]
    path = tmp_path / "advice.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    kept = promise("plan", data_spec(DATA, inputs={"featureRecommendations": str(path)}))
    assert kept.code == 2, kept.told
    assert all(name in kept.told for name in named), kept.told[:500]


def _parquet(table: pa.Table, cut: int | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()[:cut]


FEEDBACK: dict[str, tuple[bytes, str]] = {
    # file: (content, what is told of it)
    "empty.json": (b"", "empty"),
    "noise.json": (bytes(range(128, 256)), "not text"),
    "latin.jsonl": (b'{"reason": "gr\xf6\xdfer"}', "cannot be read"),
    "scalar.json": (b"12", "mapping"),
    "unknown.json": (b'{"metrics": {"roc_auc": 0.5}, "verdikt": "fail"}', "`verdikt`"),
    "nothing.json": (b"{}", "says nothing"),
    "nan.json": (b'{"metrics": {"roc_auc": NaN}}', "metrics.roc_auc"),
    "text.json": (b'{"metrics": {"roc_auc": "high"}}', "metrics.roc_auc"),
    "gate.json": (b'{"metrics": {"a": 1}, "gates": {"a": "about 1"}}', "gates.a"),
    "digits.json": (b'{"rows": ' + b"9" * 10_000 + b', "metrics": {"a": 1}}', "digits"),
    "digits.jsonl": (b'{"rows": ' + b"9" * 10_000 + b', "metrics": {"a": 1}}', "line 1"),
    "rows.json": (b'{"rows": 1e300, "metrics": {"a": 1}}', "rows"),
    "early.json": (b'{"metrics": {"a": 1}, "window": {"to": "0001-01-01T00:00:00+14:00"}}', "window.to"),
    "late.json": (b'{"metrics": {"a": 1}, "window": {"to": "9999-12-31T23:59:59-14:00"}}', "window.to"),
    "seconds.json": (b'{"metrics": {"a": 1}, "window": {"to": 1e300}}', "window.to"),
    "deep.jsonl": (b"[" * 200_000, "line 1"),
    "deep.json": (b"[" * 200_000, "deeply"),
    "half.jsonl": (b'{"metrics": {"a": 1}}\n{"metrics"', "line 2"),
    "bomb.yaml": (RECOMMENDATIONS["bomb"][0].encode(), "aliases"),  # type: ignore[union-attr]
    "markup.json": (b'{"<script>alert(1)</script>": 1}', "<script>"),
    "markup2.json": (b'{"metrics": {"a": 1}, "verdict": "<img src=x onerror=alert(1)>"}', "<img"),
    "terminal.json": (b'{"\\u001b[2J[/red]": 1}', "[/red]"),
    "cut.parquet": (_parquet(pa.table({"version": [1]}), 60), "Parquet"),
    "none.parquet": (b"", "Parquet"),
    "twice.parquet": (_parquet(pa.table([[1], [2]], names=["version", "version"])), "twice.parquet"),
    "nested.parquet": (_parquet(pa.table({"metrics": [[[1]]]})), "metrics"),
    "times.parquet": (
        _parquet(pa.table({"window.to": pa.array([2**62], pa.timestamp("us")), "metrics.a": [1.0]})),
        "Parquet",
    ),
    "bytes.parquet": (_parquet(pa.table({"reason": [b"\xff"], "metrics.a": [1.0]})), "reason"),
    "large.json": (b"[" + b"1," * (10 << 20) + b"1]", "MB"),
    "large.jsonl": (b"1\n" * (10 << 20), "MB"),
}


@pytest.mark.timeout(120)
def test_hostile_feedback_stops_nothing_and_each_file_of_it_is_told(
    tmp_path: Path, promise: Callable[..., Any], data_spec: Callable[..., Path], shared_home: Path
) -> None:
    import dagster as dg

    drops = tmp_path / "drops"
    drops.mkdir()
    for name, (content, _) in FEEDBACK.items():
        (drops / name).write_bytes(content)
    os.mkfifo(drops / "pipe.json")
    (drops / "zero.json").symlink_to("/dev/zero")
    (drops / "circle.json").symlink_to("circle.json")
    (drops / "folder.json").mkdir()
    spec = data_spec(DATA, name="fed", inputs={"evaluationFeedback": str(drops)})
    assert promise("train", spec).code == 0
    with dg.DagsterInstance.get() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["fed", "training_plan"]))
    assert event is not None and event.asset_materialization is not None
    parts = str(event.asset_materialization.metadata["evaluation_feedback"].value).split("The evaluation feedback ")
    told = {Path(part.split()[0].rstrip(",.")).name: part for part in parts[1:]}
    pipes = {"pipe.json": (b"", "no regular file"), "zero.json": (b"", "no regular file"), "circle.json": (b"", "link")}
    missed = {
        name: told.get(name) for name, (_, words) in {**FEEDBACK, **pipes}.items() if words not in told.get(name, "")
    }
    assert not missed
