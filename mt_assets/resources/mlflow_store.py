"""How MLflow is reached: at which address, whether it answers, and through a client that keeps to itself.

What belongs here: everything that MLflow needs around it (address, health, environment, a database made safely). What
does not: what is logged (`trainer.reporting.tracked`) and in which order (`tracking`). MLflow is imported when it is
first used, never by importing this module.
"""

import logging
import os
import socket
import sqlite3
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from filelock import FileLock

from mt_assets.spec_values import masked_uri
from mt_assets.trainer.errors import TrainerError

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_S = 5.0
"""Seconds within which a tracker must answer before anything is sent to it; one that refuses is known at once."""

DATABASE_WAIT_S = 120.0
"""Seconds to wait while another process makes the database, which takes it one or two, more on a busy machine."""

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Dialects that MLflow writes to without a server; the first is embedded."""

_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}

_OFFLINE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow sends its usage nowhere, asks no package index and prints nothing, whatever the environment says."""

_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""MLflow's own patience is 120 s a request and seven retries: a tracker that dies would hold a training for minutes.
What is pending is completed later instead. Values that the environment sets are kept."""

_CHATTY = ("mlflow", "alembic", "urllib3.connectionpool")

_conversation = threading.RLock()
"""Environment and warning filters belong to the process: one conversation at a time."""


class TrackerUnavailableError(Exception):
    """The tracker cannot be reached, or broke off; the message is one sentence without passwords."""


@dataclass(frozen=True)
class Tracker:
    """An MLflow tracker.

    Attributes
    ----------
    uri : str
        As MLflow takes it, with any password.
    home : Path
        Folder of all state. Files are kept in `mlartifacts` there, where the tracker is a database without a server.
    """

    uri: str
    home: Path

    @property
    def artifacts(self) -> Path:
        return self.home.absolute() / "mlartifacts"

    @property
    def shown(self) -> str:
        """The address without password."""
        return masked_uri(self.uri)

    @property
    def scheme(self) -> str:
        return urlsplit(self.uri).scheme.partition("+")[0].lower()

    @property
    def is_server(self) -> bool:
        return self.scheme in ("http", "https")

    @property
    def is_database(self) -> bool:
        return self.scheme in DATABASES

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database."""
        if self.scheme != "sqlite":
            return None
        from sqlalchemy.engine import make_url

        path = make_url(self.uri).database
        return Path(path).absolute() if path and path != ":memory:" else None

    def page(self, fragment: str) -> str | None:
        """Address of a page of the tracker's UI, without user and password; None where there is no server."""
        if not self.is_server:
            return None
        address = urlsplit(self.uri)
        host = address.netloc.rpartition("@")[2]
        return f"{address.scheme}://{host}{address.path.rstrip('/')}/#/{fragment}"

    def artifact_location(self, experiment: str) -> str | None:
        """Where a new experiment keeps its files; None leaves it to the server."""
        return (self.artifacts / experiment).as_uri() if self.is_database else None

    def check(self) -> None:
        """Ask whether the tracker is there, within seconds.

        Raises
        ------
        TrackerUnavailableError
        """
        if self.is_server:
            _check_server(self)
        elif self.is_database and (host := urlsplit(self.uri).hostname):
            try:
                socket.create_connection((host, urlsplit(self.uri).port or _PORTS[self.scheme]), PROBE_S).close()
            except OSError as error:
                silent = f"The database {self.shown} does not answer ({one_line(error)})."
                raise TrackerUnavailableError(silent) from error


def _check_server(tracker: Tracker) -> None:
    import requests

    try:
        answer = requests.get(f"{tracker.uri.rstrip('/')}/health", timeout=PROBE_S)
    except requests.exceptions.SSLError:
        return  # somebody is there; whether to trust the certificate is MLflow's setting
    except requests.RequestException as error:
        silent = f"The tracking server {tracker.shown} does not answer ({_cause(error)})."
        raise TrackerUnavailableError(silent) from error
    if answer.status_code >= 500:
        raise TrackerUnavailableError(f"The tracking server {tracker.shown} answers with error {answer.status_code}.")


