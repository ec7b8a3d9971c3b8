"""`<name>_new_data`: notices that the data is not what was read last, and has it read again."""

import time
from hashlib import sha256

import dagster as dg

from mt_assets.automation.background import within_tick
from mt_assets.automation.decisions import answer
from mt_assets.automation.jobs import training_job_name
from mt_assets.automation.runs import failed_attempts, run_in_progress
from mt_assets.resources.asset_tables import versions_of_assets
from mt_assets.resources.model_runs import MODEL_TAG, ModelRuns, report_killed_runs
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.retraining.decision import ReadingFacts, decide_reading
from mt_assets.trainer.retraining.history import History, question
from mt_assets.trainer.store.model_store import ModelStore

TICK_S = 30
"""Seconds between two looks. One costs 0.1 s for a thousand files that have not changed (`benchmarks/ticks.py`)."""

READING_TAG = "mt_assets/reading"
"""Tag of a run that reads new data: digest of what it reads, what is asked of it, and what was read well before."""

LONG_LOOK = "The data is still being looked at; what is found is told at the next tick."


def build_new_data_sensor(spec: TrainingSpec) -> dg.SensorDefinition:
    """Build `<name>_new_data`; it runs from the start unless `retraining.onNewData` is false."""

    @dg.sensor(
        name=f"{spec.name}_new_data",
        job_name=training_job_name(spec.name),
        minimum_interval_seconds=TICK_S,
        default_status=default_status(spec),
        description=f"Reads the data of {spec.name} again when its content has changed.",
    )
    def new_data(context: dg.SensorEvaluationContext, model_runs: ModelRuns) -> dg.SensorResult:
        store = model_runs.store(spec.name)
        report_killed_runs(store, context.instance)
        facts = _facts(spec, store, context.instance)
        key = _reading_key(spec, store, facts.observed)
        return answer(
            context,
            store,
            decide_reading(facts),
            key=f"{spec.name}/{key}/{facts.attempts.made + 1}",
            tags={MODEL_TAG: spec.name, READING_TAG: key},
            selection=[dg.AssetKey([spec.name, "raw_data"])],
        )

    return new_data


def default_status(spec: TrainingSpec) -> dg.DefaultSensorStatus:
    """Whether sensors about new data run from the start."""
    return dg.DefaultSensorStatus.RUNNING if spec.retraining.on_new_data else dg.DefaultSensorStatus.STOPPED


def _facts(spec: TrainingSpec, store: ModelStore, instance: dg.DagsterInstance) -> ReadingFacts:
    known = store.current("raw_data")
    if known is None:
        return ReadingFacts(model=spec.name, now=time.time(), known=False)
    observed, waits = _look(spec, store, instance)
    last = History(store).reading
    if last is None:  # read by a version that did not write it down
        return ReadingFacts(model=spec.name, now=time.time(), observed=observed, waits=waits)
    tags = {READING_TAG: _reading_key(spec, store, observed)}
    return ReadingFacts(
        model=spec.name,
        now=time.time(),
        observed=observed,
        waits=waits,
        read_last=last.observed,
        refused=last.refused if last.question == question(spec, store) else "",
        failed=known.run_id != last.run_id,
        busy=run_in_progress(instance, store),
        attempts=failed_attempts(instance, store, tags),
    )


def _look(spec: TrainingSpec, store: ModelStore, instance: dg.DagsterInstance) -> tuple[str, str]:
    """The fingerprint of the data as it lies there now, or why there is none."""
    from mt_assets.trainer.data.observing import Observation, Seen, observe

    assets = versions_of_assets(instance, spec)
    history = History(store)

    def look() -> Observation:
        seen = history.recall("seen", Seen) or Seen()
        found = observe(spec, seen, assets.__getitem__)
        if found.seen != seen:
            history.remember("seen", found.seen)
        return found

    found = within_tick(("look", store.folder), look)
    return (found.fingerprint, found.waits) if found else ("", LONG_LOOK)


def _reading_key(spec: TrainingSpec, store: ModelStore, observed: str) -> str:
    """What all attempts at reading this data, after what was read well before, have in common."""
    known = store.current("raw_data")
    text = f"{observed} {question(spec, store)} {known.run_id if known else ''}"
    return sha256(text.encode()).hexdigest()[:16]
