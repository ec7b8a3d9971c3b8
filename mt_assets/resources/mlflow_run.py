"""One training as one MLflow run with one logged model, written so that it can be written again.

Each step leaves what is there and adds what is missing: a run that broke off is completed by going through all of them
once more. Steps are calls of a client with explicit run ids; MLflow's active run is left alone.
"""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mt_assets.resources.mlflow_model import requirements, save_model, schema_columns
from mt_assets.resources.mlflow_store import Tracker
from mt_assets.trainer.reporting import tracked
from mt_assets.trainer.reporting.tracked import TrainingBundle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput, LoggedModel, Metric, Run
    from mlflow.models import Model

    from mt_assets.spec import TrainingSpec

T = TypeVar("T")

TRAINING_ID = "mt_assets.training_id"
DATA_VERSION = "mt_assets.data_version"
SPEC_HASH = "mt_assets.spec_hash"
DAGSTER_RUN = "mt_assets.dagster_run"
TRAINED_AT = "mt_assets.trained_at"
MODEL_VERSION = "mt_assets.version"
COMPLETE = "mt_assets.complete"
ERROR = "mt_assets.error"
"""Tags of runs, models and versions. `mt_assets.version` is the number of the model in our own store."""

NOTE = "mlflow.note.content"
TABLES = "mlflow.loggedArtifacts"

METRICS_A_CALL, PARAMETERS_A_CALL = 1_000, 100
"""Limits of MLflow for one `log_batch`."""
LONGEST_PARAMETER, LONGEST_TAG = 6_000, 8_000
"""Characters; limits of MLflow."""
LONGEST_SCHEMA = 60_000
"""Characters of a dataset's description of its columns: what a TEXT column of MySQL holds; without it beyond that."""


def experiment_id(client: "MlflowClient", tracker: Tracker, name: str) -> str:
    """Return the experiment of that name; it is made, or restored where a person had deleted it."""
    from mlflow.entities import LifecycleStage
    from mlflow.exceptions import MlflowException

    from mt_assets.spec_values import slug

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            made: str = client.create_experiment(name, artifact_location=tracker.artifact_location(slug(name)))
            return made
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was quicker
            if found is None:
                raise
    if found.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find_run(client: "MlflowClient", experiment: str, training_id: str) -> "Run | None":
    """Return the run of a training, complete or not; the oldest, should there be more."""
    condition = f"tags.`{TRAINING_ID}` = '{training_id}'"
    found = client.search_runs([experiment], condition, order_by=["attributes.start_time ASC"], max_results=1)
    return found[0] if found else None


def is_complete(run: "Run") -> bool:
    """Whether everything about the training has arrived."""
    return run.info.status == "FINISHED" and COMPLETE in run.data.tags


@dataclass(frozen=True)
class Prepared:
    """What is uploaded as files, and the description of the model among them."""

    files: Path
    model: Path
    description: "Model"


def prepare(bundle: TrainingBundle, folder: Path) -> Prepared:
    """Write all files of a run into an empty folder, before the tracker is touched.

    Raises
    ------
    TrainingError
        The model cannot be written in MLflow's form.
    """
    files, model = folder / "files", folder / "model"
    files.mkdir()
    description = save_model(bundle, model)
    tracked.write_files(bundle, files)
    return Prepared(files, model, description)


def write_training(
    client: "MlflowClient", experiment: str, run: "Run | None", bundle: TrainingBundle, prepared: Prepared
) -> str:
    """Write a training into its run, or a new one, and end the run. Returns its id."""
    run = run or client.create_run(
        experiment,
        start_time=_milliseconds(bundle.trained_at) - round(1000 * bundle.seconds),
        tags={**tags(bundle), "mlflow.source.name": "mt-assets"},
        run_name=f"{bundle.spec.name} {bundle.promotion.challenger_version} {bundle.best.trained_as}",
    )
    run_id = str(run.info.run_id)
    _write_parameters(client, run, tracked.parameters(bundle))
    client.log_inputs(run_id, dataset_inputs(bundle))
    client.log_artifacts(run_id, str(prepared.files))
    model = _write_model(client, experiment, run, bundle, prepared)
    for some in _batches(_metrics(bundle, run_id, model.model_id), METRICS_A_CALL):
        client.log_batch(run_id, metrics=some, synchronous=True)
    _write_tags(client, run_id, {**tags(bundle), **_last_tags(bundle)})
    for name in run.data.tags:
        if name.startswith(ERROR):
            client.delete_tag(run_id, name)
    client.set_terminated(run_id, "FINISHED", end_time=_milliseconds(bundle.trained_at))
    return run_id


def write_failure(
    client: "MlflowClient",
    experiment: str,
    run: "Run | None",
    spec: "TrainingSpec",
    training_id: str,
    report: Mapping[str, Any],
) -> str:
    """Write what stopped a training into its run, or a new one, and end it as failed. Returns its id."""
    run = run or client.create_run(
        experiment,
        tags={TRAINING_ID: training_id, SPEC_HASH: spec.digest, "mlflow.source.name": "mt-assets"},
        run_name=f"{spec.name} failed",
    )
    run_id = str(run.info.run_id)
    told = tracked.masked(report)
    named = {f"{ERROR}.{key}": str(told[key]) for key in ("type", "message", "phase", "cause") if told.get(key)}
    _write_tags(client, run_id, {**named, NOTE: tracked.failure_note(told)})
    client.log_dict(run_id, told, "failure.json")
    client.set_terminated(run_id, "FAILED")
    return run_id


