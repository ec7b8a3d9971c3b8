"""Which versions are kept, and what goes with the others: their objects, old failures, at last their place in the list.

Pointers go before what they point to. A version is first marked as collected, so that nobody can make it the champion
or score by it; then its objects go, one by one and each whole. Killed in between, the store is valid, and the next
collection removes what is left.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from mt_assets.trainer.store.atomic import UNFINISHED, remove_folder
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.trainer.store.versions import ModelVersion

MOST_LISTED: Final = 1000
"""Versions that stay in the list, collected or not. Each look of a sensor reads them all; a thousand take 0.1 s."""

MOST_FAILURES: Final = 100
"""Reports of failed runs that are kept, however old."""

GRACE_S: Final = 60.0
"""An object may be stored and not yet pointed to; it is there for so long at least."""

DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class Keep:
    """What is to be kept.

    Attributes
    ----------
    versions : int
        The newest so many.
    days : float
        Everything that is younger.
    """

    versions: int
    days: float

    def since(self) -> float:
        """The moment from which everything is kept, in seconds since 1970."""
        return time.time() - self.days * DAY_S


@dataclass(frozen=True)
class Collected:
    """What went.

    Attributes
    ----------
    versions : tuple of int
    objects, failures : int
    bytes : int
        Of the objects.
    """

    versions: tuple[int, ...]
    objects: int
    failures: int
    bytes: int


def kept_versions(store: ModelStore, keep: Keep) -> list[ModelVersion]:
    """Return the versions that stay with everything they were made of, oldest first.

    Those are the newest and the young ones, the champion and the one before it, the one that waits for approval with
    the one that it was compared with, and those that the tracker has still to be told of.
    """
    there = [version for version in store.versions() if not version.collected]
    champion, waiting = store.champion(), store.awaiting()
    wanted = {version.number for version in there[-keep.versions :]} | {each.number for each in store.pending()}
    if champion:
        wanted |= {champion.number, champion.previous or champion.number}
    if waiting:
        wanted |= {waiting.number, waiting.compared_with or waiting.number}
    since = keep.since()
    return [
        version
        for version in there
        if version.number in wanted or datetime.fromisoformat(version.created).timestamp() >= since
    ]


def collect(store: ModelStore, keep: Keep) -> Collected:
    """Remove what is not to be kept. Only for the holder of the model's lock."""
    with store.champion_settled():
        kept = kept_versions(store, keep)
        numbers = {version.number for version in kept}
        given_up = [each for each in store.versions() if not each.collected and each.number not in numbers]
        for version in given_up:
            store.note_collected(version)
    addresses = store.pointed_to()
    for version in kept:
        addresses |= {version.recipe, *version.addresses.values()}
    removed = _remove_objects(store.folder / "objects", addresses, min(keep.since(), time.time() - GRACE_S))
    failures = [path for path in store.failures()[MOST_FAILURES:] if path.stat().st_mtime < keep.since()]
    for path in failures:
        path.unlink(missing_ok=True)
    for version in store.versions()[:-MOST_LISTED]:
        if version.collected:
            store.strike(version)
    return Collected(tuple(each.number for each in given_up), len(removed), len(failures), sum(removed))


def _remove_objects(objects: Path, addresses: set[str], since: float) -> list[int]:
    """Remove objects that nobody points to and that were stored before a moment; returns the bytes of each."""
    removed = []
    for folder in objects.iterdir() if objects.is_dir() else ():
        if folder.name in addresses or folder.name.startswith(UNFINISHED) or folder.stat().st_mtime >= since:
            continue
        removed.append(sum(path.stat().st_size for path in folder.iterdir()))
        remove_folder(folder)
    return removed
