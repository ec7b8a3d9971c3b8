"""One table from every kind of file, address and database, with the same types; or one clear sentence."""

import bz2
import datetime
import gzip
import http.server
import json
import lzma
import socket
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from mt_assets.spec import SqlSource
from mt_assets.trainer.data.reading import Sources, fingerprint, read_table
from mt_assets.trainer.data.sources.database import BATCH
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError

BERLIN = datetime.timezone(datetime.timedelta(hours=1))

TABLE = pa.table(
    {
        "code": ["007", "012", "100"],
        "visits": pa.array([1, None, 3], pa.int64()),
        "amount": pa.array([Decimal("12.50"), Decimal("7.25"), None], pa.decimal128(8, 2)),
        "score": [0.5, 1.25, -3.0],
        "member": pa.array([True, None, False]),
        "joined": pa.array([datetime.date(2024, 1, 31), None, datetime.date(1999, 12, 31)]),
        "seen": pa.array([datetime.datetime(2024, 1, 1, 10, 30, 15), None, datetime.datetime(2024, 6, 1, 0, 0)]),
        "paid": pa.array(
            [datetime.datetime(2024, 1, 1, 10, tzinfo=BERLIN), datetime.datetime(2024, 7, 1, 9, tzinfo=BERLIN), None],
            pa.timestamp("us", tz="Europe/Berlin"),
        ),
        "note": ['two\nlines, "quoted"', None, "größer"],
    }
)
"""One value and one gap of every type that a table can have."""


def text_of(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.date | datetime.datetime) else value


def write_csv(path: Path, delimiter: str = ",", encoding: str = "utf-8") -> None:
    rows = pd.DataFrame(
        [{name: text_of(value) for name, value in row.items()} for row in TABLE.to_pylist()], dtype=object
    )
    path.write_bytes(rows.to_csv(index=False, sep=delimiter).encode(encoding))


def json_rows() -> list[dict[str, Any]]:
    rows = [{name: text_of(value) for name, value in row.items()} for row in TABLE.to_pylist()]
    return [
        {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()} for row in rows
    ]


def write_json_lines(path: Path) -> None:
    path.write_text("\n".join(json.dumps(row) for row in json_rows()))


def packed(pack: Callable[[bytes], bytes], write: Callable[[Path], None]) -> Callable[[Path], None]:
    def packing(path: Path) -> None:
        write(path)
        path.write_bytes(pack(path.read_bytes()))

    return packing


def write_ipc(path: Path, make: Callable[..., Any]) -> None:
    with make(str(path), TABLE.schema) as writer:
        writer.write_table(TABLE)


zstd = partial(pa.compress, codec="zstd", asbytes=True)

WRITERS: dict[str, Callable[[Path], None]] = {
    "a.csv": write_csv,
    "a.tsv": partial(write_csv, delimiter="\t"),
    "semicolons.csv": partial(write_csv, delimiter=";"),
    "mark.csv": partial(write_csv, encoding="utf-8-sig"),
    "utf16.csv": partial(write_csv, encoding="utf-16"),
    "latin.csv": partial(write_csv, encoding="cp1252"),
    "a.csv.gz": packed(gzip.compress, write_csv),
    "a.csv.bz2": packed(bz2.compress, write_csv),
    "a.tsv.xz": packed(lzma.compress, partial(write_csv, delimiter="\t")),
    "A.CSV.ZST": packed(zstd, write_csv),
    "a.jsonl": write_json_lines,
    "a.ndjson.gz": packed(gzip.compress, write_json_lines),
    "a.jsonl.bz2": packed(bz2.compress, write_json_lines),
    "a.jsonl.xz": packed(lzma.compress, write_json_lines),
    "a.jsonl.zst": packed(zstd, write_json_lines),
    "a.json": lambda path: path.write_text(json.dumps(json_rows(), indent=1)) and None,
    "a.parquet": lambda path: pq.write_table(TABLE, path),
    "a.arrow": partial(write_ipc, make=pa.ipc.new_file),
    "a.arrows": partial(write_ipc, make=pa.ipc.new_stream),
    "a.feather": lambda path: pyarrow.feather.write_feather(TABLE, path, compression="zstd"),
}


def same_table(read: pa.Table) -> None:
    """The types that models see, and every value and gap."""
    pd.testing.assert_frame_equal(Table.of(read).frame(), Table.of(TABLE).frame())
    assert read.schema.field("joined").type == pa.date32()  # a frame does not tell days from instants


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_gives_the_same_table(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)

    same_table(read_table(tmp_path / name))


