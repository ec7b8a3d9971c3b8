"""Looking at data: what is noticed, what is left alone, and what is not even read."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.data import observing
from mt_assets.trainer.data.given import fingerprint_given
from mt_assets.trainer.data.observing import Observation, Seen, observe
from mt_assets.trainer.data.reading import Sources, read_table
from mt_assets.trainer.errors import UnsettledError


class Watched:
    """Data that is looked at again and again."""

    def __init__(self, folder: Path, source: Any) -> None:
        self.spec = parse_spec({"trainDataPath": source, "targetColumn": "y"}, base=folder, default_name="m")
        self.seen = Seen()

    def look(self) -> Observation:
        found = observe(self.spec, self.seen, lambda _: "")
        self.seen = found.seen
        return found

    def is_new(self) -> bool:
        before = self.seen
        fingerprint = self.look().fingerprint
        assert fingerprint
        with Sources() as sources:  # what reading finds
            assert fingerprint == fingerprint_given(self.spec, sources.fingerprint)
        known, self.known = getattr(self, "known", None), fingerprint
        assert before != self.seen or known == fingerprint
        return known != fingerprint


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "SETTLED_S", 0.0)


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("3,1\n")


def replace_by_equally_long(path: Path) -> None:
    """With all times that a program can set kept, and in the same place of the disk."""
    times = path.stat()
    path.write_text(path.read_text().replace("1,0", "7,0"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], Any]] = {
    "a further file": lambda folder: (folder / "c.csv").write_text("x,y\n9,1\n"),
    "a late one": lambda folder: (folder / "0.csv").write_text("x,y\n9,1\n"),
    "an appended one": lambda folder: append(folder / "a.csv"),
    "a replaced one": lambda folder: replace_by_equally_long(folder / "a.csv"),
    "a lost one": lambda folder: (folder / "b.csv").unlink(),
}


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("source", ["data", "data/*.csv", "data/**"])
def test_a_change_of_content_is_seen_once(tmp_path: Path, source: str, change: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("x,y\n1,0\n2,1\n")
    watched = Watched(tmp_path, source)
    assert watched.is_new()
    (folder / "a.csv").touch()
    shutil.copy(folder / "b.csv", folder / "other")
    (folder / "other").replace(folder / "b.csv")
    assert not watched.is_new()
    CHANGES[change](folder)
    assert watched.is_new()
    assert not watched.is_new()


@pytest.mark.usefixtures("settled")
def test_only_what_changed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    digest_of = observing.digest_of
    monkeypatch.setattr(observing, "digest_of", lambda file: (read.append(file.path.name), digest_of(file))[1])
    for number in range(5):
        (tmp_path / f"{number}.csv").write_text(f"x,y\n{number},0\n")
    watched = Watched(tmp_path, str(tmp_path))
    watched.look()
    watched.look()
    assert len(read) == 5
    append(tmp_path / "3.csv")
    watched.look()
    assert read[5:] == ["3.csv"]


def test_a_file_that_has_not_settled_waits_and_the_others_are_known_then(tmp_path: Path) -> None:
    for name in ("old.csv", "new.csv"):
        (tmp_path / name).write_text("x,y\n1,0\n")
    watched = Watched(tmp_path, str(tmp_path))
    found = watched.look()
    assert not found.fingerprint
    assert "is still being written" in found.waits
    while watched.look().waits:
        append(tmp_path / "new.csv") if time.time() - (tmp_path / "old.csv").stat().st_mtime < 2.2 else None
        time.sleep(0.1)
    assert set(watched.seen.digests) == {str(tmp_path / "old.csv"), str(tmp_path / "new.csv")}


@pytest.mark.usefixtures("settled")
def test_what_is_half_written_under_another_name_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,0\n")
    watched = Watched(tmp_path, f"{tmp_path}/**")
    assert watched.is_new()
    for place in (".ipynb_checkpoints", "_temporary/0"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.csv").write_text("x,y\n2,0\n")
    for name in (".b.csv", "b.csv.part", "b.csv.tmp", "b.csv.crdownload", "b.parquet.filepart"):
        (tmp_path / name).write_text("x,y\n2,0\n")
    assert not watched.is_new()
    assert read_table(f"{tmp_path}/**").num_rows == 1
    assert read_table(tmp_path / ".b.csv").num_rows == 1  # named in full


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,0\n")
    with Sources() as sources:
        sources.fingerprint(path)
        append(path)
        with pytest.raises(UnsettledError, match="changed while it was read"):
            sources.read(path)


def test_what_cannot_be_found_is_a_reason_to_wait(tmp_path: Path) -> None:
    assert "There is no file" in Watched(tmp_path, "a.csv").look().waits


def test_the_rows_of_a_query_are_looked_at_as_seldom_as_they_are_slow(tmp_path: Path, monkeypatch: Any) -> None:
    def insert(value: int) -> None:
        with sqlite3.connect(tmp_path / "shop.db") as opened:
            opened.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER, y INTEGER)")
            opened.execute("INSERT INTO t VALUES (?, 0)", (value,))
        opened.close()

    insert(1)
    watched = Watched(tmp_path, {"connection": f"sqlite:///{tmp_path}/shop.db", "query": "SELECT * FROM t"})
    first = watched.look()
    assert "shop.db" not in watched.seen.model_dump_json()
    insert(2)
    [[key, polled]] = watched.seen.polled.items()
    watched.seen = Seen(polled={key: polled.model_copy(update={"seconds": 60.0})})
    assert watched.look().fingerprint == first.fingerprint
    watched.seen = Seen(polled={key: polled.model_copy(update={"seconds": 0.0})})
    assert watched.look().fingerprint != first.fingerprint


@pytest.mark.usefixtures("settled")
def test_a_remote_file_is_fetched_again_only_when_its_place_says_that_it_changed(monkeypatch: Any) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    fetched: list[str] = []
    get_file = type(memory).get_file

    def counted(self: Any, path: str, *arguments: Any, **options: Any) -> Any:
        fetched.append(path)
        return get_file(self, path, *arguments, **options)

    monkeypatch.setattr(type(memory), "get_file", counted)
    info = type(memory).info
    monkeypatch.setattr(
        type(memory), "info", lambda self, path, **_: info(self, path) | {"ETag": str(hash(memory.cat_file(path)))}
    )
    memory.pipe({"/shop/a.csv": b"x,y\n1,0\n", "/shop/b.csv": b"x,y\n2,0\n"})
    watched = Watched(Path(), "memory://shop/*.csv")
    first = watched.look()
    assert first.fingerprint
    assert watched.look().fingerprint == first.fingerprint
    assert len(fetched) == 2
    memory.pipe({"/shop/b.csv": b"x,y\n3,0\n"})
    assert watched.look().fingerprint != first.fingerprint
    assert fetched[2:] == ["/shop/b.csv"]
