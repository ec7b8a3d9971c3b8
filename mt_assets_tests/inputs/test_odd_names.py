"""Odd names and labels are data: a model is trained on them, and nothing that is written lets them act."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

NAMES = (
    *("🙂 emoji", "größe", "名前", "a b", "' \" `", '{"json": [1]}', "yaml: &a *b !c", "tab\there", "line\nbreak"),
    *("../../etc/passwd", "/etc/passwd", "C:\\evil", "con", ".", "[link](javascript:alert(1))", "[/red]", ":warning:"),
    *("=cmd|'/c calc'!A1", "+1+1", "@SUM(1)", "-1", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>"),
    *("$\\frac{", "%s %d {0} {miss}", "\x1b[2J", "x" * 2_000, "__index_level_0__x", "predicted"),
)
"""Of columns; each is a feature."""

LABELS = ("=cmd|'/c calc'!A1", "<script>alert(1)</script>")
"""Of the target."""


def _frame(rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {name: rng.integers(0, 9, rows) + at for at, name in enumerate(NAMES)}
    columns["words"] = rng.choice([*NAMES[:24]], rows)
    columns["target"] = np.where(columns[NAMES[0]] + rng.normal(0, 1, rows) > 4, *LABELS)
    return pd.DataFrame(columns)


@pytest.mark.parametrize("algorithm", [["logistic_regression", "lightgbm", "xgboost", "catboost"]])
def test_a_model_is_trained_on_odd_names_and_nothing_written_lets_them_act(
    algorithm: list[str],
    tmp_path: Path,
    promise: Callable[..., Any],
    data_spec: Callable[..., Path],
    shared_home: Path,
    mt_assets: Callable[..., Any],
) -> None:
    frame = _frame()
    keys = {"sensitiveColumns": ["words"], "outputs": ["model_card"], "name": "odd", "positiveLabel": LABELS[0]}
    kept = promise("train", data_spec(frame, algorithm=algorithm, **keys))
    assert kept.code == 0, kept.told
    assert set(kept.result["featureImportance"]) == {*NAMES, "words"}
    assert len({row["algorithm"] for row in kept.result["leaderboard"]} & set(algorithm)) == len(algorithm)
    assert all(str(Path(path)).startswith(str(shared_home)) for path in kept.result["artifacts"])

    (card,) = [Path(path) for path in kept.result["artifacts"] if path.endswith("model_card.md")]
    text = card.read_text()
    assert not [mark for mark in ("<script", "<img", "](javascript", "\x1b") if mark in text]

    new = tmp_path / "new.csv"
    frame.drop(columns="target").to_csv(new, index=False)
    for suffix in ("csv", "jsonl", "parquet"):
        output = tmp_path / f"scored.{suffix}"
        assert promise("predict", "odd", new, "--output", output, writes=(output,)).code == 0
    scored = pd.read_csv(tmp_path / "scored.csv")
    # Scored tables are for programs: every name and label is what it was, also where a spreadsheet would compute it.
    assert list(scored.columns[: len(NAMES)]) == list(NAMES)
    assert set(scored["predicted_target"]) <= set(LABELS)
    assert list(scored["words"]) == list(frame["words"])
    rows = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert list(rows[0])[: len(NAMES)] == list(NAMES)
    assert list(pd.read_parquet(tmp_path / "scored.parquet").columns) == list(scored.columns)


def test_a_first_spec_of_odd_names_is_a_spec(
    tmp_path: Path, promise: Callable[..., Any], write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    _frame().to_csv(tmp_path / "x.csv", index=False)
    first = tmp_path / "first.yaml"
    assert promise("init", tmp_path / "x.csv", "--target", "target", "--output", first, writes=(first,)).code == 0
    kept = promise("plan", first)
    assert kept.code == 0, kept.told


@pytest.mark.parametrize("command", ["predict", "models", "promote", "rollback", "accept-schema"])
@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "<b>\x1b[2J", "🙂", "x" * 3_000])
def test_no_name_of_a_model_leads_out_of_the_home(command: str, name: str, promise: Callable[..., Any]) -> None:
    further = {"predict": ("a.csv", "--output", "out.csv"), "promote": ("1",)}
    assert promise(command, name, *further.get(command, ())).code == 2
