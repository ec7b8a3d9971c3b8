"""What forecasters cost, and which of them time and data allow."""

from dataclasses import replace
from typing import Final

from mt_assets.trainer.planning.facts import Facts

RECOMMENDED: Final = ("arima", "prophet", "lstm")
"""What the table of the mission names for series."""

SECONDS: Final = {"arima": 1.1, "prophet": 0.35, "ets": 0.09, "lstm": 0.06, "xgboost": 0.01}
"""Of a fit and its forecast for a series of 120 steps with a season of 12, on one core: they grow with the steps, and
those of ARIMA and ETS with the season. What takes less is not counted."""

ONCE_S: Final = {"lstm": 8.0}
"""Of a fit, however few the steps."""

USUAL_STEPS, USUAL_SEASON = 120, 12

PATIENCE_S: Final = 240.0
"""Seconds that one forecaster may take in all its windows where no time is given."""

SHARE_OF_TIME: Final = 0.25
"""Of the time that is given, what one of them may take."""

LSTM_ROWS: Final = 500
"""Steps of all series together from which a network has enough to learn from: below it is a costly way to draw a mean.
Series must be long enough for its window of inputs as well."""


def fits_cost(name: str, facts: Facts) -> float:
    """Seconds that a forecaster takes in all windows of a trial."""
    once = ONCE_S.get(name, 0.0) * facts.folds
    per_step = SECONDS.get(name, 0.0) / USUAL_STEPS
    seasonal = max(1.0, facts.season / USUAL_SEASON) if name in ("arima", "ets") else 1.0
    return once + per_step * seasonal * facts.rows * facts.folds


def patience(facts: Facts) -> float:
    """Seconds that one forecaster may take."""
    limits = [each for each in (facts.time_budget, facts.search_timeout) if each is not None]
    return SHARE_OF_TIME * min(limits) * facts.cores_for_fits if limits else PATIENCE_S * facts.cores_for_fits


def affordable(name: str, facts: Facts) -> bool:
    """Whether a forecaster has time and data enough here."""
    if name == "lstm" and facts.rows < LSTM_ROWS:
        return False
    return fits_cost(name, facts) <= patience(facts)


def passed_over(facts: Facts) -> str:
    """Why forecasters of the table do not compete."""
    told = []
    for name in RECOMMENDED:
        if name == "lstm" and facts.rows < LSTM_ROWS:
            told.append(f"{name} does not compete: {facts.rows:,} steps are too few for a network")
        elif not affordable(name, facts):
            told.append(
                f"{name} does not compete: it would take about {fits_cost(name, facts):,.0f} s for {facts.series:,}"
                f" series, and {patience(facts):,.0f} s are its share"
            )
    return "; ".join(told)


def with_costs(facts: Facts) -> Facts:
    """The facts with what does not compete, and why."""
    return replace(facts, passed_over=passed_over(facts))
