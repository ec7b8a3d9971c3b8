"""All state of one model: what was made, which of it is current, its versions and its champion.

<home>/models/<name>/
  objects/<address>/     what was made, content-addressed, never overwritten
  current/<asset>.json   the newest version of each asset
  kept/<name>.json       what runs hand on that is no asset, such as the schema of the data
  versions/<n>.json      each trained model that was judged, with everything it was made from
  champion.json          the version that serves, and the one before it
  pending/<n>.json       trainings that the tracker has not recorded yet
  pending/champion       there while the tracker has not heard which version a person made the champion
  failures/<run>.json    what stopped a run
  retraining/            what was seen of the data and decided about it, see `trainer.retraining.history`
  predictions/           new rows as the champion scored them, where the spec names no other place
  folds/, study.journal  finished fold results and Optuna studies
  runs/, lock            who is at work
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.store import objects
from mt_assets.trainer.store.atomic import sweep, write_atomic
from mt_assets.trainer.store.record import Record, Storable
from mt_assets.trainer.store.versions import AWAITING, Approval, AssetVersion, Champion, ModelVersion, Training

R = TypeVar("R", bound=Record)


class ModelStore:
    """The state of the model `name` below `home`.

    Parameters
    ----------
    home : Path
        Absolute folder of all state (`home_folder`).
    name : str
        The model's slug.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.name = name
        self.folder = home / "models" / name

    @staticmethod
    def names(home: Path) -> list[str]:
        """Return the names of all models that have state below `home`."""
        folder = home / "models"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    # What was made

    def put(self, value: Storable) -> str:
        """Store a value and return its address."""
        return objects.put(self.folder / "objects", value)

    def get(self, address: str) -> Storable:
        """Read the value at an address; StoreError where it is missing or damaged."""
        return objects.get(self.folder / "objects", address)

    def current(self, asset: str) -> AssetVersion | None:
        """Return the newest version of an asset, or None before the first."""
        return self._read(f"current/{asset}.json", AssetVersion)

    def advance(self, version: AssetVersion) -> None:
        """Make a version the current one."""
        self._write(f"current/{version.asset}.json", version)

    def kept(self, name: str) -> AssetVersion | None:
        """Return what was kept under a name that is no asset's, or None."""
        return self._read(f"kept/{name}.json", AssetVersion)

    def keep(self, version: AssetVersion) -> None:
        """Keep a version for later runs under a name that is no asset's."""
        self._write(f"kept/{version.asset}.json", version)

    # Versions and the champion

    def version(self, number: int) -> ModelVersion | None:
        return self._read(f"versions/{number}.json", ModelVersion)

    def versions(self) -> list[ModelVersion]:
        """Return all judged versions, oldest first."""
        paths = (self.folder / "versions").glob("*.json")
        numbers = sorted(int(path.stem) for path in paths if path.stem.isdigit())
        return [found for number in numbers if (found := self.version(number))]

    def add_version(
        self,
        *,
        run_id: str,
        addresses: Mapping[str, str],
        algorithm: str,
        metric: str,
        score: float | None,
        recipe: str = "",
    ) -> ModelVersion:
        """Add a judged model as the next version; the same model judged again in the same run keeps its number."""
        known = self.versions()
        for version in known:
            if version.run_id == run_id and version.addresses["trained_model"] == addresses["trained_model"]:
                return version
        version = ModelVersion(
            number=known[-1].number + 1 if known else 1,
            run_id=run_id,
            created=now(),
            addresses=dict(addresses),
            algorithm=algorithm,
            metric=metric,
            score=score,
            recipe=recipe,
        )
        self._write(f"versions/{version.number}.json", version)
        return version

    def note_verdict(
        self, version: ModelVersion, verdict: str, missed_gates: Sequence[str], compared_with: int | None = None
    ) -> None:
        """Write down what became of a version in its own training."""
        known = {"verdict": verdict, "missed_gates": tuple(missed_gates), "compared_with": compared_with}
        self._write(f"versions/{version.number}.json", version.model_copy(update=known))

    def note_approval(self, version: ModelVersion, approval: Approval) -> None:
        """Write down what a person said of a version."""
        self._write(f"versions/{version.number}.json", version.model_copy(update={"approval": approval}))

    def awaiting(self) -> ModelVersion | None:
        """Return the version that waits for a person's approval, or None.

        That is the newest that asked for it, unless the champion that it was compared with serves no more.
        """
        asked = [version for version in self.versions() if version.verdict == AWAITING]
        newest, champion = asked[-1] if asked else None, self.champion()
        if newest is None or newest.approval or newest.compared_with != (champion.number if champion else None):
            return None
        return newest

    def champion(self) -> Champion | None:
        return self._read("champion.json", Champion)

    def crown(self, number: int, *, instead_of: int | None, approval: Approval | None = None) -> bool:
        """Make a version the champion in place of the one given; the one before it is remembered.

        Returns False, and changes nothing, where another version has become the champion meanwhile. The approval of a
        person who made it the champion is written down with the version.

        Raises
        ------
        StoreError
            What the version was made of is no longer kept.
        """
        with self.champion_settled():
            before, version = self.champion(), self.version(number)
            if (before.number if before else None) != instead_of:
                return False
            if version and version.collected:
                raise StoreError(gone(self.name, version), suggestions=GONE_HELP)
            if approval and version:
                self.note_approval(version, approval)
            if number != instead_of:
                self._write("champion.json", Champion(number=number, previous=instead_of, since=now()))
        return True

    def champion_settled(self) -> FileLock:
        """A lock, to be held where nobody may become the champion meanwhile."""
        return FileLock(self.folder / "champion.lock")

    def note_collected(self, version: ModelVersion) -> None:
        """Write down that the objects of a version go now."""
        self._write(f"versions/{version.number}.json", version.model_copy(update={"collected": now()}))

    def strike(self, version: ModelVersion) -> None:
        """Take a version off the list."""
        (self.folder / "versions" / f"{version.number}.json").unlink(missing_ok=True)

    def pointed_to(self) -> set[str]:
        """Return the addresses that anything but a version points to: current assets with all that they were made of,
        what is kept, and trainings that the tracker has still to be told of."""
        found: set[str] = set()
        for part in ("current", "kept"):
            for path in (self.folder / part).glob("[!.]*.json"):
                if made := self._read(f"{part}/{path.name}", AssetVersion):
                    found |= {made.address, *made.made_from.values()}
        return found | {address for training in self.pending() for address in training.addresses.values()}

    def current_runs(self) -> set[str]:
        """Return the ids of the runs that made what is current."""
        paths = (self.folder / "current").glob("[!.]*.json")
        return {made.run_id for path in paths if (made := self.current(path.stem))}

    def failures(self) -> list[Path]:
        """Return the files of failed runs, the newest first."""
        paths = (self.folder / "failures").glob("[!.]*.json")
        return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)

    # What a tracker that was down has still to be told

    def pending(self) -> list[Training]:
        """Return the trainings that the tracker has not recorded yet, oldest first."""
        paths = sorted((self.folder / "pending").glob("*.json"), key=lambda path: int(path.stem))
        return [found for path in paths if (found := self._read(f"pending/{path.name}", Training))]

    def set_pending(self, training: Training, *, pending: bool) -> None:
        """Remember that the tracker has still to be told of a training, or that it has been."""
        if pending:
            self._write(f"pending/{training.number}.json", training)
        else:
            (self.folder / "pending" / f"{training.number}.json").unlink(missing_ok=True)

    @property
    def champion_untold(self) -> bool:
        """Whether the tracker has still to hear which version a person made the champion."""
        return (self.folder / "pending" / "champion").exists()

    def set_champion_untold(self, untold: bool) -> None:
        marker = self.folder / "pending" / "champion"
        if untold:
            write_atomic(marker, b"")
        else:
            marker.unlink(missing_ok=True)

    # What went wrong

    def record_failure(self, run_id: str, report: Mapping[str, Any]) -> Path:
        """Write what stopped a run, and return the file."""
        path = self.folder / "failures" / f"{run_id}.json"
        write_atomic(path, json.dumps(report, indent=1).encode())
        return path

    def failure(self, run_id: str) -> dict[str, Any] | None:
        path = self.folder / "failures" / f"{run_id}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def sweep(self) -> None:
        """Remove what killed runs left half-written. Only for the holder of the model's lock."""
        for part in ("objects", "current", "kept", "versions", "pending", "failures", "folds", "retraining", "."):
            sweep(self.folder / part)

    def _read(self, relative: str, kind: type[R]) -> R | None:
        path = self.folder / relative
        try:
            return kind.model_validate_json(path.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            message = f"{path} cannot be read as {kind.__name__}: it was changed by hand or by another version."
            raise StoreError(
                message, suggestions=(f"Bring it back from a backup, or: mv {path} {path}.aside",)
            ) from error

    def _write(self, relative: str, record: Record) -> None:
        write_atomic(self.folder / relative, record.model_dump_json(indent=1).encode())


GONE_HELP = ("`retention` of the spec says how many versions are kept.",)


def gone(name: str, version: ModelVersion) -> str:
    """What a person is told who asks for a version that is no longer kept."""
    return (
        f"Version {version.number} of {name} is no longer kept: its model and its data were removed on "
        f"{version.collected[:10]}, as newer versions had taken its place."
    )


def now() -> str:
    """Return the present time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


VERDICT = "promotion_decision"
"""The asset that ends a training; what comes after it only tells of it."""


class RunStore:
    """What one run sees of a model's state: it reads each asset in one version and keeps to it.

    Parameters
    ----------
    store : ModelStore
    run_id : str
    """

    def __init__(self, store: ModelStore, run_id: str) -> None:
        self.store = store
        self.run_id = run_id
        self._pins: dict[str, AssetVersion] = {}
        self._values: dict[str, Storable] = {}

    def previous(self, asset: str) -> Any | None:
        """Return the value of the last version of an asset that an earlier run made, or None."""
        version = self.store.current(asset)
        if version is None or version.run_id == self.run_id:
            return None
        try:
            return self.store.get(version.address)
        except StoreError as error:
            pointer = self.store.folder / "current" / f"{asset}.json"
            raise StoreError(
                f"The last {asset} of {self.store.name}, which this run builds on, cannot be read: {error.message}",
                suggestions=(
                    f"Bring the folder {self.store.folder / 'objects' / version.address} back from a backup.",
                    f"Or begin anew with it: rm {pointer} (of folds this draws test rows anew, and the champion may"
                    " have been trained on some of them).",
                ),
                cause=error.cause,
            ) from error

    def kept(self, name: str) -> Any | None:
        """Return what some run has kept under a name that is no asset's, or None."""
        version = self.store.kept(name)
        return self.store.get(version.address) if version else None

    def keep(self, name: str, value: Storable) -> None:
        """Keep a value for later runs under a name that is no asset's."""
        self.store.keep(self.stage(name, value, phase=name, inputs=[], seconds=0.0))

    def pin(self, asset: str) -> AssetVersion:
        """Return the version of an asset that this run reads.

        Raises
        ------
        StoreError
            If the asset was never materialized, or was made from another version of an input that this run reads too.
        """
        if asset in self._pins:
            return self._pins[asset]
        version = self.store.current(asset)
        if version is None:
            raise StoreError(
                f"{self.store.name}/{asset} has not been materialized yet.",
                suggestions=[f"Materialize {self.store.name}/{asset} first, or the whole group {self.store.name}."],
            )
        known = {name: pinned.address for name, pinned in self._pins.items()}
        for pinned in self._pins.values():
            known.update(pinned.made_from)
        wanted = {**version.made_from, asset: version.address}
        stale = sorted(name for name, address in wanted.items() if known.get(name, address) != address)
        if stale:
            raise StoreError(
                f"{self.store.name}/{asset} was made from another version of {', '.join(stale)} than the one that this "
                "run reads.",
                suggestions=[f"Materialize everything downstream of {self.store.name}/{stale[0]} together."],
            )
        self._pins[asset] = version
        return version

    def read(self, asset: str) -> Any:
        """Return the value of an asset in the version that this run reads."""
        address = self.pin(asset).address
        if address not in self._values:
            self._values[address] = self.store.get(address)
        return self._values[address]

    def forget_values(self) -> None:
        """Let go of the values that were read; they are read from the store again where they are wanted."""
        self._values.clear()

    def stage(
        self,
        asset: str,
        value: Storable,
        *,
        phase: str,
        inputs: list[str],
        seconds: float,
        doubts: tuple[str, ...] = (),
    ) -> AssetVersion:
        """Store a value durably as the next version of an asset, without making it current yet."""
        made_from: dict[str, str] = {}
        for name in inputs:
            pinned = self.pin(name)
            made_from |= pinned.made_from | {name: pinned.address}
        return AssetVersion(
            asset=asset,
            address=self.store.put(value),
            phase=phase,
            run_id=self.run_id,
            created=now(),
            seconds=round(seconds, 3),
            made_from=made_from,
            doubts=doubts,
        )

    def publish(self, version: AssetVersion) -> None:
        """Make a staged version current, and the one that this run reads."""
        self.store.advance(version)
        self._pins[version.asset] = version

    def made(self) -> dict[str, AssetVersion]:
        """Return the versions that this run has made or read so far, by asset."""
        return dict(self._pins)

    def training(self, number: int) -> Training:
        """Return the training that a model version came of, with everything that its verdict was made from.

        Raises
        ------
        StoreError
            If there is no such version, or something that its verdict was made from is not current any more.
        """
        judged = self.pin(VERDICT).made_from
        for asset in judged:
            self.pin(asset)
        version = self.store.version(number)
        if version is None:
            raise StoreError(f"{self.store.name} has no version {number}.")
        seconds = {made.phase: made.seconds for made in self._pins.values() if made.run_id == version.run_id}
        addresses = {name: made.address for name, made in self._pins.items()}
        return Training(
            number=number,
            run_id=version.run_id,
            ended=version.created,
            seconds=seconds,
            addresses=addresses,
            doubts=tuple(doubt for asset in judged for doubt in self._pins[asset].doubts),
        )
