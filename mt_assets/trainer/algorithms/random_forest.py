"""Random forests."""

from __future__ import annotations

from typing import ClassVar

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from mt_assets.trainer.algorithms.algorithm import FitSetting, Params
from mt_assets.trainer.algorithms.forest import Forest, point


class RandomForest(Forest):
    """Deep trees, each on rows drawn with replacement, with the best split among some features."""

    name: ClassVar[str] = "random_forest"
    display: ClassVar[str] = "Random forest"
    classifier: ClassVar[type] = RandomForestClassifier
    regressor: ClassVar[type] = RandomForestRegressor

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """scikit-learn's default, then AutoGluon's RF_r195 and RF_r39 (portfolio `zeroshot_2023`)."""
        classification = setting.task == "classification"
        return (
            point(setting, 100, leaf=1, features="sqrt" if classification else 1.0),
            point(setting, 300, leaf=1, features=0.75),
            point(setting, 300, leaf=2, features=0.75 if classification else 0.5),
        )
