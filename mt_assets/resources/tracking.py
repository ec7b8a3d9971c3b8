"""MLflow as a resource: one run and one registered version for each training, whatever happens in between.

Everything is found by tag and nothing by a handle: a training that is logged twice, by two processes, or after the
tracker died halfway is one run and one version. A run that broke off stays as it is, RUNNING with what had arrived, and
ends FINISHED when the same training is logged again. A tracker that is down costs seconds, never the training.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import dagster as dg
from filelock import FileLock
from pydantic import Field

from mt_assets.resources.mlflow_feedback import feedback_of_metric
from mt_assets.resources.mlflow_registry import champion_of, crown_version, register_version
from mt_assets.resources.mlflow_run import experiment_id, find_run, is_complete, prepare, write_failure, write_training
from mt_assets.resources.mlflow_store import Tracker, TrackerUnavailableError, broken_off, connected, warm_up
from mt_assets.trainer.reporting.tracked import ExperimentRun, RegisteredVersion, TrainingBundle
from mt_assets.trainer.store.home import home_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mt_assets.spec import MetricSource, TrainingSpec
    from mt_assets.trainer.retraining.feedback import EvaluationFeedback

TURN_S = 60.0
"""Seconds to wait while another process of this machine tells the tracker about the same model."""


class MlflowTracking(dg.ConfigurableResource):
    """The tracker that trainings are logged and registered with.

    Its address is `uri` where that is set, else the spec's `experimentTracking.trackingUri`, else
    `MLFLOW_TRACKING_URI`, else an SQLite database `mlflow.db` in the folder of all state, with files in `mlartifacts`
    beside it. No method that tells the tracker something raises because it is down, refuses, or breaks off: the answer
    is then `pending` with the reason, and calling again completes what is there.

    Tags of runs, models and versions: `mt_assets.training_id`, `.data_version`, `.spec_hash`, `.dagster_run`,
    `.trained_at`, `.version`.
    """

    home: str = Field(default="", description="Folder of all state; MT_ASSETS_HOME or .mt_assets where it is empty.")
    uri: str = Field(default="", description="Address of the tracker for every spec, whatever the specs say.")

    def tracker(self, spec_uri: str | None = None) -> Tracker:
        """Return the tracker at work for a spec that asks for `spec_uri`."""
        home = Path(self.home) if self.home else home_folder()
        embedded = f"sqlite:///{(home / 'mlflow.db').absolute()}"
        uri = self.uri or spec_uri or os.environ.get("MLFLOW_TRACKING_URI") or embedded
        return Tracker(uri=uri, home=home)

    def warm(self, spec_uri: str | None = None) -> None:
        """Start what telling the tracker something takes seconds for, beside whatever this process does."""
        threading.Thread(target=warm_up, args=(self.tracker(spec_uri),), daemon=True).start()

    def log_training(self, bundle: TrainingBundle) -> ExperimentRun:
        """Log one training as one finished run with one model; logging it again changes nothing.

        Raises
        ------
        TrainingError
            The model holds a type outside its allow-list. Nothing has been written then.
        """
        spec = bundle.spec
        if not spec.experiment_tracking.enabled:
            return _disabled()
        tracker = self.tracker(spec.experiment_tracking.tracking_uri)
        try:
            with self._turn(tracker, spec.name) as client:
                with broken_off(tracker):
                    experiment = experiment_id(client, tracker, experiment_name(spec))
                    run = find_run(client, experiment, bundle.training_id)
                if run is not None and is_complete(run):
                    return _logged(tracker, experiment, str(run.info.run_id))
                with TemporaryDirectory(prefix="mt-assets-") as scratch:
                    prepared = prepare(bundle, Path(scratch))
                    with broken_off(tracker):
                        run_id = write_training(client, experiment, run, bundle, prepared)
                return _logged(tracker, experiment, run_id)
        except TrackerUnavailableError as error:
            return ExperimentRun(status="pending", tracking_uri=tracker.shown, reason=str(error))

    def register(self, bundle: TrainingBundle, run: ExperimentRun) -> RegisteredVersion:
        """Register the model of a logged run as one version, and bring `challenger` and `champion` up to date.

        The answer also tells what `champion` points to, since a person may have moved it.
        """
        tracking = bundle.spec.experiment_tracking
        name = registered_name(bundle.spec)
        if not tracking.enabled or not tracking.register_model:
            key = "registerModel" if tracking.enabled else "enabled"
            return RegisteredVersion(status="disabled", name=name, reason=f"experimentTracking.{key} is false.")
        if run.status != "logged":
            reason = run.reason or "The run is not logged yet."
            return RegisteredVersion(status="pending", name=name, reason=reason)
        tracker = self.tracker(tracking.tracking_uri)
        try:
            with self._turn(tracker, bundle.spec.name) as client, broken_off(tracker):
                return register_version(client, tracker, name, bundle, run)
        except TrackerUnavailableError as error:
            return RegisteredVersion(status="pending", name=name, reason=str(error))

    def crown(self, model: str, name: str, tracking_uri: str | None, training_id: str) -> RegisteredVersion:
        """Put the alias `champion` on the version of a training, wherever it is now.

        Parameters
        ----------
        model : str
            Name of the spec.
        name : str
            Of the registered model, see `registered_name`.
        tracking_uri : str, optional
            What the spec asks for.
        training_id : str
        """
        tracker = self.tracker(tracking_uri)
        try:
            with self._turn(tracker, model) as client, broken_off(tracker):
                return crown_version(client, tracker, name, training_id)
        except TrackerUnavailableError as error:
            return RegisteredVersion(status="pending", name=name, reason=str(error))

    def log_failure(self, spec: "TrainingSpec", training_id: str, failure_report: Mapping[str, Any]) -> ExperimentRun:
        """Log a training that failed as a failed run, with what stopped it as tags, note and `failure.json`.

        A run of the same training that had begun is ended as failed; one that is complete stays as it is.
        """
        if not spec.experiment_tracking.enabled:
            return _disabled()
        tracker = self.tracker(spec.experiment_tracking.tracking_uri)
        try:
            with self._turn(tracker, spec.name) as client, broken_off(tracker):
                experiment = experiment_id(client, tracker, experiment_name(spec))
                run = find_run(client, experiment, training_id)
                if run is not None and is_complete(run):
                    return _logged(tracker, experiment, str(run.info.run_id))
                run_id = write_failure(client, experiment, run, spec, training_id, failure_report)
                return _logged(tracker, experiment, run_id)
        except TrackerUnavailableError as error:
            return ExperimentRun(status="pending", tracking_uri=tracker.shown, reason=str(error))

    def champion_version(self, name: str, tracking_uri: str | None = None) -> dict[str, Any] | None:
        """Return what the alias `champion` of a registered model points to: version, training_id, run_id, uri, tags.

        Parameters
        ----------
        name : str
            The registered model's name, see `registered_name`.
        tracking_uri : str, optional
            What the spec asks for.

        Returns
        -------
        dict or None
            None where there is no such alias, and where the tracker cannot be asked.
        """
        tracker = self.tracker(tracking_uri)
        try:
            with connected(tracker) as client, broken_off(tracker):
                return champion_of(client, name)
        except TrackerUnavailableError:
            return None

    def feedback(self, spec: "TrainingSpec", source: "MetricSource") -> "EvaluationFeedback | None":
        """Return the newest value of a metric about the model at work as feedback, see `mlflow_feedback`.

        Raises
        ------
        DataError
            The tracker cannot be asked.
        """
        tracker = self.tracker(spec.experiment_tracking.tracking_uri)
        return feedback_of_metric(tracker, registered_name(spec), source)

    @contextmanager
    def _turn(self, tracker: Tracker, name: str) -> Iterator["MlflowClient"]:
        """Give a client, to one process of this machine at a time for each model: MLflow itself keeps no two
        processes from each making a run of the same training."""
        tracker.check()
        tracker.home.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(tracker.home / f"mlflow-{name}.lock", timeout=TURN_S).acquire()
        except TimeoutError as error:
            raise TrackerUnavailableError(f"Another process has been logging {name} for {TURN_S:g} seconds.") from error
        with lock, connected(tracker) as client:
            yield client


def experiment_name(spec: "TrainingSpec") -> str:
    """Return the name of the MLflow experiment that a spec's runs go to."""
    return spec.experiment_tracking.experiment_name or spec.name


def registered_name(spec: "TrainingSpec") -> str:
    """Return the name that a spec's models are registered under."""
    return spec.experiment_tracking.registered_model_name or spec.name


def _disabled() -> ExperimentRun:
    return ExperimentRun(status="disabled", reason="experimentTracking.enabled is false.")


def _logged(tracker: Tracker, experiment: str, run_id: str) -> ExperimentRun:
    return ExperimentRun(
        status="logged",
        run_id=run_id,
        experiment_id=experiment,
        tracking_uri=tracker.shown,
        url=tracker.page(f"experiments/{experiment}/runs/{run_id}"),
    )
