"""Every other decision: `training_plan`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.evaluation_feedback import judge_feedback
from mt_assets.resources.asset_tables import file_of_asset
from mt_assets.spec import AssetSource, TrainingSpec

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table


def build_planning_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    feedback = spec.inputs.evaluation_feedback

    @phase(
        spec,
        {
            "training_plan": AssetFace(
                "What will be done, each choice with its rule, reason and override.", frozenset({"json"})
            )
        },
        checks={"near_perfect_feature": False, **({} if spec.forecasts else {"target_encoded_feature": False})},
        after=(
            *("train", "validation", "folds"),
            *([dg.AssetKey.from_user_string(feedback.asset)] if isinstance(feedback, AssetSource) else []),
        ),
    )
    def training_plan(run: PhaseRun, raw_data: Table, data_profile: DataProfile, folds: Splits) -> Made:
        plan = trainer.make_plan(spec, raw_data, data_profile, folds)
        run.runs.narrator.decided(plan, spec.options.verbosity)
        return Made(
            plan,
            metadata={
                "decisions": show.table(plan.table(), ("decision", "value", "reason", "override", "evidence", "rule")),
                "algorithms": ", ".join(plan.algorithms),
                "trials": plan.n_trials,
                **_feedback(run),
            },
            checks=[
                trainer.check_near_perfect(raw_data, data_profile, folds),
                *([] if spec.forecasts else [trainer.check_target_encoded(raw_data, data_profile, folds)]),
            ],
        )

    return [training_plan]


def _feedback(run: PhaseRun) -> dict[str, Any]:
    """What feedback says of the champion that the new model will meet. It changes nothing in the plan."""
    if run.spec.inputs.evaluation_feedback is None:
        return {}
    verdict = judge_feedback(
        run.spec,
        run.store.store,
        file_of_asset=partial(file_of_asset, run.context.instance),
        metric_of=run.tracking.feedback,
    )
    for sentence in verdict.told:
        run.log.info(sentence)
    return {"evaluation_feedback": " ".join(verdict.told) or "none yet"}
