"""What was decided about data, where people see it: the tick, the model's store, `retraining_decision` in the UI."""

from collections.abc import Mapping, Sequence

import dagster as dg

from mt_assets.assets.code_versions import code_version
from mt_assets.assets.phase import OWNERS
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.retraining.decision import RetrainingDecision
from mt_assets.trainer.retraining.history import History
from mt_assets.trainer.store.model_store import ModelStore

DECISION = "retraining_decision"
"""Name of the asset that shows, event by event, what was decided and why."""

REASON_TAG = "mt_assets/reason"
"""Tag of a run that a sensor asked for: why."""

DATA_TAG = "mt_assets/data_version"
"""Tag of a run that a sensor asked for: what it reads or trains on."""


def build_decision_asset(spec: TrainingSpec) -> dg.AssetSpec:
    """Build `retraining_decision`, which no run makes: the sensors report to it."""
    return dg.AssetSpec(
        dg.AssetKey([spec.name, DECISION]),
        deps=[dg.AssetKey([spec.name, "raw_data"])],
        group_name=spec.name,
        description="What the sensors decided about new data, and why; one event for each change.",
        kinds={"json"},
        owners=OWNERS,
        code_version=code_version("retraining"),
    )


def answer(
    context: dg.SensorEvaluationContext,
    store: ModelStore,
    decision: RetrainingDecision,
    *,
    key: str,
    tags: Mapping[str, str],
    selection: Sequence[dg.AssetKey] | None = None,
) -> dg.SensorResult:
    """Tell of a decision, and ask for a run where it says so.

    Parameters
    ----------
    context : SensorEvaluationContext
    store : ModelStore
    decision : RetrainingDecision
    key : str
        Key of the run: of several requests with the same one, Dagster starts one.
    tags : mapping
        Tags of the run.
    selection : sequence of AssetKey, optional
        Assets of the run; all of its job by default.
    """
    noted = History(store).note_decision(decision)
    if noted:
        context.instance.report_runless_asset_event(_event(store.name, noted))
    # People see the cursor beside the sensor. No decision hangs on it: a restart or a reset loses and repeats nothing.
    cursor = f"{decision.rule} {decision.data_version[:12]}".strip()
    if not (decision.read or decision.retrain):
        return dg.SensorResult(skip_reason=decision.reason, cursor=cursor)
    told = {DATA_TAG: decision.data_version, REASON_TAG: decision.reason}
    request = dg.RunRequest(run_key=key, tags={**tags, **told}, asset_selection=selection)
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def _event(name: str, decision: RetrainingDecision) -> dg.AssetMaterialization:
    metadata = {
        "decision": "read" if decision.read else "retrain" if decision.retrain else "wait",
        "rule": decision.rule,
        "reason": decision.reason,
        "data_version": decision.data_version[:12],
        **{fact: value if isinstance(value, int | float) else str(value) for fact, value in decision.evidence.items()},
    }
    return dg.AssetMaterialization(dg.AssetKey([name, DECISION]), description=decision.reason, metadata=metadata)
