"""What the search and the final fit need to know of a forecaster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution

from mt_assets.trainer.forecasting.panel import Panel

Params = dict[str, Any]


@dataclass(frozen=True)
class ForecastSetting:
    """The facts that forecasters and their search spaces depend on; the same for every trial of a study.

    Attributes
    ----------
    horizon : int
        Steps that are wanted.
    gap : int
        Steps before them that are forecast and not looked at.
    season : int
        Steps of a season; 1 where there is none.
    series, rows : int
        Of the learning data, on the grid.
    shortest : int
        Steps of the shortest series as the first window sees it.
    known, past : int
        Covariates.
    seed, threads : int
    patience : int
        Rounds (or checks) without improvement after which boosting and networks stop.
    """

    horizon: int
    gap: int
    season: int
    series: int
    rows: int
    shortest: int
    known: int
    past: int
    seed: int
    threads: int
    patience: int

    @property
    def steps(self) -> int:
        """Steps that have to be forecast: `gap` and then `horizon`."""
        return self.gap + self.horizon


class FittedForecaster(ABC):
    """A forecaster with what it has learned; can be pickled.

    Attributes
    ----------
    best_iteration : int or None
        The best boosting round or training step, where the fit stopped early.
    notes : tuple of str
        What a person should know: series on which another model stood in, say.
    cut : bool
        Whether a deadline ended the fit.
    """

    best_iteration: int | None = None
    notes: tuple[str, ...] = ()
    cut: bool = False

    @abstractmethod
    def forecast(self, history: Panel, future: pd.DataFrame, steps: int) -> np.ndarray:
        """The next steps of each series, float64 [s, steps], finite.

        Parameters
        ----------
        history : Panel
            What is known when the forecast is made: the series that were fitted, as they were then, with newer steps,
            or others. Local models are fitted on it anew, global ones are applied to it.
        future : pandas.DataFrame
            `Panel.next_times(steps)` with the known covariates (float64, finite).
        steps : int
        """

    def importance(self) -> dict[str, float] | None:
        """How much the forecasts depend on lags (`lag 1`), calendar (`month`), and covariates (by name): shares that
        sum to 1; None where the model has no such thing."""
        return None


class Forecaster(ABC):
    """One way to forecast, with everything that is special about it.

    Attributes
    ----------
    name : str
        As in the spec.
    display : str
        As people write it.
    gradual : bool
        Whether a fit that stops at a deadline is of use.
    local : bool
        Whether each series is a model of its own, so that there is nothing to fit but on the history itself.
    """

    name: ClassVar[str]
    display: ClassVar[str]
    gradual: ClassVar[bool] = False
    local: ClassVar[bool] = True

    @abstractmethod
    def space(self, setting: ForecastSetting) -> dict[str, BaseDistribution]:
        """What is searched, by parameter name; empty where there is nothing to search."""

    @abstractmethod
    def starts(self, setting: ForecastSetting) -> tuple[Params, ...]:
        """Configurations tried before any search, each a full point of `space`."""

    @abstractmethod
    def fit(
        self,
        history: Panel,
        setting: ForecastSetting,
        params: Mapping[str, Any],
        *,
        iterations: int | None = None,
        deadline: float | None = None,
    ) -> FittedForecaster:
        """Learn from the history.

        Parameters
        ----------
        history : Panel
        setting : ForecastSetting
        params : mapping
            A point of `space`.
        iterations : int, optional
            Rounds of boosting or training steps, as found before: nothing is then held out to stop early on.
        deadline : float, optional
            In `time.monotonic()` seconds; looked at where `gradual`.
        """

    @abstractmethod
    def memory(self, setting: ForecastSetting, params: Mapping[str, Any]) -> float:
        """Bytes that a fit and its forecast take at their peak: an estimate."""

    def with_iterations(self, params: Mapping[str, Any], iterations: int | None) -> Params:
        """Parameters as people read them, with the rounds that were found."""
        return dict(params)
