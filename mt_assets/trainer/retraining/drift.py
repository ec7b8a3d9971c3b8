"""How far new rows have moved from those that a model learned from, above all in the columns that it stands on.

The population stability index (PSI) of two distributions over the same bins is the sum of (p - q) ln(p / q). It is 0
for equal ones; by convention 0.1 is worth a look and 0.25 a large change. Two samples of one population differ too:
their PSI is about (1/n + 1/m) times a chi-squared variable with bins - 1 degrees of freedom (Yurdakul & Naranjo 2020).
Its mean is subtracted here, and a column counts only beyond its 99th percentile, so that few new rows are no drift by
themselves: of 100 random rows of ten real tables 1 % of the columns counted.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from mt_assets.trainer.data.frames import as_datetime
from mt_assets.trainer.data.leakage import adversarial_auc, one_number
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.roles import Role
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.features.columns import as_labels, as_number
from mt_assets.trainer.store.record import Record

NOTABLE: Final = 0.1
"""PSI from which a column is worth a look; what the literature and scorecard practice take."""

MOST_ROWS: Final = 20_000
"""Rows of each table that are looked at. Between random halves of ten real tables of 1,000 to 337,000 rows the score
was at most 0.002, and with 20,000 rows in each half no column's PSI beyond 0.003."""

LARGEST: Final = 1.0
"""PSI of a column above which it counts no more in the score: it then is another population, and how far beyond depends
on the number of rows, since the empty bins' share does. A column that changes altogether so adds its importance."""

APART_ROWS: Final = 2_000
"""Rows of each table that the adversarial model sees; with 73 columns the whole report takes 0.5 s."""

LEAST_ROWS: Final = 30
"""Rows of each table below which nothing can be told: the noise of the PSI is then as large as a large drift."""

_BINS, _VALUES, _LABELS = 10, 12, 30
"""Bins of a number; different numbers up to which each is a bin of its own; the commonest labels that are."""

_CONFIDENCE = 0.99

_PRIOR = 0.5
"""Added to the count of every bin (Jeffreys), so that an empty one costs a finite amount."""

Floats = npt.NDArray[np.float64]


class ColumnDrift(Record):
    """How one column has moved.

    Attributes
    ----------
    column, role : str
    importance : float
        Its share in the score.
    psi : float or None
        Population stability index beyond what chance gives in the mean, at least 0. None of dates, which move on.
    significant : bool
        Whether chance gives such an index in fewer than 1 of 100 cases; otherwise it counts as 0 in the score.
    js : float or None
        Jensen-Shannon distance over the same bins, 0 to 1 (base 2), chance included.
    statistic : float or None
        Of numbers and text lengths Kolmogorov and Smirnov's, over the rows that have a value; of labels chi-squared.
    p_value : float or None
        Of that statistic, were both samples of one population.
    missing_before, missing_now : float
        Shares of the rows.
    outside : float
        Share of the new rows whose value is beyond the range of the old ones, or a label that they lack.
    note : str
    """

    column: str
    role: str
    importance: float
    psi: float | None
    significant: bool
    js: float | None
    statistic: float | None
    p_value: float | None
    missing_before: float
    missing_now: float
    outside: float
    note: str = ""

    @property
    def counted(self) -> float:
        """What it adds to the score."""
        return self.importance * min(self.psi or 0.0, LARGEST) * self.significant


