"""What the Dagster instance and the locks know of a model's runs."""

from collections.abc import Mapping

import dagster as dg

from mt_assets.resources.model_runs import MODEL_TAG
from mt_assets.trainer.recovery.causes import INTERRUPTED
from mt_assets.trainer.retraining.decision import Attempts
from mt_assets.trainer.store import lock
from mt_assets.trainer.store.model_store import ModelStore

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def models_of(run: dg.DagsterRun) -> list[str]:
    """Return the names of the models that a run works on."""
    if MODEL_TAG in run.tags:
        return [run.tags[MODEL_TAG]]
    return sorted({key.path[0] for key in run.asset_selection or ()})


def run_in_progress(instance: dg.DagsterInstance, store: ModelStore) -> str:
    """Return the id of a run of a model that has not ended, of this instance or any other; empty without one."""
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    of_model = [each.dagster_run.run_id for each in records if store.name in models_of(each.dagster_run)]
    return next(iter(of_model or lock.live_runs(store.folder)), "")


def failed_attempts(
    instance: dg.DagsterInstance, store: ModelStore, tags: Mapping[str, str], *, further: str = ""
) -> Attempts:
    """Return the runs of a model with these tags that have ended, none of which had the result that it was for.

    Parameters
    ----------
    instance : DagsterInstance
    store : ModelStore
    tags : mapping
        What the attempts at one thing have in common.
    further : str
        Id of a run without the tags that was an attempt as well; nothing happens where it has not ended.
    """
    records = list(instance.get_run_records(dg.RunsFilter(tags={MODEL_TAG: store.name, **tags})))
    if further:
        records += instance.get_run_records(dg.RunsFilter(run_ids=[further]))
    ended = {each.dagster_run.run_id: each for each in records if each.dagster_run.is_finished}
    if not ended:
        return Attempts()
    last = max(ended.values(), key=_end_of)
    run = last.dagster_run
    told = (store.failure(run.run_id) or {}).get("cause")
    cancelled = run.status == dg.DagsterRunStatus.CANCELED or told == INTERRUPTED
    return Attempts(made=len(ended), last_ended=_end_of(last), cancelled=cancelled)


def trains(run: dg.DagsterRun | None) -> bool:
    """Whether a run was to train, and not only to read data."""
    return run is not None and (
        not run.asset_selection or any(key.path[-1] == "trained_model" for key in run.asset_selection)
    )


def _end_of(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()
