"""Champion or challenger: `promotion_decision`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.resources.model_runs import further_rounds
from mt_assets.spec import TrainingSpec

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.evaluation.evaluate import Evaluation
    from mt_assets.trainer.evaluation.importance import FeatureImportance
    from mt_assets.trainer.model import TrainedModel
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.promotion import PromotionDecision
    from mt_assets.trainer.search.result import StudyResult


def _guards(decision: PromotionDecision) -> dict[str, dg.TableMetadataValue]:
    """The comparison in parts of the rows; nothing where there was none."""
    tables = {"segments": decision.segments, "fairness": decision.fairness}
    return {name: show.table([each.model_dump() for each in rows]) for name, rows in tables.items() if rows}


def build_promotion_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "promotion_decision": AssetFace(
                "Whether the new model takes over from the champion, decided on the same test rows.",
                frozenset({"json"}),
            )
        },
        after=("test_metrics", "feature_importance", *(["fairness"] if spec.sensitive_columns else [])),
    )
    def promotion_decision(
        run: PhaseRun,
        test: Table,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
        optuna_study: StudyResult,
        trained_model: TrainedModel,
        test_metrics: Evaluation,
        feature_importance: FeatureImportance,
    ) -> Made:
        decision = trainer.judge(
            spec,
            run.store,
            plan=training_plan,
            profile=data_profile,
            splits=folds,
            test=test,
            trained=trained_model,
            evaluation=test_metrics,
            importance=feature_importance,
            fairness=run.store.read("fairness") if spec.sensitive_columns else None,
            study=optuna_study,
            further_rounds=further_rounds(run.context.run.tags),
        )
        return Made(
            decision,
            metadata={
                "verdict": decision.verdict,
                "version": decision.challenger_version,
                "reason": decision.reason,
                "suggestions": show.lines([text for gate in decision.gates for text in gate.suggestions]),
                "gates": show.table([gate.model_dump() for gate in decision.gates]),
                "test_rows_used": decision.times_test_rows_used,
                **_guards(decision),
            },
        )

    return [promotion_decision]
