"""A whole small training, for what can only be judged on a trained model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.data.profile import DataProfile, profile_data
from mt_assets.trainer.data.splits import Splits, split_data
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.evaluation.delivery_choice import decide_delivery
from mt_assets.trainer.evaluation.evaluate import Evaluation, evaluate
from mt_assets.trainer.evaluation.importance import FeatureImportance, explain
from mt_assets.trainer.evaluation.predictions import FoldPrediction
from mt_assets.trainer.features.preprocessor import fit_preprocessor
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan, make_plan
from mt_assets.trainer.search.study import fold_predictions, run_search, select_best
from mt_assets.trainer.training import train_final


@dataclass(frozen=True)
class Training:
    """Everything that an evaluation takes."""

    plan: TrainingPlan
    trained: TrainedModel
    table: Table
    profile: DataProfile
    splits: Splits
    out_of_fold: tuple[FoldPrediction, ...]

    def evaluate(self) -> Evaluation:
        return evaluate(**self.__dict__)

    def explain(self) -> FeatureImportance:
        return explain(**{name: value for name, value in self.__dict__.items() if name != "out_of_fold"})


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Training]:
    """Train on a frame, with one start configuration; keywords are keys of the spec."""

    def whole(frame: pd.DataFrame, target: str, algorithm: str, **keys: Any) -> Training:
        folder = tmp_path_factory.mktemp("training")
        mapping = {
            "trainDataPath": "frame.csv",
            "targetColumn": target,
            "algorithm": algorithm,
            "hyperparameterSearch": {"enabled": False},
            **keys,
        }
        spec = parse_spec(mapping, base=folder, default_name="made")
        table = Table.of(frame)
        profile = profile_data(table, spec)
        splits = split_data(table, profile, spec, None)
        plan = make_plan(spec, table, profile, splits)
        preprocessor = fit_preprocessor(plan, table, splits, profile).transformer
        study = run_search(plan, table, profile, splits, preprocessor, folder=folder)
        out_of_fold = fold_predictions(study, folder, splits)
        best = select_best(study, plan).delivering(decide_delivery(plan, table, profile, out_of_fold))
        trained = train_final(plan, best, table, profile, splits, preprocessor)
        return Training(plan, trained, table, profile, splits, out_of_fold)

    return whole
