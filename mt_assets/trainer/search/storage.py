"""Where Optuna keeps a study, and what a killed process may have left there."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from mt_assets.trainer.errors import SpecError, StoreError
from mt_assets.trainer.recovery.causes import STUDY_STORAGE
from mt_assets.trainer.store.atomic import write_atomic

JOURNAL: Final = "study.journal"
"""Where studies lie in a search's folder, unless a storage is named."""

_DAMAGED: Final = f"{JOURNAL}.damaged-"
_OWNER: Final = "study.owner"
_JOURNAL_SCHEME: Final = "journal://"
_DATABASES: Final = ("postgresql", "mysql", "sqlite")
_VARIABLE: Final = "MT_ASSETS_STUDY_STORAGE"


def open_storage(url: str | None, folder: Path) -> tuple[BaseStorage, str]:
    """Open the storage of studies.

    Parameters
    ----------
    url : str or None
        `postgresql://`, `mysql://` or `sqlite:///` for a database, `journal:///absolute/path` for a journal file; None
        for a journal file in `folder`.
    folder : pathlib.Path
        The caller holds the model's lock, so that no other process uses a journal in it.

    Returns
    -------
    storage : optuna.storages.BaseStorage
    name : str
        How to name it to people; without a password.

    Raises
    ------
    SpecError
        When the address is of another form.
    StoreError
        When the database cannot be reached, or the journal not be read or written.
    """
    if url is None:
        return _own_journal(folder / JOURNAL)
    if is_journal(url):
        path = Path(url.removeprefix(_JOURNAL_SCHEME))
        if not path.is_absolute():
            raise SpecError(
                f"{_VARIABLE}: {url!r} must name an absolute path, as in journal:///var/lib/mt_assets/studies.journal."
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            journal = JournalStorage(JournalFileBackend(str(path)))
            journal.get_all_studies()  # it is read only when it is asked
            return journal, url
        except Exception as error:  # of the disk, or of a file that is no journal
            raise _closed(url, error) from error
    if url.split(":")[0].split("+")[0] not in _DATABASES:
        raise SpecError(
            f"{_VARIABLE}: {_without_password(url)!r} is not an address of a study storage; it starts with "
            "postgresql://, mysql://, sqlite:/// or journal:///."
        )
    try:
        return RDBStorage(url), _without_password(url)
    except Exception as error:  # drivers raise errors of their own, and ImportError where they are not installed
        raise _closed(url, error) from error


def is_journal(url: str | None) -> bool:
    """Whether that is the address of a journal file, which others may append to."""
    return url is not None and url.startswith(_JOURNAL_SCHEME)


def check_study_storage(url: str | None) -> None:
    """Find out before any work whether a search will be able to keep its study there.

    Raises
    ------
    SpecError, StoreError
        See `open_storage`.
    """
    if url is not None:
        open_storage(url, Path())


def _closed(url: str, error: Exception) -> StoreError:
    return StoreError(
        f"The study storage {_without_password(url)} cannot be opened: {type(error).__name__}: {error}",
        suggestions=(
            f"Check that it can be reached from here, and that the address in {_VARIABLE} is right.",
            f"Keep studies in a file beside the other state: unset {_VARIABLE}",
        ),
        cause=STUDY_STORAGE,
    )


def owner(folder: Path) -> str:
    """Whose studies a search's folder holds or, in a storage that several share, which of them are its own.

    Made up once and kept in the folder: neither a model's name nor a path is known to nobody else.
    """
    path = folder / _OWNER
    if not path.exists():
        write_atomic(path, uuid.uuid4().hex.encode())
    return path.read_text()


def _own_journal(path: Path) -> tuple[BaseStorage, str]:
    """A journal that nobody else writes: what a killed process left of its lock and of its last line goes away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{path.name}.lock*"):
        leftover.unlink(missing_ok=True)
    _cut_torn_line(path)
    try:
        journal = JournalStorage(JournalFileBackend(str(path)))
        journal.get_all_studies()
    except OSError:
        raise
    except Exception:  # Optuna holds a journal that is no journal against no class of error
        path.rename(path.with_name(f"{_DAMAGED}{uuid.uuid4().hex[:8]}"))
        journal = JournalStorage(JournalFileBackend(str(path)))
    return journal, str(path)


def damaged_journals(folder: Path) -> set[Path]:
    """Journals that could not be read and were put aside. The fits that they told of lie elsewhere."""
    return set(folder.glob(f"{_DAMAGED}*"))


def _cut_torn_line(path: Path) -> None:
    """Remove an unfinished last line: whatever is written after it would make the whole journal unreadable."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as journal:
            journal.truncate(whole)


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    account, at, place = rest.rpartition("@")
    user, colon, _ = account.partition(":")
    return f"{scheme}{mark}{user}{':***' if colon else ''}{at}{place}"
