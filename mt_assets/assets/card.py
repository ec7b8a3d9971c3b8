"""What a person has to know of the model: `model_card`, where `outputs` asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets import trainer
from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.spec import TrainingSpec

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.evaluation.evaluate import Evaluation
    from mt_assets.trainer.evaluation.importance import FeatureImportance
    from mt_assets.trainer.model import TrainedModel
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.promotion import PromotionDecision


def build_card_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    if "model_card" not in spec.outputs:
        return []

    @phase(
        spec,
        {"model_card": AssetFace("What the model is for, how good it is, and its limits.", frozenset({"markdown"}))},
        after=("promotion_decision",),
    )
    def model_card(
        run: PhaseRun,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
        trained_model: TrainedModel,
        test_metrics: Evaluation,
        feature_importance: FeatureImportance,
        promotion_decision: PromotionDecision,
    ) -> Made:
        card = trainer.write_card(
            spec,
            profile=data_profile,
            splits=folds,
            plan=training_plan,
            trained=trained_model,
            evaluation=test_metrics,
            importance=feature_importance,
            fairness=run.store.read("fairness") if spec.sensitive_columns else None,
            promotion=promotion_decision,
        )
        return Made(card, metadata={"card": dg.MetadataValue.md(card.text)})

    return [model_card]
