"""Write the JSON Schemas of spec and result to `docs/`."""

import json
from pathlib import Path

from mt_assets.result import result_json_schema
from mt_assets.spec import spec_json_schema

DOCS = Path(__file__).parents[1] / "docs"

for name, schema in (("training_spec", spec_json_schema()), ("training_result", result_json_schema())):
    (DOCS / f"{name}.schema.json").write_text(json.dumps(schema, indent=2) + "\n")
