"""How groups of people fare: `fairness`, where the spec names sensitive columns."""

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
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.evaluation.evaluate import Evaluation
    from mt_assets.trainer.model import TrainedModel


def build_fairness_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    if not spec.sensitive_columns:
        return []

    @phase(
        spec,
        {
            "fairness": AssetFace(
                "The model by groups of the sensitive columns, on the test rows, and how far the groups lie apart.",
                frozenset({"json"}),
            )
        },
        after=("test_metrics",),
    )
    def fairness(
        run: PhaseRun, test: Table, data_profile: DataProfile, trained_model: TrainedModel, test_metrics: Evaluation
    ) -> Made:
        found = trainer.assess_fairness(
            spec.sensitive_columns,
            least=spec.promotion.min_segment,
            trained=trained_model,
            evaluation=test_metrics,
            table=test,
            profile=data_profile,
        )
        return Made(
            found,
            metadata={
                **show.numbers(found.worst),
                "groups": show.table(found.table()),
                "differences": show.table(found.differences()),
                "note": show.lines([found.note]),
                **show.plots(found.small_plots()),
            },
        )

    return [fairness]
