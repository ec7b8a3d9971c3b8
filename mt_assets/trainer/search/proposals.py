"""How trials are proposed: trial n from exactly the trials up to n - `WINDOW`, the same way in every process.

Proposing happens in studies in memory, which are told every finished trial in order; what they propose is stored with
the real trial before it runs. So a proposal depends neither on what a killed process left half done nor on which of
several trials at work ends first, and no state of a sampler has to be stored.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from mt_assets.trainer.algorithms.algorithm import Params
from mt_assets.trainer.search.space import CHOICE, SearchSpace, grid, sobol

WINDOW: Final = 4
"""So many trials may be at work at once: trial n is proposed, and judged, when those up to n - 4 are finished. It is
the same for any number of workers, so that all of them see the same trials; workers beyond it fit several folds of a
trial at once. Four keep two workers busy while one trial takes long, and leave TPE nearly all that it could know."""

REDRAWS: Final = 20
"""Times that a point is drawn which was not tried before, where the sampler proposes one that was."""

POPULATION: Final = (4, 50)
"""Least and largest population of NSGA-II. In between it is the square root of the trials that an algorithm can expect,
so that a search has about as many generations as a generation has trials; 50 is Optuna's default."""


def population_size(trials: int, algorithms: int) -> int:
    """Population of NSGA-II for a search of so many trials and competing algorithms."""
    least, most = POPULATION
    return min(most, max(least, round(math.sqrt(trials / algorithms))))


_SAMPLERS: Final[dict[str, Callable[[int, int], BaseSampler]]] = {
    "random": lambda seed, _: RandomSampler(seed=seed),
    # `group`: one density for each set of parameters that occur together, as those of one algorithm do.
    # `constant_liar`: trials at work, of which nothing is known yet, are not proposed again.
    "tpe": lambda seed, _: TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
    "nsga2": lambda seed, population: NSGAIISampler(seed=seed, population_size=population),
    "cmaes": lambda seed, _: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "gp": lambda seed, _: GPSampler(seed=seed, warn_independent_sampling=False),
}
"""Samplers that look at the trials before, by (seed, population)."""

_ONE_SPACE: Final = frozenset({"nsga2", "cmaes", "gp"})
"""Samplers that see only parameters which all trials have. Where algorithms compete, TPE chooses the algorithm, and the
sampler works within it, on that algorithm's trials alone."""

_REPLAYED: Final = frozenset({"tpe", "nsga2", "cmaes"})
"""Samplers with a state of their own (what is at work, generations, a covariance), which grows as they are asked for
trial after trial: of a study that goes on in a new process they are asked for all its trials again."""


