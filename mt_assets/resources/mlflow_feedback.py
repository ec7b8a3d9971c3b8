"""A metric that somebody logs to MLflow about the model at work, as feedback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mt_assets.resources.mlflow_registry import champion_of
from mt_assets.resources.mlflow_run import MODEL_VERSION
from mt_assets.resources.mlflow_store import Tracker, TrackerUnavailableError, broken_off, connected
from mt_assets.spec import MetricSource
from mt_assets.trainer.errors import DataError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mt_assets.trainer.retraining.feedback import EvaluationFeedback

RECENT_RUNS = 100
"""Runs of an experiment among which the newest with the metric is sought."""


def feedback_of_metric(tracker: Tracker, name: str, source: MetricSource) -> EvaluationFeedback | None:
    """Read the newest value of a metric from the champion's run, or from the newest run of an experiment that has it.

    `live.roc_auc` is feedback on `roc_auc`. Its version is that of the run's tag `mt_assets.version`; a run without it
    is about whichever version served when the value was logged.

    Parameters
    ----------
    tracker : Tracker
    name : str
        Of the registered model.
    source : MetricSource

    Raises
    ------
    DataError
        The tracker cannot be asked.
    """
    from mt_assets.trainer.retraining.feedback import parse_feedback

    try:
        with connected(tracker) as client, broken_off(tracker):
            run = _run_of(client, name, source)
            history = client.get_metric_history(run.info.run_id, source.metric) if run else []
    except TrackerUnavailableError as error:
        raise DataError(f"The metric {source.metric} cannot be read: {error}") from None
    if run is None or not history:
        return None
    newest = max(history, key=lambda value: (value.timestamp, value.step))
    version = run.data.tags.get(MODEL_VERSION, "")
    entry: dict[str, Any] = {
        "metrics": {source.metric.rpartition(".")[2]: newest.value},
        "window": {"to": datetime.fromtimestamp(newest.timestamp / 1000, tz=UTC)},
        "version": int(version) if version.isdigit() else None,
    }
    return parse_feedback(entry, f"The metric {source.metric} of run {run.info.run_id}")


def _run_of(client: MlflowClient, name: str, source: MetricSource) -> Any | None:
    if source.experiment is None:
        champion = champion_of(client, name)
        return client.get_run(champion["run_id"]) if champion and champion["run_id"] else None
    experiment = client.get_experiment_by_name(source.experiment)
    if experiment is None:
        return None
    runs = client.search_runs(
        [experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=RECENT_RUNS
    )
    return next((run for run in runs if source.metric in run.data.metrics), None)
