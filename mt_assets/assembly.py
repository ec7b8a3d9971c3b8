"""Specs in, Definitions out. Use it to put the graph into a Dagster project of your own."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from mt_assets.assets.graph import build_assets, build_refused_spec
from mt_assets.automation.champion_jobs import build_champion_jobs
from mt_assets.automation.decisions import build_decision_asset
from mt_assets.automation.jobs import build_jobs
from mt_assets.automation.predictions import build_scoring
from mt_assets.automation.reproduction import build_reproduction_job
from mt_assets.automation.schedules import build_schedules
from mt_assets.automation.sensors import build_sensors
from mt_assets.resources.io_managers import store_io_manager
from mt_assets.resources.model_runs import ModelRuns
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.errors import SpecError


def build_definitions(
    specs: Sequence[TrainingSpec],
    *,
    refused: Mapping[Path, SpecError] | None = None,
    resources: Mapping[str, Any] | None = None,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    """Build the graph of every spec, with jobs, schedules and sensors.

    Parameters
    ----------
    specs : sequence of TrainingSpec
        Names must differ.
    refused : mapping, optional
        Spec files that could not be read, each with its error; they are shown in the graph as what they are.
    resources : mapping, optional
        Takes the place of the resources `model_runs` (the store) and `tracking` (MLflow) of the same key, or adds
        others.
    executor : ExecutorDefinition
        In-process by default: a step in a process of its own costs 2 to 6 seconds.
    """
    names = [spec.name for spec in specs]
    given = dict(resources or {})
    jobs = [job for spec in specs for job in build_jobs(spec)]
    scoring = [build_scoring(spec) for spec in specs]
    model_runs = given.pop("model_runs", None) or ModelRuns(models=names)
    with warnings.catch_warnings():
        # Observable source assets are beta in Dagster 1.13; what we use of them has not changed since 1.4.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.Definitions(
            assets=[
                *(asset for spec in specs for asset in build_assets(spec)),
                *(build_decision_asset(spec) for spec in specs),
                *(build_refused_spec(path, error) for path, error in (refused or {}).items()),
            ],
            jobs=[
                *jobs,
                *(job for spec in specs for job in build_champion_jobs(spec)),
                *(build_reproduction_job(spec) for spec in specs),
                *(job for each in scoring for job in each.jobs or ()),
            ],
            schedules=[schedule for spec in specs for schedule in build_schedules(spec)]
            + [schedule for each in scoring for schedule in each.schedules or ()],
            sensors=[*build_sensors(specs, jobs), *(sensor for each in scoring for sensor in each.sensors or ())],
            resources={
                "model_runs": model_runs,
                "store": store_io_manager,
                "tracking": MlflowTracking(),
                **given,
            },
            executor=executor,
        )
