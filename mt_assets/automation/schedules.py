"""Schedules: train by the clock, where the spec asks for it."""

import dagster as dg

from mt_assets.automation.jobs import training_job_name
from mt_assets.spec import TrainingSpec


def build_schedules(spec: TrainingSpec) -> list[dg.ScheduleDefinition]:
    """Build `<name>_schedule`, running from the start, where `retraining.schedule` is given."""
    if not spec.retraining.schedule:
        return []
    return [
        dg.ScheduleDefinition(
            name=f"{spec.name}_schedule",
            job_name=training_job_name(spec.name),
            cron_schedule=spec.retraining.schedule,
            execution_timezone=spec.retraining.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Reads the data of {spec.name} and trains on it, as retraining.schedule asks.",
        )
    ]
