"""Finding and reading all specs of a place."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.errors import SpecError

SUFFIXES = (".json", ".yaml", ".yml")

EXAMPLES = Path(__file__).parent / "examples"

log = logging.getLogger(__name__)


def specs_place() -> Path:
    """Return the file or folder that specs are taken from where none is named."""
    if given := os.environ.get("MT_ASSETS_SPECS"):
        return Path(given).expanduser()
    return Path("specs") if Path("specs").is_dir() else EXAMPLES


def find_specs(place: Path) -> list[Path]:
    """Return the spec files at a place, a file or a folder, sorted.

    Raises
    ------
    SpecError
        If there is no such place.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise SpecError(
            f"There is no spec or folder of specs at {place}.",
            suggestions=[
                "Set MT_ASSETS_SPECS to a spec or to a folder of specs, or unset it to see the bundled examples."
            ],
        )
    return sorted(path for path in place.iterdir() if path.suffix in SUFFIXES)


def read_specs(paths: Iterable[Path]) -> tuple[list[TrainingSpec], dict[Path, SpecError]]:
    """Read specs; one that cannot be read, or takes the name of an earlier one, leaves the others working."""
    specs: dict[str, tuple[Path, TrainingSpec]] = {}
    refused: dict[Path, SpecError] = {}
    for path in paths:
        try:
            spec = load_spec(path)
            if spec.name in specs:
                raise SpecError(
                    f"Two specs are named {spec.name!r}: {specs[spec.name][0].name} and {path.name}. "
                    "The second is left out.",
                    suggestions=[f"Give {path.name} a `name` of its own."],
                )
            specs[spec.name] = (path, spec)
        except SpecError as error:
            log.error("%s is not used: %s", path, error.message)
            refused[path] = error
    return [spec for _, spec in specs.values()], refused
