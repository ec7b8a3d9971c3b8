"""Any spec at all: what is right round-trips, junk is only ever a spec error, the schema documents every key."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mt_assets.spec import TrainingSpec, spec_json_schema
from mt_assets.spec_reading import load_spec, parse_spec
from mt_assets.spec_values import METRIC_NAMES
from mt_assets.trainer.errors import SpecError

SMALLEST: dict[str, Any] = {"trainDataPath": "train.csv", "targetColumn": "target"}


def parse(asked: dict[str, Any]) -> TrainingSpec:
    return parse_spec(asked, base=Path("/specs"), default_name="churn")


columns = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda text: text.strip() and text != "target"
)
conditions = st.builds(
    lambda operator, bound: f"{operator}{bound!r}",
    st.sampled_from([">=", "<=", ">", "<"]),
    st.floats(allow_nan=False, allow_infinity=False),
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


classification = st.sampled_from([name for name in METRIC_NAMES["classification"] if name != "cost"])
valid_specs = st.fixed_dictionaries(
    {
        "trainDataPath": columns | st.lists(columns, min_size=1, max_size=3, unique_by=lambda p: p.strip("./ ")),
        "targetColumn": st.just("target"),
    },
    optional={
        "name": st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
        "modelType": st.sampled_from(["auto", "classification"]),
        "algorithm": st.just("auto") | st.lists(st.sampled_from(["xgboost", "lightgbm"]), min_size=1, unique=True),
        "positiveLabel": st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | columns,
        "features": st.lists(columns, min_size=1, max_size=4, unique=True),
        "featureTypes": st.dictionaries(columns, st.sampled_from(["numeric", "text", "boolean"]), max_size=3),
        "testSize": st.integers(0, 10**6) | st.floats(0, 1, exclude_max=True),
        "validationSize": st.none() | st.integers(2, 10**6),
        "validationStrategy": optional(type=st.just("auto"), folds=st.integers(2, 50), shuffle=st.booleans())
        | optional(type=st.just("holdout"), folds=st.integers(2, 50)),
        "hyperparameterSearch": optional(
            enabled=st.booleans(),
            nTrials=st.integers(1, 10**6),
            timeout=st.floats(min_value=1e-3, max_value=3e7) | st.integers(1, 10**6),
            sampler=st.sampled_from(["auto", "tpe", "random"]),
        ),
        "objective": optional(metric=classification),
        "qualityGates": st.dictionaries(classification.map(lambda name: f"test.{name}"), conditions, max_size=3),
        "experimentTracking": optional(enabled=st.booleans(), experimentName=columns, trackingUri=columns),
        "options": optional(seed=st.integers(0, 2**31), verbosity=st.integers(0, 3), threads=st.none() | st.just(4)),
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(valid_specs)
def test_any_right_spec_round_trips(asked):
    spec = parse(asked)
    dumped = json.loads(spec.model_dump_json(by_alias=True))
    again = parse_spec(dumped, base=Path("/elsewhere"), default_name="other")
    assert again == spec
    assert again.digest == spec.digest
    assert TrainingSpec(**spec.model_dump()) == spec


keys = st.sampled_from([*spec_json_schema()["properties"], "folds", "nTrials", "asset", "connection", "x.y"])
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys | st.text() | st.integers(), junk, max_size=6), valid_specs)
def test_junk_is_only_ever_a_spec_error(mapping, valid):
    for asked in (mapping, {**valid, **mapping}):
        try:
            parse(asked)
        except SpecError as error:
            assert error.message.encode("utf-8")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_junk_files_are_only_ever_a_spec_error(tmp_path, suffix, content):
    path = tmp_path / f"junk{suffix}"
    path.write_bytes(content)
    with pytest.raises(SpecError):
        load_spec(path)


def _properties(schema: dict[str, Any], owner: str = "spec") -> list[tuple[str, dict[str, Any]]]:
    own = [(f"{owner}.{key}", child) for key, child in schema.get("properties", {}).items()]
    return own + [pair for name, child in schema.get("$defs", {}).items() for pair in _properties(child, name)]


def test_the_json_schema_documents_every_key_in_camel_case():
    properties = _properties(spec_json_schema())
    assert len(properties) > 80
    assert not [key for key, child in properties if not child.get("description") and "$ref" not in child]
    assert all(section["description"] for section in spec_json_schema()["$defs"].values())
    assert not [key for key, _ in properties if "_" in key]
    top = spec_json_schema()["properties"]
    assert "svm" in json.dumps(top["algorithm"]) and "name" not in spec_json_schema()["required"]
    assert spec_json_schema()["required"] == ["trainDataPath", "targetColumn"]
    json.dumps(spec_json_schema())


def test_reading_a_spec_imports_nothing_heavy():
    program = (
        "import sys, pathlib; from mt_assets.spec_reading import parse_spec;"
        "parse_spec({'trainDataPath': 'a', 'targetColumn': 'b'}, base=pathlib.Path('.'), default_name='x');"
        "print([m for m in ('pandas', 'numpy', 'dagster', 'mlflow', 'sklearn', 'croniter') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
