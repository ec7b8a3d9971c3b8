"""Tables that nobody should hand over: each is refused with its cause, or learned from."""

import bz2
import gzip
import lzma
import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Make = Callable[[Path], "str | list[str]"]

HEADER = b"age,income,category,target\n"
GOOD = HEADER + b"".join(
    b"%d,%d.5,%s,%s\n"
    % (18 + n * 7 % 50, n * 37 % 1000, (b"basic", b"plus", b"pro")[n % 3], b"yes" if n * 7 % 50 < 25 else b"no")
    for n in range(60)
)


@dataclass(frozen=True)
class Table:
    """One case: the data, what the spec says besides, and what the refusal names. Without `named` it is legal."""

    data: bytes | pd.DataFrame | Make
    named: tuple[str, ...] = ()
    keys: dict[str, Any] = field(default_factory=dict)


def named(name: str, content: bytes = GOOD) -> Make:
    """A file of this name."""

    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return name

    return make


def rows(*lines: str, times: int = 30, header: bytes = HEADER) -> bytes:
    return header + "".join(line.format(n=n) + "\n" for n in range(times) for line in lines).encode()


def wide(columns: int) -> bytes:
    """Thirty rows of so many numbers."""
    lines = [["target", *(f"c{n}" for n in range(columns))]]
    lines += [["ny"[n % 2], *(str(n * k % 11) for k in range(columns))] for n in range(30)]
    return "".join(",".join(line) + "\n" for line in lines).encode()


def parquet(table: pa.Table, cut: int | None = None) -> Make:
    def make(folder: Path) -> str:
        pq.write_table(table, folder / "train.parquet")
        whole = (folder / "train.parquet").read_bytes()
        (folder / "train.parquet").write_bytes(whole[:cut])
        return "train.parquet"

    return make


def zeros(compress: Callable[[bytes], bytes], suffix: str) -> Make:
    """A table of 300 MB of zeros, far larger than its file."""

    def make(folder: Path) -> str:
        name = f"train.csv{suffix}"
        part = compress(b"0" * (10 << 20))
        (folder / name).write_bytes(compress(b"age,target\n") + part * 30)
        return name

    return make


def zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def fifo(folder: Path) -> str:
    os.mkfifo(folder / "train.csv")
    return "train.csv"


def fifo_among_files(folder: Path) -> str:
    (folder / "data").mkdir()
    os.mkfifo(folder / "data" / "a.csv")
    (folder / "data" / "b.csv").write_bytes(GOOD)
    return "data"


def device(folder: Path) -> str:
    (folder / "train.csv").symlink_to("/dev/zero")
    return "train.csv"