def tags(bundle: TrainingBundle) -> dict[str, str]:
    """Where a run, a model or a version comes from."""
    return {
        TRAINING_ID: bundle.training_id,
        DATA_VERSION: bundle.data_version,
        SPEC_HASH: bundle.spec.digest,
        DAGSTER_RUN: bundle.dagster_run_id,
        TRAINED_AT: bundle.trained_at.isoformat(),
        MODEL_VERSION: str(bundle.promotion.challenger_version),
    }


def _last_tags(bundle: TrainingBundle) -> dict[str, str]:
    """What a person reads on the run, and the mark that nothing is missing."""
    extra = {"mt_assets.dagster_url": bundle.dagster_url} if bundle.dagster_url else {}
    return extra | {
        "mt_assets.promotion": bundle.promotion.verdict,
        "mt_assets.libraries": " ".join([f"python=={platform.python_version()}", *requirements(bundle.trained.model)]),
        TABLES: json.dumps([{"path": tracked.TRIALS_FILE, "type": "table"}]),
        NOTE: _cut(f"{tracked.summary(bundle)}\n\n{bundle.plan.note()}", LONGEST_TAG),
        COMPLETE: "true",
    }


def _write_parameters(client: "MlflowClient", run: "Run", values: Mapping[str, str]) -> None:
    """Add the parameters that the run does not have: MLflow refuses to write one twice with another value."""
    from mlflow.entities import Param

    missing = [
        Param(name, _cut(value, LONGEST_PARAMETER)) for name, value in values.items() if name not in run.data.params
    ]
    for some in _batches(missing, PARAMETERS_A_CALL):
        client.log_batch(run.info.run_id, params=some, synchronous=True)


def _write_tags(client: "MlflowClient", run_id: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(k, _cut(v, LONGEST_TAG)) for k, v in values.items()], synchronous=True)


def _write_model(
    client: "MlflowClient", experiment: str, run: "Run", bundle: TrainingBundle, prepared: Prepared
) -> "LoggedModel":
    """Upload the model unless it is there, and tie it to its run."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    run_id = run.info.run_id
    model = find_model(client, experiment, run_id) or client.create_logged_model(
        experiment,
        name=bundle.spec.name,
        source_run_id=run_id,
        tags=tags(bundle),
        params={name: _cut(str(value), LONGEST_PARAMETER) for name, value in bundle.best.params.items()},
        model_type=bundle.plan.task,
    )
    if model.status != LoggedModelStatus.READY:
        description = prepared.description
        description.model_id = description.model_uuid = model.model_id
        description.run_id, description.artifact_path = run_id, model.artifact_location
        description.save(str(prepared.model / "MLmodel"))
        client.log_model_artifacts(model.model_id, str(prepared.model))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def find_model(client: "MlflowClient", experiment: str, run_id: str) -> "LoggedModel | None":
    """Return the model of a run, uploaded or not."""
    found = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'", max_results=1)
    return found[0] if found else None


def _metrics(bundle: TrainingBundle, run_id: str, model_id: str) -> list["Metric"]:
    """All figures at one moment, the end of the training, so that writing them again adds nothing."""
    from mlflow.entities import Metric

    moment = _milliseconds(bundle.trained_at)
    test = dataset(bundle, "test", bundle.splits.test) if len(bundle.splits.test) else None
    linked: dict[str, Any] = {"model_id": model_id, "run_id": run_id}
    if test:
        linked |= {"dataset_name": test.name, "dataset_digest": test.digest}
    return [
        Metric(figure.key, figure.value, moment, figure.step, **(linked if figure.on_test else {}))
        for figure in tracked.metrics(bundle)
    ]


def dataset_inputs(bundle: TrainingBundle) -> list["DatasetInput"]:
    """The rows that the model was trained on and tested on, each with the digest of their full content."""
    from mlflow.entities import DatasetInput, InputTag

    parts = {"train": bundle.splits.learning, "test": bundle.splits.test}
    return [
        DatasetInput(dataset(bundle, context, rows), [InputTag("mlflow.data.context", context)])
        for context, rows in parts.items()
        if len(rows)
    ]


def dataset(bundle: TrainingBundle, context: str, positions: "npt.NDArray[np.int64]") -> "Dataset":
    """Some rows of the raw table as MLflow knows data."""
    from mlflow.entities import Dataset

    columns = json.dumps({"mlflow_colspec": schema_columns(bundle.table.schema)})
    kind, source = _source(bundle.spec)
    return Dataset(
        name=f"{bundle.spec.name} {context}",
        digest=tracked.dataset_digest(bundle, positions),
        source_type=kind,
        source=json.dumps(source),
        schema=columns if len(columns) <= LONGEST_SCHEMA else None,
        profile=json.dumps({"num_rows": len(positions), "num_elements": len(positions) * len(bundle.table.columns)}),
    )


def _source(spec: "TrainingSpec") -> tuple[str, dict[str, Any]]:
    """Where the data came from, in the words of MLflow's dataset sources."""
    asked = tracked.masked(spec.model_dump(mode="json", by_alias=True, include={"train_data_path"})["trainDataPath"])
    if not isinstance(asked, str):
        return "code", {"tags": {"trainDataPath": json.dumps(asked)}}
    scheme = asked.partition("://")[0] if "://" in asked else "local"
    return ("http", {"url": asked}) if scheme in ("http", "https") else (scheme, {"uri": asked})


def _milliseconds(moment: datetime) -> int:
    return round(1000 * moment.timestamp())


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    return (list(items[at : at + size]) for at in range(0, len(items), size))