def test_nested_and_mixed_json_is_refused_with_column_and_line(tmp_path: Path) -> None:
    cases = {
        '{"a": 1}\n{"a": 2, "deep": {"x": 1}}\n': "Column 'deep' holds struct",
        '{"a": [1, 2]}\n': "Column 'a' holds list",
        '{"a": 1}\n\n{"a": "x"}\n': "Column 'a' of .* holds numbers in line 1 and text in line 3",
        '{"a": 1}\n{"a": true}\n': "holds numbers in line 1 and true or false in line 2",
        '{"a": 1}\n{"a": 2\n': "Line 2 of .* is no JSON",
        '{"a": 1}\n[2]\n': "Line 2 of .* is no JSON object",
        '{"a": 1}\n{"a": {"x": 1}}\n': "Column 'a' of .* holds nested values .line 2.",
        '[{"a": 1}, 2]': "Line 2 of .* is no JSON object",
        '[{"a": 1}': "begins like a JSON array and is none",
        "[]": "empty array",
        " \n": "is empty",
    }
    for content, message in cases.items():
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(DataError, match=message) as refused:
            read_table(tmp_path / "a.json")
        assert "\n" not in refused.value.message


def test_json_keys_may_be_missing_and_objects_long(tmp_path: Path) -> None:
    long = "x" * (1 << 24)
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"b": true}\n' + json.dumps({"a": 2.5, "c": long}) + "\n")

    read = read_table(tmp_path / "a.jsonl")

    assert read.select(["a", "b"]).to_pydict() == {"a": [1.0, None, 2.5], "b": [None, True, None]}
    assert read.column("c")[2].as_py() == long


@pytest.mark.parametrize("name", ["a.arrow", "a.feather", "a.jsonl.zst", "a.csv.xz", "a.csv.bz2"])
def test_damaged_files_are_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    WRITERS.get(name, packed(bz2.compress if name.endswith("bz2") else lzma.compress, write_csv))(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no such thing"):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(DataError, match=name) as refused:
            read_table(tmp_path / name)
        assert "\n" not in refused.value.message


def test_globs_reach_any_depth_and_leave_hidden_files_out(tmp_path: Path) -> None:
    for place in ("a.csv", "2024/b.csv", "2024/01/c.csv", "2024/01/._c.csv", "2024/note.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"name\n{place}\n")

    def names(pattern: str) -> list[str]:
        return read_table(str(tmp_path / pattern)).column("name").to_pylist()

    assert names("**/*.csv") == ["2024/01/c.csv", "2024/b.csv", "a.csv"]
    assert names("**") == ["2024/01/c.csv", "2024/b.csv", "a.csv"]
    assert names("2024/*/*") == ["2024/01/c.csv"]
    assert names("") == ["a.csv"]
    (tmp_path / "a.csv").unlink()
    with pytest.raises(DataError, match="holds no table itself, but folders in it do") as refused:
        read_table(tmp_path)
    assert refused.value.suggestions == (f"Name {tmp_path / '**'} for all folders in it.",)


# Addresses


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, Any]]:
    """A bucket on an S3-compatible server of its own, and a client to fill it."""
    import botocore.session
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()  # one that another test has made knows another endpoint

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "reader")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = botocore.session.get_session().create_client("s3")
        client.create_bucket(Bucket="shop")
        yield "s3://shop", client
        client.close()
    server.stop()


def test_tables_are_read_from_an_s3_server(bucket: tuple[str, Any], tmp_path: Path) -> None:
    address, client = bucket
    for name in ("a.csv", "a.parquet", "a.jsonl.zst"):
        WRITERS[name](tmp_path / name)
        client.put_object(Bucket="shop", Key=f"one/{name}", Body=(tmp_path / name).read_bytes())
        same_table(read_table(f"{address}/one/{name}"))
        assert fingerprint(f"{address}/one/{name}") == fingerprint(tmp_path / name)


def test_globs_and_folders_of_a_bucket_are_one_table_as_it_is_now(bucket: tuple[str, Any]) -> None:
    address, client = bucket
    for key in ("many/a.csv", "many/2024/b.csv", "many/readme.txt"):
        client.put_object(Bucket="shop", Key=key, Body=f"name\n{key}\n".encode())
    before = fingerprint(f"{address}/many/**")

    assert read_table(f"{address}/many/*.csv").column("name").to_pylist() == ["many/a.csv"]
    assert read_table(f"{address}/many").column("name").to_pylist() == ["many/a.csv"]
    assert read_table(f"{address}/many/**").column("name").to_pylist() == ["many/2024/b.csv", "many/a.csv"]

    client.put_object(Bucket="shop", Key="many/c.csv", Body=b"name\nnew\n")  # a listing must not be remembered
    assert read_table(f"{address}/many/*.csv").column("name").to_pylist() == ["many/a.csv", "new"]
    assert fingerprint(f"{address}/many/**") != before


