"""All rule tables, in the order in which a plan lists their decisions.

A new choice is a new table here; a new case is a new row in its table.
"""

from mt_assets.trainer.planning import forecast_rules
from mt_assets.trainer.planning.delivery_rules import CALIBRATION, THRESHOLD
from mt_assets.trainer.planning.ensemble_rules import ENSEMBLE, ENSEMBLE_ROUNDS, FINAL_FIT
from mt_assets.trainer.planning.model_rules import CANDIDATES, CLASS_WEIGHT, METRIC, RECOMMENDATION, meant
from mt_assets.trainer.planning.pipeline_rules import FEATURE_GENERATION, LOG_TARGET
from mt_assets.trainer.planning.rule import RuleTable
from mt_assets.trainer.planning.search_rules import (
    EARLY_STOPPING,
    FOLDS,
    LADDER,
    PRUNER,
    REPRODUCIBLE,
    SAMPLER,
    SEARCH_SPACE,
    SEED,
    SELECTION,
    THREADS,
    TIMEOUT,
    TRIALS,
    WORKERS,
)

__all__ = ["CANDIDATES", "METRIC", "RECOMMENDATION", "TABLES", "meant", "tables_of"]

TABLES = (
    METRIC,
    RECOMMENDATION,
    CANDIDATES,
    TRIALS,
    SAMPLER,
    PRUNER,
    FOLDS,
    LADDER,
    SEARCH_SPACE,
    FEATURE_GENERATION,
    LOG_TARGET,
    SELECTION,
    TIMEOUT,
    CLASS_WEIGHT,
    THRESHOLD,
    CALIBRATION,
    EARLY_STOPPING,
    THREADS,
    WORKERS,
    ENSEMBLE,
    ENSEMBLE_ROUNDS,
    FINAL_FIT,
    SEED,
    REPRODUCIBLE,
)
"""For rows of a table."""

SERIES_TABLES = (
    forecast_rules.METRIC,
    forecast_rules.RECOMMENDATION,
    forecast_rules.CANDIDATES,
    forecast_rules.TRIALS,
    SAMPLER,
    PRUNER,
    FOLDS,
    SEARCH_SPACE,
    SELECTION,
    TIMEOUT,
    EARLY_STOPPING,
    THREADS,
    WORKERS,
    forecast_rules.ENSEMBLE,
    forecast_rules.ENSEMBLE_ROUNDS,
    SEED,
    REPRODUCIBLE,
)
"""For series."""


def tables_of(task: str) -> tuple[RuleTable, ...]:
    """The tables by which a task is planned."""
    return SERIES_TABLES if task == "time_series" else TABLES
