"""Which fold results and Optuna studies are kept: those of the newest search, of kept versions, and young ones.

Fold results are named by the rows that they learned from, so that those of earlier data serve nobody any more; a search
that was killed finds its own as long as they are young.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend

from mt_assets.trainer.search.candidate import FoldCache
from mt_assets.trainer.search.ledger import OWNER
from mt_assets.trainer.search.selection import FOLDS_FOLDER
from mt_assets.trainer.search.storage import JOURNAL, is_journal, open_storage, owner
from mt_assets.trainer.store.atomic import UNFINISHED, write_atomic

SLACK: Final = 2
"""A journal can only be written anew as a whole; that is done when it holds more than so many times what is kept."""


def forget_folds(folder: Path, keys: set[str], since: float) -> int:
    """Remove fold results and fold models that are not among these and were written before a moment.

    Parameters
    ----------
    folder : pathlib.Path
        That of the search; the caller holds the model's lock.
    keys : set of str
        Names of the results to keep.
    since : float
        Seconds since 1970.

    Returns
    -------
    int
        Files that went.
    """
    cache = FoldCache(folder / FOLDS_FOLDER)
    results = [cache.get(key) for key in keys]
    kept = keys | {result.preprocessor for result in results if result}
    doomed = [
        path
        for path in cache.folder.glob("*")
        if not path.name.startswith(UNFINISHED)
        and path.name.partition(".")[0] not in kept
        and path.stat().st_mtime < since
    ]
    for path in doomed:
        path.unlink(missing_ok=True)
    return len(doomed)


def forget_studies(folder: Path, storage_url: str | None, names: set[str], since: float) -> int:
    """Remove studies of this model that are not among these and were begun before a moment.

    Studies that others keep in the same storage stay. A journal that several share stays as it is: nobody may write
    it anew while others append to it.

    Parameters
    ----------
    folder : pathlib.Path
        That of the search; the caller holds the model's lock.
    storage_url : str or None
        See `storage.open_storage`.
    names : set of str
    since : float
        Seconds since 1970.

    Returns
    -------
    int
        Studies that went.
    """
    if is_journal(storage_url) or (storage_url is None and not (folder / JOURNAL).exists()):
        return 0
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage, _ = open_storage(storage_url, folder)
        known = optuna.get_all_study_summaries(storage, include_best_trial=False)
        doomed = [
            each.study_name
            for each in known
            if each.user_attrs.get(OWNER) == owner(folder)
            and each.study_name not in names
            and (each.datetime_start is None or each.datetime_start.timestamp() < since)
        ]
        if storage_url is not None:
            for name in doomed:
                optuna.delete_study(study_name=name, storage=storage)
        elif len(known) > SLACK * (len(known) - len(doomed)):
            left = [each.study_name for each in sorted(known, key=lambda each: each._study_id)]
            _write_anew(folder / JOURNAL, storage, [name for name in left if name not in doomed])
        else:
            return 0
        return len(doomed)
    finally:
        optuna.logging.set_verbosity(before)


def _write_anew(path: Path, storage: BaseStorage, names: list[str]) -> None:
    """Write a journal of these studies alone, with their trials under the same numbers, in place of the one before."""
    lines = _Lines()
    anew = JournalStorage(lines)
    for name in names:
        optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=anew)
    content = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines.all)
    write_atomic(path, content.encode())


class _Lines(BaseJournalBackend):
    """A journal in memory."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.all[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.all += json.loads(json.dumps(logs))