def test_what_is_fetched_is_fetched_once_and_removed(
    bucket: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, client = bucket
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client.put_object(Bucket="shop", Key="once.csv", Body=b"a\n1\n")
    with Sources() as sources:
        version = sources.fingerprint(f"{address}/once.csv")
        client.put_object(Bucket="shop", Key="once.csv", Body=b"a\n2\n")
        assert sources.read(f"{address}/once.csv").to_pydict() == {"a": [1]}
        assert sources.fingerprint(f"{address}/once.csv") == version
        assert list(tmp_path.rglob("once.csv"))

    assert not list(tmp_path.iterdir())


def test_addresses_that_cannot_be_read_are_told_in_one_sentence(bucket: tuple[str, Any]) -> None:
    address, client = bucket
    client.put_object(Bucket="shop", Key="bad.csv", Body=b"a,b\n1\n")
    cases = {
        f"{address}/bad.csv": f"Line 2 of {address}/bad.csv has 1 field where the header has 2",
        f"{address}/nothing.csv": f"There is no file {address}/nothing.csv",
        f"{address}/nothing/*": f"There is no table at {address}/nothing/",
        "s3://no-such-bucket/a.csv": "s3://no-such-bucket/a.csv",
        "gs://bucket/a.csv": "a package for gs:// is not installed",
        "az://bucket/a.csv": "a package for az:// is not installed",
        "nosuch://bucket/a.csv": "nosuch://",
    }
    for asked, message in cases.items():
        with pytest.raises(DataError, match=message.replace("*", r"\*")) as refused:
            read_table(asked)
        assert "\n" not in refused.value.message
        if "package" in message:
            assert refused.value.suggestions == ("Run: pip install 'mt-assets[cloud]'",)


def test_web_addresses_are_read_and_their_tokens_hidden(tmp_path: Path) -> None:
    WRITERS["a.csv.gz"](tmp_path / "a.csv.gz")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        same_table(read_table(f"{address}/a.csv.gz?token=geheim"))
        with pytest.raises(DataError, match=r"b\.csv\?token=\*\*\*") as refused:
            read_table(f"{address}/b.csv?token=geheim")
        assert "geheim" not in refused.value.message
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# Databases

CREATE = (
    "CREATE TABLE customers (code TEXT, visits INTEGER, amount NUMERIC(8, 2), score DOUBLE PRECISION, member BOOLEAN, "
    "joined DATE, seen TIMESTAMP, paid {zoned}, note TEXT)"
)


def sqlite_source(folder: Path, query: str = "SELECT * FROM customers") -> SqlSource:
    with sqlite3.connect(folder / "shop.db") as opened:
        opened.execute(CREATE.format(zoned="TIMESTAMP"))
        rows = [
            [float(value) if isinstance(value, Decimal) else text_of(value) for value in row.values()]
            for row in TABLE.to_pylist()
        ]
        opened.executemany(f"INSERT INTO customers VALUES ({', '.join('?' * 9)})", rows)
    opened.close()
    return SqlSource(connection=f"sqlite:///{folder / 'shop.db'}", query=query)


@pytest.fixture(scope="module")
def postgres(postgres_server: str) -> str:
    """A database that holds the table, and more rows than one batch."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(postgres_server)
    with engine.begin() as opened:
        opened.exec_driver_sql(CREATE.format(zoned="TIMESTAMPTZ"))
        for row in TABLE.to_pylist():
            opened.exec_driver_sql(f"INSERT INTO customers VALUES ({', '.join(['%s'] * 9)})", tuple(row.values()))
        opened.exec_driver_sql(
            f"CREATE TABLE many AS SELECT n, CASE WHEN n > {BATCH} THEN n / 7.0 END AS late "
            f"FROM generate_series(1, {BATCH + 7}) n"
        )
    engine.dispose()
    return postgres_server


def test_sqlite_gives_the_same_table(tmp_path: Path) -> None:
    read = read_table(sqlite_source(tmp_path))

    same_table(read)
    assert read.schema.field("member").type == pa.bool_()  # SQLite itself knows only 1 and 0


def test_postgres_gives_the_same_table_with_its_types(postgres: str) -> None:
    read = read_table(SqlSource(connection=postgres, query="SELECT * FROM customers -- all of it: 100 % (:x)\n;"))

    same_table(read)
    kinds = {field.name: str(field.type) for field in read.schema}
    assert kinds["amount"].startswith("decimal128") and kinds["visits"] == "int64" and kinds["member"] == "bool"
    assert (
        kinds["paid"] == "timestamp[us, tz=UTC]"
        and kinds["seen"] == "timestamp[us]"
        and kinds["joined"] == "date32[day]"
    )


def test_batches_become_one_column(postgres: str) -> None:
    read = read_table(SqlSource(connection=postgres, query="SELECT n, late FROM many ORDER BY n"))

    assert read.column("n").to_pylist() == list(range(1, BATCH + 8))
    assert read.column("late").null_count == BATCH
    assert float(read.column("late")[BATCH].as_py()) == pytest.approx((BATCH + 1) / 7)


def test_rows_in_another_order_are_the_same_content(postgres: str) -> None:
    def version(query: str) -> str:
        return fingerprint(SqlSource(connection=postgres, query=query))

    assert version("SELECT * FROM customers ORDER BY code") == version("SELECT * FROM customers ORDER BY code DESC")
    assert version("SELECT * FROM customers") != version("SELECT * FROM customers WHERE code > '007'")


def test_odd_values_of_postgres(postgres: str) -> None:
    query = "SELECT 'NaN'::numeric AS a, 1 AS id UNION ALL SELECT 2.5, 2 ORDER BY id"
    assert str(read_table(SqlSource(connection=postgres, query=query)).schema.field("a").type) == "double"
    for odd, message in (
        ("ARRAY[1]", "'x' holds list"),
        ("'{\"a\": 1}'::json", "'x' holds struct"),
        ("'a'::bytea", "'x' holds binary"),
    ):
        with pytest.raises(DataError, match=message):
            read_table(SqlSource(connection=postgres, query=f"SELECT {odd} AS x"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM custmers", 'relation "custmers" does not exist'),
        ("SELECT * FORM customers", "syntax error"),
        ("DROP TABLE customers", "begins with 'DROP'; only SELECT"),
        ("WITH gone AS (DELETE FROM customers RETURNING *) SELECT * FROM gone", "refuses the query|cannot be read"),
        ("SELECT 1; DROP TABLE customers", "refuses the query|cannot be read"),
        ("SELECT * FROM customers WHERE false", "no rows"),
    ],
)
def test_queries_that_cannot_be_run_are_told_in_one_sentence(query: str, message: str, postgres: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_table(SqlSource(connection=postgres, query=query))

    assert "\n" not in refused.value.message
    assert read_table(SqlSource(connection=postgres, query="SELECT * FROM customers")).num_rows == 3


def test_no_message_holds_the_password(postgres: str) -> None:
    import traceback

    import sqlalchemy

    right = sqlalchemy.make_url(postgres)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    wrong = {
        "wrong password": right.set(password="geheim"),
        "nobody listens": right.set(password="geheim", port=closed),
        "no such database": right.set(database="geheim_shop"),
        "no such dialect": right.set(password="geheim", drivername="nosuchsql"),
        "no driver": right.set(password="geheim", drivername="mysql+pymysql"),
    }
    for case, url in wrong.items():
        address = url.render_as_string(hide_password=False)
        with pytest.raises(DataError) as refused:
            read_table(SqlSource(connection=address, query="SELECT 1"))
        told = "".join(traceback.format_exception(refused.value))
        assert str(url.password) not in told, case
        assert "\n" not in refused.value.message
    address = "me:geheim@host"
    with pytest.raises(DataError, match="no address of a database") as refused:
        read_table(SqlSource(connection=address, query="SELECT 1"))
    assert "geheim" not in "".join(traceback.format_exception(refused.value))


def test_an_address_without_driver_takes_the_one_that_comes_with_us(postgres: str) -> None:
    for scheme in ("postgresql", "postgres"):
        connection = postgres.replace("postgresql+psycopg2", scheme)
        assert read_table(SqlSource(connection=connection, query="SELECT 1 AS one")).to_pydict() == {"one": [1]}


def test_a_driver_that_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    for connection, remedy in (
        ("postgresql+psycopg://me:geheim@host/x", "pip install psycopg"),
        ("mysql+pymysql://me:geheim@host/x", "pip install pymysql"),
        ("postgresql://me:geheim@host/x", "pip install 'mt-assets[postgres]'"),
    ):
        with pytest.raises(DataError, match="is not installed") as refused:
            read_table(SqlSource(connection=connection, query="SELECT 1"))
        assert refused.value.suggestions == (f"Run: {remedy}",)


def test_sqlite_is_neither_made_nor_changed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no database file"):
        read_table(SqlSource(connection=f"sqlite:///{tmp_path}/none.db", query="SELECT 1"))
    assert not (tmp_path / "none.db").exists()
    source = sqlite_source(tmp_path)
    before = (tmp_path / "shop.db").read_bytes()
    read_table(source)
    assert (tmp_path / "shop.db").read_bytes() == before
    with pytest.raises(DataError, match="no such table: custmers"):
        read_table(source.model_copy(update={"query": "SELECT * FROM custmers"}))
