"""What was read against what the last training had: new rows, and how far they have drifted."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mt_assets.trainer.data.assignment import Splits
from mt_assets.trainer.data.identity import content_hashes, identities
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.retraining.decision import Comparison
from mt_assets.trainer.store.model_store import ModelStore, ModelVersion

if TYPE_CHECKING:
    from mt_assets.spec import TrainingSpec

MOST_DRIFTED = 3
"""Columns that are named."""


def compare(spec: "TrainingSpec", store: ModelStore, data_version: str, last: ModelVersion | None) -> Comparison:
    """Compare a table in the store with what the last training had.

    Parameters
    ----------
    spec : TrainingSpec
        Drift is measured only where `retraining.driftThreshold` asks for it.
    store : ModelStore
    data_version : str
        Address of the table.
    last : ModelVersion or None
        The last training that has its result.
    """
    table: Any = store.get(data_version)
    assert isinstance(table, Table)
    if last is None:
        return Comparison(rows=len(table), new_rows=len(table))
    before: Any = store.get(last.addresses["folds"])
    assert isinstance(before, Splits)
    new = new_rows(table, before)
    if spec.retraining.drift_threshold is None or not len(new):
        return Comparison(rows=len(table), new_rows=len(new))
    from mt_assets.trainer.retraining.drift import measure_drift

    stored: dict[str, Any] = {
        name: store.get(last.addresses[name]) for name in ("raw_data", "data_profile", "feature_importance")
    }
    found = measure_drift(
        stored["raw_data"], table.take(new), stored["data_profile"], stored["feature_importance"].permutation
    )
    moved = tuple(each.column for each in found.columns if each.significant)
    return Comparison(rows=len(table), new_rows=len(new), drift=found.score, drifted=moved[:MOST_DRIFTED])


def new_rows(table: Table, before: Splits) -> np.ndarray:
    """Positions of the rows that a split did not have: int64, ascending.

    A row is known by its content and how often it stood before; where a column is gone that this was made of, every row
    is new.
    """
    if not set(before.columns) <= set(table.columns):
        return table.positions
    known = np.isin(identities(content_hashes(table, before.columns)), before.identities)
    return table.positions[~known]
