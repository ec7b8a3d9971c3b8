"""One trained model as one version of a registered model, and the aliases that move with it.

Two aliases are ours: `challenger` on the youngest training, `champion` on the one that serves. A person may move
either; what a person did to `champion` stands until a later training takes over from the version that the person chose.
An alias never moves to an older training than the one it is on, in whatever order trainings reach the registry.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mt_assets.resources.mlflow_run import MODEL_VERSION, TRAINED_AT, TRAINING_ID, find_model, tags
from mt_assets.resources.mlflow_store import Tracker, TrackerUnavailableError
from mt_assets.trainer.reporting.tracked import ExperimentRun, RegisteredVersion, TrainingBundle

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION, CHALLENGER = "champion", "challenger"

LAST_CROWNED = "mt_assets.champion"
"""Tag of the registered model: the version on which we last put `champion`. Where the alias is elsewhere, a person
moved it."""
CROWNED = "mt_assets.was_champion"
"""Tag of a version on which we have put `champion`; we do so once."""

READY_S = 30
"""Seconds to wait for a registry that takes in a version in the background."""


def register_version(
    client: "MlflowClient", tracker: Tracker, name: str, bundle: TrainingBundle, run: ExperimentRun
) -> RegisteredVersion:
    """Register the model of a logged run, unless it is registered, and bring the aliases up to date."""
    _ensure_model(client, name)
    version = find_version(client, name, bundle.training_id) or _create(client, name, bundle, run)
    number = str(version.version)
    registered = client.get_registered_model(name)
    _move_challenger(client, registered, version)
    reason = _move_champion(client, registered, version, bundle)
    return _answer(client, tracker, name, number, reason)


def crown_version(client: "MlflowClient", tracker: Tracker, name: str, training_id: str) -> RegisteredVersion:
    """Put the alias `champion` on the version of a training, because a person said so."""
    version = find_version(client, name, training_id) if _exists(client, name) else None
    if version is None:
        reason = f"The version was never registered as {name}, so the registry's alias stays where it is."
        return RegisteredVersion(status="disabled", name=name, reason=reason)
    _crown(client, name, version)
    return _answer(client, tracker, name, str(version.version), "")


def _answer(client: "MlflowClient", tracker: Tracker, name: str, number: str, reason: str) -> RegisteredVersion:
    """How the registry has a version now."""
    registered = client.get_registered_model(name)
    champion = _aliased(client, registered, CHAMPION)
    return RegisteredVersion(
        status="registered",
        name=name,
        version=number,
        aliases=tuple(sorted(alias for alias, on in registered.aliases.items() if str(on) == number)),
        uri=f"models:/{name}/{number}",
        url=tracker.page(f"models/{name}/versions/{number}"),
        reason=reason,
        champion_version=str(champion.version) if champion else None,
        champion_training_id=champion.tags.get(TRAINING_ID) if champion else None,
    )


def find_version(client: "MlflowClient", name: str, training_id: str) -> "ModelVersion | None":
    """Return the version of a training."""
    found = client.search_model_versions(f"name = {_quoted(name)} AND tags.`{TRAINING_ID}` = '{training_id}'")
    return min(found, key=lambda version: int(version.version)) if found else None


def champion_of(client: "MlflowClient", name: str) -> dict[str, Any] | None:
    """Return what the alias `champion` of a registered model points to, or None."""
    version = _aliased(client, client.get_registered_model(name), CHAMPION) if _exists(client, name) else None
    if version is None:
        return None
    return {
        "version": str(version.version),
        "training_id": version.tags.get(TRAINING_ID),
        "run_id": version.run_id,
        "uri": f"models:/{name}/{version.version}",
        "tags": dict(version.tags),
    }


def _ensure_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    if _exists(client, name):
        return
    try:
        client.create_registered_model(name)
    except MlflowException:
        if not _exists(client, name):  # otherwise another process was quicker
            raise


def _exists(client: "MlflowClient", name: str) -> bool:
    return bool(client.search_registered_models(f"name = {_quoted(name)}", max_results=1))


def _create(client: "MlflowClient", name: str, bundle: TrainingBundle, run: ExperimentRun) -> "ModelVersion":
    model = find_model(client, str(run.experiment_id), str(run.run_id))
    if model is None:
        raise TrackerUnavailableError(
            f"Run {run.run_id} has lost its model; delete the run in MLflow and it is logged anew."
        )
    return client.create_model_version(
        name,
        # The place itself: given `models:/<id>`, MLflow's database store looks it up in its default tracker.
        source=model.artifact_location,
        run_id=run.run_id,
        tags=tags(bundle),
        description=bundle.promotion.reason,
        await_creation_for=READY_S,
        model_id=model.model_id,
    )


def _move_challenger(client: "MlflowClient", registered: "RegisteredModel", version: "ModelVersion") -> None:
    present = _aliased(client, registered, CHALLENGER)
    if present is None or (present.version != version.version and not _is_younger(present, version)):
        client.set_registered_model_alias(registered.name, CHALLENGER, version.version)


def _move_champion(
    client: "MlflowClient", registered: "RegisteredModel", version: "ModelVersion", bundle: TrainingBundle
) -> str:
    """Put the alias on the version if it takes over. Returns what a person did to the alias, where that stands."""
    present = _aliased(client, registered, CHAMPION)
    if present is None and _was_taken_away(client, registered):
        return (
            f"A person took the alias `{CHAMPION}` away, and no model has it until a person names one: "
            f"`mt-assets promote {bundle.spec.name} VERSION`."
        )
    if not bundle.promotion.takes_over:
        return _told_if_foreign(registered, present)
    if present is None or present.version != version.version:
        if present is not None and _is_younger(present, version):
            return f"The alias `{CHAMPION}` stays on version {present.version}, which was trained later."
        if CROWNED in version.tags:
            return f"A person took the alias `{CHAMPION}` from this version."
        if present is not None and not _is_ours_to_move(registered, present, bundle):
            return (
                _told_if_foreign(registered, present)
                or f"A person put the alias `{CHAMPION}` on version {present.version}, where it stays."
            )
        _crown(client, registered.name, version)
    elif CROWNED not in version.tags:
        _crown(client, registered.name, version)
    return ""


def _was_taken_away(client: "MlflowClient", registered: "RegisteredModel") -> bool:
    """Whether the version on which we last put the alias is still there, without it."""
    from mlflow.exceptions import MlflowException

    number = registered.tags.get(LAST_CROWNED)
    try:
        return number is not None and client.get_model_version(registered.name, number) is not None
    except MlflowException:  # the version was deleted, and the alias with it
        return False


def _told_if_foreign(registered: "RegisteredModel", present: "ModelVersion | None") -> str:
    """What to say where a person put the alias on a version that no training here has made."""
    if present is None or TRAINING_ID in present.tags or registered.tags.get(LAST_CROWNED) == str(present.version):
        return ""
    return (
        f"A person put the alias `{CHAMPION}` on version {present.version}, which no training here has made, and there "
        "it stays; predictions and comparisons here go on with the champion of our own store."
    )


def _crown(client: "MlflowClient", name: str, version: "ModelVersion") -> None:
    """Put the alias on a version, and note that it was us who did."""
    client.set_registered_model_alias(name, CHAMPION, version.version)
    client.set_registered_model_tag(name, LAST_CROWNED, str(version.version))
    client.set_model_version_tag(name, version.version, CROWNED, "true")


def _is_ours_to_move(registered: "RegisteredModel", present: "ModelVersion", bundle: TrainingBundle) -> bool:
    """Whether the alias is where we put it, or the new model was compared with what a person put it on."""
    if registered.tags.get(LAST_CROWNED) == str(present.version):
        return True
    compared = bundle.promotion.champion_version
    return compared is not None and present.tags.get(MODEL_VERSION) == str(compared)


def _is_younger(one: "ModelVersion", other: "ModelVersion") -> bool:
    """Whether `one` was trained after `other`; versions that are not ours count by their number."""
    moments = one.tags.get(TRAINED_AT), other.tags.get(TRAINED_AT)
    if moments[0] and moments[1]:
        return datetime.fromisoformat(moments[0]) > datetime.fromisoformat(moments[1])
    return int(one.version) > int(other.version)


def _aliased(client: "MlflowClient", registered: "RegisteredModel", alias: str) -> "ModelVersion | None":
    number = registered.aliases.get(alias)
    return client.get_model_version(registered.name, number) if number else None


def _quoted(name: str) -> str:
    """A name in a search condition."""
    return f'"{name}"' if "'" in name else f"'{name}'"
