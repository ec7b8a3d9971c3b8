"""What a version can be made again by, and on what it was made: written down with every version."""

from __future__ import annotations

import os
import platform
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mt_assets.trainer.model import library_versions
from mt_assets.trainer.reporting.tracked import masked
from mt_assets.trainer.search.warm_start import KEPT, WarmStart
from mt_assets.trainer.store.model_store import RunStore
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

BESIDES: Final = ("mt-assets", "optuna", "scipy", "pyarrow", "torch")
"""Libraries that a training hangs on, and a finished model does not."""


class Surroundings(Record):
    """On what a training ran.

    Attributes
    ----------
    versions : dict
        Of Python and the libraries.
    code : str
        Digest of this package's code.
    machine : str
        Kind of processor, and operating system.
    processors : int
        How many may be used.
    """

    versions: dict[str, str]
    code: str
    machine: str
    processors: int

    def differences(self, now: Surroundings) -> tuple[str, ...]:
        """What is other now, in sentences."""
        names = sorted(self.versions.keys() | now.versions.keys())
        pairs = [(name, self.versions.get(name, "none"), now.versions.get(name, "none")) for name in names]
        found = [f"{name} was {before}, and is {after} here." for name, before, after in pairs if before != after]
        if self.code != now.code:
            found.append("The code of mt_assets is not what it was.")
        if self.machine != now.machine:
            found.append(f"It was trained on {self.machine}; this is {now.machine}.")
        if self.processors != now.processors:
            found.append(f"It was trained with {self.processors} processors; here are {now.processors}.")
        return tuple(found)


class Recipe(Record):
    """What a training was asked to do, without secrets.

    Attributes
    ----------
    spec : dict
        As in a file; passwords are masked, since the data is read from the store.
    further_rounds : int
        Rounds of search besides the first.
    warm : WarmStart or None
        Configurations of earlier data that the search began with.
    surroundings : Surroundings
    """

    filename: ClassVar[str] = "recipe.json"

    spec: dict[str, Any]
    further_rounds: int = 0
    warm: WarmStart | None = None
    surroundings: Surroundings


def recipe_of(spec: TrainingSpec, run: RunStore, further_rounds: int) -> Recipe:
    """Write down what this run was asked to do, and on what it runs."""
    warm = run.kept(KEPT) if spec.retraining.warm_start else None
    of_this_data = isinstance(warm, WarmStart) and warm.data == run.pin("raw_data").address
    return Recipe(
        spec=masked(spec.model_dump(mode="json", by_alias=True)),
        further_rounds=further_rounds,
        warm=warm if of_this_data else None,
        surroundings=surroundings(),
    )


def surroundings() -> Surroundings:
    """On what this process runs."""
    versions = library_versions()
    for library in BESIDES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return Surroundings(
        versions=versions,
        code=_code(),
        machine=f"{platform.machine()} {_processor()} {platform.system()}".replace("  ", " "),
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


@cache
def _code() -> str:
    package = Path(__file__).resolve().parent
    digest = sha256()
    for source in sorted(package.rglob("*.py")):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]


def _processor() -> str:
    """The processor's own name: another model may add numbers in another order."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
