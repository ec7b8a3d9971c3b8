"""A version made again by its record, and held against the one that is stored: what `mt-assets reproduce` does.

It runs in a fresh process with a home of its own, from the recorded data, column roles and splits, so that the same
rows are test rows. Nothing of the model's own state changes, and no tracker hears of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from mt_assets.model_versions import chosen_version, model_store
from mt_assets.rerun import ORDER, OUTCOME
from mt_assets.trainer.errors import StoreError, TrainerError, TrainingError
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.recipe import Recipe, surroundings
from mt_assets.trainer.reproducing import Agreement, agreement, plan_differences, search_difference
from mt_assets.trainer.search.warm_start import KEPT
from mt_assets.trainer.store.model_store import GONE_HELP, ModelStore, gone, now
from mt_assets.trainer.store.versions import AssetVersion, ModelVersion

GIVEN: Final = ("raw_data", "data_profile", "train", "validation", "test", "folds")
"""What is not made again: data, what its columns are used as, and who is trained and tested on."""

SEARCHED: Final = ("training_plan", "preprocessor", "optuna_study", "best_params")
"""What is made again where no clock had a say, and given where one had."""

FITTED: Final = "trained_model"

READ: Final = (*GIVEN, *SEARCHED, FITTED, "test_metrics")

SILENT: Final[Mapping[str, Any]] = {
    "experimentTracking": {"enabled": False},
    "inputs": {},
    "outputs": [],
    "predictions": None,
}
"""Of the spec that is run again: nobody is told, nothing is read from outside."""

CLOCK: Final = (
    "Time was limited, so that which trials fitted in hung on the clock: their repetition is not promised, and the "
    "recorded winning configuration was fitted again instead."
)


class MissingRecordError(StoreError):
    """Something that a version would be made again by is not there."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True)
class Reproduction:
    """How a version came out when it was made again.

    Attributes
    ----------
    model : str
    version : int
    agreement : Agreement or None
        None where no model came out.
    promised : bool
        Whether the same is promised: no clock had a say.
    trials : int
        Of the search that was made again; 0 where only the winner was fitted.
    differences : tuple of str
        What is other than it was then: surroundings, plan, trials; what stopped the training.
    """

    model: str
    version: int
    agreement: Agreement | None
    promised: bool
    trials: int
    differences: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        """Whether the new model predicts what the stored one does."""
        return self.agreement is not None and self.agreement.same

    def told(self) -> str:
        """The verdict in one sentence."""
        made = f"its {self.trials} trials and the final fit" if self.trials else "the final fit of its winner"
        if self.agreement is None:
            return f"Version {self.version} of {self.model} was not reproduced: no model came out."
        verb = "was reproduced" if self.reproduced else "was NOT reproduced"
        how = "identical" if self.agreement.identical else f"different by {self.agreement.largest:.3g} at most"
        return (
            f"Version {self.version} of {self.model} {verb}: after {made}, the predictions for "
            f"{self.agreement.rows:,} rows are {how}."
        )


def reproduce(name: str, number: int | None = None) -> Reproduction:
    """Make a version again, by default the champion, and compare.

    Raises
    ------
    SpecError
        There is no such model or version.
    MissingRecordError
        What it was made of is no longer kept, or was never written down.
    """
    store = model_store(name)
    return reproduce_version(store, chosen_version(store, number))


def reproduce_version(store: ModelStore, version: ModelVersion) -> Reproduction:
    """Make a version of a store again, and compare; raises as `reproduce` does."""
    stored, recipe = _recorded(store, version)
    plan, study = stored["training_plan"], stored["optuna_study"]
    promised = plan.timeout is None and not recipe.spec.get("options", {}).get("timeBudget")
    made_again = (*SEARCHED, FITTED) if promised else (FITTED,)
    differences = list(recipe.surroundings.differences(surroundings()))
    with tempfile.TemporaryDirectory(prefix="mt-assets-reproduce-") as scratch:
        home = Path(scratch) / "home"
        again = ModelStore(home, store.name)
        _hand_over(store, version, recipe, again, [name for name in (*GIVEN, *SEARCHED) if name not in made_again])
        outcome = _run(Path(scratch), home, recipe, store.name, made_again)
        if outcome.get("missing"):
            raise MissingRecordError(outcome["error"], suggestions=("Use the release that trained it.",))
        if promised:
            differences += _other_choices(stored, again)
        found = None
        if "error" in outcome:
            differences.append(f"Training it again failed: {outcome['error']}")
        else:
            trained = again.get(outcome["trained_model"])
            assert isinstance(trained, TrainedModel)
            found = agreement(
                trained, stored[FITTED], stored["test_metrics"], stored["test"], stored["data_profile"], stored["folds"]
            )
    return Reproduction(
        model=store.name,
        version=version.number,
        agreement=found,
        promised=promised,
        trials=len(study.trials) if promised else 0,
        differences=tuple(differences),
    )


