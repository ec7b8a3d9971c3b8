"""Features fitted on `train` alone, to inspect and to reuse: `preprocessor`."""

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
    from mt_assets.trainer.features.preprocessor import FittedPreprocessor
    from mt_assets.trainer.forecasting.preprocessing import FittedSeriesPreprocessor
    from mt_assets.trainer.planning.plan import TrainingPlan


def build_preprocessing_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "preprocessor": AssetFace(
                "Columns into features, fitted on `train` alone. Every candidate gets an unfitted clone of it.",
                frozenset({"scikitlearn"}),
            )
        },
        # Shuffling the values of a series takes away what its forecasts are made of.
        checks={"fit_on_train_only": True, **({} if spec.forecasts else {"label_shuffle": False})},
        after=("training_plan",),
    )
    def preprocessor(
        run: PhaseRun,
        raw_data: Table,
        train: Table,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
    ) -> Made:
        fitted: FittedPreprocessor | FittedSeriesPreprocessor
        shuffled = []
        if spec.forecasts:
            fitted = trainer.fit_series_preprocessor(train, folds, data_profile)
        else:
            fitted = trainer.fit_preprocessor(training_plan, train, folds, data_profile)
            encoder, left = fitted.transformer, run.clock.left()
            shuffled = [
                trainer.check_label_shuffle(raw_data, data_profile, folds, encoder, seed=spec.options.seed, left=left)
            ]
        return Made(
            fitted,
            metadata={"features": len(fitted.feature_names), "by_column": show.table(fitted.table())},
            checks=[trainer.check_fit_rows(folds, preprocessor=fitted), *shuffled],
        )

    return [preprocessor]
