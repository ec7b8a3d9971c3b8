"""Scoring by itself: the job `<name>_scoring`, by the clock, or whenever a file arrives."""

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets.assets.predictions import predictions_key, scored_files
from mt_assets.resources.model_runs import MODEL_TAG, ModelRuns
from mt_assets.spec import Predictions, TrainingSpec

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

TICK_S = 60
"""Seconds between two looks at the folder of files to score."""


def build_scoring(spec: TrainingSpec) -> dg.Definitions:
    """Build the job `<name>_scoring`, where the spec asks for predictions, and what starts it.

    That is the schedule `<name>_scoring_schedule` where `predictions.schedule` is given, and the sensor
    `<name>_new_files` where files are scored one by one; both run from the start.
    """
    asked = spec.predictions
    if asked is None:
        return dg.Definitions()
    job = dg.define_asset_job(
        f"{spec.name}_scoring",
        selection=dg.AssetSelection.assets(predictions_key(spec)),
        tags={MODEL_TAG: spec.name},
        description=f"Score new rows by the champion of {spec.name}; nothing is trained.",
    )
    return dg.Definitions(
        jobs=[job],
        schedules=[_schedule(spec, asked, job)] if asked.schedule else [],
        sensors=[_new_files(spec, asked, job)] if asked.partitions == "file" else [],
    )


def _schedule(spec: TrainingSpec, asked: Predictions, job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{spec.name}_scoring_schedule",
        job=job,
        cron_schedule=str(asked.schedule),
        execution_timezone=spec.retraining.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Scores new rows by the champion of {spec.name}, as predictions.schedule asks.",
    )
    def scoring_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if asked.partitions == "none":
            return dg.RunRequest()
        yesterday = (context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)).isoformat()
        if yesterday < str(asked.start):
            return dg.SkipReason(f"No day since {asked.start} is over yet.")
        return dg.RunRequest(partition_key=yesterday)

    return scoring_schedule


def _new_files(spec: TrainingSpec, asked: Predictions, job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    files = scored_files(spec)

    @dg.sensor(
        name=f"{spec.name}_new_files",
        job=job,
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Has the champion of {spec.name} score each file that arrives in predictions.dataPath.",
    )
    def new_files(context: dg.SensorEvaluationContext, model_runs: ModelRuns) -> dg.SensorResult | dg.SkipReason:
        from mt_assets.trainer.data.sources.local_files import local_files
        from mt_assets.trainer.errors import DataError

        if model_runs.store(spec.name).champion() is None:
            return dg.SkipReason(f"{spec.name} has no champion yet that could score.")
        try:
            there = [file.path.name for file in local_files(str(asked.data_path))]
        except DataError as error:
            return dg.SkipReason(error.message)
        known = set(context.instance.get_dynamic_partitions(str(files.name)))
        new = [name for name in dict.fromkeys(there) if name not in known]
        if not new:
            return dg.SkipReason(f"All {len(there)} files in {asked.data_path} are known.")
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=f"{spec.name}/{name}", partition_key=name) for name in new],
            dynamic_partitions_requests=[files.build_add_request(new)],
        )

    return new_files
