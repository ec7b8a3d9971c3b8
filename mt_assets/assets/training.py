"""The final fit on every row that is not a test row: `trained_model`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.spec import TrainingSpec

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.features.preprocessor import FittedPreprocessor
    from mt_assets.trainer.model import TrainedModel
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.search.result import BestParams, StudyResult


def _told(trained: TrainedModel, folds: Splits) -> dict[str, Any]:
    return {"algorithm": trained.algorithm, "rows": len(folds.learning), "size_mb": trained.size_mb}


def build_training_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "trained_model": AssetFace(
                "One scikit-learn estimator from table to prediction, fitted on `train` and `validation`.",
                frozenset({"scikitlearn"}),
            )
        },
        checks={"fit_on_train_only": True, "artifact_loads_elsewhere": True},
        after=("best_params",),
    )
    def trained_model(
        run: PhaseRun,
        raw_data: Table,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
        preprocessor: FittedPreprocessor,
        optuna_study: StudyResult,
        best_params: BestParams,
    ) -> Made:
        folder = run.store.store.folder
        if spec.forecasts:
            out_of_fold = trainer.out_of_fold(best_params, optuna_study, folder, folds)
            trained = trainer.train_final_forecaster(
                training_plan, best_params, raw_data, data_profile, folds, out_of_fold
            )
            trained.history = trainer.training_history(optuna_study)
            return Made(
                trained,
                metadata=_told(trained, folds),
                checks=[trainer.check_fit_rows(folds, trained=trained), trainer.check_loads_elsewhere(trained)],
            )
        trained = trainer.train_final(
            training_plan, best_params, raw_data, data_profile, folds, preprocessor.transformer, folder
        )
        deadline, search_winner = run.clock.curve_ends(trainer.tracking_seconds(trained)), optuna_study.best
        if deadline is not None:
            deadline -= trainer.judging_seconds(trained, raw_data, data_profile, folds)
        with ThreadPoolExecutor(1) as beside:  # the proof runs in a process of its own, and takes its time
            proof = beside.submit(trainer.check_loads_elsewhere, trained)
            curve = trainer.learning_curve(
                training_plan,
                best_params,
                raw_data,
                data_profile,
                folds,
                preprocessor.transformer,
                deadline=deadline,
                fit_seconds=search_winner.seconds / len(search_winner.fold_keys),
            )
        trained.history = trainer.training_history(optuna_study, curve)
        return Made(
            trained,
            metadata={
                **_told(trained, folds),
                **(
                    {"learning_curve": show.plot(trainer.learning_curve_plot(curve), "learning curve")}
                    if curve.rows
                    else {}
                ),
            },
            checks=[trainer.check_fit_rows(folds, trained=trained), proof.result()],
        )

    return [trained_model]
