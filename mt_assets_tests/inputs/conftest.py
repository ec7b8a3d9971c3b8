"""What tests of malformed and hostile inputs share: the promise that every one of them is held to.

Whatever is handed over, a command ends with exit code 0, 1, 2 or 3; what stops it is named on the terminal and in the
result, and is never the trace of a library; and no file is written but below the home and where the output was asked.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEFECTS = ("defect", "dagster", "unexplained")
"""Causes that a result names when an error came out that nobody had thought of."""

ONE_FIT = {"algorithm": "logistic_regression", "hyperparameterSearch": {"enabled": False}}
"""The smallest training: one algorithm as it is, on each fold."""


@dataclass(frozen=True)
class Kept:
    """What a command left that kept the promise: exit code, both streams, and `result.json` (train alone)."""

    code: int
    told: str
    result: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        return self.result["error"]


def _files(*folders: Path) -> set[str]:
    return {str(path) for folder in folders for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory, at_home: Callable[[Path], Any]) -> Iterator[Path]:
    """One home for many models, deep enough that a path that climbs out of it is seen."""
    with at_home(tmp_path_factory.mktemp("shared") / "a" / "b" / "c" / "home") as folder:
        folder.mkdir(parents=True)
        yield folder


@pytest.fixture
def promise(
    shared_home: Path, tmp_path: Path, mt_assets: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Kept]:
    """`promise("train", spec)`: run a command, and fail unless it keeps the promise."""
    place, temporary, outside = tmp_path / "cwd", tmp_path / "tmp", shared_home.parents[3]
    place.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def run(command: str, *arguments: object, writes: tuple[Path, ...] = ()) -> Kept:
        output = tmp_path / "out" / "result.json"
        output.parent.mkdir(exist_ok=True)
        output.unlink(missing_ok=True)
        before = _files(tmp_path, outside)
        answer = mt_assets(command, *arguments, *(("--output", output) if command == "train" else ()))
        told = answer.out + answer.err
        assert answer.code in (0, 1, 2, 3), told
        assert "Traceback" not in told
        assert "\x1b" not in told, "an escape sequence of the input reached the terminal"
        written = _files(tmp_path, outside) - before
        allowed = {*map(str, writes), str(output)}
        assert not [each for each in written - allowed if not each.startswith(str(shared_home))]
        result = json.loads(output.read_text()) if command == "train" else {}
        if command == "train":
            assert result["success"] is (answer.code in (0, 3)), told
        if command == "train" and not result["success"]:
            error = result["error"]
            assert error["cause"] not in DEFECTS, error
            assert (answer.code == 2) == (error["cause"] == "spec_or_data")
            assert len(error["message"]) < 5_000
            assert " ".join(error["message"].split()) in " ".join(told.split())
        return Kept(answer.code, told, result)

    return run


@pytest.fixture
def data_spec(tmp_path: Path, write_spec: Any) -> Callable[..., Path]:
    """`data_spec(data, **keys)`: a spec of the smallest training for bytes, a frame, or what a function makes.

    The function is given the folder of the spec and gives the name of the data.
    """

    def write(data: Any, **keys: Any) -> Path:
        folder = tmp_path / "spec"
        folder.mkdir(exist_ok=True)
        made = data(folder) if callable(data) else data
        if isinstance(made, list):
            keys = {"trainDataPath": made} | keys
            made = "train.csv"
        return write_spec(folder, made, **{**ONE_FIT, "name": f"m{os.urandom(4).hex()}", **keys})

    return write
