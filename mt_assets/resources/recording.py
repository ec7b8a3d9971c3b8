"""Telling the tracker what the store holds: each training once, and each failed run.

What belongs here: what is told, and what is remembered until it could be. What does not: how MLflow is talked to
(`tracking`).
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from mt_assets import trainer
from mt_assets.resources.tracking import MlflowTracking, registered_name
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.reporting.tracked import ExperimentRun, RegisteredVersion, TrainingBundle
from mt_assets.trainer.store.model_store import ModelStore, now
from mt_assets.trainer.store.versions import Approval, ModelVersion, Training

BY_ALIAS = "a person who moved the registry's alias"
"""Who made a version the champion that was followed from the registry."""


def record_training(
    spec: TrainingSpec, store: ModelStore, tracking: MlflowTracking, training: Training
) -> ExperimentRun:
    """Log a training. Where the tracker is down, the training is remembered as pending."""
    bundle = _bundle(spec, store, training)
    if spec.experiment_tracking.enabled:
        plots = trainer.study_plots(bundle.study, small=False)
        bundle = replace(bundle, files={**bundle.files, **{f"{name}.png": png for name, png in plots.items()}})
    recorded = tracking.log_training(bundle)
    store.set_pending(training, pending=recorded.status == "pending")
    return recorded


def register_training(
    spec: TrainingSpec, store: ModelStore, tracking: MlflowTracking, training: Training, recorded: ExperimentRun
) -> RegisteredVersion:
    """Register the model of a logged training. Where the tracker is down, the training is remembered as pending."""
    registered = tracking.register(_bundle(spec, store, training), recorded)
    store.set_pending(training, pending=registered.status == "pending")
    followed = _follow(store, registered)
    return registered.model_copy(update={"reason": " ".join(text for text in (registered.reason, followed) if text)})


def _follow(store: ModelStore, registered: RegisteredVersion) -> str:
    """Make the version the champion on which a person has put the registry's alias. Returns what was done, if anything.

    What was trained under another home, or registered by other means, is not in the store and cannot be followed.
    """
    if registered.champion_training_id is None or store.champion_untold:
        return ""
    champion = store.champion()
    run_id = registered.champion_training_id.removeprefix(f"{store.name}/")
    chosen = [each.number for each in store.versions() if each.run_id == run_id and not each.collected]
    if not chosen or (champion is not None and champion.number in chosen):
        return ""
    said = Approval(granted=True, by=BY_ALIAS, at=now())
    if not store.crown(chosen[-1], instead_of=champion.number if champion else None, approval=said):
        return ""
    return f"The champion is version {chosen[-1]} now, because a person put the registry's alias `champion` on it."


def tell_champion(store: ModelStore, tracking: MlflowTracking, spec: TrainingSpec | None) -> RegisteredVersion:
    """Put the registry's alias `champion` on the version that a person made the champion.

    Where the tracker is down, or has still to be told of that version itself, this is remembered, and `record_pending`
    does it later.

    Parameters
    ----------
    store : ModelStore
    tracking : MlflowTracking
    spec : TrainingSpec, optional
        The model's spec, which says where it is registered; without it the last training's own word.
    """
    champion = store.champion()
    version = store.version(champion.number) if champion else None
    if version is None:
        return RegisteredVersion(status="disabled", name=store.name, reason="There is no champion.")
    if spec and not (spec.experiment_tracking.enabled and spec.experiment_tracking.register_model):
        return RegisteredVersion(status="disabled", name=registered_name(spec), reason="Its models are in no registry.")
    known = store.current("registered_model"), store.current("experiment_run")
    if not all(known):
        store.set_champion_untold(True)
        reason = "The model is in no registry yet; its alias `champion` follows when it is."
        return RegisteredVersion(status="pending", name=store.name, reason=reason)
    registered, recorded = (store.get(each.address) for each in known if each)
    assert isinstance(registered, RegisteredVersion)
    assert isinstance(recorded, ExperimentRun)
    if spec is None and registered.status == "disabled":
        return registered
    store.set_champion_untold(True)
    if spec is None and "***" in (recorded.tracking_uri or ""):
        reason = f"The password of the tracker at {recorded.tracking_uri} is not kept; `mt-assets sync SPEC` tells it."
        return RegisteredVersion(status="pending", name=registered.name, reason=reason)
    answer = tracking.crown(
        store.name,
        registered_name(spec) if spec else registered.name,
        spec.experiment_tracking.tracking_uri if spec else recorded.tracking_uri,
        f"{store.name}/{version.run_id}",
    )
    store.set_champion_untold(
        answer.status == "pending" or (answer.status == "disabled" and _comes_later(store, version))
    )
    return answer


def _comes_later(store: ModelStore, version: ModelVersion) -> bool:
    """Whether the tracker has still to be told of a version: it was down, or the training has not come to it yet."""
    made = store.current("registered_model")
    unfinished = version.number == store.versions()[-1].number and (made is None or made.run_id != version.run_id)
    return unfinished or version.number in [training.number for training in store.pending()]


def record_pending(spec: TrainingSpec, store: ModelStore, tracking: MlflowTracking) -> list[int]:
    """Tell the tracker of the trainings that it missed, oldest first, until it cannot be reached.

    Returns the numbers of the model versions that it has now.
    """
    done = []
    for training in store.pending():
        recorded = record_training(spec, store, tracking, training)
        if recorded.status == "pending":
            break
        if register_training(spec, store, tracking, training, recorded).status == "pending":
            break
        done.append(training.number)
    if store.champion_untold and not store.pending():
        tell_champion(store, tracking, spec)
    return done


def record_failure(
    spec: TrainingSpec, store: ModelStore, tracking: MlflowTracking, run_id: str
) -> ExperimentRun | None:
    """Log a failed run by what it wrote down; None where it wrote nothing."""
    report = store.failure(run_id)
    return tracking.log_failure(spec, training_id(spec, run_id), report) if report else None


def training_id(spec: TrainingSpec, run_id: str) -> str:
    """Return what the tracker knows a training by."""
    return f"{spec.name}/{run_id}"


def _bundle(spec: TrainingSpec, store: ModelStore, training: Training) -> TrainingBundle:
    stored: dict[str, Any] = {name: store.get(address) for name, address in training.addresses.items()}
    return TrainingBundle(
        spec=spec,
        plan=stored["training_plan"],
        profile=stored["data_profile"],
        table=stored["raw_data"],
        splits=stored["folds"],
        study=stored["optuna_study"],
        best=stored["best_params"],
        trained=stored["trained_model"],
        evaluation=stored["test_metrics"],
        importance=stored["feature_importance"],
        promotion=stored["promotion_decision"],
        fairness=stored.get("fairness"),
        training_id=training_id(spec, training.run_id),
        dagster_run_id=training.run_id,
        data_version=stored["raw_data"].digest,
        trained_at=datetime.fromisoformat(training.ended),
        seconds=sum(training.seconds.values()),
        files={"model_card.md": stored["model_card"].text.encode()} if "model_card" in stored else {},
    )
