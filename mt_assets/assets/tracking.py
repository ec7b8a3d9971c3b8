"""The tracker is told, after the fact: `experiment_run`, `registered_model`. Nothing else touches MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.resources.recording import record_pending, record_training, register_training
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.checks import Check

if TYPE_CHECKING:
    from mt_assets.trainer.promotion import PromotionDecision
    from mt_assets.trainer.reporting.tracked import ExperimentRun, RegisteredVersion


def tracked(answer: ExperimentRun | RegisteredVersion) -> dict[str, Any]:
    """What people see of the tracker's answer."""
    shown = answer.model_dump(exclude={"url"}, exclude_none=True)
    shown = {key: ", ".join(value) if isinstance(value, tuple) else value for key, value in shown.items()}
    return shown | ({"link": dg.MetadataValue.url(answer.url)} if answer.url else {})


def check_tracked(answer: ExperimentRun | RegisteredVersion) -> Check:
    """`tracked`: the tracker has it, or was not asked to."""
    done = "It was recorded." if answer.status in ("logged", "registered") else "Tracking is switched off."
    return Check(
        name="tracked",
        passed=answer.status != "pending",
        message=answer.reason or done,
        evidence={"status": answer.status},
    )


def build_tracking_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "experiment_run": AssetFace(
                "The MLflow run: parameters, metrics, data, decisions, files, model.", frozenset({"mlflow"})
            )
        },
        checks={"tracked": False},
        after=spec.outputs or ("promotion_decision",),
    )
    def experiment_run(run: PhaseRun, promotion_decision: PromotionDecision) -> Made:
        store = run.store.store
        for output in spec.outputs:
            run.store.pin(output)
        record_pending(spec, store, run.tracking)
        recorded = record_training(spec, store, run.tracking, run.store.training(promotion_decision.challenger_version))
        return Made(recorded, metadata=tracked(recorded), checks=[check_tracked(recorded)])

    @phase(
        spec,
        {"registered_model": AssetFace("The version in the MLflow registry, with its aliases.", frozenset({"mlflow"}))},
        checks={"tracked": False},
        after=("experiment_run",),
    )
    def registered_model(run: PhaseRun, promotion_decision: PromotionDecision, experiment_run: ExperimentRun) -> Made:
        training = run.store.training(promotion_decision.challenger_version)
        registered = register_training(spec, run.store.store, run.tracking, training, experiment_run)
        return Made(registered, metadata=tracked(registered), checks=[check_tracked(registered)])

    return [experiment_run, registered_model]
