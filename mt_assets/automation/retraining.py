"""`<name>_retraining_sensor`: trains again on what was read, when there is reason to.

It looks at the version of `raw_data` in the store, not at events: a materialization that came while the daemon was
down, or that had to wait, is found at the next tick, and one whose blocking check failed was never there.
"""

import time
from datetime import datetime
from hashlib import sha256

import dagster as dg

from mt_assets.automation.background import within_tick
from mt_assets.automation.decisions import answer
from mt_assets.automation.jobs import retraining_job_name
from mt_assets.automation.new_data import TICK_S, default_status
from mt_assets.automation.runs import failed_attempts, run_in_progress, trains
from mt_assets.automation.triggers import triggers_of
from mt_assets.resources.cleaning import TRIGGER_TAG
from mt_assets.resources.model_runs import MODEL_TAG, ModelRuns, report_killed_runs
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.retraining.decision import (
    Attempts,
    Comparison,
    RetrainingFacts,
    decide_retraining,
)
from mt_assets.trainer.retraining.history import Compared, History
from mt_assets.trainer.retraining.trainings import finished, handled_by
from mt_assets.trainer.retraining.trigger import Trigger
from mt_assets.trainer.store.model_store import ModelStore, ModelVersion

CAUSE_TAG = "mt_assets/cause"
"""Tag of a retraining: digest of the data, of what else triggered it, and of the training before it."""


def build_retraining_sensor(spec: TrainingSpec) -> dg.SensorDefinition:
    """Build `<name>_retraining_sensor`; it runs from the start unless `retraining.onNewData` is false."""

    @dg.sensor(
        name=f"{spec.name}_retraining_sensor",
        job_name=retraining_job_name(spec.name),
        minimum_interval_seconds=TICK_S,
        default_status=default_status(spec),
        description=f"Trains {spec.name} again when new data was read, or something else asks for it.",
    )
    def retraining(
        context: dg.SensorEvaluationContext, model_runs: ModelRuns, tracking: MlflowTracking
    ) -> dg.SensorResult:
        store = model_runs.store(spec.name)
        report_killed_runs(store, context.instance)
        trained = finished(store)
        last = trained[-1] if trained else None
        triggers = _unhandled(triggers_of(spec, store, context.instance, tracking, last), store, context.instance)
        cause = _cause(store, triggers, last)
        facts = _facts(spec, store, context.instance, trained, triggers, cause)
        tags = {MODEL_TAG: spec.name, CAUSE_TAG: cause, **{_tag_of(each): each.kind for each in triggers}}
        key = f"{spec.name}/{cause}/{facts.attempts.made + 1}"
        return answer(context, store, decide_retraining(spec.retraining, facts), key=key, tags=tags)

    return retraining


def _facts(
    spec: TrainingSpec,
    store: ModelStore,
    instance: dg.DagsterInstance,
    trained: list[ModelVersion],
    triggers: tuple[Trigger, ...],
    cause: str,
) -> RetrainingFacts:
    data = store.current("raw_data")
    if data is None:
        return RetrainingFacts(model=spec.name, now=time.time())
    last = trained[-1] if trained else None
    handled = handled_by(trained, data.address)
    return RetrainingFacts(
        model=spec.name,
        now=time.time(),
        data_version=data.address,
        handled_by=handled.number if handled else None,
        trained_at=datetime.fromisoformat(last.created).timestamp() if last else None,
        comparison=None if handled else _compared(spec, store, data.address, last),
        triggers=triggers,
        busy=run_in_progress(instance, store),
        attempts=Attempts() if handled and not triggers else _attempts(store, instance, trained, data.run_id, cause),
    )


def _attempts(
    store: ModelStore, instance: dg.DagsterInstance, trained: list[ModelVersion], reader: str, cause: str
) -> Attempts:
    """Trainings on this data that ended without a result; the run that read it may have been one."""
    done = {version.run_id for version in trained}
    was_training = reader not in done and trains(instance.get_run_by_id(reader))
    return failed_attempts(instance, store, {CAUSE_TAG: cause}, further=reader if was_training else "")


def _compared(spec: TrainingSpec, store: ModelStore, address: str, last: ModelVersion | None) -> Comparison | None:
    """How the data differs from that of the last training; worked out once. None while it is being worked out."""
    history = History(store)
    of = f"{address} {last.run_id if last else ''} {spec.retraining.drift_threshold is not None}"
    known = history.recall("comparison", Compared)
    if known and known.of == of:
        return known.comparison

    def work() -> Comparison:
        from mt_assets import trainer

        found = trainer.compare(spec, store, address, last)
        history.remember("comparison", Compared(of=of, comparison=found))
        return found

    return within_tick(("compare", store.folder, of), work)


def _cause(store: ModelStore, triggers: tuple[Trigger, ...], last: ModelVersion | None) -> str:
    data = store.current("raw_data")
    parts = [data.address if data else "", *sorted(map(_tag_of, triggers)), last.run_id if last else ""]
    return sha256(" ".join(parts).encode()).hexdigest()[:16]


def _unhandled(triggers: list[Trigger], store: ModelStore, instance: dg.DagsterInstance) -> tuple[Trigger, ...]:
    """Those that no training with a verdict was for."""
    judged = {version.run_id for version in store.versions()}

    def is_handled(trigger: Trigger) -> bool:
        runs = instance.get_runs(dg.RunsFilter(tags={MODEL_TAG: store.name, _tag_of(trigger): trigger.kind}))
        return any(run.run_id in judged for run in runs)

    return tuple(trigger for trigger in triggers if not is_handled(trigger))


def _tag_of(trigger: Trigger) -> str:
    return TRIGGER_TAG + sha256(trigger.identity.encode()).hexdigest()[:16]
