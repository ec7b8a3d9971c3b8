"""What works where the extras were not installed: everything else, and forecasting as far as it goes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

HIDDEN = ("statsforecast", "prophet", "neuralforecast", "torch")

HIDE = f"""
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, *args, **kwargs: None if name.partition(".")[0] in {HIDDEN} else find(name, *args, **kwargs)
)
"""
"""Makes a Python process that finds it (as `sitecustomize`) blind to these packages."""


@pytest.fixture
def blind(tmp_path: Path) -> Any:
    """`blind(*arguments)`: `mt-assets` in a process in which the extras are not installed."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(HIDE)
    path = os.pathsep.join(filter(None, (str(tmp_path / "hidden"), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "MT_ASSETS_HOME": str(tmp_path / "home")}

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mt_assets.cli", *map(str, arguments)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    return run


def sales(write_spec: Any, folder: Path, **keys: Any) -> Path:
    times = pd.date_range("2015-01-01", periods=60, freq="MS")
    frame = pd.DataFrame({"month": times, "sales": [100 + at % 12 + at / 10 for at in range(60)]})
    return write_spec(
        folder / "sales", frame, modelType="time_series", targetColumn="sales", timeColumn="month", horizon=6,
        **{"algorithm": "auto", "validationStrategy": ..., **keys},
    )  # fmt: skip


def test_a_plan_goes_on_with_what_is_there_and_says_what_is_not(blind: Any, write_spec: Any, tmp_path: Path) -> None:
    answer = blind("train", sales(write_spec, tmp_path), "--output", tmp_path / "result.json")
    assert answer.returncode == 0, answer.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    decided = {each["decision"]: each for each in result["decisions"]}
    assert decided["algorithms"]["value"] == ["seasonal_naive", "lightgbm", "xgboost"]
    told = decided["algorithms"]["reason"] + decided["recommended"]["reason"]
    assert "pip install 'mt-assets[forecast]'" in told
    assert result["metrics"]["test"]["mase"] < result["metrics"]["baseline"]["mase"]


@pytest.mark.parametrize(("name", "extra"), [("arima", "forecast"), ("theta", "forecast"), ("lstm", "deep")])
def test_a_forecaster_that_is_named_comes_with_its_line_of_installation(
    name: str, extra: str, blind: Any, write_spec: Any, tmp_path: Path
) -> None:
    answer = blind("plan", sales(write_spec, tmp_path, algorithm=name))
    assert answer.returncode == 2
    assert f"pip install 'mt-assets[{extra}]'" in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr
