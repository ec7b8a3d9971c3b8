"""Every other decision: `training_plan`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.spec import TrainingSpec

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table


def build_planning_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "training_plan": AssetFace(
                "What will be done, each choice with its rule, reason and override.", frozenset({"json"})
            )
        },
        checks={"near_perfect_feature": False},
        after=("train", "validation", "folds"),
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
            },
            checks=[trainer.check_near_perfect(raw_data, data_profile, folds)],
        )

    return [training_plan]
