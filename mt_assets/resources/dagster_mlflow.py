"""dagster-mlflow, ready-configured, for a person's own assets; the assets of this package do not use it.

`dagster_mlflow` is imported when `mlflow_tracking_for` is called: it takes a second or more and copies all of `mlflow`.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from mt_assets.resources.mlflow_run import experiment_id
from mt_assets.resources.mlflow_store import connected, import_mlflow
from mt_assets.resources.tracking import MlflowTracking, experiment_name

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec


class DagsterMlflow(NamedTuple):
    """The resource `mlflow`, for assets, and the hook that ends its run, for jobs."""

    resource: dg.ResourceDefinition
    hook: dg.HookDefinition


def mlflow_tracking_for(spec: "TrainingSpec", home: Path) -> DagsterMlflow:
    """Configure dagster-mlflow for the tracker and the experiment that a spec's trainings are logged in.

    An embedded database is made here, so that no two steps make it at once. A user's asset asks for the resource and
    logs through it into one MLflow run for each Dagster run:

        mlflow, end_run = mlflow_tracking_for(spec, home_folder())

        @dg.asset(required_resource_keys={"mlflow"})
        def my_report(context):
            context.resources.mlflow.log_metric("rows", 120)

        job = dg.define_asset_job("report", selection="my_report", hooks={end_run})
        defs = dg.Definitions(assets=[my_report], jobs=[job], resources={"mlflow": mlflow})

    What it cannot do (dagster-mlflow 0.29, which is beta): hooks go with jobs and not with assets materialized by hand,
    whose MLflow run ends FINISHED with the process even when the asset failed; in a process of several Dagster runs
    (tests, notebooks) the second writes into the first one's MLflow run unless that was ended with `mlflow.end_run()`;
    two steps that start at the same moment in processes of their own may make a run each, so ask for it in one asset;
    a re-execution gets a new run; the active run belongs to one thread; the hook ends the run at the last step of the
    graph, although parallel ones may still be at work; each step that asks for it starts a second later and warns of
    beta and deprecated parts of Dagster.

    Parameters
    ----------
    spec : TrainingSpec
    home : Path
        Folder of all state, for the embedded database.
    """
    tracker = MlflowTracking(home=str(home)).tracker(spec.experiment_tracking.tracking_uri)
    import_mlflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        from dagster_mlflow import end_mlflow_on_run_finished, mlflow_tracking

    experiment = experiment_name(spec)
    if tracker.file:
        with connected(tracker) as client:
            experiment_id(client, tracker, experiment)
    settings = {"experiment_name": experiment, "mlflow_tracking_uri": tracker.uri, "env": {}, "extra_tags": {}}
    return DagsterMlflow(mlflow_tracking.configured(settings), end_mlflow_on_run_finished)
