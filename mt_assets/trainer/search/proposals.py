"""How trials are proposed: from exactly the trials before them, the same way in every process."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from mt_assets.trainer.algorithms.algorithm import Params

CHOICE = "algorithm"
"""The parameter that says which algorithm a trial is of, where several compete."""


class PerTrialSampler(BaseSampler):
    """Give every trial, and within it every parameter drawn alone, a fresh sampler seeded by its number and name.

    A sampler that lives as long as the process draws differently after a restart. Here a trial depends on the seed,
    its number and the finished trials before it alone, even if its process was killed between two parameters.

    Parameters
    ----------
    kind : {"tpe", "random"}
    seed : int
    """

    def __init__(self, kind: str, seed: int) -> None:
        self._kind = kind
        self._seed = seed

    def _fresh(self, number: int, parameter: str = "") -> BaseSampler:
        text = f"{self._seed}:{number}:{parameter}".encode()
        seed = int.from_bytes(hashlib.sha256(text).digest()[:4])
        if self._kind == "random":
            return RandomSampler(seed=seed)
        with warnings.catch_warnings():
            # `group` (one density for each set of parameters that occur together) has been experimental since 2.8.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=False)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._relative = self._fresh(trial.number)
        return self._relative.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._relative.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        sampler = self._fresh(trial.number, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


class SearchSpace:
    """The spaces of all competing algorithms as one, and their start configurations in the order of their trials.

    Parameters
    ----------
    spaces : mapping of algorithm to its space
        In the order of their first trials.
    starts : mapping of algorithm to its start configurations
    """

    def __init__(
        self, spaces: Mapping[str, Mapping[str, BaseDistribution]], starts: Mapping[str, tuple[Params, ...]]
    ) -> None:
        self.spaces = spaces
        rounds = max(len(each) for each in starts.values())
        self.starts = [(name, starts[name][at]) for at in range(rounds) for name in spaces if at < len(starts[name])]

    @property
    def several(self) -> bool:
        return len(self.spaces) > 1

    def name(self, algorithm: str, parameter: str) -> str:
        """The study's name of an algorithm's parameter."""
        return f"{algorithm}.{parameter}" if self.several else parameter

    def fixed(self, number: int) -> dict[str, Any]:
        """Start configuration `number` under the study's names."""
        algorithm, params = self.starts[number]
        chosen = {CHOICE: algorithm} if self.several else {}
        return chosen | {self.name(algorithm, parameter): value for parameter, value in params.items()}

    def suggest(self, trial: Trial) -> tuple[str, Params]:
        """Algorithm and parameters of a trial, drawn by its study's sampler."""
        names = list(self.spaces)
        algorithm = str(trial.suggest_categorical(CHOICE, names)) if self.several else names[0]
        space = self.spaces[algorithm]
        return algorithm, {
            parameter: _suggest(trial, self.name(algorithm, parameter), space[parameter]) for parameter in space
        }

    def read(self, trial: FrozenTrial) -> tuple[str, Params]:
        """Algorithm and parameters of a trial that was drawn before."""
        algorithm = str(trial.params[CHOICE]) if self.several else next(iter(self.spaces))
        of_study = {parameter: self.name(algorithm, parameter) for parameter in self.spaces[algorithm]}
        return algorithm, {own: trial.params[name] for own, name in of_study.items() if name in trial.params}


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"no way to draw from {distribution!r}")


def parameter_importance(
    trials: list[tuple[Params, Mapping[str, BaseDistribution], float]], direction: Literal["maximize", "minimize"]
) -> dict[str, float]:
    """Share of each parameter in the variation of the score (PED-ANOVA, Watanabe et al. 2023), most important first.

    Parameters
    ----------
    trials : list of (params, space, score)
        Finished trials of one algorithm.

    Returns
    -------
    dict
        Sums to 1; empty where it cannot be told (fewer than four trials, or scores that do not differ).
    """
    if len(trials) < 4 or len({score for _, _, score in trials}) < 2:
        return {}
    study = optuna.create_study(direction=direction)
    for params, space, score in trials:
        study.add_trial(optuna.trial.create_trial(params=params, distributions=dict(space), value=score))
    try:
        importance = optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):
        return {}
    return {name: float(value) for name, value in importance.items()}
