"""The same graph as a Dagster component, for other people's projects.

In a `defs.yaml`:

    type: mt_assets.component.TrainedModelComponent
    attributes:
      specs: specs/
"""

from pathlib import Path

import dagster as dg

from mt_assets.assembly import build_definitions
from mt_assets.spec_folder import find_specs, read_specs


class TrainedModelComponent(dg.Component, dg.Model, dg.Resolvable):
    """Every model whose training spec lies at `specs`, a file or a folder, relative to the component's `defs.yaml`."""

    specs: str

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        place = Path(context.path) / self.specs
        specs, refused = read_specs(find_specs(place))
        return build_definitions(specs, refused=refused)
