"""Jobs: train from the beginning, and train again on data that has already been read."""

from typing import TYPE_CHECKING

import dagster as dg

from mt_assets.assets.predictions import predictions_key
from mt_assets.resources.model_runs import MODEL_TAG
from mt_assets.spec import TrainingSpec

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def training_job_name(spec_name: str) -> str:
    return f"{spec_name}_training"


def retraining_job_name(spec_name: str) -> str:
    return f"{spec_name}_retraining"


SEARCHED = (
    "optuna_study", "best_params", "trained_model", "test_metrics", "feature_importance", "promotion_decision",
    "experiment_run", "registered_model", "training_result",
)  # fmt: skip
"""The search and everything after it: what is made again when a search goes on."""


def searched(spec: TrainingSpec) -> list[dg.AssetKey]:
    """Keys of the search and of everything after it."""
    asked = ("fairness",) if spec.sensitive_columns else ()
    return [dg.AssetKey([spec.name, asset]) for asset in (*SEARCHED, *asked, *spec.outputs)]


def build_jobs(spec: TrainingSpec) -> "list[UnresolvedAssetJobDefinition]":
    """Build `<name>_training` (every asset but predictions) and `<name>_retraining` (downstream of `raw_data`)."""
    everything: dg.AssetSelection = dg.AssetSelection.groups(spec.name)
    if spec.predictions is not None:
        everything -= dg.AssetSelection.assets(predictions_key(spec))
    read = dg.AssetSelection.assets(dg.AssetKey([spec.name, "raw_data"]))
    return [
        dg.define_asset_job(
            training_job_name(spec.name),
            selection=everything,
            tags={MODEL_TAG: spec.name},
            description=f"Read the data of {spec.name}, train on it, and judge the model.",
        ),
        dg.define_asset_job(
            retraining_job_name(spec.name),
            selection=everything - read,
            tags={MODEL_TAG: spec.name},
            description=f"Train {spec.name} again on the data that was last read.",
        ),
    ]
