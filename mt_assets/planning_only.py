"""Every decision about a spec and its data, without training: what `mt-assets plan` does."""

from pathlib import Path
from typing import TYPE_CHECKING

from mt_assets import trainer
from mt_assets.feature_recommendations import read_recommendations
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.planning.plan import TrainingPlan

if TYPE_CHECKING:
    import pyarrow as pa
    from dagster import DagsterInstance


def plan_only(spec: TrainingSpec) -> TrainingPlan:
    """Read, describe and split the data, and decide. Nothing is written.

    Raises
    ------
    SpecError
        If recommendations about columns cannot be read.
    DataError
        If the data cannot be read, or cannot be learned from as the spec asks.
    """
    room = None if spec.forecasts else trainer.room(spec.options.memory_limit)
    with trainer.Sources(last_table_of_asset, room) as sources:
        table = Table.of(trainer.read_given(spec, sources.read))
    profile = trainer.profile_data(table, spec, read_recommendations(spec, last_file_of_asset))
    splits = trainer.split_data(table, profile, spec, None)
    return trainer.make_plan(spec, table, profile, splits)


def last_table_of_asset(key: str) -> "pa.Table":
    """What an asset of some code location has made last, as far as the persistent instance knows."""
    from mt_assets.resources.asset_tables import table_of_asset

    with _instance() as instance:
        return table_of_asset(instance, key)


def last_file_of_asset(key: str) -> Path:
    """The file that an asset of some code location has written last."""
    from mt_assets.resources.asset_tables import file_of_asset

    with _instance() as instance:
        return file_of_asset(instance, key)


def _instance() -> "DagsterInstance":
    """The persistent instance, made where there is none; imported only for specs that name assets."""
    from dagster import DagsterInstance

    from mt_assets.training_run import ensure_instance

    ensure_instance()
    return DagsterInstance.get()