def a_socket(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(folder)
        made.bind("train.csv")
        os.chdir(here)
    return "train.csv"


def directory(folder: Path) -> str:
    (folder / "train.csv").mkdir()
    return "train.csv"


def loop(folder: Path) -> str:
    (folder / "a.csv").symlink_to("b.csv")
    (folder / "b.csv").symlink_to("a.csv")
    return "a.csv"


def folder_loop(folder: Path) -> str:
    (folder / "data").mkdir()
    (folder / "data" / "again").symlink_to(folder / "data")
    return "data/**/*.csv"


def dangling(folder: Path) -> str:
    (folder / "train.csv").symlink_to("nowhere.csv")
    return "train.csv"


def path(name: str) -> Make:
    return lambda folder: name


NESTED = pa.table({"age": [1, 2] * 30, "list": [[1], [2, 3]] * 30, "target": ["a", "b"] * 30})
N = np.arange(60)
FRAME = pd.DataFrame({"age": N % 17, "income": N * 37 % 101 + 0.5, "target": np.where(N % 17 < 8, "yes", "no")})
NUMBERS = FRAME.assign(target=FRAME["age"] * 2.5 + FRAME["income"])
REGRESSION = {"modelType": "regression", "algorithm": "ridge"}
BIG = 2**53

CASES: dict[str, Table] = {
    # --- encodings
    "utf-16 with mark": Table(GOOD.decode().encode("utf-16")),
    "utf-16 without mark": Table(GOOD.decode().encode("utf-16-le"), ("train.csv", "not a text file")),
    "utf-16 cut": Table(GOOD.decode().encode("utf-16")[:-1], ("train.csv", "not a text file")),
    "utf-32": Table(GOOD.decode().encode("utf-32"), ("train.csv", "not a text file")),
    "latin-1": Table(GOOD.replace(b"plus", "größer".encode("latin-1"))),
    "utf-8 with mark": Table(b"\xef\xbb\xbf" + GOOD),
    "nul bytes": Table(GOOD.replace(b"plus", b"pl\0us"), ("train.csv", "not a text file")),
    "invalid utf-8": Table(GOOD.replace(b"plus", b"pl\xff\xfeus")),
    "control characters": Table(GOOD.replace(b"plus", b"pl\x1b[2J\x07us")),
    "noise": Table(random.Random(1).randbytes(5000), ("train.csv", "not a text file")),
    # --- form
    "empty": Table(b"", ("train.csv", "empty")),
    "blanks only": Table(b"\n \r\n\t\n", ("train.csv", "empty")),
    "header only": Table(HEADER, ("train.csv", "no rows")),
    "header without end": Table(HEADER.strip(), ("train.csv", "no rows")),
    "separators only": Table(b",,,\n" * 30, ("train.csv", "column names")),
    "a row too short": Table(GOOD + b"1,2\n", ("Line 62", "train.csv", "2 fields", "4")),
    "a row too long": Table(GOOD + b"1,2,3,4,5\n", ("Line 62", "train.csv", "5 fields", "4")),
    "open quote": Table(GOOD + b'1,2,"plus,yes\n', ("train.csv", "never closed")),
    "duplicate header": Table(rows("1,{n},yes", "2,{n},no", header=b"age,age,target\n"), ("'age'", "train.csv")),
    "nameless column": Table(
        rows("1,{n},yes", "2,{n},no", header=b"age,,target\n"), ("number 2", "no name", "train.csv")
    ),
    "a thousand columns": Table(wide(1_000)),
    "one row": Table(HEADER + b"1,2,plus,yes\n", ("'target'", "1 row")),
    "two rows": Table(HEADER + b"1,2,plus,yes\n3,4,pro,no\n", ("row",)),
    "one column": Table(b"target\n" + b"yes\nno\n" * 30, ("target",)),
    "return alone ends lines": Table(GOOD.replace(b"\n", b"\r")),
    "endless line": Table(b"age,target\n" + b"1" * (3 << 20), ("train.csv",)),
    # --- values
    "infinities": Table(GOOD.replace(b"37.5,plus", b"inf,plus").replace(b"74.5,pro", b"-Infinity,pro")),
    "huge numbers": Table(GOOD.replace(b"37.5,plus", b"1e308,plus").replace(b"74.5,pro", b"-1.7e308,pro")),
    "numbers beyond doubles": Table(GOOD.replace(b"37.5,plus", b"1e999,plus")),
    "huge target": Table(FRAME.assign(target=NUMBERS["target"] * 1e306), ("'target'", "1e+37", "60 rows"), REGRESSION),
    "infinite target": Table(NUMBERS.assign(target=np.where(N == 3, np.inf, NUMBERS["target"])), (), REGRESSION),
    "mixed types": Table(FRAME.assign(age=[("12", "3.5", "true", "2024-01-01", "no idea")[n % 5] for n in N])),
    "three forms of dates": Table(FRAME.assign(day=[("2024-01-03", "03/01/2024", "Jan 3, 2024")[n % 3] for n in N])),
    "dates beyond clocks": Table(FRAME.assign(day=[("0001-01-01", "9999-12-31")[n % 2] for n in N])),
    "impossible dates": Table(FRAME.assign(day=[("2024-02-30", "2024-13-01")[n % 2] for n in N])),
    "every value distinct": Table(FRAME.assign(code=[f"{n * 7919 % 1009:x}-{n}" for n in N])),
    "text of a megabyte": Table(FRAME.assign(letter=[chr(97 + n % 26) * (1 << 20) for n in N][:60])),
    "integers beyond 2^53, feature": Table(FRAME.assign(age=BIG + N % 17)),
    "integers beyond 2^53, id": Table(FRAME.assign(customer_id=BIG + N)),
    "integers beyond 2^53, classes": Table(FRAME.assign(target=BIG + (N % 2))),
    "integers beyond 2^53, classes and gaps": Table(
        pd.DataFrame({"age": N % 17, "target": pd.array([None if n == 5 else BIG + n % 2 for n in N], dtype="Int64")}),
        ("'target'", "2^53", "1 missing"),
    ),
    "integers beyond 2^53, amounts": Table(FRAME.assign(target=BIG + N), (), REGRESSION),
    "integers beyond 2^64": Table(
        FRAME.assign(age=[str(2**70 + int(n % 17)) for n in N], target=[str(2**80 + int(n % 2)) for n in N])
    ),
    "all rows alike": Table(rows("1,2,basic,yes", "3,4,plus,no")),
    "one row again and again": Table(rows("1,2,basic,yes"), ("'target'", "one class")),
    "target in a copy": Table(FRAME.assign(copy=FRAME["target"])),
    "target all missing": Table(FRAME.assign(target=None), ("'target'", "missing")),
    "target nearly all missing": Table(FRAME.assign(target=[("yes", "no")[n % 2] if n < 3 else None for n in N])),
    "target constant": Table(FRAME.assign(target="yes"), ("'target'", "one class")),
    "one rare row": Table(FRAME.assign(target=["rare" if n == 3 else "usual" for n in N])),
    "every target distinct": Table(FRAME.assign(target=[f"t{n}" for n in N]), ("learning rows", "no class")),
    "all features missing": Table(FRAME.assign(age=None, income=None), ("constant",)),
    # --- compression
    "bomb gz": Table(zeros(gzip.compress, ".gz"), ("train.csv.gz", "times its size", "200")),
    "bomb bz2": Table(zeros(bz2.compress, ".bz2"), ("train.csv.bz2", "times its size")),
    "bomb xz": Table(zeros(lzma.compress, ".xz"), ("train.csv.xz", "times its size")),
    "bomb zst": Table(zeros(zst, ".zst"), ("train.csv.zst", "times its size")),
    "bomb json": Table(
        named("train.jsonl.gz", gzip.compress(b'{"target": "' + b"0" * (300 << 20) + b'"}\n')),
        ("train.jsonl.gz", "times its size"),
    ),
    "cut gz": Table(named("train.csv.gz", gzip.compress(GOOD)[:-20]), ("train.csv.gz", "cannot be read")),
    "cut zst": Table(named("train.csv.zst", zst(GOOD * 50)[:-200]), ("train.csv.zst", "cannot be read")),
    "cut xz": Table(named("train.csv.xz", lzma.compress(GOOD)[:-20]), ("train.csv.xz", "cannot be read")),
    "gz in name only": Table(named("train.csv.gz"), ("train.csv.gz", "cannot be read")),
    "gz of nothing": Table(named("train.csv.gz", gzip.compress(b"")), ("train.csv.gz", "empty")),
    "gz twice": Table(named("train.csv.gz", gzip.compress(gzip.compress(GOOD))), ("train.csv.gz", "not a text file")),
    # --- typed files
    "parquet cut": Table(parquet(NESTED, 200), ("train.parquet", "Parquet")),
    "parquet of nothing": Table(parquet(NESTED, 0), ("train.parquet", "Parquet")),
    "parquet nested": Table(parquet(NESTED), ("'list'", "list<")),
    "parquet without columns": Table(parquet(pa.table({})), ("train.parquet",)),
    "parquet without rows": Table(
        parquet(pa.table({"target": pa.array([], pa.string())})), ("train.parquet", "no rows")
    ),
    "parquet twice a name": Table(
        parquet(pa.table([[1, 2], [1, 2], ["a", "b"]], names=["age", "age", "target"])), ("'age'",)
    ),
    "parquet of bytes": Table(
        parquet(pa.table({"raw": [b"\xff", b"\0"] * 30, "target": ["a", "b"] * 30})), ("'raw'", "binary")
    ),
    "arrow in name only": Table(named("train.arrow"), ("train.arrow", "Arrow")),
    "json in name only": Table(named("train.jsonl"), ("Line 1", "train.jsonl", "JSON")),
    "json nested": Table(
        named("train.jsonl", b'{"a": {"b": 1}, "target": "x"}\n' * 30), ("'a'", "train.jsonl", "struct")
    ),
    "json far too deep": Table(named("train.jsonl", b"[" * 100_000), ("train.jsonl",)),
    "json line far too deep": Table(named("train.jsonl", b'{"a":' * 100_000), ("train.jsonl",)),
    "json number too long": Table(
        named("train.json", b'[{"a": ' + b"9" * 10_000 + b', "target": 1}]'), ("train.json",)
    ),
    "json of two kinds": Table(
        named("train.jsonl", b'{"a": 1, "target": 1}\n{"a": "x", "target": 2}\n' * 20), ("'a'", "line 2")
    ),
    "json not of objects": Table(named("train.json", b"[1, 2, 3]"), ("train.json", "object")),
    "json half a surrogate": Table(
        named("train.jsonl", b'{"a": "\\ud800", "target": "x"}\n{"a": "b", "target": "y"}\n' * 30), ("train.jsonl",)
    ),
    "json twice a key": Table(
        named("train.jsonl", b'{"a": 1, "a": 2, "target": "x"}\n' * 30), ("(/a)", "train.jsonl", "twice")
    ),
    # --- places
    "no such file": Table(path("trian.csv"), ("trian.csv",)),
    "a folder as file": Table(directory, ("train.csv", "holds no table")),
    "a pipe": Table(fifo, ("train.csv", "no regular file")),
    "a pipe among files": Table(fifo_among_files),
    "a device": Table(device, ("train.csv", "no regular file")),
    "a socket": Table(a_socket, ("train.csv", "no regular file")),
    "links in a circle": Table(loop, ("a.csv",)),
    "folders in a circle": Table(folder_loop, ("**", "no file")),
    "a link to nowhere": Table(dangling, ("train.csv", "no file")),
    "a glob of nothing": Table(path("nothing/*.csv"), ("nothing",)),
    "a glob that is none": Table(path("[a-.csv"), ("[a-.csv",)),
    "a name too long": Table(path("x" * 5000 + ".csv"), ("/x", "too long")),
    "a file of the system": Table(path("../../../../../../../../../../etc/passwd"), ("/etc/passwd", "suffix")),
    "an address of a file": Table(path("file:///etc/passwd"), ("/etc/passwd", "suffix")),
    "an address of a device": Table(path("file:///dev/zero"), ("/dev/zero", "no regular file")),
    "an unknown kind of address": Table(path("javascript://alert.csv"), ("javascript://",)),
    "an address within": Table(path("http://127.0.0.1:1/train.csv"), ("http://127.0.0.1:1/train.csv",)),
    "an unknown user": Table(path("~nobody-at-all/train.csv"), ("train.csv",)),
    "an unknown suffix": Table(named("train.xlsx"), ("train.xlsx", "suffix")),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES)
def test_a_hostile_table_is_refused_with_its_cause_or_planned_for(
    case: str, promise: Callable[..., Any], data_spec: Callable[..., Path]
) -> None:
    table = CASES[case]
    kept = promise("plan", data_spec(table.data, **table.keys))
    if not table.named:
        assert kept.code == 0, kept.told
        return
    assert kept.code == 2, kept.told
    assert kept.told.startswith("DataError ")
    assert all(name in kept.told for name in table.named), kept.told
    assert "\n  - " in kept.told


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ten_thousand_columns_are_planned_for_in_minutes(
    promise: Callable[..., Any], data_spec: Callable[..., Path]
) -> None:
    kept = promise("plan", data_spec(wide(10_000)))
    assert kept.code == 0, kept.told


TRAINED = ("huge numbers", "a pipe", "parquet nested")
"""Cases of each kind for which a whole run is tried each time; the slow test tries it for all."""


def _train(case: str, promise: Callable[..., Any], data_spec: Callable[..., Path]) -> None:
    table = CASES[case]
    kept = promise("train", data_spec(table.data, **table.keys))
    if not table.named:
        assert kept.code == 0, kept.told
        return
    assert kept.code == 2, kept.told
    assert all(name in kept.error["message"] for name in table.named), kept.error["message"]
    assert kept.error["suggestions"]


@pytest.mark.parametrize("case", TRAINED)
def test_a_whole_run_keeps_the_promise_as_well(
    case: str, promise: Callable[..., Any], data_spec: Callable[..., Path]
) -> None:
    _train(case, promise, data_spec)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", [case for case in CASES if case not in TRAINED])
def test_a_whole_run_keeps_the_promise_on_every_case(
    case: str, promise: Callable[..., Any], data_spec: Callable[..., Path]
) -> None:
    _train(case, promise, data_spec)
