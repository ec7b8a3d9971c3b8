"""Every decision about a spec and its data, without training: what `mt-assets plan` does."""

from mt_assets import trainer
from mt_assets.feature_recommendations import read_recommendations
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.planning.plan import TrainingPlan


def plan_only(spec: TrainingSpec) -> TrainingPlan:
    """Read, describe and split the data, and decide. Nothing is written.

    Raises
    ------
    SpecError
        If recommendations about columns cannot be read.
    DataError
        If the data cannot be read, or cannot be learned from as the spec asks.
    """
    table = Table.of(trainer.read_given(spec, trainer.read_table))
    profile = trainer.profile_data(table, spec, read_recommendations(spec))
    splits = trainer.split_data(table, profile, spec, None)
    return trainer.make_plan(spec, table, profile, splits)
