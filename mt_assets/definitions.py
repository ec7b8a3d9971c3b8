"""The code location: the specs of `MT_ASSETS_SPECS` as one `Definitions`.

`MT_ASSETS_SPECS` is a spec or a folder of specs; without it `./specs` where it exists, else the bundled examples. In a
project of your own call `mt_assets.assembly.build_definitions`, or use `mt_assets.component`.
"""

import dagster as dg

from mt_assets.assembly import build_definitions
from mt_assets.spec_folder import find_specs, read_specs, specs_place


def _definitions_of_this_location() -> dg.Definitions:
    specs, refused = read_specs(find_specs(specs_place()))
    return build_definitions(specs, refused=refused)


defs = _definitions_of_this_location()
