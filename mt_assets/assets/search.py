"""Searching and choosing: `optuna_study`, `best_params`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from mt_assets import trainer
from mt_assets.assets import metadata as show
from mt_assets.assets.phase import AssetFace, Made, PhaseRun, phase
from mt_assets.resources.model_runs import further_rounds
from mt_assets.resources.study_storage import study_storage_url
from mt_assets.spec import TrainingSpec

if TYPE_CHECKING:
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.features.preprocessor import FittedPreprocessor
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.search.result import BestParams, StudyResult


def build_search_assets(spec: TrainingSpec) -> Sequence[dg.AssetsDefinition]:
    @phase(
        spec,
        {
            "optuna_study": AssetFace(
                "Every candidate that was tried, on the shared folds. A killed study goes on where it stopped.",
                frozenset({"optuna"}),
            )
        },
        checks={"fit_on_train_only": True},
        after=("preprocessor",),
    )
    def optuna_study(
        run: PhaseRun,
        raw_data: Table,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
        preprocessor: FittedPreprocessor,
    ) -> Made:
        rounds = further_rounds(run.context.run.tags)
        run.runs.note_search()
        in_haste = spec.experiment_tracking.enabled and spec.options.time_budget is not None
        study = trainer.run_search(
            training_plan.extended(rounds),
            raw_data,
            data_profile,
            folds,
            preprocessor.transformer,
            folder=run.store.store.folder,
            storage_url=study_storage_url(),
            deadline=run.clock.search_ends(),
            meanwhile=(lambda: run.tracking.warm(spec.experiment_tracking.tracking_uri)) if in_haste else None,
            warm=trainer.warm_start(run.store) if spec.retraining.warm_start else None,
            progress=lambda state: run.runs.narrator.progress(run.log, state, spec.options.verbosity),
        )
        return Made(
            study,
            metadata={
                **show.numbers({"best_score": study.best.score, "trials": len(study.trials)}),
                "metric": study.metric,
                "stopped_by": study.stopped_by,
                "further_rounds": rounds,
                "resumed_trials": study.resumed_trials,
                "notes": show.lines(study.notes),
                "best_of_each_algorithm": show.table(trainer.leaderboard(study)),
                **({"trials_on_the_front": show.table(trainer.front_table(study))} if study.front else {}),
                **show.plots(trainer.study_plots(study)),
            },
            checks=[trainer.check_fit_rows(folds, study=study)],
        )

    @phase(
        spec,
        {"best_params": AssetFace("The configuration to train, and why.", frozenset({"optuna"}))},
        after=("optuna_study",),
    )
    def best_params(
        run: PhaseRun,
        raw_data: Table,
        data_profile: DataProfile,
        folds: Splits,
        training_plan: TrainingPlan,
        optuna_study: StudyResult,
    ) -> Made:
        folder, single = run.store.store.folder, trainer.select_best(optuna_study, training_plan)
        chosen: BestParams = trainer.with_ensemble(
            single, optuna_study, training_plan, raw_data, data_profile, folds, folder, run.clock.final_ends()
        )
        out_of_fold = trainer.out_of_fold(chosen, optuna_study, folder, folds)
        best = chosen
        if not spec.forecasts:  # a forecast is delivered as it is
            best = chosen.delivering(trainer.decide_delivery(training_plan, raw_data, data_profile, out_of_fold))
        return Made(
            best,
            metadata={
                "algorithm": best.algorithm,
                "score": best.score,
                "params": show.pairs(best.params, "parameter", "value"),
                "reason": best.reason,
                "ensemble": show.table(
                    [{**each.told, "params": str(each.params), "trial": each.trial_number} for each in best.ensemble]
                ),
                "ensemble_reason": " ".join(each.reason for each in best.decisions),
                **show.numbers({"ensemble_score": best.ensemble_score, "threshold": best.delivery.threshold}),
                "delivery": show.table(
                    [each.model_dump(include={"decision", "value", "reason"}) for each in best.delivery.decisions]
                ),
                "missed_constraints": show.lines(best.delivery.warnings),
            },
        )

    return [optuna_study, best_params]
