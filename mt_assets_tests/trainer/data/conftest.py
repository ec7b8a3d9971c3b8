"""What the tests about data share: a spec for a table that is at hand, and its split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.profile import profile_data
from mt_assets.trainer.data.splits import Splits, check_splits, split_data
from mt_assets.trainer.data.table import Table, arrow_of, with_parts


class SpecFor(Protocol):
    def __call__(self, target: str, **keys: Any) -> TrainingSpec: ...


@pytest.fixture(scope="session")
def spec_for() -> SpecFor:
    """A spec with this target column and these keys (camelCase); its data path is never read."""

    def make(target: str, **keys: Any) -> TrainingSpec:
        asked = {"trainDataPath": "data.csv", "targetColumn": target, **keys}
        return parse_spec(asked, base=Path("/nowhere"), default_name="test")

    return make


def _churn(rows: int = 200, seed: int = 0, positives: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "c": rng.choice(["a", "b", "c"], rows),
            "g": rng.integers(0, max(rows // 6, 2), rows),
            "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, min(rows, 3000), rows), unit="D"),
            "z": rng.normal(size=rows),
            "y": np.where(np.arange(rows) < positives * rows, "yes", "no"),
        }
    )


@pytest.fixture(scope="session")
def churn() -> Callable[..., pd.DataFrame]:
    """`churn(rows, seed, positives)`: numbers, a category, groups `g`, times `t`, an amount `z`, classes `y`."""
    return _churn


def _table(frame: pd.DataFrame, parts: dict[str, int] | None = None) -> Table:
    return Table.of(with_parts(arrow_of(frame), parts or {}))


@pytest.fixture(scope="session")
def split() -> Callable[..., Splits]:
    """`split(frame, spec, previous, parts)`: the splits of a frame, whose rows may be given parts."""

    def make(
        frame: pd.DataFrame, spec: TrainingSpec, previous: Splits | None = None, parts: dict[str, int] | None = None
    ) -> Splits:
        table = _table(frame, parts)
        return split_data(table, profile_data(table, spec), spec, previous)

    return make


@pytest.fixture(scope="session")
def check_by_name() -> Callable[..., dict[str, Check]]:
    """`check_by_name(splits, frame, spec, parts)`: the checks of a split, each under its name."""

    def make(
        splits: Splits, frame: pd.DataFrame, spec: TrainingSpec, parts: dict[str, int] | None = None
    ) -> dict[str, Check]:
        table = _table(frame, parts)
        return {check.name: check for check in check_splits(splits, table, spec, profile_data(table, spec))}

    return make
