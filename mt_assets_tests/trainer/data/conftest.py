"""What the tests about data share: a spec for a table that is at hand."""

from pathlib import Path
from typing import Any, Protocol

import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import parse_spec


class SpecFor(Protocol):
    def __call__(self, target: str, **keys: Any) -> TrainingSpec: ...


@pytest.fixture(scope="session")
def spec_for() -> SpecFor:
    """A spec with this target column and these keys (camelCase); its data path is never read."""

    def make(target: str, **keys: Any) -> TrainingSpec:
        asked = {"trainDataPath": "data.csv", "targetColumn": target, **keys}
        return parse_spec(asked, base=Path("/nowhere"), default_name="test")

    return make
