"""All sensors of a code location, and those that put right by themselves what went wrong between runs."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets.automation.jobs import searched, training_job_name
from mt_assets.automation.new_data import build_new_data_sensor
from mt_assets.automation.retraining import build_retraining_sensor
from mt_assets.automation.runs import models_of
from mt_assets.resources.model_runs import (
    ATTENDED_TAG,
    MODEL_TAG,
    ROUND_TAG,
    ModelRuns,
    further_rounds,
    report_killed_runs,
)
from mt_assets.resources.recording import record_failure, record_pending
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.store import lock
from mt_assets.trainer.store.model_store import ModelStore

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

TICK_S = 60
"""Seconds between two rounds of housekeeping."""

GRACE_S = 120.0
"""Seconds within which a run that has started takes its locks; one that has not by then was killed before it could."""


def build_sensors(
    specs: Sequence[TrainingSpec], jobs: "Sequence[UnresolvedAssetJobDefinition]"
) -> list[dg.SensorDefinition]:
    """Build the sensors of a code location; they run from the start, unless a spec says otherwise."""
    improvable = [spec for spec in specs if spec.retraining.improve_rounds]
    return [
        *([_failures(specs), _housekeeping(specs)] if specs else []),
        *([_further_rounds(improvable, jobs)] if improvable else []),
        *(build(spec) for spec in specs for build in (build_new_data_sensor, build_retraining_sensor)),
    ]


def _failures(specs: Sequence[TrainingSpec]) -> dg.SensorDefinition:
    by_name = {spec.name: spec for spec in specs}

    @dg.run_failure_sensor(
        name="mt_assets_failures",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records a failed training with the tracker, once.",
        monitor_all_code_locations=False,
    )
    def failures(
        context: dg.RunFailureSensorContext, model_runs: ModelRuns, tracking: MlflowTracking
    ) -> dg.SkipReason | None:
        run = context.dagster_run
        names = [name for name in models_of(run) if model_runs.store(name).failure(run.run_id)]
        for name in names:
            if name in by_name:
                record_failure(by_name[name], model_runs.store(name), tracking, run.run_id)
        return None if names else dg.SkipReason("No training of this code location has failed.")

    return failures


def _housekeeping(specs: Sequence[TrainingSpec]) -> dg.SensorDefinition:
    @dg.sensor(
        name="mt_assets_housekeeping",
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports killed runs as failed, and tells the tracker what it missed while it was down.",
    )
    def housekeeping(
        context: dg.SensorEvaluationContext, model_runs: ModelRuns, tracking: MlflowTracking
    ) -> dg.SkipReason:
        done = []
        for spec in specs:
            store = model_runs.store(spec.name)
            killed = report_killed_runs(store, context.instance)
            done += [f"{spec.name}: run {run_id} was killed" for run_id in killed]
            recorded = record_pending(spec, store, tracking)
            done += [f"{spec.name}: version {number} was recorded with the tracker" for number in recorded]
        done += [f"run {run_id} was killed before it began" for run_id in _report_never_begun(context, model_runs)]
        return dg.SkipReason("; ".join(done) if done else "Nothing to put right.")

    return housekeeping


def _further_rounds(
    specs: Sequence[TrainingSpec], jobs: "Sequence[UnresolvedAssetJobDefinition]"
) -> dg.SensorDefinition:
    @dg.sensor(
        name="mt_assets_further_rounds",
        jobs=list(jobs),
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lets the search of a model that missed a quality gate go on, where retraining.improveRounds asks.",
    )
    def further_rounds_sensor(
        context: dg.SensorEvaluationContext, model_runs: ModelRuns
    ) -> list[dg.RunRequest] | dg.SkipReason:
        asked = [_further_round(context.instance, model_runs.store(spec.name), spec) for spec in specs]
        return [each for each in asked if each] or dg.SkipReason("No model is due a further round of search.")

    return further_rounds_sensor


def _further_round(instance: dg.DagsterInstance, store: ModelStore, spec: TrainingSpec) -> dg.RunRequest | None:
    """The next round for the newest version, where it missed a gate and has rounds left."""
    version = next(reversed(store.versions()), None)
    run = instance.get_run_by_id(version.run_id) if version and version.verdict == "rejected_gates" else None
    if run is None or not run.is_finished or ATTENDED_TAG in run.tags:
        return None
    number = further_rounds(run.tags) + 1
    if number > spec.retraining.improve_rounds:
        return None
    return dg.RunRequest(
        run_key=f"{spec.name}/{run.run_id}",
        job_name=training_job_name(spec.name),
        asset_selection=searched(spec),
        tags={MODEL_TAG: spec.name, ROUND_TAG: str(number)},
    )


def _report_never_begun(context: dg.SensorEvaluationContext, model_runs: ModelRuns) -> list[str]:
    """Report started runs that never came to take a lock, long after they should have."""
    started = context.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    reported = []
    for record in started:
        run = record.dagster_run
        names = [name for name in models_of(run) if name in model_runs.models]
        late = record.start_time is not None and time.time() - record.start_time > GRACE_S
        if names and late and all(lock.is_alive(model_runs.store(name).folder, run.run_id) is None for name in names):
            context.instance.report_run_failed(run, "The run's process was killed before it began to work.")
            reported.append(run.run_id)
    return reported
