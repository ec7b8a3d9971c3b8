"""Telling the tracker what the store holds: each training once, and each failed run.

What belongs here: what is told, and what is remembered until it could be. What does not: how MLflow is talked to
(`tracking`).
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from mt_assets import trainer
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.reporting.tracked import ExperimentRun, RegisteredVersion, TrainingBundle
from mt_assets.trainer.store.model_store import ModelStore, Training


def record_training(
    spec: TrainingSpec, store: ModelStore, tracking: MlflowTracking, training: Training
) -> ExperimentRun:
    """Log a training. Where the tracker is down, the training is remembered as pending."""
    bundle = _bundle(spec, store, training)
    if spec.experiment_tracking.enabled:
        plots = trainer.study_plots(bundle.study, small=False)
        bundle = replace(bundle, files={f"{name}.png": png for name, png in plots.items()})
    recorded = tracking.log_training(bundle)
    store.set_pending(training, pending=recorded.status == "pending")
    return recorded


def register_training(
    spec: TrainingSpec, store: ModelStore, tracking: MlflowTracking, training: Training, recorded: ExperimentRun
) -> RegisteredVersion:
    """Register the model of a logged training. Where the tracker is down, the training is remembered as pending."""
    registered = tracking.register(_bundle(spec, store, training), recorded)
    store.set_pending(training, pending=registered.status == "pending")
    return registered


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
        training_id=training_id(spec, training.run_id),
        dagster_run_id=training.run_id,
        data_version=stored["raw_data"].digest,
        trained_at=datetime.fromisoformat(training.ended),
        seconds=sum(training.seconds.values()),
    )