def _cause(error: Exception) -> str:
    """Why a request failed, without the ten lines that urllib3 makes of it."""
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {PROBE_S:g} seconds"
    return "connection refused" if "refused" in str(error).lower() else type(error).__name__


def one_line(error: BaseException) -> str:
    """The first line of an error, at most 300 characters, without passwords."""
    lines = str(error).strip().splitlines()
    text = masked_uri(lines[0] if lines else "")
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


@contextmanager
def broken_off(tracker: Tracker) -> Iterator[None]:
    """Turn whatever MLflow, its database or its artifact store raises into `TrackerUnavailableError`.

    Artifact stores raise classes of their own (boto3, azure, gcs), so every error counts, except our own.
    """
    try:
        yield
    except (TrackerUnavailableError, TrainerError):
        raise
    except Exception as error:
        raise TrackerUnavailableError(f"The tracker {tracker.shown} broke off ({one_line(error)}).") from error


@contextmanager
def connected(tracker: Tracker) -> Iterator["MlflowClient"]:
    """Give a client of a tracker that is known to answer; MLflow is quiet, offline and quick to give up meanwhile.

    Raises
    ------
    TrackerUnavailableError
        The tracker does not answer, or its store cannot be opened.
    """
    tracker.check()
    with quiet(tracker):
        with broken_off(tracker):
            client = _client(tracker)
        yield client


@contextmanager
def quiet(tracker: Tracker) -> Iterator[None]:
    """The surroundings in which MLflow works here; everything is put back afterwards."""
    settings = {key: value for key, value in _PATIENCE.items() if key not in os.environ} | _OFFLINE
    if tracker.is_database:
        # Without it the database's default experiment would keep its files in ./mlruns of the working directory.
        settings["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(tracker.artifacts)
    if tracker.file:
        # A file that is put in the place of a damaged one is not that which an open connection goes on with.
        settings["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"
    with _conversation, _environment(settings):
        import_mlflow()
        with _hushed_loggers():
            yield


def import_mlflow() -> None:
    """Import MLflow without its telemetry; what its modules warn of while they are imported is not about us."""
    with _conversation, _environment(_OFFLINE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import mlflow.sklearn
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
        import skops.io  # noqa: F401 (MLflow stores models with it; it imports all of scikit-learn)


def warm_up(tracker: Tracker) -> None:
    """Do now what the first conversation takes seconds for: imports, MLflow's list of all that is installed, and the
    tables of a new database. What fails here is tried again, and told, by that conversation."""
    import_mlflow()
    from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

    warn_dependency_requirement_mismatches(["mlflow"])
    if tracker.file:
        with suppress(TrackerUnavailableError), connected(tracker):
            pass


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@contextmanager
def _hushed_loggers() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _CHATTY]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _client(tracker: Tracker) -> "MlflowClient":
    from mlflow import MlflowClient

    if (file := tracker.file) is None:
        return MlflowClient(tracker.uri)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=DATABASE_WAIT_S):
        if not file.exists():
            _make_database(tracker, file)
        return MlflowClient(tracker.uri)


def _make_database(tracker: Tracker, file: Path) -> None:
    """Make an SQLite database whole or not at all.

    MLflow makes its tables in some forty steps; a process killed between them, or two at once, leave a database that
    no MLflow can open again. So it is made under another name, and gets its own when it is complete.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for abandoned in file.parent.glob(f"{file.name}.*.draft"):
        abandoned.unlink()
    draft = file.with_name(f"{file.name}.{uuid4().hex}.draft")
    with _unsynced(draft):
        store = SqlAlchemyStore(f"sqlite:///{draft}", str(tracker.artifacts))
        store.engine.dispose()
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.replace(file)


@contextmanager
def _unsynced(draft: Path) -> Iterator[None]:
    """Let SQLite not wait for the disk at each of its four hundred statements on a draft: 0.6 s instead of 2 to 6."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def relax(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            files = [row[2] for row in connection.execute("PRAGMA database_list")]
            if any(Path(name).name == draft.name for name in files):
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA journal_mode = MEMORY")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)