class Proposals:
    """Proposes the trials of one search, start configurations first.

    Every trial is drawn by a fresh sampler that is seeded by the search's seed and the trial's number.

    Parameters
    ----------
    kind : {"tpe", "random", "nsga2", "qmc", "grid", "cmaes", "gp", "none"}
        With `none` there are no trials but start configurations.
    seed : int
    space : SearchSpace
    directions : sequence of {"maximize", "minimize"}
        Of the objectives.
    trials : int
        How many are wanted in all: grids and populations are made for it.
    """

    def __init__(
        self,
        kind: str,
        seed: int,
        space: SearchSpace,
        directions: Sequence[Literal["maximize", "minimize"]],
        trials: int,
    ) -> None:
        self._kind = kind
        self._seed = seed
        self._space = space
        self._directions = directions
        self._population = population_size(trials, len(space.spaces))
        self._known = [space.point(*start) for start in space.starts]
        if kind == "grid":
            self._known += grid(space, trials - len(self._known), self._seed_of(0))
        self._studies: dict[str, Study] = {}
        self._asked: dict[int, list[Trial]] = {}
        self._reached = 0
        self._told = 0

    @property
    def most(self) -> float:
        """How many trials there can be: those of a grid, or as many as there are points."""
        return len(self._known) if self._kind == "grid" else self._space.points

    @property
    def made_for(self) -> Any:
        """What proposals depend on besides seed, kind and space; a JSON value."""
        return {"grid": self._known, "nsga2": self._population}.get(self._kind)

    def propose(self, number: int, before: Sequence[FrozenTrial]) -> dict[str, Any]:
        """Parameters of a trial, under the study's names.

        Parameters
        ----------
        number : int
        before : sequence of optuna.trial.FrozenTrial
            All trials with lower numbers, in their order; those up to number - `WINDOW` are finished.
        """
        if number < len(self._known):
            return self._known[number]
        if self._kind == "qmc":
            return sobol(self._space, number - len(self._known), self._seed_of(0))
        # Whoever comes later goes the same way as a search that was never interrupted.
        for earlier in range(self._reached, number):
            self._learn(earlier - WINDOW, before)
            if earlier >= len(self._known) and self._kind in _REPLAYED:
                self._asked[earlier] = self._draw(earlier, before[:earlier])
            if earlier not in self._asked or _params(self._asked[earlier]) != before[earlier].params:
                self._asked[earlier] = self._ask(earlier, before[earlier].params)
        self._learn(number - WINDOW, before)
        self._asked[number] = self._draw(number, before)
        self._reached = number + 1
        return _params(self._asked[number])

    def _draw(self, number: int, before: Sequence[FrozenTrial]) -> list[Trial]:
        """Draw a trial in memory; in place of a point that was tried before, which would tell nothing, a random one.

        Where no other is found it stays: the spaces of some algorithms have but a few points.
        """
        asked, tried = self._ask(number, {}), [each.params for each in before]
        if _params(asked) not in tried or self._kind not in {*_REPLAYED, "random"}:
            return asked
        draws = np.random.default_rng(self._seed_of(number))
        others = (self._space.random(draws) for _ in range(REDRAWS))
        other = next((point for point in others if point not in tried), None)
        return asked if other is None else self._ask(number, other)

    def _learn(self, until: int, trials: Sequence[FrozenTrial]) -> None:
        """Tell the studies of all trials up to this one that they do not know of yet."""
        for number in range(self._told, until + 1):
            trial = trials[number]
            for asked in self._asked.pop(number):
                for step, value in trial.intermediate_values.items():
                    asked.report(value, step)
                for constraint, violation in trial.constraints.items():
                    asked.set_constraint(constraint, violation)
                complete = trial.state == TrialState.COMPLETE
                asked.study.tell(asked, trial.values if complete else None, None if complete else trial.state)
        self._told = max(self._told, until + 1)

    def _ask(self, number: int, fixed: Mapping[str, Any]) -> list[Trial]:
        """Draw a trial in memory; algorithm and parameters apart, where the sampler sees one algorithm only."""
        if not self._space.several or self._kind not in _ONE_SPACE:
            trial = self._begin("", self._kind, number, fixed)
            self._space.suggest(trial)
            return [trial]
        choice = self._begin(CHOICE, "tpe", number, {name: fixed[name] for name in fixed if name == CHOICE})
        algorithm = self._space.suggest_algorithm(choice)
        own = self._begin(
            algorithm, self._kind, number, {name: value for name, value in fixed.items() if name != CHOICE}
        )
        self._space.suggest_params(own, algorithm)
        return [choice, own]

    def _begin(self, name: str, kind: str, number: int, fixed: Mapping[str, Any]) -> Trial:
        if name not in self._studies:
            self._studies[name] = optuna.create_study(directions=list(self._directions))
        study = self._studies[name]
        with warnings.catch_warnings():
            # `group` and the sampler on Gaussian processes are marked as experimental.
            warnings.simplefilter("ignore", ExperimentalWarning)
            drawn = not fixed or kind in _REPLAYED
            study.sampler = _SAMPLERS[kind if drawn else "random"](self._seed_of(number), self._population)
            if fixed:
                study.enqueue_trial(dict(fixed))
            trial = study.ask()
            if kind in _REPLAYED:
                _ = trial.relative_params  # drawn when first looked at, and the state grows with it
            return trial

    def _seed_of(self, number: int) -> int:
        return int.from_bytes(hashlib.sha256(f"{self._seed}:{number}:".encode()).digest()[:4])


def _params(asked: Sequence[Trial]) -> dict[str, Any]:
    """The point that trials in memory stand for."""
    return {name: value for trial in asked for name, value in trial.params.items()}


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
        varied = {name: distribution for name, distribution in space.items() if not distribution.single()}
        own = {name: params[name] for name in varied}
        study.add_trial(optuna.trial.create_trial(params=own, distributions=varied, value=score))
    try:
        importance = optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):
        return {}
    return {name: float(value) for name, value in importance.items()}
