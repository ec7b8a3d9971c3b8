"""Extremely randomized trees."""

from __future__ import annotations

from typing import ClassVar

from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from mt_assets.trainer.algorithms.algorithm import FitSetting, Params
from mt_assets.trainer.algorithms.forest import Forest, point


class ExtraTrees(Forest):
    """Deep trees on all rows, with splits drawn at random and the best of them taken (Geurts et al. 2006)."""

    name: ClassVar[str] = "extra_trees"
    display: ClassVar[str] = "Extra trees"
    draws: ClassVar[bool] = False
    classifier: ClassVar[type] = ExtraTreesClassifier
    regressor: ClassVar[type] = ExtraTreesRegressor

    def starts(self, setting: FitSetting) -> tuple[Params, ...]:
        """scikit-learn's default, then AutoGluon's XT_r172 and XT_r42 (portfolio `zeroshot_2023`).

        The larger leaf goes first: where the target is noisy, leaves of one row are far behind (`telco_churn`, one
        fold, AUC of the default .806; of LightGBM .843).
        """
        return (
            point(setting, 100, leaf=1, features="sqrt" if setting.task == "classification" else 1.0),
            point(setting, 300, leaf=4, features=1.0),
            point(setting, 300, leaf=1, features=0.75),
        )
