"""Single values of a spec: gates, slugs and names, and secrets that are never shown."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt_assets.spec import Gate, SqlSource, TrainingSpec, masked_uri, slug
from mt_assets.spec_reading import parse_spec
from mt_assets.spec_values import RESERVED_NAMES
from mt_assets.trainer.errors import SpecError

SMALLEST: dict[str, Any] = {"trainDataPath": "train.csv", "targetColumn": "target"}


def parse(asked: dict[str, Any]) -> TrainingSpec:
    return parse_spec(asked, base=Path("/specs"), default_name="churn")


def refusal(asked: dict[str, Any]) -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse(asked)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        (">=0.85", 0.85, True),
        (">0.85", 0.85, False),
        ("<=0.85", 0.85, True),
        ("<0.85", 0.85, False),
        (">=0.85", float("nan"), False),
        ("<=0.85", float("nan"), False),
        ("<= -1e-3", -0.5, True),
    ],
)
def test_gates_hold_or_not(condition, value, holds):
    spec = parse({**SMALLEST, "qualityGates": {"test.roc_auc": condition}})
    assert [gate.holds(value) for gate in spec.gates] == [holds]


def test_a_gate_reads_as_a_sentence():
    assert str(Gate("cv.accuracy_std", "<=", 0.05)) == "cv.accuracy_std <= 0.05"


@given(st.text())
def test_slugs_are_names_or_refused(text):
    try:
        name = slug(text)
    except SpecError:
        return
    assert name.isascii() and name.isidentifier() and name == name.lower() and name[0].isalpha()
    assert name not in RESERVED_NAMES
    assert slug(name) == name


def test_slugs_step_aside_for_what_dagster_reserves():
    from dagster._core.definitions.utils import DISALLOWED_NAMES

    assert DISALLOWED_NAMES <= RESERVED_NAMES
    assert slug("Class") == "class_model"
    assert slug("2024 churn") == "model_2024_churn"


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("postgresql://me:secret@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("postgresql+psycopg2://me:s3/cr@et#@db/x", "postgresql+psycopg2://me:***@db/x"),
        ("redis://:secret@h", "redis://:***@h"),
        ("https://token@h/x", "https://***@h/x"),
        ("https://h:5000/a@b", "https://h:5000/a@b"),
        ("https://h/x?a=1&X-Amz-Signature=secret&b=2", "https://h/x?a=1&X-Amz-Signature=***&b=2"),
        (
            "mssql:///?odbc_connect=UID%3Dme%3BPWD%3Dse%21cret%3BX%3D1",
            "mssql:///?odbc_connect=UID%3Dme%3BPWD%3D***%3BX%3D1",
        ),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("could not connect to mysql://me:secret@h/x today", "could not connect to mysql://me:***@h/x today"),
    ],
)
def test_passwords_are_masked(uri, masked):
    assert masked_uri(uri) == masked
    assert masked_uri(masked) == masked


def test_secrets_are_never_shown():
    secret = "postgresql://me:hunter2@db/x"
    source = SqlSource(connection=secret, query="select 1")
    assert source.connection == secret
    spec = parse({**SMALLEST, "experimentTracking": {"trackingUri": secret}})
    assert spec.experiment_tracking.tracking_uri == secret
    wrong = [
        {**SMALLEST, "trainDataPath": {"connection": secret, "query": ""}},
        {**SMALLEST, "trainDataPath": {"conection": secret, "query": "select 1"}},
        {**SMALLEST, "experimentTracking": {"trackingUri": [secret]}},
        {**SMALLEST, "experimentTracking": {"trackingURL": secret}},
        {**SMALLEST, "options": {"seed": secret}},
        {**SMALLEST, "features": [secret, secret]},
    ]
    shown = [repr(source), str(source), repr(spec), str(spec)]
    for asked in wrong:
        error = refusal(asked)
        shown += [str(error), repr(error), repr(error.suggestions)]
        assert error.__cause__ is None and error.__context__ is None
    assert not [text for text in shown if "hunter2" in text]
    assert "me:***@db" in repr(source)
