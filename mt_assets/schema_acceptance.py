"""Accepting that data has another form from now on: what `mt-assets accept-schema` does."""

import difflib
from dataclasses import dataclass

from mt_assets import trainer
from mt_assets.feature_recommendations import read_recommendations
from mt_assets.planning_only import last_file_of_asset, last_table_of_asset
from mt_assets.spec import TrainingSpec, slug
from mt_assets.spec_folder import find_specs, read_specs, specs_place
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.retraining.history import KEPT_SCHEMA
from mt_assets.trainer.store.home import home_folder
from mt_assets.trainer.store.model_store import ModelStore, RunStore


@dataclass(frozen=True)
class AcceptedSchema:
    """The form that data is held to from now on.

    Attributes
    ----------
    model : str
    rows : int
        Of the data that it was taken from.
    changes : tuple of str
        What is other than before, in sentences.
    """

    model: str
    rows: int
    changes: tuple[str, ...]


def accept_schema(name: str) -> AcceptedSchema:
    """Put the schema of the present data in place of the one that was kept. Nothing is trained.

    Where the sensors run, data that was refused for its form is read again at the next tick.

    Raises
    ------
    SpecError
        There is no such spec, or it names a `dataSchema`, which a person keeps.
    DataError
        The data cannot be read, or cannot be learned from as the spec asks.
    """
    spec = _spec_named(name)
    if spec.data_schema:
        raise SpecError(
            f"The data of {spec.name} is held to the schema that `dataSchema` names: {spec.data_schema}.",
            suggestions=(f"Write what is new into {spec.data_schema}.", "Or take `dataSchema` out of the spec."),
        )
    with trainer.Sources(last_table_of_asset) as sources:
        table = trainer.Table.of(trainer.read_given(spec, sources.read))
    profile = trainer.profile_data(table, spec, read_recommendations(spec, last_file_of_asset))
    found = trainer.infer_schema(table, profile)
    store = RunStore(ModelStore(home_folder(), spec.name), run_id="")
    before = store.kept(KEPT_SCHEMA)
    store.keep(KEPT_SCHEMA, found)
    return AcceptedSchema(spec.name, len(table), tuple(trainer.schema_changes(before, found)))


def _spec_named(name: str) -> TrainingSpec:
    specs, _ = read_specs(find_specs(specs_place()))
    names = {spec.name: spec for spec in specs}
    if slug(name) in names:
        return names[slug(name)]
    near = difflib.get_close_matches(slug(name), names, n=1)
    raise SpecError(
        f"There is no spec of the name {name!r} at {specs_place()}. There are {', '.join(names) or 'none'}.",
        suggestions=(f"Did you mean {near[0]}?" if near else "Set MT_ASSETS_SPECS to where the spec lies.",),
    )
