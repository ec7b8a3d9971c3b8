"""One training in this process, on the persistent Dagster instance: what `mt-assets train` does."""

import logging
import os
import shutil
import signal
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import dagster as dg
from filelock import FileLock

from mt_assets.assembly import build_definitions
from mt_assets.automation.jobs import searched, training_job_name
from mt_assets.ending import signals_noted
from mt_assets.resources.model_runs import ATTENDED_TAG, PROCESS_TAG, ROUND_TAG, this_process
from mt_assets.resources.narrator import narrator
from mt_assets.resources.recording import record_failure, record_pending
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.result import ErrorReport, TrainingResult
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.errors import StoreError, TrainerError, TrainingError
from mt_assets.trainer.recovery.causes import INTERRUPTED, TERMINATED
from mt_assets.trainer.recovery.failures import UNEXPLAINED, exit_code, failure_report, interrupted, terminated
from mt_assets.trainer.reporting.result import failed_result
from mt_assets.trainer.store.home import home_folder
from mt_assets.trainer.store.model_store import ModelStore, RunStore
from mt_assets.trainer.store.versions import AssetVersion

MISSED_GATE = 3
"""Exit code of a training whose model missed a quality gate."""

LATE_ASSETS = ("experiment_run", "registered_model", "training_result")
"""What is made again when the tracker is told later; none of it trains."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended: its result, and the exit code of the command line (0, 1, 2, 3 as the README says)."""

    result: TrainingResult
    exit_code: int
    run_id: str


def ensure_instance() -> None:
    """Make the Dagster instance: at `DAGSTER_HOME` where that is set, else in a folder of our own state.

    One process at a time, since the databases of Dagster break for good when two make them at once.

    Raises
    ------
    StoreError
        If state cannot be kept there.
    """
    folder = Path(os.environ.get("DAGSTER_HOME") or home_folder() / "dagster").expanduser().absolute()
    os.environ["DAGSTER_HOME"] = str(folder)
    try:
        for needed in (home_folder(), folder):
            needed.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "mt_assets.lock"):
            settings = folder / "dagster.yaml"
            if not settings.exists():
                shutil.copyfile(_packaged_settings(), settings)
            dg.DagsterInstance.get().dispose()
    except OSError as error:
        raise StoreError(
            f"State cannot be kept at {error.filename}: {error.strerror}.",
            suggestions=("Set MT_ASSETS_HOME, and DAGSTER_HOME where it is set, to a folder that can be written.",),
        ) from error


def _packaged_settings() -> Path:
    """Return `dagster.yaml`: inside the package where it is installed, beside it in a checkout."""
    package = Path(str(files("mt_assets")))
    installed = package / "dagster.yaml"
    return installed if installed.is_file() else package.parent / "dagster.yaml"


def train(spec: TrainingSpec) -> Outcome:
    """Train on the persistent instance, exactly as the Dagster UI would.

    A model that misses a quality gate is searched for further, as often as `retraining.improveRounds` says.
    """
    outcome = _execute(spec, selection=None, tags={ATTENDED_TAG: "true"})
    for number in range(1, spec.retraining.improve_rounds + 1):
        if outcome.exit_code != MISSED_GATE:
            break
        if teller := narrator.get():
            teller.waiting(
                None, f"A quality gate was missed: search goes on, round {number} of {spec.retraining.improve_rounds}."
            )
        outcome = _execute(spec, selection=searched(spec), tags={ATTENDED_TAG: "true", ROUND_TAG: str(number)})
    return outcome


def tell_tracker(spec: TrainingSpec) -> list[int]:
    """Tell the tracker what it missed while it was down; nothing is trained.

    Returns the numbers of the model versions that it was told of. The assets about it are made again, unless a later
    run has broken off upstream of them.

    Raises
    ------
    StoreError
        If the model was never trained.
    TrainingError
        If the tracker can still not be reached.
    """
    store, tracking = ModelStore(home_folder(), spec.name), MlflowTracking()
    made = store.current("training_result")
    if made is None:
        raise StoreError(f"{spec.name} has not been trained yet, so there is nothing to tell the tracker.")
    told = record_pending(spec, store, tracking)
    left = [f"version {each.number}" for each in store.pending()] + ["the champion"] * store.champion_untold
    if left:
        address = tracking.tracker(spec.experiment_tracking.tracking_uri).shown
        raise TrainingError(
            f"The tracker at {address} could not be told of {', '.join(left)}.",
            suggestions=("Start the tracker, or mend its address in spec or environment, and run this again.",),
        )
    if _says_pending(store) and _is_whole(store, made):
        outcome = _execute(spec, selection=[dg.AssetKey([spec.name, asset]) for asset in LATE_ASSETS])
        if outcome.result.error:
            raise TrainingError(outcome.result.error.message, suggestions=outcome.result.error.suggestions)
    return told


