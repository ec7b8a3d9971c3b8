"""What other programs read: `training_result`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.resources.cleaning import clean_up, told
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.errors import TrainerError

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.evaluation.evaluate import Evaluation
    from mt_assets.trainer.evaluation.importance import FeatureImportance
    from mt_assets.trainer.model import TrainedModel
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.promotion import PromotionDecision
    from mt_assets.trainer.reporting.tracked import ExperimentRun, RegisteredVersion
    from mt_assets.trainer.search.result import BestParams, StudyResult


def build_result_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "training_result": AssetFace(
                "The outcome as one JSON file, and the last word of the gates.", frozenset({"json"})
            )
        },
        checks={"quality_gates": True},
        speaks_last=True,
        after=("registered_model",),
    )
    def training_result(
        run: PhaseRun,
        raw_data: Table,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
        optuna_study: StudyResult,
        best_params: BestParams,
        trained_model: TrainedModel,
        test_metrics: Evaluation,
        feature_importance: FeatureImportance,
        promotion_decision: PromotionDecision,
        experiment_run: ExperimentRun,
        registered_model: RegisteredVersion,
    ) -> Made:
        trainer.forget_fold_models(best_params, run.store.store.folder)
        training = run.store.training(promotion_decision.challenger_version)
        result = trainer.successful_result(
            spec,
            training,
            table=raw_data,
            profile=data_profile,
            splits=folds,
            plan=training_plan,
            study=optuna_study,
            best=best_params,
            trained=trained_model,
            evaluation=test_metrics,
            importance=feature_importance,
            fairness=run.store.read("fairness") if spec.sensitive_columns else None,
            card=run.store.read("model_card") if "model_card" in spec.outputs else None,
            promotion=promotion_decision,
            recorded=experiment_run,
            registered=registered_model,
            spent=run.clock.spent() if training.run_id == run.run_id else None,
        )
        return Made(
            result,
            metadata={
                **show.numbers({f"test.{name}": value for name, value in result.metrics.test.items()}),
                "training_time": result.metadata.training_time,
                "promotion": promotion_decision.reason,
                "where_the_time_went": show.pairs(result.budget.phases, "phase", "seconds"),
                "model": dg.MetadataValue.path(result.model_path or ""),
                "artifacts": show.table([{"file": path} for path in result.artifacts]),
                "no_longer_kept": _cleaned(run),
            },
            checks=[trainer.check_quality_gates(promotion_decision)],
        )

    return [training_result]


def _cleaned(run: PhaseRun) -> str:
    """Remove what is no longer kept, and tell what went. What hinders it is told, and stops nothing."""
    try:
        cleaned, runs = clean_up(run.store.store, run.spec.retention, run.context.instance)
    except (TrainerError, OSError) as error:
        run.log.warning(f"What is no longer to be kept could not all be removed: {error}")
        return f"Could not be removed: {error}"
    return told(cleaned, runs)
