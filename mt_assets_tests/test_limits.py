"""Limits on what a model costs to serve: an ensemble is weighed and timed as one model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec_reading import load_spec
from mt_assets.training_run import train


def partly_linear(rows: int = 400) -> pd.DataFrame:
    """A target of which linear models, neighbours and trees each tell a part, so that they are better together."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 3))
    target = 2 * x[:, 0] + 2 * np.sin(3 * x[:, 1]) + 1.5 * (x[:, 2] > 0) + 0.7 * rng.normal(size=rows)
    return pd.DataFrame(x, columns=list("abc")).assign(target=target)


@pytest.mark.slow
def test_an_ensemble_that_is_too_slow_or_too_large_is_kept_and_says_by_how_much(
    tmp_path: Path, home: Path, write_spec: Any
) -> None:
    keys = {"algorithm": ["ridge", "knn", "random_forest"], "hyperparameterSearch": {"nTrials": 6}}
    limits = {"model.latency_ms": "<=0.001", "model.size_mb": "<=0.001"}
    spec = load_spec(write_spec(tmp_path / "served", partly_linear(), **keys, qualityGates=limits))
    outcome = train(spec)
    assert outcome.result.algorithm == "ensemble"
    assert outcome.exit_code == 3
    latency, size = outcome.result.gates
    assert f"model.latency_ms is {latency['value']:.4g}, and <= 0.001 is asked for" in latency["reason"]
    assert size["value"] * 1e6 == Path(outcome.result.model_path or "").stat().st_size
    assert latency["reason"] in outcome.result.promotion["reason"]  # type: ignore[index]
    assert size["reason"] in outcome.result.promotion["reason"]  # type: ignore[index]

    generous = {"model.latency_ms": "<=10000", "model.size_mb": "<=100"}
    assert train(load_spec(write_spec(tmp_path / "served", "train.csv", **keys, qualityGates=generous))).exit_code == 0
