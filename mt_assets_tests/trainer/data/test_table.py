"""A table is a handle: rows by position, content by digest, a part without a copy."""

import datetime
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mt_assets.trainer.data.table import Table, with_notes
from mt_assets.trainer.errors import DataError, StoreError
from mt_assets.trainer.memory import give_back


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n": [1, 2, 3, 4],
            "x": [0.5, np.nan, 1.5, -2.0],
            "s": ["a", None, "ü", "a"],
            "b": [True, False, None, True],
            "t": pd.to_datetime(["2024-01-01", "2024-01-02", None, "2024-01-04"]),
        }
    )


def test_frames_have_positions_as_index() -> None:
    table = Table.of(frame())

    part = table.take([3, 0, 3])

    assert len(table) == 4
    assert part.positions.tolist() == [0, 3]
    assert part.frame(["s", "n"]).to_dict("index") == {0: {"s": "a", "n": 1}, 3: {"s": "a", "n": 4}}
    assert part.take([2]).frame(["n"]).index.tolist() == [2]
    assert part.digest == table.digest


def test_positions_outside_are_refused() -> None:
    with pytest.raises(IndexError):
        Table.of(frame()).take([4])


def test_digest_is_of_content_alone() -> None:
    arrow = Table.of(frame()).arrow()
    chunked = pa.concat_tables([arrow.slice(0, 1), arrow.slice(1)])
    with_junk_below_null = arrow.set_column(
        1, "x", pa.array(np.array([0.5, 99.0, 1.5, -2.0]), mask=np.array([False, True, False, False]))
    )

    digest = Table.of(arrow).digest

    assert Table.of(chunked).digest == digest
    assert Table.of(arrow.slice(0, 4)).digest == digest
    assert Table.of(with_junk_below_null).digest == digest
    assert Table.of(with_notes(arrow, ["a note"])).digest == digest
    assert Table.of(arrow.slice(0, 3)).digest != digest
    assert Table.of(arrow.rename_columns(["m", "x", "s", "b", "t"])).digest != digest


@pytest.mark.parametrize("column", ["n", "x", "s", "b", "t"])
def test_every_value_counts_for_the_digest(column: str) -> None:
    before = frame()
    swapped = before.copy()
    swapped[column] = before[column].iloc[[1, 0, 2, 3]].to_numpy()

    assert Table.of(swapped).digest != Table.of(before).digest


def test_text_borders_count_for_the_digest() -> None:
    assert Table.of(pd.DataFrame({"s": ["ab", "c"]})).digest != Table.of(pd.DataFrame({"s": ["a", "bc"]})).digest


def test_digest_is_the_same_in_another_process() -> None:
    code = (
        "import pandas as pd; from mt_assets.trainer.data.table import Table;"
        "print(Table.of(pd.DataFrame({'s': ['a', None], 'x': [1.5, 2]})).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[3])}

    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)

    assert other.stdout.strip() == Table.of(pd.DataFrame({"s": ["a", None], "x": [1.5, 2]})).digest


def test_full_tables_and_parts_are_stored_beside_each_other(tmp_path: Path) -> None:
    full, part = tmp_path / "full", tmp_path / "part"
    full.mkdir()
    part.mkdir()
    Table.of(frame()).save(full)
    stored = Table.load(full)

    stored.take([1, 2]).save(part)
    loaded = Table.load(part)

    assert not (part / "table.arrow").exists()
    assert loaded.positions.tolist() == [1, 2]
    assert loaded.digest == stored.digest == Table.of(frame()).digest
    pd.testing.assert_frame_equal(loaded.frame(), Table.of(frame()).take([1, 2]).frame())


def test_stored_tables_are_mapped_not_read(tmp_path: Path) -> None:
    Table.of(pd.DataFrame({"x": np.arange(200_000.0)})).save(tmp_path)
    in_arrow = pa.total_allocated_bytes()
    tracemalloc.start()

    table = Table.load(tmp_path)

    in_python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert table.arrow().nbytes >= 1_600_000
    assert in_python + pa.total_allocated_bytes() - in_arrow < 200_000


def test_notes_are_stored_along(tmp_path: Path) -> None:
    Table.of(with_notes(pa.table({"x": [1]}), ["mind the gap"])).save(tmp_path)

    assert Table.load(tmp_path).notes == ("mind the gap",)


def test_a_part_of_an_unstored_table_cannot_be_stored(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not stored"):
        Table.of(frame()).take([0]).save(tmp_path)


@pytest.mark.parametrize("content", [None, b"no arrow"])
def test_damage_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "table.arrow").write_bytes(content)

    with pytest.raises(StoreError, match="missing or damaged"):
        Table.load(tmp_path)


def test_dictionaries_and_large_text_become_plain_text() -> None:
    table = Table.of(
        pa.table(
            {
                "d": pa.array(["a", "b", None]).dictionary_encode(),
                "l": pa.array(["a", "b", "c"], pa.large_string()),
            }
        )
    )

    assert table.schema.types == [pa.string(), pa.string()]


@pytest.mark.parametrize(
    ("arrow", "message"),
    [
        (pa.table({"ok": [1], "deep": [[1, 2]]}), "'deep' holds list"),
        (pa.table({"blob": [b"\x00"]}), "'blob' holds binary"),
        (pa.table([[1], [2]], names=["a", "a"]), "more than one column named 'a'"),
        (pa.table([[1], [2]], names=["a", " "]), "Column number 2"),
    ],
)
def test_what_is_no_plain_table_is_refused(arrow: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Table.of(arrow)


def test_mixed_objects_become_text() -> None:
    assert Table.of(pd.DataFrame({"m": [1, "a", None]})).frame()["m"].tolist()[:2] == ["1", "a"]


def test_times_of_any_zone_keep_their_instant_where_pandera_has_been_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYARROW_IGNORE_TIMEZONE", "1")  # what pandera sets, for Spark
    berlin = datetime.timezone(datetime.timedelta(hours=1))
    paid = pd.Series([datetime.datetime(2024, 1, 1, 11, tzinfo=berlin), None], dtype=object)
    read = Table.of(pd.DataFrame({"paid": paid})).frame()["paid"]
    assert list(read) == [pd.Timestamp("2024-01-01 10:00"), pd.NaT]


@pytest.mark.skipif(sys.platform != "linux", reason="pages are given back on Linux")
def test_pages_of_a_stored_table_are_given_back_and_read_again(tmp_path: Path) -> None:
    def of_files() -> int:
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile")]
        return int(line.split()[1]) * 1024

    Table.of(pa.table({"x": np.arange(2_000_000, dtype=np.float64)})).save(tmp_path)
    table = Table.load(tmp_path)
    give_back()
    before = of_files()
    digest = table.digest
    assert of_files() - before > 12e6
    give_back()
    assert of_files() - before < 4e6
    del table.digest
    assert table.digest == digest
