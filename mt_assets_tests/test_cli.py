"""The command line: exit codes, what is printed where, what is written, and the same graph as `dagster` runs it."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import yaml

from mt_assets.assembly import build_definitions
from mt_assets.planning_only import plan_only
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.store import lock
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import ensure_instance

MISSED = {"qualityGates": {"test.roc_auc": ">=0.9999"}}


# train


def test_lines_for_a_log_file_and_a_result(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers())
    answer = mt_assets("train", spec, "--output", tmp_path / "result.json")
    assert answer.code == 0
    assert answer.err == ""
    assert "\x1b" not in answer.out
    lines = answer.out.splitlines()
    assert lines[0] == "Reading the data ..."
    assert "Writing the result ..." in lines
    trial = r"  trial 2/2 \(logistic_regression 0\.\d+\): best roc_auc 0\.\d+, .+"
    assert any(re.fullmatch(trial, line) for line in lines)
    assert re.search(r"^logistic_regression +0\.\d+ ± 0\.\d+ +2 ", answer.out, re.MULTILINE)
    assert re.search(r"^roc_auc +0\.\d+ +0\.5000", answer.out, re.MULTILINE)
    result = json.loads((tmp_path / "result.json").read_text())
    assert f"Model       {result['modelPath']}" in lines
    assert "so it becomes the champion" in answer.out


@pytest.mark.parametrize(
    ("verbosity", "told", "kept_back"),
    [
        (0, [], ["Reading", "trial", "roc_auc", "dagster"]),
        (1, ["Reading the data ...", "becomes the champion"], ["  sampler: tpe.", "RUN_SUCCESS"]),
        (2, ["Reading the data ...", "  sampler: tpe.", *(f"trial {at}/4" for at in (1, 2, 3, 4))], ["RUN_SUCCESS"]),
        (3, ["  sampler: tpe.", "trial 3/4", "RUN_SUCCESS"], []),
    ],
)
def test_as_much_is_told_as_the_verbosity_asks_for(
    verbosity: int, told: list[str], kept_back: list[str], tmp_path: Path, write_spec: Any, program: Any, customers: Any
) -> None:
    spec = write_spec(
        tmp_path / "churn",
        customers(),
        hyperparameterSearch={"nTrials": 4, "sampler": "tpe"},
        options={"verbosity": verbosity},
    )
    home = {"MT_ASSETS_HOME": str(tmp_path / "home"), "DAGSTER_HOME": str(tmp_path / "home" / "dagster")}
    ended = program("mt-assets", "train", spec, **home)
    everything = ended.stdout + ended.stderr
    assert ended.returncode == 0
    assert [text for text in told if text not in everything] == []
    assert [text for text in kept_back if text in everything] == []


def test_a_missed_gate_is_exit_code_3_with_everything_kept_and_nothing_promoted(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), **MISSED)
    answer = mt_assets("train", spec, "--output", tmp_path / "result.json")
    assert answer.code == 3
    assert "Gate test.roc_auc >= 0.9999: MISSED" in answer.out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["success"] is True
    [gate] = result["gates"]
    assert (gate["gate"], gate["passed"]) == ("test.roc_auc >= 0.9999", False)
    assert Path(result["modelPath"]).is_file()
    store = ModelStore(home, "churn")
    assert [version.number for version in store.versions()] == [1]
    assert store.champion() is None
    assert not list((store.folder / "failures").glob("*"))


def test_what_checks_doubt_and_gates_miss_is_told_however_little_is_asked_for(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    leaky = customers().assign(left_on=lambda frame: (frame["target"] == "yes") * 7.5)
    gate = {"cv.accuracy_std": "<0"}
    spec = write_spec(tmp_path / "churn", leaky, qualityGates=gate, options={"verbosity": 0})
    answer = mt_assets("train", spec, "--output", tmp_path / "result.json")
    assert answer.code == 3
    assert answer.out.strip() == ""
    assert answer.err.startswith("Gate cv.accuracy_std < 0: MISSED")
    result = json.loads((tmp_path / "result.json").read_text())
    assert any("Nearly perfect on their own: 'left_on'" in warning for warning in result["warnings"])


def test_a_training_that_fails_is_exit_code_1_with_every_partial_result(
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    mt_assets: Callable[..., Any],
    customers: Any,
) -> None:
    """No fit has room in so little memory."""
    spec = write_spec(tmp_path / "churn", customers(), algorithm="xgboost", options={"memoryLimit": 0.1})
    answer = mt_assets("train", spec, "--output", tmp_path / "result.json")
    assert answer.code == 1
    assert answer.err.startswith("Training failed in optuna_study: All 2 trials of xgboost failed")
    assert "Traceback" not in answer.out + answer.err
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["success"] is False
    error = result["error"]
    assert set(error) == {"type", "message", "phase", "cause", "suggestions", "remediation"}
    assert (error["type"], error["phase"], error["cause"]) == ("TrainingError", "optuna_study", "out_of_memory")
    assert error["suggestions"]
    assert result["decisions"]
    assert result["data"]["rows"] == 120
    assert set(result["budget"]["phases"]) == {"raw_data", "data_profile", "splits", "training_plan", "preprocessor"}
    assert set(result["metrics"]) == {"test", "crossValidation", "baseline", "validation"}


@pytest.fixture
def closed_storage(closed_address: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """`closed_storage()`: have studies be kept where nobody listens; how that is told, without its password."""

    def close() -> str:
        place = closed_address.removeprefix("http://")
        monkeypatch.setenv("MT_ASSETS_STUDY_STORAGE", f"postgresql://me:geheim@{place}/studies")
        return f"The study storage postgresql://me:***@{place}/studies cannot be opened"

    return close


def test_a_study_storage_that_cannot_be_reached_is_told_before_the_data_are_read(
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    mt_assets: Callable[..., Any],
    customers: Any,
    closed_storage: Callable[[], str],
) -> None:
    told = closed_storage()
    answer = mt_assets("train", write_spec(tmp_path / "churn", customers()))
    assert answer.code == 1
    assert answer.err.startswith(f"Training failed in raw_data: {told}")
    assert "MT_ASSETS_STUDY_STORAGE" in answer.err
    assert "geheim" not in answer.err + answer.out
    assert ModelStore(home, "churn").current("raw_data") is None


def test_a_study_storage_that_cannot_be_reached_is_told_before_a_retraining_works(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, closed_storage: Callable[[], str]
) -> None:
    defs = build_definitions([load_spec(write_spec(tmp_path / "churn", customers()))])
    ensure_instance()
    with dg.DagsterInstance.get() as instance:
        training, retraining = (defs.resolve_job_def(f"churn_{kind}") for kind in ("training", "retraining"))
        read = [dg.AssetKey(["churn", "raw_data"])]
        assert training.execute_in_process(instance=instance, asset_selection=read).success
        told = closed_storage()
        assert not retraining.execute_in_process(instance=instance, raise_on_error=False).success
    [failure] = (ModelStore(home, "churn").folder / "failures").iterdir()
    report = json.loads(failure.read_text())
    assert report["phase"] == "data_profile"
    assert report["message"].startswith(told)
    assert "geheim" not in failure.read_text()


def test_a_terminal_gets_a_live_line(tmp_path: Path, home: Path, write_spec: Any, customers: Any) -> None:
    spec = write_spec(tmp_path / "churn", customers())
    shown = on_a_terminal(sys.executable, "-m", "mt_assets.cli", "train", str(spec))
    assert "\x1b[2K" in shown  # a line that is written again and again
    assert all(text in shown for text in ("Reading the data", "Searching", "Final fit", "Writing the result"))
    assert re.search(r"best roc_auc 0\.\d+", shown)
    assert "  trial 2/2" not in shown
    assert "becomes the champion" in shown


def on_a_terminal(*command: str) -> str:
    """Run a command that believes itself to be on a terminal; everything it wrote there."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux tells that the other end is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
        assert process.wait(timeout=60) == 0
    os.close(ours)
    return b"".join(chunks).decode()


