"""Bad specs and bad data: one clear paragraph, exit code 2, no trace, nothing half-written."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mt_assets.trainer.store.model_store import ModelStore

BEFORE: dict[str, set[str]] = {
    # phase that refuses: what was materialized before it
    "raw_data": set(),
    "data_profile": {"raw_data"},
}

GARBAGE = random.Random(1).randbytes(4000)

BAD_SPECS: dict[str, tuple[dict[str, Any], list[str]]] = {
    # what is wrong: (keys of the spec, what the message has to name)
    "unknown key": ({"targetColum": "target"}, ["`targetColum`", "`targetColumn`"]),
    "unknown key in a section": ({"hyperparameterSearch": {"trials": 5}}, ["`hyperparameterSearch.trials`", "nTrials"]),
    "unknown algorithm": ({"algorithm": "random_forrest"}, ["`algorithm`", "random_forrest", "random_forest"]),
    "unknown sampler": ({"hyperparameterSearch": {"sampler": "tpee"}}, ["sampler`", "tpee", "did you mean", "tpe"]),
    "no trials": ({"hyperparameterSearch": {"nTrials": 0}}, ["`hyperparameterSearch.nTrials`", "0", "at least 1"]),
    "negative trials": ({"hyperparameterSearch": {"nTrials": -3}}, ["`hyperparameterSearch.nTrials`", "-3"]),
    "negative timeout": ({"hyperparameterSearch": {"timeout": -5}}, ["`hyperparameterSearch.timeout`", "-5"]),
    "one fold": ({"validationStrategy": {"folds": 1}}, ["`validationStrategy.folds`", "1", "at least 2"]),
    "malformed gate": ({"qualityGates": {"test.roc_auc": "=>0.8"}}, ["qualityGates", "test.roc_auc", "=>0.8"]),
    "gate on no metric": ({"qualityGates": {"test.auc_roc": ">=0.8"}}, ["qualityGates", "test.roc_auc"]),
    "malformed cron": ({"retraining": {"schedule": "every day"}}, ["`retraining.schedule`", "every day"]),
    "unknown time zone": ({"retraining": {"timezone": "Europe/Berlinn"}}, ["retraining.timezone", "Europe/Berlin"]),
    "a mean metric of another task": (
        {"modelType": "regression", "objective": {"metric": "roc_auc"}},
        ["`objective.metric`", "roc_auc"],
    ),
}

HEADER = b"age,income,category,target\n"


def rows(*lines: str, times: int = 30) -> bytes:
    """A CSV of these lines again and again, each time with other numbers where it says {n}."""
    return HEADER + "".join(line.format(n=n) + "\n" for n in range(times) for line in lines).encode()


GOOD = rows("{n},{n}0,basic,yes", "{n}.5,{n}1,plus,no")

BAD_DATA: dict[str, tuple[str, bytes | str, dict[str, Any], list[str]]] = {
    # what is wrong: (phase that finds it, content or name of the file, keys of the spec, what the message has to name)
    "no such file": ("raw_data", "trian.csv", {}, ["trian.csv"]),
    "empty": ("raw_data", b"", {}, ["train.csv", "empty"]),
    "header only": ("raw_data", HEADER, {}, ["train.csv", "no rows"]),
    "binary garbage": ("raw_data", GARBAGE, {}, ["train.csv"]),
    "duplicate columns": ("raw_data", b"age,age,target\n1,2,yes\n3,4,no\n" * 20, {}, ["age", "train.csv"]),
    "no target": ("raw_data", GOOD, {"targetColumn": "targt"}, ["'targt'", "'target'"]),
    "target all missing": ("raw_data", rows("{n},{n}0,basic,"), {}, ["'target'", "missing"]),
    "one class": ("data_profile", rows("{n},{n}0,basic,yes"), {}, ["'target'", "yes"]),
    "missing features": ("data_profile", GOOD, {"features": ["age", "incom", "zip"]}, ["'incom'", "'income'", "'zip'"]),
    "constant features": ("data_profile", rows("1,2,basic,yes", "1,2,basic,no"), {}, ["constant"]),
    "text to regress": (
        "data_profile",
        GOOD,
        {"modelType": "regression", "algorithm": "ridge"},
        ["'target'", "yes"],
    ),
}


@pytest.mark.parametrize("case", BAD_SPECS)
def test_a_bad_spec_is_refused_before_anything_is_read(
    case: str, tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    keys, named = BAD_SPECS[case]
    spec = write_spec(tmp_path / "churn", "there_is_no_such_file.csv", **keys)
    for command in ("train", "plan", "sync"):
        answer = mt_assets(command, spec)
        assert answer.code == 2
        assert answer.out == ""
        assert answer.err.startswith("SpecError ")
        assert all(name in answer.err for name in named), answer.err
        assert "Traceback" not in answer.err
        assert "there_is_no_such_file" not in answer.err
    assert not home.exists()


def test_several_problems_are_told_at_once(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    spec = write_spec(tmp_path / "churn", "train.csv", algorithm="svn", validationStrategy={"folds": 1})
    answer = mt_assets("train", spec)
    assert answer.code == 2
    assert "2 problems" in answer.err
    assert "`algorithm`" in answer.err
    assert "`validationStrategy.folds`" in answer.err


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", "targetColumn: [", "\0"])
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_file_that_is_no_spec_is_refused(
    tmp_path: Path, home: Path, content: str, suffix: str, mt_assets: Callable[..., Any]
) -> None:
    path = tmp_path / f"spec{suffix}"
    path.write_text(content)
    answer = mt_assets("train", path)
    assert answer.code == 2
    assert str(path) in answer.err
    assert "Traceback" not in answer.err


def test_a_bad_spec_leaves_a_result_that_other_programs_can_read(
    tmp_path: Path, home: Path, mt_assets: Callable[..., Any]
) -> None:
    output = tmp_path / "deep" / "result.json"
    assert mt_assets("train", tmp_path / "nowhere.json", "--output", output).code == 2
    result = json.loads(output.read_text())
    assert result["success"] is False
    assert result["error"]["phase"] == "spec"
    assert result["error"]["type"] == "SpecError"
    assert "nowhere.json" in result["error"]["message"]


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory, at_home: Callable[[Path], Any]) -> Iterator[Path]:
    """One home for many models: a Dagster instance takes a second to make."""
    with at_home(tmp_path_factory.mktemp("shared") / "home") as folder:
        yield folder


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_refused_and_leaves_nothing_half_written(
    case: str, tmp_path: Path, shared_home: Path, write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    phase, content, keys, named = BAD_DATA[case]
    name = case.replace(" ", "_")
    spec = write_spec(tmp_path / name, content, **keys)
    output = tmp_path / "result.json"
    answer = mt_assets("train", spec, "--output", output)
    assert answer.code == 2
    [told, *_] = [line for line in answer.err.splitlines() if line.startswith("Training failed in ")]
    assert all(name in told + answer.err for name in named), answer.err
    assert "Traceback" not in answer.out + answer.err

    result = json.loads(output.read_text())
    assert result["success"] is False
    assert result["error"]["phase"] == phase
    assert result["error"]["cause"] == "spec_or_data"
    assert result["error"]["message"] in answer.err
    assert result["modelPath"] is None

    store = ModelStore(shared_home, name)
    current = {path.stem: store.current(path.stem) for path in (store.folder / "current").glob("*.json")}
    assert set(current) == BEFORE[phase]
    assert {path.name for path in (store.folder / "objects").glob("*")} == {
        version.address for version in current.values() if version
    }
    assert not list(store.folder.rglob(".unfinished-*"))
    assert store.versions() == []
    assert store.champion() is None
    [failure] = (store.folder / "failures").iterdir()
    assert not list((store.folder / "runs").iterdir())
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(failure.stem)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize("case", BAD_DATA)
def test_plan_and_init_refuse_bad_data_as_clearly(
    case: str, tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any]
) -> None:
    _, content, keys, named = BAD_DATA[case]
    spec = write_spec(tmp_path / "churn", content, **keys)
    answers = [mt_assets("plan", spec)]
    if not {"features", "modelType"} & set(keys):  # which `init` has no word for
        data = spec.parent / (content if isinstance(content, str) else "train.csv")
        target = keys.get("targetColumn", "target")
        answers.append(mt_assets("init", data, "--target", target, "--output", tmp_path / "first.yaml"))
    for answer in answers:
        assert answer.code == 2
        assert answer.out == ""
        assert answer.err.startswith("DataError ")
        assert all(name in answer.err for name in named), answer.err
    assert not (tmp_path / "first.yaml").exists()
    assert not home.exists()


def test_what_bad_data_left_does_not_stand_in_the_way_of_its_correction(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    frame = customers()
    keys = {"modelType": "regression", "algorithm": "ridge", "options": {"verbosity": 0}}
    spec = write_spec(tmp_path / "prices", frame.assign(target="none"), **keys)
    refused = mt_assets("train", spec)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("Training failed in data_profile: ")
    frame.assign(target=frame["income"] / 1000 + frame["age"]).to_csv(tmp_path / "prices" / "train.csv", index=False)
    answer = mt_assets("train", spec)
    assert (answer.code, answer.out, answer.err) == (0, "", "")  # verbosity 0: nothing to tell


def test_no_trace_is_shown_by_the_real_program(tmp_path: Path, home: Path, write_spec: Any, program: Any) -> None:
    spec = write_spec(tmp_path / "churn", GARBAGE)
    done = program("mt-assets", "train", spec)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("Training failed in raw_data: ")