def _says_pending(store: ModelStore) -> bool:
    """Whether an asset about the tracker still says that it was not told."""
    answers = [store.get(made.address) for asset in LATE_ASSETS[:2] if (made := store.current(asset))]
    return any(getattr(answer, "status", None) == "pending" for answer in answers)


def _is_whole(store: ModelStore, result: AssetVersion) -> bool:
    """Whether everything that a result was made from is current, of one and the same training."""
    reader = RunStore(store, run_id="")
    try:
        for asset in result.made_from:
            reader.pin(asset)
    except StoreError:
        return False
    return True


def _execute(
    spec: TrainingSpec, selection: Sequence[dg.AssetKey] | None, tags: Mapping[str, str] | None = None
) -> Outcome:
    run_id, store = str(uuid.uuid4()), ModelStore(home_folder(), spec.name)

    def ended_by_force(number: int) -> None:
        from mt_assets.trainer.search.workers import end_host

        store.record_failure(run_id, _ended_by(number, "a step that could not be interrupted").model_dump())
        end_host()

    with signals_noted(ended_by_force) as signals:
        try:
            ensure_instance()
            done = _execute_job(spec, run_id, selection, tags)
        except TrainerError:
            raise
        except Exception as error:  # of Dagster's own history: a full disk, a locked or a damaged database
            return _failed(spec, store, run_id, failure_report(error, phase="start"))
        made = store.current("training_result")
        if made is None or made.run_id != run_id:
            return _failed(spec, store, run_id, _outside_failure(done, signals.last()))
    finished = store.get(made.address)
    assert isinstance(finished, TrainingResult)
    return Outcome(finished, 0 if done.success else MISSED_GATE, run_id)


def _execute_job(
    spec: TrainingSpec, run_id: str, selection: Sequence[dg.AssetKey] | None, tags: Mapping[str, str] | None
) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.get() as instance, _quiet_dagster(spec):
        job = build_definitions([spec]).resolve_job_def(training_job_name(spec.name))
        done: dg.ExecuteInProcessResult = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            asset_selection=selection,
            tags={PROCESS_TAG: this_process(), **(tags or {})},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": _log_level(spec)}}}},
        )
    return done


def _failed(spec: TrainingSpec, store: ModelStore, run_id: str, told: ErrorReport) -> Outcome:
    """Write down and tell what stopped a run, as far as the disk allows: the phase has done so where it could."""
    known = store.failure(run_id)
    report = told if known is None or told.cause in (TERMINATED, INTERRUPTED) else ErrorReport.model_validate(known)
    with suppress(OSError):
        if known is None or report is told:
            store.record_failure(run_id, report.model_dump())
        record_failure(spec, store, MlflowTracking(), run_id)
    return Outcome(failed_result(spec, store, run_id, report), exit_code(report), run_id)


def _outside_failure(done: dg.ExecuteInProcessResult, number: int | None) -> ErrorReport:
    """Report a failure from what Dagster noted of it: one that was no phase's own, or that could not be written down.

    Parameters
    ----------
    done : ExecuteInProcessResult
    number : int or None
        The signal that the process got.
    """
    for event in done.all_events:
        error = getattr(event.event_specific_data, "error", None)
        if event.is_failure and error:
            phase = (event.step_key or "start").rpartition("__")[2]
            if number:  # whatever a library made of it
                return _ended_by(number, phase)
            own = getattr(event.event_specific_data, "user_failure_data", None)
            if own and isinstance(told := own.metadata.get("failure"), dg.JsonMetadataValue):
                return ErrorReport.model_validate(told.value)
            root = error
            while root.cause:
                root = root.cause
            if root.cls_name == dg.DagsterExecutionInterruptedError.__name__:
                return _ended_by(number, phase)
            message = root.message.strip()
            return ErrorReport(type=root.cls_name or "Error", message=message, phase=phase, cause="dagster")
    return _ended_by(number, "start") if number else UNEXPLAINED


def _ended_by(number: int | None, phase: str) -> ErrorReport:
    return terminated(phase) if number == signal.SIGTERM else interrupted(phase)


def _log_level(spec: TrainingSpec) -> str:
    return "DEBUG" if spec.options.verbosity == 3 else "CRITICAL"


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
