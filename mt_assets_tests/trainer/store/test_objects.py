"""What is stored once stays as it is, and what was tampered with is not read."""

import hashlib
import multiprocessing
from pathlib import Path

import pytest

from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store import objects
from mt_assets.trainer.store.atomic import UNFINISHED, write_atomic
from mt_assets.trainer.store.model_store import ModelStore


def decision(value: object = 1) -> Decision:
    reason = "It is the default."
    return Decision(decision="seed", value=value, rule="seed.default", reason=reason, override="options.seed")


def test_a_value_comes_back_equal_and_at_the_same_address(tmp_path: Path) -> None:
    address = objects.put(tmp_path, decision())
    assert objects.get(tmp_path, address) == decision()
    assert objects.put(tmp_path, decision()) == address
    assert objects.put(tmp_path, decision(2)) != address


def test_nothing_unfinished_is_left_behind(tmp_path: Path) -> None:
    objects.put(tmp_path, decision())
    objects.put(tmp_path, decision())
    assert not list(tmp_path.glob(f"{UNFINISHED}*"))


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    address = objects.put(tmp_path, decision())
    record = tmp_path / address / "record.json"
    record.write_text(record.read_text().replace("default", "changed"))
    with pytest.raises(StoreError, match="digest differs"):
        objects.get(tmp_path, address)


def test_a_type_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    address = objects.put(tmp_path, decision())
    text = (tmp_path / address / "manifest.json").read_text()
    foreign = text.replace("mt_assets.trainer.planning.decision:Decision", "os:system")
    (tmp_path / address / "manifest.json").write_text(foreign)
    with pytest.raises(StoreError, match="digest differs"):
        objects.get(tmp_path, address)
    own = hashlib.sha256(foreign.encode()).hexdigest()
    (tmp_path / address).rename(tmp_path / own)
    with pytest.raises(StoreError, match="foreign type os:system"):
        objects.get(tmp_path, own)


def test_a_missing_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        objects.get(tmp_path, "0" * 64)


def _write_for_ever(path: Path) -> None:
    number = 0
    while True:
        number += 1
        write_atomic(path, str(number).encode() * 100_000)


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "pointer"
    for _ in range(5):
        writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(path,))
        writer.start()
        while not path.exists() or not path.stat().st_size:
            writer.join(0.01)
        writer.join(0.05)
        writer.kill()
        writer.join()
        content = path.read_bytes()
        number = content[: len(content) // 100_000]
        assert content == number * 100_000


def test_sweeping_removes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, "churn")
    address = store.put(decision())
    leftover = store.folder / "objects" / f"{UNFINISHED}1"
    leftover.mkdir()
    (leftover / "half").write_text("half")
    store.sweep()
    assert not leftover.exists()
    assert store.get(address) == decision()
