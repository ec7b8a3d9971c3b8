"""Tables that memory has no room for: a part of their rows is read, always the same, and that is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.data import sampling
from mt_assets.trainer.data.reading import Sources
from mt_assets.trainer.data.sampling import COPIES
from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.data.sources.formats import format_of
from mt_assets.trainer.data.table import notes_of
from mt_assets.trainer.errors import DataError, TrainingError
from mt_assets.trainer.recovery.failures import exit_code, failure_report

ROWS = 4_000

FRAME = pd.DataFrame({"number": np.arange(ROWS), "text": [f"t{at % 7}" for at in range(ROWS)]})


def as_stream(frame: pd.DataFrame, path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=500)


WRITE: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.bz2": lambda frame, path: frame.to_csv(path, index=False),
    "a.parquet": lambda frame, path: pq.write_table(pa.Table.from_pandas(frame), path, row_group_size=500),
    "a.feather": lambda frame, path: feather.write_feather(frame, path, chunksize=500),
    "a.arrows": as_stream,
}


@pytest.fixture
def nothing_for_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a small table no more is read than there is room for."""
    monkeypatch.setattr(sampling, "ALWAYS", 0)


def room_for(path: Path, share: float) -> float:
    """Bytes that a part of a file takes."""
    kind = format_of(path.name)
    assert kind is not None
    return share * COPIES * kind.bytes(DataFile.local(path))


def read(path: Path, room: float | None) -> pa.Table:
    with Sources(room=room) as sources:
        return sources.read(path)


@pytest.mark.usefixtures("nothing_for_certain")
@pytest.mark.parametrize("name", WRITE)
def test_about_so_many_rows_are_read_as_there_is_room_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITE[name](FRAME, path)
    whole, part = read(path, room_for(path, 1.0)), read(path, room_for(path, 0.3))
    assert (len(whole), notes_of(whole)) == (ROWS, ())
    assert 0.2 * ROWS < len(part) < 0.3 * ROWS
    assert part.schema.equals(whole.schema)
    rows = part["number"].to_pylist()
    assert rows == sorted(set(rows))
    assert part["text"].to_pylist() == [f"t{at % 7}" for at in rows]
    [told] = notes_of(part)
    assert f"about one row in 4 was read, {len(part):,} rows" in told
    assert "memoryLimit" in told
    assert read(path, room_for(path, 0.3)).equals(part)


@pytest.mark.usefixtures("nothing_for_certain")
@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_rows_that_are_added_change_nothing_about_those_before(name: str, tmp_path: Path) -> None:
    path, longer = tmp_path / name, tmp_path / f"longer_{name}"
    WRITE[name](FRAME, path)
    WRITE[name](pd.concat([FRAME, FRAME.assign(number=FRAME["number"] + ROWS)]), longer)
    before = read(path, room_for(path, 0.3))["number"].to_pylist()
    after = read(longer, room_for(longer, 0.3))["number"].to_pylist()
    assert [number for number in after if number < ROWS] == before
    assert len(after) > 1.8 * len(before)


@pytest.mark.usefixtures("nothing_for_certain")
def test_what_has_not_even_room_for_a_sample_or_has_none_is_refused(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(TrainingError, match="too little even for a sample") as caught:
        read(tmp_path / "a.csv", 1.0)
    report = failure_report(caught.value, phase="raw_data")
    assert (report.cause, exit_code(report)) == ("out_of_memory", 1)
    FRAME.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    with pytest.raises(DataError, match="JSON is not read in part") as refused:
        read(tmp_path / "a.jsonl", room_for(tmp_path / "a.jsonl", 0.3))
    assert "Parquet" in refused.value.suggestions[0]


@pytest.mark.usefixtures("nothing_for_certain")
def test_a_row_that_cannot_be_read_is_named_also_where_not_all_are_kept(tmp_path: Path) -> None:
    lines = FRAME.to_csv(index=False).splitlines()
    lines[1_000] += ",more"
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"Line 1001 of .* has 3 fields where the header has 2"):
        read(tmp_path / "a.csv", room_for(tmp_path / "a.csv", 0.3))


def test_a_small_table_is_read_whole_however_little_room_there_is(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    assert len(read(tmp_path / "a.csv", 0.0)) == ROWS


def test_a_training_on_a_sample_says_so(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mt_assets.trainer.memory import GIGABYTE, RUN_BYTES
    from mt_assets.training_run import train

    spec = write_spec(tmp_path / "churn", customers(400), options={"memoryLimit": 1})
    path = spec.parent / "train.csv"
    whole = room_for(path, 1.0)
    monkeypatch.setattr(sampling, "ALWAYS", 0)
    monkeypatch.setattr(sampling, "COPIES", COPIES * (GIGABYTE - RUN_BYTES) / whole * 1.5)
    outcome = train(load_spec(spec))
    assert outcome.exit_code == 0, outcome.result.error
    assert outcome.result.data is not None
    assert 150 < outcome.result.data.rows < 250
    assert any("about one row in 2 was read" in warning for warning in outcome.result.warnings)
