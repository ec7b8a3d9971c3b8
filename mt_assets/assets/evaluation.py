"""How good it is, and on what it stands: `test_metrics`, `feature_importance`."""

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
    from mt_assets.trainer.model import TrainedModel
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.search.result import BestParams, StudyResult


SERIES_SHOWN = 50
"""Series in the metadata, the worst first; all of them are in a file."""


def build_evaluation_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "test_metrics": AssetFace(
                "Every metric on the untouched test rows, with the baseline's beside it.", frozenset({"scikitlearn"})
            )
        },
        checks={"beats_baseline": False, "cv_test_gap": False},
        after=("trained_model", "test"),
    )
    def test_metrics(
        run: PhaseRun,
        test: Table,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
        optuna_study: StudyResult,
        best_params: BestParams,
        trained_model: TrainedModel,
    ) -> Made:
        out_of_fold = trainer.out_of_fold(best_params, optuna_study, run.store.store.folder, folds)
        judge = trainer.evaluate_forecasts if spec.forecasts else trainer.evaluate
        evaluation = judge(
            plan=training_plan,
            trained=trained_model,
            table=test,
            profile=data_profile,
            splits=folds,
            out_of_fold=out_of_fold,
        )
        return Made(
            evaluation,
            metadata={
                **show.numbers(evaluation.test, "test."),
                **show.numbers(evaluation.cross_validation, "cv."),
                "comparison": show.table(evaluation.table()),
                **({"series": show.table(trainer.series_table(evaluation)[:SERIES_SHOWN])} if spec.forecasts else {}),
                **show.plots(evaluation.small_plots()),
            },
            checks=[
                (trainer.check_beats_naive if spec.forecasts else trainer.check_beats_baseline)(evaluation),
                trainer.check_cv_test_gap(evaluation),
            ],
        )

    @phase(
        spec,
        {
            "feature_importance": AssetFace(
                "What the model's predictions depend on, by your own columns.", frozenset({"scikitlearn"})
            )
        },
        after=("trained_model", "test"),
    )
    def feature_importance(
        run: PhaseRun,
        test: Table,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
        trained_model: TrainedModel,
    ) -> Made:
        if spec.forecasts:
            importance = trainer.explain_forecasts(training_plan, trained_model)
        else:
            importance = trainer.explain(
                plan=training_plan,
                trained=trained_model,
                table=test,
                profile=data_profile,
                splits=folds,
                deadline=run.clock.importance_ends(trainer.tracking_seconds(trained_model)),
            )
        return Made(
            importance,
            metadata={"importance": show.table(importance.table()), **show.plots(importance.small_plots())},
        )

    return [test_metrics, feature_importance]
