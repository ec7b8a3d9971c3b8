"""What every system of `rivals.py` does alike: read the job, fit, predict the test rows, write down what it took.

Runs in each system's own interpreter, so it needs pandas with pyarrow and imports nothing of the trainer.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WARM_UP_ROWS = 100
"""Rows that are predicted before the clock of prediction starts, so that models are loaded and code is compiled."""


@dataclass(frozen=True)
class Job:
    """What a system is asked for, the same for all.

    Attributes
    ----------
    task : {"binary", "multiclass", "regression"}
    metric : {"roc_auc", "log_loss", "rmse"}
        What it will be scored by.
    target : str
    seconds : float
        Its budget.
    cores, seed : int
    scratch : Path
        A folder for whatever it writes.
    settings : dict
        What is particular to the system.
    """

    task: str
    metric: str
    target: str
    seconds: int
    cores: int
    seed: int
    scratch: Path
    settings: dict[str, Any]


Fit = Callable[[Job, pd.DataFrame, pd.Series], Any]
"""(job, features, target) -> model. Classes are text."""

Predict = Callable[[Job, Any, pd.DataFrame], tuple[np.ndarray, Any]]
"""(job, model, features) -> numbers, [n], and None; or probabilities, [n, k], and the classes in their order."""


def compete(library: str, fit: Fit, predict: Predict) -> None:
    """Do the job of the folder that the command line names.

    Writes `prediction.parquet` (the column `prediction`, or one of probabilities for each class) and `report.json`
    (`version` of the library, seconds of `fit` and of `predict` over all test rows).

    Parameters
    ----------
    library : str
        Its name among the installed packages.
    fit, predict : callable
    """
    from importlib.metadata import version

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    job = Job(**json.loads((folder / "job.json").read_text()), scratch=folder / "scratch")
    job.scratch.mkdir()
    train, test = pd.read_parquet(folder / "train.parquet"), pd.read_parquet(folder / "test.parquet")
    began = time.perf_counter()
    model = fit(job, train.drop(columns=job.target), train[job.target])
    fitted = time.perf_counter()
    predict(job, model, test.head(WARM_UP_ROWS))
    warm = time.perf_counter()
    values, classes = predict(job, model, test)
    done = time.perf_counter()
    columns = ["prediction"] if classes is None else [str(label) for label in classes]
    values = np.asarray(values, dtype=float).reshape(len(test), -1)
    pd.DataFrame(values, columns=columns).to_parquet(folder / "prediction.parquet")
    report = {"version": version(library), "fit": fitted - began, "predict": done - warm}
    (folder / "report.json").write_text(json.dumps(report))