class DriftReport(Record):
    """How far new rows have moved from those learned from.

    Attributes
    ----------
    score : float
        Mean PSI of the columns, weighted by importance, none counted as more than 1; so 0 to 1.
    auc : float or None
        Out-of-fold area under the ROC curve of a small model that tells new rows from old ones: 0.5 where it cannot.
        It also sees columns move together. None with too few rows or no column.
    rows_before, rows_now : int
        Rows that were looked at.
    columns : tuple of ColumnDrift
        What moved most, times its importance, first.
    note : str
    """

    filename: ClassVar[str] = "drift.json"

    score: float
    auc: float | None
    rows_before: int
    rows_now: int
    columns: tuple[ColumnDrift, ...]
    note: str = ""

    @property
    def told(self) -> str:
        """The report in one sentence."""
        moved = [
            f"'{each.column}' ({each.psi:.2f})"
            for each in self.columns
            if each.significant and (each.psi or 0) >= NOTABLE
        ][:3]
        what = f", most in {', '.join(moved)}" if moved else ""
        apart = "" if self.auc is None else f"; a model tells new rows from old ones with AUC {self.auc:.2f}"
        return f"Drift is {self.score:.3f} by importance{what}{apart}.{' ' if self.note else ''}{self.note}"

    def table(self) -> list[dict[str, Any]]:
        """One row a column, what moved most first."""
        return [each.model_dump() for each in self.columns]


def measure_drift(
    reference: Table, fresh: Table, profile: DataProfile, importance: Mapping[str, float], seed: int = 0
) -> DriftReport:
    """Compare new rows with those that a model learned from, column by column and all together.

    Numbers are put into tenths of the old rows (few different ones each into a bin of their own), labels into the 30
    commonest of the old rows and the others; missing values are a bin. Of text the length is looked at. Dates move on
    by nature: what is told of them is the share of rows outside the old range, and they count neither in the score nor
    in the AUC. Large tables are sampled.

    Parameters
    ----------
    reference, fresh : Table
        A column that one of them lacks is missing in all its rows.
    profile : DataProfile
        Of the old rows; its features are compared.
    importance : mapping of str to float
        Column to weight; columns that are not there have none. With no weight at all every column has the same.
    seed : int
    """
    before, now = _sample(reference, MOST_ROWS, seed), _sample(fresh, MOST_ROWS, seed)
    few = min(len(before), len(now)) < LEAST_ROWS
    told = f"Fewer than {LEAST_ROWS} rows to compare: nothing can be told." if few else ""
    compared = {name: role for name, role in profile.features.items() if role != "datetime"}
    weights = _weights(importance, list(compared))
    columns = [
        _column_drift(name, role, weights.get(name, 0.0), _values(before, name, role), _values(now, name, role))
        for name, role in profile.features.items()
        if not told
    ]
    columns.sort(key=lambda each: (-each.counted, -(each.psi or 0.0)))
    return DriftReport(
        score=float(sum(each.counted for each in columns)),
        auc=None if told or not compared else _auc(before, now, compared, seed),
        rows_before=len(before),
        rows_now=len(now),
        columns=tuple(columns),
        note=told,
    )


def _sample(table: Table, most: int, seed: int) -> Table:
    if len(table) <= most:
        return table
    return table.take(np.random.default_rng(seed).choice(table.positions, most, replace=False))


def _weights(importance: Mapping[str, float], columns: list[str]) -> dict[str, float]:
    known = {name: max(0.0, importance.get(name, 0.0)) for name in columns}
    total = sum(known.values())
    return {name: value / total if total > 0 else 1 / len(columns) for name, value in known.items()}


def _values(table: Table, name: str, role: Role) -> npt.NDArray:
    """A column in the form that it is compared in: float64 [n] with NaN, or of labels object [n] of str with NaN."""
    if name not in table.columns:
        return np.full(len(table), np.nan, dtype=object if role == "categorical" else np.float64)
    column = table.frame([name])[name]
    if role == "categorical":
        return as_labels(column)
    if role in ("text", "datetime"):
        present = column.notna().to_numpy() if role == "text" else as_datetime(column).notna().to_numpy()
        return np.where(present, one_number(column, role).to_numpy(), np.nan)
    return as_number(column)


