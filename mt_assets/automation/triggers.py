"""What besides new data asks for another training."""

from functools import partial
from typing import Any

import dagster as dg

from mt_assets.evaluation_feedback import feedback_trigger
from mt_assets.feature_recommendations import read_recommendations
from mt_assets.resources.asset_tables import file_of_asset
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.errors import TrainerError
from mt_assets.trainer.retraining.trigger import Trigger
from mt_assets.trainer.store.model_store import ModelStore, ModelVersion


def triggers_of(
    spec: TrainingSpec,
    store: ModelStore,
    instance: dg.DagsterInstance,
    tracking: MlflowTracking,
    last: ModelVersion | None,
) -> list[Trigger]:
    """Return everything that asks for a training now, handled before or not.

    Parameters
    ----------
    spec : TrainingSpec
    store : ModelStore
    instance : DagsterInstance
    tracking : MlflowTracking
        Where feedback may be a metric that somebody logs.
    last : ModelVersion or None
        The last training that has its result; before the first one nothing can ask for another.
    """
    if last is None:
        return []
    feedback = feedback_trigger(
        spec, store, file_of_asset=partial(file_of_asset, instance), metric_of=tracking.feedback
    )
    found = [feedback, _changed_recommendations(spec, store, instance, last)]
    return [trigger for trigger in found if trigger]


def _changed_recommendations(
    spec: TrainingSpec, store: ModelStore, instance: dg.DagsterInstance, last: ModelVersion
) -> Trigger | None:
    """Recommendations about columns that are not those that the last training followed."""
    if spec.inputs.feature_recommendations is None:
        return None
    try:
        advice = read_recommendations(spec, partial(file_of_asset, instance))
    except TrainerError:
        return None  # half-written, or wrong: the next training of any other cause says what is wrong with it
    followed: Any = store.get(last.addresses["data_profile"])
    if advice.digest == followed.advice:
        return None
    reason = "`inputs.featureRecommendations` are not what the last training followed."
    return Trigger(kind="recommendations", reason=reason, identity=f"recommendations {advice.digest} {last.run_id}")
