"""No password of a spec is written anywhere: the whole home is searched for it, databases included."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SECRET = "Gehe1m-und-lang"

ADDRESSES = {
    "database down": {"connection": f"postgresql://me:{SECRET}@127.0.0.1:1/shop", "query": "SELECT 1"},
    "driver missing": {"connection": f"oracle+cx_oracle://me:{SECRET}@127.0.0.1/shop", "query": "SELECT 1"},
    "no such dialect": {"connection": f"nothing://me:{SECRET}@127.0.0.1/shop", "query": "SELECT 1"},
    "no such file": {"connection": f"sqlite:////nowhere/x.db?password={SECRET}", "query": "SELECT 1"},
    "https": f"https://me:{SECRET}@127.0.0.1:1/train.csv",
    "signed": f"http://127.0.0.1:1/train.csv?sig={SECRET}&x=1",
    "storage": f"s3://key:{SECRET}@bucket/train.csv",
    "no scheme": f"nothing://me:{SECRET}@host/train.csv",
}


def _leaks(*folders: Path) -> list[str]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files), "the search has to see Dagster's databases"
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("case", ADDRESSES)
def test_a_password_of_data_that_cannot_be_reached_is_shown_nowhere(
    case: str,
    promise: Callable[..., Any],
    data_spec: Callable[..., Path],
    shared_home: Path,
    tmp_path: Path,
    caplog: Any,
) -> None:
    kept = promise("train", data_spec(b"", trainDataPath=ADDRESSES[case], options={"verbosity": 3}))
    assert kept.code == 2, kept.told
    assert SECRET not in kept.told
    assert SECRET not in caplog.text
    assert not _leaks(shared_home, tmp_path / "out", tmp_path / "tmp")


def test_a_password_of_data_and_tracker_is_shown_nowhere_after_a_training(
    tmp_path: Path,
    promise: Callable[..., Any],
    data_spec: Callable[..., Path],
    shared_home: Path,
    customers: Any,
    caplog: Any,
) -> None:
    database = tmp_path / "shop.db"
    with sqlite3.connect(database) as opened:
        customers().to_sql("customers", opened, index=False)
    opened.close()
    source = {"connection": f"sqlite:///file:{database}?password={SECRET}&uri=true", "query": "SELECT * FROM customers"}
    keys = {"experimentTracking": {}, "outputs": ["model_card"], "options": {"verbosity": 3}}
    kept = promise("train", data_spec(b"", trainDataPath=source, **keys))
    assert SECRET not in kept.told
    assert SECRET not in caplog.text
    assert not _leaks(shared_home, tmp_path / "out", tmp_path / "tmp")


def test_a_password_of_a_tracker_that_is_down_is_shown_nowhere(
    tmp_path: Path,
    promise: Callable[..., Any],
    data_spec: Callable[..., Path],
    shared_home: Path,
    customers: Any,
    caplog: Any,
) -> None:
    tracking = {"trackingUri": f"http://me:{SECRET}@127.0.0.1:1"}
    kept = promise("train", data_spec(customers(), experimentTracking=tracking, options={"verbosity": 3}))
    assert kept.code == 0, kept.told
    assert "***" in kept.told
    assert SECRET not in kept.told + caplog.text
    assert not _leaks(shared_home, tmp_path / "out", tmp_path / "tmp")