def _column_drift(name: str, role: Role, weight: float, before: npt.NDArray, now: npt.NDArray) -> ColumnDrift:
    gone_before, gone_now = pd.isna(before), pd.isna(now)
    known, new = before[~gone_before], now[~gone_now]
    if role == "categorical":
        beyond = ~np.isin(new.astype(str), known.astype(str))
    else:
        beyond = (new < known.min()) | (new > known.max()) if len(known) else np.ones(len(new), dtype=bool)
    psi = js = statistic = p_value = None
    significant = False
    if role != "datetime":
        counts = _counts(before, now, by_value=role == "categorical")
        (psi, significant), js = _psi(*counts), _js(*counts)
        statistic, p_value = _chi_squared(*counts) if role == "categorical" else _ks(known, new)
    return ColumnDrift(
        column=name,
        role=role,
        importance=weight,
        psi=psi,
        significant=significant,
        js=js,
        statistic=statistic,
        p_value=p_value,
        missing_before=float(gone_before.mean()),
        missing_now=float(gone_now.mean()),
        outside=float(beyond.sum() / len(now)),
        note="Dates move on; they do not count." if role == "datetime" else "",
    )


def _counts(before: npt.NDArray, now: npt.NDArray, *, by_value: bool) -> tuple[Floats, Floats]:
    """Rows of each bin, of both samples; the bins are those of `before`, and one that is empty in both is left out."""
    known = before[~pd.isna(before)]
    values, often = np.unique(known.astype(str) if by_value else known, return_counts=True)
    if by_value or len(values) <= _VALUES:
        commonest = values[np.argsort(-often, kind="stable")[:_LABELS]]
        codes = [pd.Index(commonest).get_indexer(pd.Index(each)) for each in (before, now)]
        n_bins = len(commonest)
        codes = [np.where(code < 0, n_bins, code) for code in codes]
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
        codes = [np.searchsorted(edges, each, side="left") for each in (before, now)]
        n_bins = len(edges)
    codes = [np.where(pd.isna(each), n_bins + 1, code) for each, code in zip((before, now), codes, strict=True)]
    first, second = (np.bincount(code, minlength=n_bins + 2).astype(np.float64) for code in codes)
    there = first + second > 0
    return first[there], second[there]


def _psi(before: Floats, now: Floats) -> tuple[float, bool]:
    """The index beyond its mean by chance, and whether it is beyond what chance may give."""
    from scipy.stats import chi2

    p, q = ((counts + _PRIOR) / (counts.sum() + _PRIOR * len(counts)) for counts in (before, now))
    index = float(((p - q) * np.log(p / q)).sum())
    unit, freedom = 1 / before.sum() + 1 / now.sum(), len(before) - 1
    return max(0.0, index - unit * freedom), freedom > 0 and index > unit * float(chi2.ppf(_CONFIDENCE, freedom))


def _js(before: Floats, now: Floats) -> float:
    p, q = before / before.sum(), now / now.sum()
    middle = (p + q) / 2
    parts = [np.where(each > 0, each * np.log2(np.where(each > 0, each, 1) / middle), 0).sum() for each in (p, q)]
    return float(np.sqrt(max(0.0, sum(parts) / 2)))


def _ks(before: Floats, now: Floats) -> tuple[float | None, float | None]:
    from scipy.stats import ks_2samp

    if not len(before) or not len(now):
        return None, None
    found = ks_2samp(before, now, method="asymp")
    return float(found.statistic), float(found.pvalue)


def _chi_squared(before: Floats, now: Floats) -> tuple[float | None, float | None]:
    from scipy.stats import chi2_contingency

    if len(before) < 2:
        return None, None
    found = chi2_contingency(np.stack([before, now]))
    return float(found.statistic), float(found.pvalue)


def _auc(before: Table, now: Table, columns: Mapping[str, Role], seed: int) -> float:
    parts = [_sample(each, APART_ROWS, seed) for each in (before, now)]
    encoded = {}
    for name, role in columns.items():
        both = pd.Series(np.concatenate([_values(part, name, role) for part in parts]))
        encoded[name] = one_number(both, role) if role == "categorical" else both
    return adversarial_auc(pd.DataFrame(encoded), np.repeat([False, True], [len(part) for part in parts]), seed)
