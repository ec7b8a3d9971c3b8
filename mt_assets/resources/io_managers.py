"""Assets' values live in the model's store; Dagster passes versions, not values."""

from typing import Any

import dagster as dg

from mt_assets.resources.model_runs import ModelRuns
from mt_assets.trainer.store.versions import AssetVersion


class StoreIOManager(dg.IOManager):
    """Makes a staged version current when its asset is materialized, and reads inputs as the run has pinned them."""

    def __init__(self, runs: ModelRuns) -> None:
        self._runs = runs

    def handle_output(self, context: dg.OutputContext, obj: AssetVersion) -> None:
        self._runs.session(context.asset_key.path[0]).publish(obj)

    def load_input(self, context: dg.InputContext) -> Any:
        name, asset = context.asset_key.path
        return self._runs.session(name).read(asset)


@dg.io_manager(required_resource_keys={"model_runs"}, description="The store of each model.")
def store_io_manager(context: dg.InitResourceContext) -> StoreIOManager:
    """Give the IO manager of a run; it shares the run's locks and pins, which a resource nested in it would not."""
    return StoreIOManager(context.resources.model_runs)