@pytest.mark.parametrize("output", ["folder", "file/result.json"])
def test_an_output_that_cannot_be_written_is_told_before_the_training(
    output: str, tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    spec = write_spec(tmp_path / "churn", customers())
    answer = mt_assets("train", spec, "--output", tmp_path / output)
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert str(tmp_path / output) in answer.err.replace("\n", "").replace("│", "").replace(" ", "")
    assert not home.exists()


def test_interrupting_keeps_what_was_finished(tmp_path: Path, home: Path, write_spec: Any, customers: Any) -> None:
    spec = write_spec(tmp_path / "churn", customers(), hyperparameterSearch={"nTrials": 3000, "pruner": "none"})
    command = [sys.executable, "-m", "mt_assets.cli", "train", str(spec)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("  trial "):
                break
        process.send_signal(2)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert told.startswith("Training failed in optuna_study: The run was interrupted.")
    store = ModelStore(home, "churn")
    assert not list((store.folder / "runs").iterdir())
    with dg.DagsterInstance.get() as instance:
        [run] = instance.get_runs()
        assert run.is_finished


def test_state_that_cannot_be_kept_is_told_in_one_paragraph(
    tmp_path: Path, write_spec: Any, mt_assets: Callable[..., Any], at_home: Callable[[Path], Any]
) -> None:
    (tmp_path / "file").touch()
    spec = write_spec(tmp_path / "churn", "train.csv")
    with at_home(tmp_path / "file"):
        answer = mt_assets("train", spec)
    assert answer.code == 1
    assert answer.err.startswith(f"StoreError State cannot be kept at {tmp_path / 'file'}")
    assert "MT_ASSETS_HOME" in answer.err


def test_a_run_that_waits_can_be_interrupted(tmp_path: Path, home: Path, write_spec: Any) -> None:
    spec = write_spec(tmp_path / "churn", "train.csv")
    store = ModelStore(home, "churn")
    command = [sys.executable, "-m", "mt_assets.cli", "train", str(spec)]
    with (
        lock.hold(store.folder, "another", print),
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Another run is training churn (run another")
        process.send_signal(2)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.startswith("Training failed in start: The run was interrupted.")
    assert not list((store.folder / "runs").iterdir())


# plan, init


def test_plan_shows_every_decision_and_writes_nothing(
    tmp_path: Path, home: Path, write_spec: Any, mt_assets: Callable[..., Any], customers: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), algorithm=...)
    before = sorted(tmp_path.rglob("*"))
    answer = mt_assets("plan", spec)
    assert answer.code == 0
    assert answer.err == ""
    assert sorted(tmp_path.rglob("*")) == before
    decisions = plan_only(load_spec(spec)).decisions
    assert len(decisions) > 10
    for decision in decisions:
        assert re.search(rf"^{re.escape(decision.decision)} ", answer.out, re.MULTILINE), decision
        assert decision.override in answer.out


def test_init_writes_a_spec_that_plan_accepts(
    tmp_path: Path, home: Path, mt_assets: Callable[..., Any], customers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    customers().to_csv(tmp_path / "My customers 2024.csv", index=False)
    answer = mt_assets("init", "My customers 2024.csv")
    written = tmp_path / "specs" / "my_customers_2024.yaml"
    assert answer.code == 0
    assert "specs/my_customers_2024.yaml" in answer.out
    asked = yaml.safe_load(written.read_text())
    assert asked == {
        "name": "my_customers_2024",
        "trainDataPath": "../My customers 2024.csv",
        "targetColumn": "target",
    }
    assert "# featureTypes:" in written.read_text()
    assert mt_assets("plan", written).code == 0
    again = mt_assets("init", "My customers 2024.csv")
    assert again.code == 2
    assert "exists already" in again.err
    assert not home.exists()


def test_init_takes_every_kind_of_file_folder_and_glob(
    tmp_path: Path, home: Path, mt_assets: Callable[..., Any], customers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    customers().to_parquet(tmp_path / "parts" / "a.parquet")
    customers().to_json(tmp_path / "b.jsonl.gz", orient="records", lines=True)
    for data, name in {"parts": "parts", "parts/*.parquet": "parts", "b.jsonl.gz": "b"}.items():
        answer = mt_assets("init", data, "--output", "specs/new.yaml")
        assert answer.code == 0, answer.err
        asked = yaml.safe_load((tmp_path / "specs" / "new.yaml").read_text())
        assert (asked["name"], asked["trainDataPath"]) == (name, f"../{data}")
        (tmp_path / "specs" / "new.yaml").unlink()


def test_init_takes_the_target_that_it_is_told(
    tmp_path: Path, home: Path, mt_assets: Callable[..., Any], customers: Any
) -> None:
    customers().to_parquet(tmp_path / "a.parquet")
    spec = tmp_path / "spec.yaml"
    assert mt_assets("init", tmp_path / "a.parquet", "--target", "income", "--output", spec).code == 0
    assert yaml.safe_load(spec.read_text())["targetColumn"] == "income"
    assert "regression" in mt_assets("plan", spec).out


def test_init_says_how_series_would_be_forecast(
    tmp_path: Path, home: Path, mt_assets: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    months = pd.date_range("2018-01-01", periods=60, freq="MS")
    shops = [
        pd.DataFrame({"month": months, "shop": shop, "sales": np.random.default_rng(at).normal(100, 9, 60)})
        for at, shop in enumerate("abc")
    ]
    pd.concat(shops).to_csv("sales.csv", index=False)
    assert mt_assets("init", "sales.csv").code == 0
    written = tmp_path / "specs" / "sales.yaml"
    head, forecast = written.read_text().split("# To forecast", 1)
    keys = [line.removeprefix("# ") for line in forecast.splitlines()[1:]]
    assert keys == ["modelType: time_series", "timeColumn: month", "seriesColumn: shop"]
    written.write_text(head + "\n".join(keys))
    answer = mt_assets("plan", written)
    assert answer.code == 0, answer.err
    assert re.search(r"^season +12 ", answer.out, re.MULTILINE)


# The same graph, run by `dagster`


def materialize(program: Any, spec: Path, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    name = load_spec(spec).name
    command = ["dagster", "asset", "materialize", "--select", f"group:{name}", "-m", "mt_assets.definitions"]
    done: subprocess.CompletedProcess[str] = program(*command, MT_ASSETS_SPECS=str(spec), **environment)
    return done


def test_dagster_materializes_without_an_instance_of_its_own_and_waits_for_the_lock(
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    program: Any,
    customers: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = write_spec(tmp_path / "churn", customers())
    store = ModelStore(home, "churn")
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(tmp_path)
    done: list[subprocess.CompletedProcess[str]] = []
    run = threading.Thread(target=lambda: done.append(materialize(program, spec, home)))
    with lock.hold(store.folder, "a-run-of-the-command-line", print):
        run.start()
        while len(list((store.folder / "runs").glob("*.alive"))) < 2:
            time.sleep(0.05)
        time.sleep(1)
        assert not (store.folder / "current").exists()
    run.join()
    assert done[0].returncode == 0, done[0].stderr
    assert "Another run is training churn (run a-run-of-the-command-line" in done[0].stderr
    assert store.champion() is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["churn", "home"]


def test_dagster_tells_a_missed_gate_and_bad_data_by_its_exit_code(
    tmp_path: Path, home: Path, write_spec: Any, program: Any, customers: Any
) -> None:
    (home / "dagster").mkdir(parents=True)
    missed = materialize(program, write_spec(tmp_path / "churn", customers(), **MISSED), home)
    assert missed.returncode == 1
    assert ModelStore(home, "churn").current("training_result") is not None
    bad = materialize(program, write_spec(tmp_path / "bad", customers().drop(columns="target")), home)
    assert bad.returncode == 1
    assert "The target column 'target' is not in the data" in bad.stderr
    assert not (home / "models" / "bad" / "current").exists()
    with dg.DagsterInstance.get() as instance:
        result = dg.AssetKey(["churn", "training_result"])
        assert instance.get_latest_materialization_event(result) is not None
        assert instance.get_latest_materialization_event(dg.AssetKey(["bad", "raw_data"])) is None
