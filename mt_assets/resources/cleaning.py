"""Removing what is no longer to be kept: of the store, and of Dagster's record of a model's runs.

MLflow is left alone: its runs may be on a server that others look at, are linked from their pages, and are the record
that outlives everything else. Whoever wants them gone says so there (`mlflow gc`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from mt_assets import trainer
from mt_assets.resources.model_runs import MODEL_TAG
from mt_assets.resources.study_storage import study_storage_url
from mt_assets.spec import Retention
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.trainer.store.retention import DAY_S

if TYPE_CHECKING:
    from mt_assets.trainer.retention import Cleaned

MOST_RUNS: Final = 100
"""Runs that are removed at a time: of one about a megabyte, and some hundredths of a second."""

TRIGGER_TAG: Final = "mt_assets.trigger/"
"""Begins a tag of a retraining for each trigger that it handles; a digest of the trigger's identity follows."""

FINISHED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def clean_up(store: ModelStore, retention: Retention, instance: dg.DagsterInstance | None) -> tuple[Cleaned, int]:
    """Remove what is not to be kept; returns what went of the store, and how many runs went of Dagster's record.

    Only for the holder of the model's lock.

    Raises
    ------
    StoreError
        State cannot be read or removed.
    """
    cleaned = trainer.clean(store, retention, study_storage_url())
    return cleaned, forget_runs(store, retention, instance) if instance else 0


def forget_runs(store: ModelStore, retention: Retention, instance: dg.DagsterInstance) -> int:
    """Remove old runs of a model from Dagster's record, with their events and logs; returns how many.

    Those of versions that are kept stay, and those that made what is current. So do retrainings that something besides
    new data asked for: by them the sensor knows that it was done.
    """
    kept = {version.run_id for version in store.versions() if not version.collected} | store.current_runs()
    before = time.time() - retention.run_days * DAY_S
    doomed = []
    for run in _old_runs(store, instance, before):
        if run.run_id not in kept and not any(tag.startswith(TRIGGER_TAG) for tag in run.tags):
            doomed.append(run.run_id)
            if len(doomed) == MOST_RUNS:
                break
    for run_id in doomed:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _remove_shard(instance, run_id)
    return len(doomed)


def _old_runs(store: ModelStore, instance: dg.DagsterInstance, before: float) -> Iterator[dg.DagsterRun]:
    """Finished runs of a model, the oldest first."""
    wanted = dg.RunsFilter(tags={MODEL_TAG: store.name}, statuses=FINISHED)
    for record in instance.get_run_records(wanted, ascending=True):
        if record.create_timestamp.timestamp() >= before:
            return
        yield record.dagster_run


def _remove_shard(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove the database file that Dagster keeps for each run where its event log is in SQLite; it only empties it."""
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                Path(f"{events.path_for_shard(run_id)}{suffix}").unlink()


def told(cleaned: Cleaned, runs: int) -> str:
    """What went, in one sentence."""
    numbers = cleaned.versions
    shown = ", ".join(map(str, numbers)) if len(numbers) < 5 else f"{numbers[0]} to {numbers[-1]}"
    parts = {
        f"the model and data of version{'s' if len(numbers) > 1 else ''} {shown}": len(numbers),
        f"{cleaned.objects:,} objects ({cleaned.megabytes:.1f} MB)": cleaned.objects,
        f"{cleaned.folds:,} fold results": cleaned.folds,
        f"{cleaned.studies:,} studies": cleaned.studies,
        f"{cleaned.failures:,} reports of failures": cleaned.failures,
        f"{runs:,} runs of Dagster": runs,
    }
    went = [what for what, count in parts.items() if count]
    return f"Removed: {', '.join(went)}." if went else "Nothing had to be removed."
