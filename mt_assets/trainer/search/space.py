"""The joint search space of all competing algorithms, and points in it that are known before the search begins.

What belongs here: names and values of parameters, start configurations, grid and Sobol points. What does not: how the
next point follows from the results so far (`proposals`), and what a spec may change about a space (`ranges`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial

from mt_assets.trainer.algorithms.algorithm import Params, within
from mt_assets.trainer.planning.candidates import BOOSTED

CHOICE = "algorithm"
"""The parameter that says which algorithm a trial is of, where several compete."""


class SearchSpace:
    """The spaces of all competing algorithms as one, and their start configurations in the order of their trials.

    The first of every algorithm comes first, then the others of boosted trees, in turn, then those of the rest: it is
    boosted trees that published configurations make better. What earlier data found best is tried after the very first,
    which is the quickest.

    Parameters
    ----------
    spaces : mapping of algorithm to its space
        In the order of their first trials.
    starts : mapping of algorithm to its start configurations
    most : int, optional
        How many of them to begin with.
    warm : sequence of (algorithm, parameters)
        What earlier data found best. A value is brought inside the present range, and what the parameters do not tell
        is as in the algorithm's first start configuration.
    """

    def __init__(
        self,
        spaces: Mapping[str, Mapping[str, BaseDistribution]],
        starts: Mapping[str, tuple[Params, ...]],
        most: int | None = None,
        warm: Sequence[tuple[str, Params]] = (),
    ) -> None:
        self.spaces = spaces
        rounds = max(len(each) for each in starts.values())
        dealt = [(at, name) for at in range(rounds) for name in spaces if at < len(starts[name])]
        dealt.sort(key=lambda each: (each[0] > 0) + (each[0] > 0 and each[1] not in BOOSTED))
        own = [(name, starts[name][at]) for at, name in dealt]
        earlier = [(name, self._inside(name, params, starts[name][0])) for name, params in warm if name in spaces]
        known: list[tuple[str, Params]] = []
        for start in [own[0], *earlier, *own[1:]]:
            if start not in known:
                known.append(start)
        self.starts = known[:most]
        self.first = {name: starts[name][0] for name in spaces}

    def _inside(self, algorithm: str, params: Params, otherwise: Params) -> Params:
        """The parameters, as far as the algorithm's space has them."""
        space = self.spaces[algorithm]
        near = within(space, {name: value for name, value in params.items() if name in space})
        return {**otherwise, **{name: value for name, value in near.items() if _holds(space[name], value)}}

    @property
    def several(self) -> bool:
        return len(self.spaces) > 1

    def name(self, algorithm: str, parameter: str) -> str:
        """The study's name of an algorithm's parameter."""
        return f"{algorithm}.{parameter}" if self.several else parameter

    def point(self, algorithm: str, params: Params) -> dict[str, Any]:
        """A configuration under the study's names."""
        chosen = {CHOICE: algorithm} if self.several else {}
        return chosen | {self.name(algorithm, parameter): value for parameter, value in params.items()}

    def suggest(self, trial: Trial) -> tuple[str, Params]:
        """Algorithm and parameters of a trial, drawn by its study's sampler."""
        algorithm = self.suggest_algorithm(trial)
        return algorithm, self.suggest_params(trial, algorithm)

    def suggest_algorithm(self, trial: Trial) -> str:
        """The algorithm of a trial alone."""
        names = list(self.spaces)
        return str(trial.suggest_categorical(CHOICE, names)) if self.several else names[0]

    def suggest_params(self, trial: Trial, algorithm: str) -> Params:
        """The parameters of a trial whose algorithm is known."""
        space = self.spaces[algorithm]
        return {parameter: _suggest(trial, self.name(algorithm, parameter), space[parameter]) for parameter in space}

    @property
    def points(self) -> float:
        """How many different points there are; infinite where a range is continuous."""
        return sum(math.prod(map(_count, own.values())) for own in self.spaces.values())

    def random(self, draws: np.random.Generator) -> dict[str, Any]:
        """A point drawn evenly, of an algorithm that has anything to search, under the study's names."""
        searched = [name for name, own in self.spaces.items() if own] or list(self.spaces)
        algorithm = searched[int(draws.integers(len(searched)))]
        own = self.spaces[algorithm]
        return self.point(algorithm, {name: value_at(own[name], draws.random()) for name in own})

    def read(self, trial: FrozenTrial) -> tuple[str, Params]:
        """Algorithm and parameters of a trial that was drawn before."""
        algorithm = str(trial.params[CHOICE]) if self.several else next(iter(self.spaces))
        of_study = {parameter: self.name(algorithm, parameter) for parameter in self.spaces[algorithm]}
        return algorithm, {own: trial.params[name] for own, name in of_study.items() if name in trial.params}


