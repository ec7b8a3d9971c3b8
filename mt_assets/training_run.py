"""One training in this process, on the persistent Dagster instance: what `mt-assets train` does."""

import logging
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import dagster as dg

from mt_assets.assembly import build_definitions
from mt_assets.automation.jobs import training_job_name
from mt_assets.resources.recording import record_failure
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.result import ErrorReport, TrainingResult
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.recovery.failures import INTERRUPTED, exit_code
from mt_assets.trainer.reporting.result import failed_result
from mt_assets.trainer.store.home import home_folder
from mt_assets.trainer.store.model_store import ModelStore

LATE_ASSETS = ("experiment_run", "registered_model", "training_result")
"""What is made again when the tracker is told later; none of it trains."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended: its result, and the exit code of the command line (0, 1, 2, 3 as the README says)."""

    result: TrainingResult
    exit_code: int
    run_id: str


def ensure_instance() -> None:
    """Set `DAGSTER_HOME`, where it is not set, to a folder of our own state, and put the settings there."""
    if "DAGSTER_HOME" not in os.environ:
        os.environ["DAGSTER_HOME"] = str(home_folder() / "dagster")
    folder = Path(os.environ["DAGSTER_HOME"])
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        shutil.copyfile(_packaged_settings(), settings)


def _packaged_settings() -> Path:
    """Return `dagster.yaml`: inside the package where it is installed, beside it in a checkout."""
    package = Path(str(files("mt_assets")))
    installed = package / "dagster.yaml"
    return installed if installed.is_file() else package.parent / "dagster.yaml"


def train(spec: TrainingSpec) -> Outcome:
    """Train on the persistent instance, exactly as the Dagster UI would."""
    return _execute(spec, selection=None)


def tell_tracker(spec: TrainingSpec) -> Outcome:
    """Tell the tracker what it missed while it was down; nothing is trained."""
    return _execute(spec, selection=[dg.AssetKey([spec.name, asset]) for asset in LATE_ASSETS])


def _execute(spec: TrainingSpec, selection: list[dg.AssetKey] | None) -> Outcome:
    ensure_instance()
    run_id = str(uuid.uuid4())
    store = ModelStore(home_folder(), spec.name)
    with dg.DagsterInstance.get() as instance, _quiet_dagster(spec):
        job = build_definitions([spec]).resolve_job_def(training_job_name(spec.name))
        done = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            asset_selection=selection,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": _log_level(spec)}}}},
        )
    made = store.current("training_result")
    if made is None or made.run_id != run_id:
        if store.failure(run_id) is None:
            store.record_failure(run_id, _outside_failure(done).model_dump())
        record_failure(spec, store, MlflowTracking(), run_id)
        result = failed_result(spec, store, run_id)
        return Outcome(result, exit_code(result.error) if result.error else 1, run_id)
    finished = store.get(made.address)
    assert isinstance(finished, TrainingResult)
    return Outcome(finished, 0 if done.success else 3, run_id)


def _outside_failure(done: dg.ExecuteInProcessResult) -> ErrorReport:
    """Report a failure that was no phase's own, from what Dagster noted of it."""
    for event in done.all_events:
        error = getattr(event.event_specific_data, "error", None)
        if event.is_failure and error:
            root = error
            while root.cause:
                root = root.cause
            return ErrorReport(
                type=root.cls_name or "Error",
                message=root.message.strip(),
                phase=event.step_key or "start",
                cause="dagster",
            )
    return INTERRUPTED


def _log_level(spec: TrainingSpec) -> str:
    return ("CRITICAL", "CRITICAL", "INFO", "DEBUG")[spec.options.verbosity]


@contextmanager
def _quiet_dagster(spec: TrainingSpec) -> Iterator[None]:
    """Keep what Dagster tells of itself to those who asked for it."""
    logger = logging.getLogger("dagster")
    before = logger.level
    logger.setLevel(_log_level(spec))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            yield
    finally:
        logger.setLevel(before)