def _other_choices(stored: dict[str, Any], again: ModelStore) -> tuple[str, ...]:
    """What plan and search chose otherwise, as far as they came."""
    comparisons: dict[str, Callable[[Any, Any], tuple[str, ...]]] = {
        "training_plan": plan_differences,
        "optuna_study": search_difference,
    }
    found: tuple[str, ...] = ()
    for asset, compare in comparisons.items():
        if current := again.current(asset):
            found += compare(stored[asset], again.get(current.address))
    return found


def _recorded(store: ModelStore, version: ModelVersion) -> tuple[dict[str, Any], Recipe]:
    """Everything that the version was made of, and its recipe."""
    if version.collected:
        raise MissingRecordError(gone(store.name, version), suggestions=GONE_HELP)
    if not version.recipe:
        raise MissingRecordError(
            f"The spec of version {version.number} of {store.name} is not recorded: an earlier release trained it.",
            suggestions=("Train it again; the spec is then kept with the new version.",),
        )
    try:
        stored: dict[str, Any] = {name: store.get(version.addresses[name]) for name in READ}
        recipe = store.get(version.recipe)
    except (KeyError, TrainerError, ValueError) as error:
        lost = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise MissingRecordError(
            f"What version {version.number} of {store.name} was made of is not all there: {lost}",
            suggestions=("Train it again.",),
        ) from error
    assert isinstance(recipe, Recipe)
    return stored, recipe


def _hand_over(store: ModelStore, version: ModelVersion, recipe: Recipe, again: ModelStore, given: list[str]) -> None:
    """Put what is not made again into a store of its own; files are shared, since nobody ever writes to them."""
    before: dict[str, str] = {}
    for name in given:
        address = version.addresses[name]
        shutil.copytree(
            store.folder / "objects" / address, again.folder / "objects" / address, copy_function=_share,
            dirs_exist_ok=True,
        )  # fmt: skip
        made = AssetVersion(
            asset=name, address=address, phase=name, run_id="recorded", created=now(), seconds=0.0,
            made_from=dict(before),
        )  # fmt: skip
        again.advance(made)
        before[name] = address
    if recipe.warm is not None:
        again.keep(
            AssetVersion(
                asset=KEPT, address=again.put(recipe.warm), phase=KEPT, run_id="recorded", created=now(), seconds=0.0,
                made_from={},
            )
        )  # fmt: skip


def _share(source: str, target: str) -> None:
    """Link a file, or copy it where it lies on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _run(scratch: Path, home: Path, recipe: Recipe, name: str, assets: tuple[str, ...]) -> dict[str, Any]:
    spec = {**recipe.spec, **SILENT, "name": name}
    spec["options"] = {**spec.get("options", {}), "verbosity": 0}
    order = {"spec": spec, "assets": assets, "further_rounds": recipe.further_rounds}
    (scratch / ORDER).write_text(json.dumps(order))
    surrounding = {key: value for key, value in os.environ.items() if key != "MT_ASSETS_STUDY_STORAGE"}
    package = str(Path(__file__).resolve().parents[1])
    surrounding |= {
        "MT_ASSETS_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
    }
    command = [sys.executable, "-m", "mt_assets.rerun", str(scratch)]
    ended = subprocess.run(command, capture_output=True, text=True, env=surrounding, check=False)
    if not (scratch / OUTCOME).is_file():
        last = ended.stderr.strip().splitlines()[-1:] or [f"exit status {ended.returncode}"]
        raise TrainingError(f"The process that was to train {name} again ended early: {last[0][:500]}")
    outcome: dict[str, Any] = json.loads((scratch / OUTCOME).read_text())
    return outcome
