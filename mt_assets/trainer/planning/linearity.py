"""Whether a regression is linear: a linear model against small trees on a sample of the learning rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from mt_assets.trainer.data.profile import DataProfile, encode_target
from mt_assets.trainer.data.roles import Role
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.features.columns import as_number

PROBE_ROWS = 5_000
"""Learning rows on which linear and tree model are compared; both take about 0.3 s on them (1 thread, 10 columns)."""

PROBE_FOLDS = 3
"""Folds of that comparison: the first of the run's own, so that time order and groups are respected."""

PROBE_LEAST_ROWS = 30
"""With fewer learning rows, or fewer validation rows in the folds, the comparison says nothing."""


def linearity(table: Table, profile: DataProfile, splits: Splits, seed: int) -> tuple[float | None, float | None]:
    """Cross-validated R² of a linear and of a small boosted-tree model, with the lightest of encodings.

    Returns
    -------
    tuple of (float or None, float or None)
        Linear and tree, rounded to 4 digits; both None with too few rows, or with text columns alone.
    """
    roles = {name: role for name, role in profile.features.items() if role != "text"}
    if not roles or len(splits.learning) < PROBE_LEAST_ROWS:
        return None, None
    rows = _sample(splits.learning, seed)
    frame = table.take(rows).frame([*roles, profile.target.column])
    y = encode_target(frame[profile.target.column], profile.target)
    X = _as_numbers(frame, roles)
    parts = _probe_folds(rows, splits, seed)
    models = _probe_models([name for name, role in roles.items() if role == "categorical"], seed)
    with threadpool_limits(limits=1):  # threads that wait for each other lose far more on a busy machine than they gain
        linear_r2, tree_r2 = (_r2(model, X, y, parts) for model in models)
    return linear_r2, tree_r2


def _sample(learning: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    if len(learning) <= PROBE_ROWS:
        return learning
    return np.sort(np.random.default_rng(seed).choice(learning, PROBE_ROWS, replace=False))


def _as_numbers(frame: pd.DataFrame, roles: Mapping[str, Role]) -> pd.DataFrame:
    """Numbers, booleans and seconds as float64, categories as text with missing as one more."""
    columns: dict[str, Any] = {}
    for name, role in roles.items():
        column = frame[name]
        if role == "categorical":
            columns[name] = column.astype(object).where(column.notna(), "").astype(str)
        elif pd.api.types.is_datetime64_any_dtype(column.dtype):
            columns[name] = (column - pd.Timestamp(0)).dt.total_seconds()
        else:
            columns[name] = as_number(column)
    return pd.DataFrame(columns, index=frame.index)


def _probe_folds(
    rows: npt.NDArray[np.int64], splits: Splits, seed: int
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """The run's first folds within the sample, as index pairs; random ones where those are too small to tell."""
    parts = [
        (np.flatnonzero(np.isin(rows, fold.train)), np.flatnonzero(np.isin(rows, fold.validation)))
        for fold in splits.folds[:PROBE_FOLDS]
    ]
    told = sum(len(validation) for _, validation in parts)
    if told >= PROBE_LEAST_ROWS and all(len(train) and len(validation) for train, validation in parts):
        return parts
    return list(KFold(PROBE_FOLDS, shuffle=True, random_state=seed).split(rows))


def _probe_models(categories: list[str], seed: int) -> tuple[Pipeline, Pipeline]:
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    one_hot = OneHotEncoder(max_categories=20, handle_unknown="infrequent_if_exist")
    linear = make_column_transformer((one_hot, categories), remainder=numbers)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    ordered = make_column_transformer((ordinal, categories), remainder="passthrough")
    booster = HistGradientBoostingRegressor(max_iter=50, max_leaf_nodes=15, early_stopping=False, random_state=seed)
    return make_pipeline(linear, Ridge()), make_pipeline(ordered, booster)


def _r2(
    model: Pipeline,
    X: pd.DataFrame,
    y: npt.NDArray[np.float64],
    parts: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]],
) -> float | None:
    """R² pooled over the folds: the errors against those of each fold's training mean."""
    missed, spread = 0.0, 0.0
    for train, validation in parts:
        known = X.columns[X.iloc[train].notna().any()]  # boosted trees cannot bin a column without a value
        if not len(known):
            return None
        prediction = model.fit(X[known].iloc[train], y[train]).predict(X[known].iloc[validation])
        missed += float(np.sum((y[validation] - prediction) ** 2))
        spread += float(np.sum((y[validation] - y[train].mean()) ** 2))
    return round(1 - missed / spread, 4) if spread > 0 else None
