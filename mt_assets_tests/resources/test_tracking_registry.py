"""Versions and aliases, in whatever order trainings and people get there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mt_assets.resources.tracking import MlflowTracking
from mt_assets.trainer.reporting.tracked import RegisteredVersion, TrainingBundle

Retrained = Callable[..., TrainingBundle]

KEPT: dict[str, Any] = {"verdict": "kept_challenger"}


class Registry:
    """A fresh embedded tracker."""

    def __init__(self, folder: Path, client_of: Callable[[str], Any]) -> None:
        self.tracking = MlflowTracking(home=str(folder))
        self.connect = lambda: client_of(f"sqlite:///{folder / 'mlflow.db'}")

    def take(self, bundle: TrainingBundle) -> RegisteredVersion:
        return self.tracking.register(bundle, self.tracking.log_training(bundle))

    @property
    def aliases(self) -> dict[str, str]:
        return {alias: str(on) for alias, on in self.connect().get_registered_model("churn").aliases.items()}

    def person_puts_champion_on(self, version: str) -> None:
        self.connect().set_registered_model_alias("churn", "champion", version)


@pytest.fixture
def registry(home: Path, client_of: Callable[[str], Any]) -> Registry:
    return Registry(home, client_of)


def test_first_model_that_passes_is_champion(registry: Registry, bundle: TrainingBundle) -> None:
    first = registry.take(bundle)

    assert (first.status, first.name, first.version, first.uri) == ("registered", "churn", "1", "models:/churn/1")
    assert first.aliases == ("challenger", "champion")
    assert (first.champion_version, first.champion_training_id) == ("1", "churn/run-1")
    champion = registry.tracking.champion_version("churn")
    assert champion is not None
    assert (champion["version"], champion["training_id"]) == ("1", "churn/run-1")


def test_model_that_misses_a_gate_is_registered_and_not_champion(registry: Registry, retrained: Retrained) -> None:
    first = registry.take(retrained("run-1", hours=0, verdict="rejected_gates"))

    assert first.aliases == ("challenger",)
    assert first.champion_version is None
    assert registry.tracking.champion_version("churn") is None


def test_newest_is_challenger_and_only_a_better_one_champion(
    registry: Registry, bundle: TrainingBundle, retrained: Retrained
) -> None:
    registry.take(bundle)
    second = registry.take(retrained("run-2", hours=1, challenger_version=2, champion_version=1, **KEPT))
    assert (second.aliases, second.champion_version) == (("challenger",), "1")

    third = registry.take(retrained("run-3", hours=2, challenger_version=3, champion_version=1, verdict="promoted"))
    assert third.aliases == ("challenger", "champion")
    assert registry.aliases == {"challenger": "3", "champion": "3"}


def test_training_that_arrives_late_takes_no_alias_from_a_younger_one(
    registry: Registry, bundle: TrainingBundle, retrained: Retrained
) -> None:
    """The tracker was down for the first training and up for the second, which had beaten it."""
    younger = retrained("run-2", hours=1, challenger_version=2, champion_version=1, verdict="promoted")
    registry.take(younger)
    late = registry.take(bundle)

    assert late.version == "2"
    assert late.aliases == ()
    assert "trained later" in late.reason
    assert registry.aliases == {"challenger": "1", "champion": "1"}


def test_alias_that_a_person_moved_stays(registry: Registry, bundle: TrainingBundle, retrained: Retrained) -> None:
    registry.take(bundle)
    second = retrained("run-2", hours=1, challenger_version=2, champion_version=1, verdict="promoted")
    registry.take(second)
    registry.person_puts_champion_on("1")

    again = registry.take(second)
    assert again.champion_version == "1"
    compared_with_the_other = retrained("run-3", hours=2, challenger_version=3, champion_version=2, verdict="promoted")
    third = registry.take(compared_with_the_other)
    assert (third.champion_version, third.champion_training_id) == ("1", "churn/run-1")
    assert "person" in third.reason

    compared_with_theirs = retrained("run-4", hours=3, challenger_version=4, champion_version=1, verdict="promoted")
    assert registry.take(compared_with_theirs).champion_version == "4"


def test_alias_that_a_person_removed_stays_removed(registry: Registry, bundle: TrainingBundle) -> None:
    registry.take(bundle)
    registry.connect().delete_registered_model_alias("churn", "champion")

    again = registry.take(bundle)

    assert again.aliases == ("challenger",)
    assert "person" in again.reason


def test_a_training_that_takes_over_leaves_a_removed_alias_away_and_says_how_it_comes_back(
    registry: Registry, bundle: TrainingBundle, retrained: Retrained
) -> None:
    registry.take(bundle)
    registry.connect().delete_registered_model_alias("churn", "champion")

    for verdict in ("promoted", "kept_challenger"):
        asked = retrained(f"run-{verdict}", hours=1, challenger_version=2, champion_version=1, verdict=verdict)
        assert "mt-assets promote churn VERSION" in registry.take(asked).reason
        assert "champion" not in registry.aliases
    registry.tracking.crown("churn", "churn", None, "churn/run-promoted")
    assert registry.aliases["champion"] == "2"
    third = registry.take(retrained("run-3", hours=2, challenger_version=3, champion_version=2, verdict="promoted"))
    assert (registry.aliases["champion"], third.reason) == ("4", "")


def test_a_version_that_was_deleted_with_its_alias_makes_room_for_the_next(
    registry: Registry, bundle: TrainingBundle, retrained: Retrained
) -> None:
    registry.take(bundle)
    registry.connect().delete_model_version("churn", "1")

    registry.take(retrained("run-2", hours=1, challenger_version=2, champion_version=1, verdict="promoted"))

    assert registry.aliases["champion"] == "2"


@pytest.mark.parametrize("verdict", ["promoted", "kept_challenger"])
def test_an_alias_on_a_model_of_other_making_stays_and_is_told(
    verdict: str, registry: Registry, bundle: TrainingBundle, retrained: Retrained
) -> None:
    registry.take(bundle)
    client = registry.connect()
    by_hand = client.create_model_version("churn", source=client.get_model_version("churn", "1").source)
    registry.person_puts_champion_on(by_hand.version)

    told = registry.take(retrained("run-2", hours=1, challenger_version=2, champion_version=1, verdict=verdict))

    assert registry.aliases["champion"] == str(by_hand.version)
    assert f"version {by_hand.version}, which no training here has made" in told.reason
    assert told.champion_training_id is None


def test_other_names(registry: Registry, asking: Retrained) -> None:
    named = asking(registered_model_name="Kunden d'Or", experiment_name="Abwanderung")
    version = registry.take(named)

    assert (version.name, version.uri) == ("Kunden d'Or", "models:/Kunden d'Or/1")
    assert registry.take(named) == version
    assert registry.connect().get_experiment_by_name("Abwanderung") is not None
    champion = registry.tracking.champion_version("Kunden d'Or")
    assert champion is not None
    assert champion["version"] == "1"


def test_nothing_is_registered_when_not_asked_for(registry: Registry, asking: Retrained) -> None:
    quiet = asking(register_model=False)
    run = registry.tracking.log_training(quiet)
    version = registry.tracking.register(quiet, run)

    assert (run.status, version.status) == ("logged", "disabled")
    assert "registerModel" in version.reason
    assert registry.connect().search_registered_models() == []


def test_tracking_switched_off_touches_nothing(asking: Retrained, tmp_path: Path) -> None:
    off, tracking = asking(enabled=False), MlflowTracking(home=str(tmp_path / "home"))
    run = tracking.log_training(off)

    assert run.status == "disabled"
    assert tracking.register(off, run).status == "disabled"
    assert tracking.log_failure(off.spec, "churn/x", {}).status == "disabled"
    assert list(tmp_path.iterdir()) == []
