"""Write the JSON Schemas of the spec, the result and what other steps hand over to `docs/`."""

import json
from pathlib import Path

from mt_assets.result import result_json_schema
from mt_assets.spec import spec_json_schema
from mt_assets.trainer.data.recommendations import recommendations_json_schema
from mt_assets.trainer.retraining.feedback import feedback_json_schema

DOCS = Path(__file__).parents[1] / "docs"

SCHEMAS = {
    "training_spec": spec_json_schema(),
    "training_result": result_json_schema(),
    "feature_recommendations": recommendations_json_schema(),
    "evaluation_feedback": feedback_json_schema(),
}

for name, schema in SCHEMAS.items():
    (DOCS / f"{name}.schema.json").write_text(json.dumps(schema, indent=2) + "\n")
