"""What an exploration step recommends is followed, recorded, overruled by the spec, and refused when it is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.feature_recommendations import read_recommendations
from mt_assets.planning_only import plan_only
from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.data.frames import canonical
from mt_assets.trainer.data.profile import DataProfile, profile_data
from mt_assets.trainer.data.recommendations import parse_recommendations
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError, SpecError, TrainerError
from mt_assets.trainer.features.preprocessor import TablePreprocessor

SpecFor = Callable[..., TrainingSpec]
ROWS = 60
FRAME = pd.DataFrame(
    {
        "age": np.arange(ROWS) % 40,
        "income": np.geomspace(1, 1e6, ROWS),
        "zip": np.arange(ROWS) % 7,
        "plan": ["a", "b", "c"] * (ROWS // 3),
        "customer_id": np.random.default_rng(0).permutation(ROWS),
        "y": ["no", "yes"] * (ROWS // 2),
    }
)


def profiled(spec: TrainingSpec, **content: Any) -> DataProfile:
    return profile_data(Table.of(FRAME), spec, parse_recommendations(content, "The advice"))


def test_columns_are_dropped_used_and_transformed_with_reasons(spec_for: SpecFor) -> None:
    profile = profiled(spec_for("y"), drop={"zip": "leaks"}, transform={"income": {"to": "log", "reason": "skewed"}})
    columns = {column.name: column for column in profile.columns}
    assert (columns["zip"].role, columns["zip"].reason) == ("drop", "recommended to be dropped: leaks")
    assert columns["income"].reason == "numbers; transformed by log as recommended: skewed"
    assert profile.transforms == {"income": "log"}
    [decision] = profile.decisions
    assert decision.value == {"drop": ["zip"], "transform": {"income": "log"}}
    assert decision.override == "inputs.featureRecommendations"

    only = profiled(spec_for("y"), use=["customer_id", "plan"])
    assert only.features == {"plan": "categorical", "customer_id": "numeric"}
    assert profile_data(Table.of(FRAME), spec_for("y")).decisions == ()


def test_the_spec_wins(spec_for: SpecFor) -> None:
    listed = profiled(spec_for("y", features=["age", "zip"]), drop=["zip"], use=["income"])
    assert list(listed.features) == ["age", "zip"]
    assert listed.decisions[0].evidence["overruled"] == ["age", "zip"]

    types = {"zip": "categorical", "income": "numeric", "age": "drop"}
    typed = profiled(spec_for("y", featureTypes=types), drop=["zip"], transform={"income": "log", "age": "sqrt"})
    assert typed.features["zip"] == "categorical"
    assert "age" not in typed.features
    assert typed.transforms == {}
    assert "'income', 'age'" in typed.decisions[0].reason


WRONG: list[tuple[Any, str]] = [
    ({"drp": ["zip"]}, "did you mean `drop`"),
    ({"drop": "zip"}, "`drop` must be a list of columns"),
    ({"transform": {"income": "lg"}}, "did you mean `log`"),
    ({"transform": {"income": {"to": "log", "why": "x"}}}, "`why`"),
    ({"transform": ["income"]}, "`transform` must be a mapping"),
    ({"use": ["zip"], "drop": ["zip"]}, "'zip' stands in both"),
    (["zip"], "must be a mapping"),
    ({"drop": ["zpi"]}, "Did you mean 'zip'?"),
    ({"use": ["incme"]}, "Did you mean 'income'?"),
    ({"transform": {"agee": "log"}}, "Did you mean 'age'?"),
    ({"drop": ["y"]}, "target"),
]


@pytest.mark.parametrize(("content", "told"), WRONG)
def test_what_is_wrong_is_refused_by_name(spec_for: SpecFor, content: Any, told: str) -> None:
    with pytest.raises((SpecError, DataError)) as caught:
        profile_data(Table.of(FRAME), spec_for("y"), parse_recommendations(content, "The advice"))
    assert told in " ".join([caught.value.message, *caught.value.suggestions])
    assert "pydantic" not in caught.value.message


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_they_are_read_from_a_file_beside_the_spec_and_stand_in_the_plan(tmp_path: Path, suffix: str) -> None:
    FRAME.to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / f"advice.{suffix}").write_text(json.dumps({"drop": ["zip"], "transform": {"income": "log"}}))
    asked = {
        "trainDataPath": "train.csv",
        "targetColumn": "y",
        "inputs": {"featureRecommendations": f"advice.{suffix}"},
    }
    spec = parse_spec(asked, base=tmp_path, default_name="test")
    assert read_recommendations(spec, Path).drop == ("zip",)
    [row] = [row for row in plan_only(spec).table() if row["decision"] == "feature_recommendations"]
    assert "zip" in row["value"]

    (tmp_path / f"advice.{suffix}").unlink()
    with pytest.raises(TrainerError, match=f"advice.{suffix}"):
        plan_only(spec)


TRANSFORMED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log": lambda x: np.sign(x) * np.log1p(np.abs(x)),
    "sqrt": lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    "square": lambda x: x**2,
    "clip": lambda x: np.clip(x, *np.percentile(x[:50], [1, 99])),
    "rank": lambda x: np.interp(x, np.percentile(x[:50], np.arange(101)), np.linspace(0, 1, 101)),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformations_learn_from_their_rows_alone(name: Any) -> None:
    x = np.random.default_rng(0).normal(0, 100, 80)
    frame = canonical(pd.DataFrame({"x": x, "z": x}))
    preprocessor = TablePreprocessor({"x": "numeric", "z": "numeric"}, "native", transforms={"x": name})
    preprocessor.fit(frame.iloc[:50])
    encoded = preprocessor.transform(frame)
    np.testing.assert_allclose(encoded[:, 0], TRANSFORMED[name](x))
    np.testing.assert_array_equal(encoded[:, 1], x)
    gap = preprocessor.transform(canonical(pd.DataFrame({"x": [np.nan, 1e300], "z": [0.0, 0.0]})))
    assert np.isnan(gap[0, 0]) and np.isfinite(gap[1, 0])
