"""Rows that a database gives, as an Arrow table with the types of the database.

Any database that SQLAlchemy knows; PostgreSQL and SQLite are tested. Nothing is written: only a query is let through,
and it runs in a transaction that is read-only where the database has such, and is rolled back.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mt_assets.spec_values import masked_uri
from mt_assets.trainer.data.frames import in_utc
from mt_assets.trainer.errors import DataError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

BATCH = 20_000
"""Rows that are fetched and turned into Arrow at once: large enough that the way there and back does not count, small
enough that Python's own values of them (about 100 bytes each) stay within some tens of megabytes."""

PLAIN_POSTGRES = ("postgresql", "postgres")
"""Addresses that name no driver: read with psycopg2, which `mt-assets[postgres]` installs. SQLAlchemy's own choice
differs between its versions."""

INSTALL = {"psycopg2": "pip install 'mt-assets[postgres]'"}
"""How to install a driver; others go by their own name."""

_QUERY = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
_READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}


def read_query(connection: str, query: str) -> pa.Table:
    """Read the rows of a query, in batches.

    Parameters
    ----------
    connection : str
        SQLAlchemy address.
    query : str
        One statement that begins with SELECT, WITH, VALUES or TABLE. It is sent as it stands: `%` and `:` mean nothing.

    Returns
    -------
    pyarrow.Table
        Decimals stay decimals, times with a zone become UTC. SQLite has no booleans, dates or decimals of its own:
        there the type that a column was declared with decides.

    Raises
    ------
    DataError
        The database cannot be reached, its driver is missing, or it refuses the query. No message holds the password.
    """
    import sqlalchemy

    if not _QUERY.match(query):
        raise DataError(
            f"The query begins with {query.split()[0][:30]!r}; only SELECT, WITH, VALUES and TABLE are run.",
            suggestions=("Write a SELECT statement whose rows are the table.",),
        )
    url, engine = _engine(connection)
    try:
        with _reading(engine) as opened:
            declared = _declared_types(opened, query) if url.get_backend_name() == "sqlite" else {}
            options = {"stream_results": True, "no_parameters": True}
            rows = opened.execution_options(**options).exec_driver_sql(query.strip().rstrip(";"))
            names = list(rows.keys())
            batches = [_columns(batch) for batch in rows.partitions(BATCH)]
    except sqlalchemy.exc.SQLAlchemyError as error:
        # Not `from error`: its text and its own causes may repeat the address.
        raise _refused(url, error) from None
    except (OverflowError, ValueError) as error:
        raise _refused(url, error) from None
    finally:
        engine.dispose()
    columns = [_whole([batch[at] for batch in batches], declared.get(name, "")) for at, name in enumerate(names)]
    return pa.Table.from_arrays(columns, names=names)


def _engine(connection: str) -> "tuple[URL, Engine]":
    import sqlalchemy

    try:
        url = sqlalchemy.make_url(connection)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise DataError(
            "The connection is no address of a database.",
            suggestions=("Write it as dialect://user:password@host:port/database, such as sqlite:////data/shop.db.",),
        ) from None
    if url.drivername in PLAIN_POSTGRES:
        url = url.set(drivername="postgresql+psycopg2")
    shown = _shown(url)
    on_disk = url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":memory:", "file:"))
    if on_disk and not Path(str(url.database)).is_file():  # SQLite would make an empty one
        raise DataError(f"There is no database file {url.database}.", suggestions=("Check the connection.",))
    try:
        return url, sqlalchemy.create_engine(url)
    except ModuleNotFoundError as error:
        install = INSTALL.get(error.name or "", f"pip install {error.name}")
        raise DataError(
            f"{shown} cannot be read, because its driver {error.name} is not installed.",
            suggestions=(f"Run: {install}",),
        ) from None
    except sqlalchemy.exc.NoSuchModuleError:
        raise DataError(
            f"{shown} names a kind of database that is not known: {url.drivername}.",
            suggestions=("Check the first part of the connection, or install the SQLAlchemy dialect of that name.",),
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, TypeError, ValueError) as error:
        raise _refused(url, error) from None


@contextmanager
def _reading(engine: "Engine") -> "Iterator[Connection]":
    """A connection that reads and leaves nothing behind."""
    with engine.connect() as opened:
        if statement := _READ_ONLY.get(engine.dialect.name):
            opened.exec_driver_sql(statement)
        try:
            yield opened
        finally:
            opened.rollback()


def _columns(rows: Sequence[Sequence[Any]]) -> list[pa.Array]:
    return [_array(list(values)) for values in zip(*rows, strict=True)]


def _array(values: list[Any]) -> pa.Array:
    """Values of one column, as the type that holds them all; where none does, as text."""
    if any(isinstance(value, memoryview) for value in values):
        return pa.array([bytes(value) if value is not None else None for value in values], pa.binary())
    try:
        array = pa.array(in_utc(values))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        if all(value is None or isinstance(value, int | float | Decimal) for value in values):
            return pa.array([None if value is None else float(value) for value in values])  # NaN, or beyond all types
        return pa.array([None if value is None else str(value) for value in values])
    if pa.types.is_timestamp(array.type) and array.type.tz:
        return array.cast(pa.timestamp("us", tz="UTC"))
    return array


def _whole(parts: list[pa.Array], declared: str) -> pa.ChunkedArray:
    """One column of all batches, in the type that holds them all."""
    try:
        tables = [pa.table([part], names=["column"]) for part in parts] or [pa.table({"column": pa.nulls(0)})]
        whole = pa.concat_tables(tables, promote_options="permissive").column(0)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.chunked_array([part.cast(pa.string()) for part in parts])
    if (
        "BOOL" in declared
        and pa.types.is_integer(whole.type)
        and pc.all(pc.is_in(whole.drop_null(), pa.array([0, 1]))).as_py()
    ):
        return whole.cast(pa.bool_())
    return whole


def _declared_types(opened: "Connection", query: str) -> dict[str, str]:
    """What SQLite's tables declare of the columns of a query, in capitals; of computed columns nothing."""
    import sqlalchemy

    opened.exec_driver_sql("PRAGMA query_only = OFF")
    try:
        opened.exec_driver_sql(f"CREATE TEMP VIEW mt_assets_query AS {query.strip().rstrip(';')}")
        rows = opened.exec_driver_sql("PRAGMA temp.table_info(mt_assets_query)").all()
    except sqlalchemy.exc.SQLAlchemyError:
        return {}  # the query itself then says what is wrong with it
    finally:
        opened.exec_driver_sql("PRAGMA query_only = ON")
    return {str(name): str(kind).upper() for _, name, kind, *_ in rows}


def _refused(url: "URL", error: Exception) -> DataError:
    import sqlalchemy

    origin = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(origin).splitlines() if line.strip()]
    told = lines[0] if lines else type(origin).__name__
    if url.password:
        told = told.replace(str(url.password), "***")
    told = masked_uri(told)[:300].rstrip(".")
    if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError) and lines:
        return DataError(
            f"The database {_shown(url)} cannot be read: {told}.",
            suggestions=("Check the connection: host, port, database, user and password.", "Check the query."),
        )
    return DataError(
        f"The database {_shown(url)} refuses the query: {told}.", suggestions=("Check the query against the database.",)
    )


def _shown(url: "URL") -> str:
    return masked_uri(url.render_as_string(hide_password=True))
