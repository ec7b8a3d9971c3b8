"""Parameters of a candidate that change what stands around the estimator, whatever the algorithm.

They are searched, told and overridden like an algorithm's own, and taken out before the estimator is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from optuna.distributions import CategoricalDistribution

from mt_assets.trainer.algorithms.algorithm import Algorithm, Encoding, FitSetting, Params
from mt_assets.trainer.algorithms.registry import GENERATES

GENERATED: Final = "generated_features"
"""Whether columns made from others are added, see `features.generation`."""

LOG_TARGET: Final = "log_target"
"""Whether the logarithm of the target is learned, see `log_target.LogTarget`."""


def pipeline_space(learner: Algorithm, setting: FitSetting) -> dict[str, CategoricalDistribution]:
    """Those that an algorithm is offered on this data; `False`, which changes nothing, comes first."""
    offered = {GENERATED: setting.generation and learner.name in GENERATES, LOG_TARGET: setting.log_target}
    return {name: CategoricalDistribution([False, True]) for name, holds in offered.items() if holds}


def own_params(params: Mapping[str, Any]) -> Params:
    """The parameters of the estimator alone."""
    return {name: value for name, value in params.items() if name not in (GENERATED, LOG_TARGET)}


def encoding_of(learner: Algorithm, params: Mapping[str, Any]) -> Encoding:
    """The form of features that a candidate wants."""
    return "generated" if params.get(GENERATED) else learner.encoding
