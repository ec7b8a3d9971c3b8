"""A look at the data that reads only what may have changed: the fingerprint of everything that a spec gives.

What belongs here: what was seen before, and when it still holds. What does not: what follows from a change
(`retraining`), and how a source is read (`reading`, `sources`). The fingerprint is the one that `raw_data` finds when
it reads the same content, so that the two can be compared.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mt_assets.spec import AssetSource, SqlSource
from mt_assets.trainer.data.given import fingerprint_given
from mt_assets.trainer.data.reading import Source, Sources, digest_of, together
from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.data.sources.local_files import local_files, on_this_machine
from mt_assets.trainer.errors import DataError, UnsettledError
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec
    from mt_assets.trainer.data.sources.remote import RemoteFile

SETTLED_S = 2.0
"""Seconds without a change after which a file counts as written whole. Programs that write in bursts flush their
buffers more often than that."""

SHARE = 0.05
"""Of the time, at most, that is spent on looking at what does not say whether it changed (the rows of a query, web
files without a version): one that takes two seconds is looked at every 40 seconds."""


class Polled(Record):
    """What was found in a place that has to be read whole to be known.

    Attributes
    ----------
    digest : str
    looked : float
        When, in seconds since 1970.
    seconds : float
        How long reading it took.
    """

    digest: str
    looked: float
    seconds: float

    def holds(self, now: float) -> bool:
        """Whether it is too early to look again."""
        return 0 <= now - self.looked < self.seconds / SHARE


class Seen(Record):
    """What the last look found, so that the next one need not read it again.

    Attributes
    ----------
    digests : dict
        Place of each file -> (what changes when the file does, digest of its bytes).
    polled : dict
        What has to be read whole, each by a digest of its name, since an address may hold a password.
    """

    digests: dict[str, tuple[str, str]] = {}
    polled: dict[str, Polled] = {}


class Observation(Record):
    """What a look found.

    Attributes
    ----------
    fingerprint : str
        See `observed_version`; empty where it could not be found.
    waits : str
        Why it could not: a file is still being written, or a source does not exist or cannot be reached.
    seen : Seen
        For the next look.
    """

    fingerprint: str = ""
    waits: str = ""
    seen: Seen


def observe(spec: "TrainingSpec", seen: Seen, version_of_asset: Callable[[str], str]) -> Observation:
    """Look at everything that a spec gives.

    Parameters
    ----------
    spec : TrainingSpec
    seen : Seen
        What the last look found.
    version_of_asset : callable
        Gives, by an asset's key, what changes with every materialization of it.
    """
    look = _Look(seen, version_of_asset)
    try:
        fingerprint, waits = fingerprint_given(spec, look.fingerprint), look.unsettled
    except DataError as error:
        fingerprint, waits = "", error.message
    if waits:  # what was not looked at keeps what is known of it
        known = Seen(digests=seen.digests | look.digests, polled=seen.polled | look.polled)
        return Observation(waits=waits, seen=known)
    return Observation(fingerprint=fingerprint, seen=Seen(digests=look.digests, polled=look.polled))


def observed_version(spec: "TrainingSpec", sources: Sources, version_of_asset: Callable[[str], str]) -> str:
    """The fingerprint that `observe` finds, from sources that are being read.

    Sources that are assets count by their materialization, since a look does not load their tables.
    """

    def of_one(source: Source) -> str:
        return version_of_asset(source.asset) if isinstance(source, AssetSource) else sources.fingerprint(source)

    return fingerprint_given(spec, of_one)


@dataclass
class _Look:
    """One look: takes what still holds from the last one, and gathers what the next one may take."""

    before: Seen
    version_of_asset: Callable[[str], str]
    digests: dict[str, tuple[str, str]] = field(default_factory=dict)
    polled: dict[str, Polled] = field(default_factory=dict)
    unsettled: str = ""

    def fingerprint(self, source: Source) -> str:
        if isinstance(source, AssetSource):
            return self.version_of_asset(source.asset)
        if isinstance(source, SqlSource):
            return self._poll(f"{source.connection}\n{source.query}", lambda: _rows_of(source))
        names = [source] if isinstance(source, str | Path) else source
        return together(digest for name in map(str, names) for digest in self._digests_of(name))

    def _digests_of(self, name: str) -> list[str]:
        if on_this_machine(name):
            return [self._local(file) for file in local_files(name)]
        from mt_assets.trainer.data.sources.remote import remote_files

        return [self._remote(file) for file in remote_files(name)]

    def _local(self, file: DataFile) -> str:
        try:
            _refuse_unsettled(file)
            stamp = file.stamp
            known = self.before.digests.get(file.shown)
            digest = known[1] if known and known[0] == stamp else digest_of(file)
            if file.stamp != stamp:
                raise UnsettledError(f"The file {file} changed while it was read.")
        except UnsettledError as error:
            self.unsettled = error.message
            return ""  # and on to the others: what is read of them now is known at the next look
        except OSError as error:
            raise DataError(f"The file {file} went away while it was looked at.") from error
        self.digests[file.shown] = (stamp, digest)
        return digest

    def _remote(self, file: "RemoteFile") -> str:
        place, stamp = file.shown, file.stamp()
        if stamp is None:
            return self._poll(place, lambda: _digest_of_remote(file))
        known = self.before.digests.get(place)
        digest = known[1] if known and known[0] == stamp else _digest_of_remote(file)
        self.digests[place] = (stamp, digest)
        return digest

    def _poll(self, name: str, read: Callable[[], str]) -> str:
        key = sha256(name.encode()).hexdigest()
        known = self.before.polled.get(key)
        if known is None or not known.holds(time.time()):
            began = time.time()
            known = Polled(digest=read(), looked=began, seconds=time.time() - began)
        self.polled[key] = known
        return known.digest


def _refuse_unsettled(file: DataFile) -> None:
    known, now = file.path.stat(), time.time()
    # Also the time that the file system keeps itself: a copy that keeps its times is old by the other one.
    if any(0 <= now - changed < SETTLED_S for changed in (known.st_mtime, known.st_ctime)):
        raise UnsettledError(f"The file {file} is still being written: it changed less than {SETTLED_S:g} s ago.")


def _rows_of(source: SqlSource) -> str:
    with Sources() as sources:
        return sources.fingerprint(source)


def _digest_of_remote(file: "RemoteFile") -> str:
    with TemporaryDirectory() as folder:
        return digest_of(file.fetch(Path(folder) / "file"))