def _count(distribution: BaseDistribution) -> float:
    """Values of a distribution."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return len(choices)
        case IntDistribution(low=low, high=high, step=step):
            return (high - low) // step + 1
        case FloatDistribution(low=low, high=high, step=float(step)):
            return round((high - low) / step) + 1
        case FloatDistribution(low=low, high=high):
            return 1 if low == high else math.inf
    return math.inf


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value that lies in the range is one of the choices, or on the steps, where there are such."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return value in choices
        case FloatDistribution(low=low, step=float(step)) | IntDistribution(low=low, step=int(step)):
            return math.isclose((value - low) / step, round((value - low) / step), abs_tol=1e-8)
    return True


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"no way to draw from {distribution!r}")


def grid(space: SearchSpace, points: int, seed: int) -> list[dict[str, Any]]:
    """Spread a grid over the space.

    Every algorithm gets an equal share of the points. A parameter starts at one level, the value of the algorithm's
    first start configuration. In turn, in the order of the space, each parameter gets one more level while the product
    of all levels stays within the share. Two and more levels are spread evenly from the lowest to the highest value (on
    the logarithm where the range is logarithmic) or over the list of choices.

    Parameters
    ----------
    space : SearchSpace
    points : int
        At most so many.
    seed : int
        Of the order in which an algorithm's points are tried: a search that is cut short has then looked everywhere.

    Returns
    -------
    list of dict
        Points under the study's names, the algorithms in turn, without those that are start configurations.
    """
    share = points // len(space.spaces)
    tried = [space.point(*start) for start in space.starts]
    of_algorithms: list[list[dict[str, Any]]] = []
    for name, own in space.spaces.items():
        levels = _levels(own, space.first[name], share)
        found = [space.point(name, dict(zip(own, values, strict=True))) for values in itertools.product(*levels)]
        found = [point for point in found if point not in tried][: max(share, 0)]
        order = np.random.default_rng([seed, len(of_algorithms)]).permutation(len(found))
        of_algorithms.append([found[at] for at in order])
    rounds = itertools.zip_longest(*of_algorithms)
    return [point for turn in rounds for point in turn if point is not None]


def _levels(space: Mapping[str, BaseDistribution], start: Params, most: int) -> list[list[Any]]:
    """The values of each parameter on the grid of at most so many points."""
    levels = {name: [start[name]] for name in space}
    growing = list(space)
    while growing:
        for name in list(growing):
            count = len(levels[name]) + 1
            finer = list(dict.fromkeys(value_at(space[name], at / (count - 1)) for at in range(count)))
            others = math.prod(len(values) for other, values in levels.items() if other != name)
            if len(finer) < count or len(finer) * others > most:
                growing.remove(name)
            else:
                levels[name] = finer
    return list(levels.values())


def sobol(space: SearchSpace, index: int, seed: int) -> dict[str, Any]:
    """Point `index` of a scrambled Sobol sequence.

    One sequence runs through the joint space: it has a coordinate for the algorithm and one for each parameter of each
    algorithm, and a trial uses those of its own algorithm. So no parameter is drawn apart from the sequence.

    Parameters
    ----------
    space : SearchSpace
    index : int
        From 0.
    seed : int
        Of the scrambling: the same for all points.
    """
    from scipy.stats.qmc import Sobol  # takes 0.3 s to import

    axes = [(name, parameter) for name, own in space.spaces.items() for parameter in own]
    sequence = Sobol(len(axes) + 1, scramble=True, rng=np.random.default_rng(seed))
    if index:
        sequence.fast_forward(index)
    first, *rest = sequence.random(1)[0].tolist()
    algorithm = str(value_at(CategoricalDistribution(list(space.spaces)), first))
    shares = zip(axes, rest, strict=True)
    own = {parameter: share for (name, parameter), share in shares if name == algorithm}
    return space.point(
        algorithm, {parameter: value_at(space.spaces[algorithm][parameter], share) for parameter, share in own.items()}
    )


def value_at(distribution: BaseDistribution, share: float) -> Any:
    """The value that lies at a share (0 to 1) of a range or of a list of choices."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[min(int(share * len(choices)), len(choices) - 1)]
        case FloatDistribution(low=low, high=high, log=True):
            return min(max(math.exp(math.log(low) + share * (math.log(high) - math.log(low))), low), high)
        case FloatDistribution(low=low, high=high, step=None):
            return low + share * (high - low)
        case IntDistribution(low=low, high=high, log=True):
            # Every whole number stands for the numbers that are rounded to it.
            least, most = math.log(low - 0.5), math.log(high + 0.5)
            return min(max(round(math.exp(least + share * (most - least))), low), high)
        case FloatDistribution(low=low, high=high, step=step) | IntDistribution(low=low, high=high, step=step):
            assert step is not None
            count = round((high - low) / step) + 1
            return low + min(int(share * count), count - 1) * step
    raise TypeError(f"no value in {distribution!r}")
