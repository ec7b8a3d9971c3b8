"""The new model before its judge: it gets a version, meets the champion on the same rows, and takes over or not."""

import numpy as np

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.profile import DataProfile, encode_target
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError, StoreError
from mt_assets.trainer.evaluation.evaluate import Evaluation
from mt_assets.trainer.evaluation.fairness import Fairness
from mt_assets.trainer.evaluation.importance import FeatureImportance
from mt_assets.trainer.forecasting.evaluate import forecast_test
from mt_assets.trainer.forecasting.rows import index_frame
from mt_assets.trainer.forecasting.series_data import SeriesData, truth_of
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.promotion.comparison import ChampionView
from mt_assets.trainer.promotion.decision import PromotionDecision, decide_promotion, rows_digest
from mt_assets.trainer.promotion.gates import evaluate_gates
from mt_assets.trainer.promotion.segments import choose_groupings, series_groupings
from mt_assets.trainer.recipe import recipe_of
from mt_assets.trainer.remedies import with_remedies
from mt_assets.trainer.search.result import StudyResult
from mt_assets.trainer.store.model_store import RunStore
from mt_assets.trainer.store.versions import Champion


def judge(
    spec: TrainingSpec,
    run: RunStore,
    *,
    plan: TrainingPlan,
    profile: DataProfile,
    splits: Splits,
    test: Table,
    trained: TrainedModel,
    evaluation: Evaluation,
    importance: FeatureImportance,
    fairness: Fairness | None,
    study: StudyResult,
    further_rounds: int = 0,
) -> PromotionDecision:
    """Give the trained model a version, decide whether it becomes the champion, and make it so.

    Rows that the champion was trained on are left out of the comparison.

    A champion whose model cannot be read is not compared, and stays until a person promotes another version.

    Raises
    ------
    StoreError
        If it cannot be read which rows the champion was trained on.
    """
    store = run.store
    version = store.add_version(
        run_id=run.run_id,
        addresses={name: asset.address for name, asset in run.made().items()},
        algorithm=trained.algorithm,
        metric=plan.metric,
        score=evaluation.test.get(plan.metric),
        recipe=store.put(recipe_of(spec, run, further_rounds)),
    )
    threshold = trained.facts.delivery.threshold
    gates = with_remedies(evaluate_gates(spec.gates, evaluation, fairness), spec, plan, evaluation, study, threshold)
    missed = [gate.reason for gate in gates if not gate.passed]
    while True:
        present = store.champion()
        champion, fresh = _champion_view(run, present, profile, splits, test)
        rows = splits.test[fresh]
        frame = test.take(rows).frame()
        if profile.series is not None:
            y = truth_of(test, profile.series, splits, rows)
            groupings = series_groupings(frame, profile.series.series)
            clusters = index_frame(frame, profile.series).codes
        else:
            clusters = None
            y = encode_target(frame[profile.target.column], profile.target)
            groupings = choose_groupings(frame, profile.features, importance.permutation, spec.sensitive_columns)
        decision = decide_promotion(
            plan=plan,
            spec=spec,
            gates=gates,
            y_test=y,
            challenger_prediction=evaluation.predicted(rows),
            positive=profile.target.positive,
            threshold=trained.facts.delivery.label_threshold,
            challenger_version=version.number,
            champion=champion,
            test_digest=rows_digest(splits.identities[rows]),
            previous=run.previous("promotion_decision"),
            groupings=groupings,
            clusters=clusters,
        )
        store.note_verdict(version, decision.verdict, missed, compared_with=decision.champion_version)
        # A person may have changed the champion meanwhile; then the comparison was with the wrong one.
        if decision.takes_over:
            settled = store.crown(version.number, instead_of=present.number if present else None)
        else:
            settled = store.champion() == present
        if settled:
            return decision


def _champion_view(
    run: RunStore, champion: Champion | None, profile: DataProfile, splits: Splits, test: Table
) -> tuple[ChampionView | None, np.ndarray]:
    """Return what the champion says of the test rows, and which of them it was never trained on."""
    store = run.store
    version = store.version(champion.number) if champion else None
    if version is None or version.run_id == run.run_id:
        return None, np.ones(len(splits.test), dtype=bool)
    before = store.get(version.addresses["folds"])
    assert isinstance(before, Splits)
    fresh = ~np.isin(splits.identities[splits.test], before.identities[before.learning])
    try:
        model = store.get(version.addresses["trained_model"])
        assert isinstance(model, TrainedModel)
        _ = model.model
    except StoreError as error:
        return _silent(version.number, error.message.rstrip(".")), fresh
    if model.model.classes != (tuple(profile.target.classes) or None):
        return _silent(version.number, "it knows other classes"), fresh
    try:
        if profile.series is not None:
            judged = forecast_test(model.model, SeriesData(test, profile.series, splits))
            prediction = judged.values[fresh]
        else:
            prediction = model.model.scores(test.take(splits.test[fresh]).frame())
    except DataError as error:
        return _silent(version.number, error.message.rstrip(".")), fresh
    return ChampionView(version=version.number, prediction=prediction, threshold=model.model.threshold), fresh


def _silent(version: int, obstacle: str) -> ChampionView:
    """A champion that the data has outgrown, or that cannot be read."""
    return ChampionView(version=version, prediction=np.empty(0), obstacle=obstacle)
