"""The JSON Schemas in `docs/` are those of the code, and agree with it about the bundled examples."""

import json
from pathlib import Path
from typing import Any

import pytest

from mt_assets.result import result_json_schema
from mt_assets.spec import spec_json_schema
from mt_assets.spec_folder import EXAMPLES, find_specs, read_specs
from mt_assets.trainer.data.recommendations import recommendations_json_schema
from mt_assets.trainer.retraining.feedback import feedback_json_schema

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("training_spec", spec_json_schema()),
        ("training_result", result_json_schema()),
        ("feature_recommendations", recommendations_json_schema()),
        ("evaluation_feedback", feedback_json_schema()),
    ],
)
def test_the_exported_schema_is_up_to_date(name: str, schema: dict[str, Any]) -> None:
    assert json.loads((DOCS / f"{name}.schema.json").read_text()) == schema, "run `make schemas`"


def test_every_bundled_example_is_a_right_spec() -> None:
    specs, refused = read_specs(find_specs(EXAMPLES))
    assert not refused
    names = [
        "airline_passengers",
        "automl_pipeline",
        "customer_churn",
        "house_prices",
        "penguins",
        "retraining_pipeline",
        "training_pipeline",
        "us_employment",
    ]
    assert [spec.name for spec in specs] == names
