"""New columns made from others: arithmetic, crosses told by the target, and groups; learned from given rows alone.

What belongs here: which columns are made, and how they are made again of new rows. What does not: the columns as they
are (`columns`), and categories that are told by the target in place of being shown (`target_encoding`).

The kinds of columns are those of TabPrep (arXiv 2606.02384); how many there are is bounded for one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from mt_assets.trainer.features.columns import LARGEST, as_labels, as_number

MOST_NUMBERS: Final = 10
"""Numbers that are combined with each other: 45 pairs."""

MOST_CATEGORIES: Final = 8
"""Categories that are crossed with each other: 28 pairs."""

MOST_GROUPED: Final = 4
"""Numbers, and categories, of which groups are made: 16 pairs."""

MOST_NEW: Final = 20
"""New columns that are kept. Measured with LightGBM (rate 0.1, 16 leaves) on 4 folds, none against 8 to 20: AUC
german_credit .816 and .803 (arithmetic), .822 (by the target), .831 (groups); telco_churn .8541 and .8521 to .8544;
RMSE diamonds 549 and 537 (40 columns, 2 folds). So they compete with the columns as they are."""

MOST_CELLS: Final = 20_000
"""Pairs of levels up to which two categories are crossed."""

SMOOTHING: Final = 10.0
"""Rows with the mean of all that each level's mean is mixed with (TabPrep's)."""

PARTS: Final = 5
"""Parts in which the training rows are told by each other's targets (TabPrep's)."""

MOST_CLASSES: Final = 10
"""Classes up to which categories are told by the target."""

SCREENED_ROWS: Final = 3_000
"""Training rows that columns are chosen on."""

NEARLY_CONSTANT: Final = 0.9
"""Share of one value from which a column is dropped (TabPrep's)."""

ALIKE: Final = 0.999
"""Correlation of ranks from which two columns are one to a tree."""

_Kind = Literal["+", "-", "*", "/", "share", "target", "ratio", "difference"]


@dataclass(frozen=True)
class Recipe:
    """How a column is made.

    Attributes
    ----------
    kind : str
        Arithmetic of two numbers; the `share` of rows with a level; the mean `target` with a level, or with a pair of
        levels; a number as a `ratio` to the mean of its category, or as its `difference` from it.
    parents : tuple of str
        One or two original columns.
    of_class : int
        Column of the targets that the mean is of; 0 but for more than two classes.
    """

    kind: _Kind
    parents: tuple[str, ...]
    of_class: int = 0

    @property
    def name(self) -> str:
        if self.kind in ("+", "-", "*", "/"):
            return f" {self.kind} ".join(self.parents)
        ending = f" {self.of_class}" if self.of_class else ""
        return f"{' x '.join(self.parents)} {self.kind}{ending}"


class GeneratedBlock(BaseEstimator):
    """The new columns that tell most of the target, at most `MOST_NEW`.

    Training rows are told by the targets of other training rows, new rows by those of all of them. Unseen levels are
    told by the mean of all rows; what cannot be computed (a gap, a division by zero) is NaN.

    Parameters
    ----------
    numbers, categories : list of str
        Columns to make new ones of.
    seed : int
        Of the sample and the parts.

    Attributes
    ----------
    names_, sources_ : list of str
        With the first original column of each.
    parents_ : list of tuple of str
        The original columns of each new one.
    """

    def __init__(self, numbers: list[str], categories: list[str], seed: int) -> None:
        self.numbers = numbers
        self.categories = categories
        self.seed = seed

    def fit_transform(self, frame: pd.DataFrame, y: np.ndarray | None) -> np.ndarray:
        """Choose the columns, learn what they need, and return them of the same rows, float64 [n, new].

        Parameters
        ----------
        frame : pandas.DataFrame
        y : numpy.ndarray or None
            Class codes (integers) or values (floats); without a target nothing can be chosen.
        """
        self.recipes_: list[tuple[str, tuple[str, ...], int]] = []
        self.levels_: dict[str, np.ndarray] = {}
        self.tables_: dict[str, np.ndarray] = {}
        self.names_: list[str] = []
        self.sources_: list[str] = []
        self.parents_: list[tuple[str, ...]] = []
        if y is None or len(frame) < 2 * PARTS or len(np.unique(y)) < 2:
            return np.empty((len(frame), 0))
        learning = _Learning(frame, np.asarray(y), self.seed)
        chosen = learning.choose(self.numbers, self.categories)
        self.names_ = [recipe.name for recipe in chosen]
        self.parents_ = [recipe.parents for recipe in chosen]
        self.sources_ = [recipe.parents[0] for recipe in chosen]
        self.recipes_ = [(recipe.kind, recipe.parents, recipe.of_class) for recipe in chosen]
        used = {parent for recipe in chosen for parent in recipe.parents}
        self.levels_ = {column: levels for column, levels in learning.levels.items() if column in used}
        made = np.empty((len(frame), len(chosen)))
        for at, recipe in enumerate(chosen):
            made[:, at] = learning.column(recipe)
            if not _is_arithmetic(recipe):
                self.tables_[recipe.name] = learning.table(recipe)
        return made

    def fit(self, frame: pd.DataFrame, y: Any = None) -> Self:
        self.fit_transform(frame, y)
        return self

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """The columns of rows, float64 [n, new]."""
        columns = _Columns(frame, self.levels_)
        made = []
        for name, (kind, parents, of_class) in zip(self.names_, self.recipes_, strict=True):
            recipe = Recipe(kind, parents, of_class)  # type: ignore[arg-type]
            made.append(_made(recipe, columns, self.tables_.get(name)))
        return _stacked(made, len(frame))


class _Columns:
    """The parents of new columns, each read once: numbers, and categories as codes of known levels.

    Of n known levels an unseen one has the code n, and a gap n + 1.
    """

    def __init__(self, frame: pd.DataFrame, levels: dict[str, np.ndarray]) -> None:
        self._frame = frame
        self.levels = levels
        self._numbers: dict[str, np.ndarray] = {}
        self._codes: dict[str, np.ndarray] = {}

    def number(self, column: str) -> np.ndarray:
        if column not in self._numbers:
            self._numbers[column] = as_number(self._frame[column])
        return self._numbers[column]

    def size(self, column: str) -> int:
        return len(self.levels[column]) + 2

    def code(self, column: str) -> np.ndarray:
        if column not in self._codes:
            at, seen = pd.factorize(as_labels(self._frame[column]))
            known = pd.Index(self.levels[column]).get_indexer(pd.Index(seen, dtype=object))
            known = np.where(known < 0, len(self.levels[column]), known)
            self._codes[column] = np.r_[known, len(self.levels[column]) + 1][at].astype(np.int64)
        return self._codes[column]

    def cell(self, categories: tuple[str, ...]) -> np.ndarray:
        """Codes of a category, or of the pairs of levels of two."""
        first = self.code(categories[0])
        return first if len(categories) == 1 else first * self.size(categories[1]) + self.code(categories[1])

    def cells(self, categories: tuple[str, ...]) -> int:
        return int(np.prod([self.size(each) for each in categories]))


class _Learning(_Columns):
    """The training rows, and what is learned from them."""

    def __init__(self, frame: pd.DataFrame, y: np.ndarray, seed: int) -> None:
        super().__init__(frame, {})
        rng = np.random.default_rng(seed)
        n = len(frame)
        self._y = y
        self._seed = seed
        self._parts = rng.permutation(n) % PARTS
        self._sample = np.sort(rng.choice(n, min(n, SCREENED_ROWS), replace=False))
        self._sampled = _Columns(frame.iloc[self._sample], self.levels)
        self.targets = _targets(y)
        self._told: tuple[tuple[str, ...], np.ndarray, np.ndarray] | None = None

    def choose(self, numbers: list[str], categories: list[str]) -> list[Recipe]:
        """The recipes whose columns a forest of small trees makes most use of, among all and the columns as they are.

        The same forest on the columns as they are says first which of them are combined at all.
        """
        for column in categories:
            labels = pd.unique(as_labels(self._frame[column]))
            self.levels[column] = np.sort(labels[~pd.isna(labels)])
        numbers = [column for column in numbers if _varies(self.number(column))]
        categories = [column for column in categories if _varies(self.code(column).astype(np.float64))]
        if not numbers and not categories:
            return []
        plain = [self._sampled.number(column) for column in numbers]
        plain += [self._sampled.code(column).astype(np.float64) for column in categories]
        order = np.argsort(-self._uses(plain), kind="stable")
        numbers_first = [numbers[at] for at in order if at < len(numbers)]
        categories_first = [categories[at - len(numbers)] for at in order if at >= len(numbers)]
        recipes = _possible(numbers_first, categories_first, self)
        columns = [self._sample_of(recipe) for recipe in recipes]
        kept = _distinct(plain, columns)
        if not kept:
            return []
        uses = self._uses([*plain, *(columns[at] for at in kept)])[len(plain) :]
        best = np.argsort(-uses, kind="stable")[:MOST_NEW]
        return [recipes[kept[at]] for at in sorted(best) if uses[at] > 0]

    def column(self, recipe: Recipe) -> np.ndarray:
        """A new column of the training rows, each told by the targets of others."""
        if recipe.kind == "target":
            return self._tell(recipe.parents)[1][:, recipe.of_class]
        return _made(recipe, self, None if _is_arithmetic(recipe) else self.table(recipe))

    def _sample_of(self, recipe: Recipe) -> np.ndarray:
        if recipe.kind == "target":
            return self.column(recipe)[self._sample]
        return _made(recipe, self._sampled, None if _is_arithmetic(recipe) else self.table(recipe))

    def table(self, recipe: Recipe) -> np.ndarray:
        """What is learned for each level: its share of the rows, its mean target, or the mean of a number with it."""
        category = recipe.parents[-1]
        if recipe.kind == "target":
            return self._tell(recipe.parents)[0][:, recipe.of_class]
        code = self.code(category)
        if recipe.kind == "share":
            return np.bincount(code, minlength=self.size(category)) / len(code)
        number = self.number(recipe.parents[0])
        known = ~np.isnan(number)
        counts = np.bincount(code[known], minlength=self.size(category))
        sums = np.bincount(code[known], weights=number[known], minlength=self.size(category))
        mean = float(number[known].mean())
        return np.where(counts > 0, sums / np.maximum(counts, 1), mean)

    def _tell(self, categories: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Mean targets by cell [cells, k] over all rows, and those of each row by the rows of other parts [n, k].

        The last answer is kept, and no more: on large tables they take the most memory.
        """
        if self._told is None or self._told[0] != categories:
            cell, cells = self.cell(categories), self.cells(categories)
            sums, counts = _sums(cell, cells, self.targets)
            total, n = self.targets.sum(axis=0), len(cell)
            out_of_part = np.empty_like(self.targets)
            for part in range(PARTS):
                own = self._parts == part
                part_sums, part_counts = _sums(cell[own], cells, self.targets[own])
                prior = (total - self.targets[own].sum(axis=0)) / (n - own.sum())
                means = _shrunk(sums - part_sums, counts - part_counts, prior)
                out_of_part[own] = means[cell[own]]
            self._told = (categories, _shrunk(sums, counts, total / n), out_of_part)
        return self._told[1:]

    def _uses(self, columns: list[np.ndarray]) -> np.ndarray:
        """How much a forest of small trees makes use of each column of the sample."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        kind = ExtraTreesRegressor if np.issubdtype(self._y.dtype, np.floating) else ExtraTreesClassifier
        forest = kind(50, max_depth=8, min_samples_leaf=5, max_features="sqrt", random_state=self._seed, n_jobs=1)
        X = np.clip(np.column_stack(columns), -LARGEST, LARGEST).astype(np.float32)
        return np.asarray(forest.fit(X, self._y[self._sample]).feature_importances_)


def _possible(numbers: list[str], categories: list[str], columns: _Learning) -> list[Recipe]:
    """Every recipe that is thought of, of columns in the order of their use."""
    recipes = [Recipe(kind, pair) for pair in combinations(numbers[:MOST_NUMBERS], 2) for kind in ("+", "-", "*", "/")]
    recipes += [Recipe("/", (second, first)) for first, second in combinations(numbers[:MOST_NUMBERS], 2)]
    recipes += [Recipe("share", (category,)) for category in categories[:MOST_CATEGORIES]]
    crossed: list[tuple[str, ...]] = [(category,) for category in categories[:MOST_CATEGORIES]]
    crossed += [pair for pair in combinations(categories[:MOST_CATEGORIES], 2) if columns.cells(pair) <= MOST_CELLS]
    recipes += [Recipe("target", each, k) for each in crossed for k in range(columns.targets.shape[1])]
    for number in numbers[:MOST_GROUPED]:
        kind: _Kind = "ratio" if np.nanmin(columns.number(number)) > 0 else "difference"
        recipes += [Recipe(kind, (number, category)) for category in categories[:MOST_GROUPED]]
    return recipes


def _made(recipe: Recipe, columns: _Columns, table: np.ndarray | None) -> np.ndarray:
    """A new column of rows, float64 [n]."""
    if table is None:
        a, b = (columns.number(parent) for parent in recipe.parents)
        return _arithmetic(recipe.kind, a, b)
    if recipe.kind in ("target", "share"):
        return np.asarray(table[columns.cell(recipe.parents)], dtype=np.float64)
    number, category = recipe.parents
    kind = "/" if recipe.kind == "ratio" else "-"
    return _arithmetic(kind, columns.number(number), table[columns.code(category)])


def _arithmetic(kind: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        made = a + b if kind == "+" else a - b if kind == "-" else a * b if kind == "*" else a / b
    return np.clip(np.where(np.isfinite(made), made, np.nan), -LARGEST, LARGEST)


def _is_arithmetic(recipe: Recipe) -> bool:
    return recipe.kind in ("+", "-", "*", "/")


def _targets(y: np.ndarray) -> np.ndarray:
    """What categories are told by, float64 [n, k]: the value, the second of two classes, each of more; or nothing."""
    if np.issubdtype(y.dtype, np.floating):
        return y.astype(np.float64)[:, None]
    classes = np.unique(y)
    if len(classes) > MOST_CLASSES:
        return np.empty((len(y), 0))
    told = classes[1:] if len(classes) == 2 else classes
    return (y[:, None] == told).astype(np.float64)


def _sums(cell: np.ndarray, cells: int, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the targets by cell [cells, k], and rows [cells, 1]."""
    sums = [np.bincount(cell, weights=column, minlength=cells) for column in targets.T]
    return _stacked(sums, cells), np.bincount(cell, minlength=cells)[:, None].astype(np.float64)


def _shrunk(sums: np.ndarray, counts: np.ndarray, prior: np.ndarray) -> np.ndarray:
    return (sums + SMOOTHING * prior) / (counts + SMOOTHING)


def _stacked(columns: list[np.ndarray], n: int) -> np.ndarray:
    return np.column_stack(columns) if columns else np.empty((n, 0))


def _varies(values: np.ndarray) -> bool:
    known = values[~np.isnan(values)]
    return len(known) > 0 and bool(known.min() < known.max())


def _distinct(plain: list[np.ndarray], columns: list[np.ndarray]) -> list[int]:
    """Which new columns are neither nearly constant nor in the same order as one before them, given or new."""
    varied = [at for at, column in enumerate(columns) if _most_common(column) < NEARLY_CONSTANT]
    everything = [*plain, *(columns[at] for at in varied)]
    ranks = pd.DataFrame(np.column_stack(everything)).rank(na_option="bottom").to_numpy().T
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
    likeness = np.abs((ranks / np.maximum(lengths, 1e-9)) @ (ranks / np.maximum(lengths, 1e-9)).T)
    taken = list(range(len(plain)))
    for at in range(len(plain), len(everything)):
        if likeness[at, taken].max(initial=0.0) < ALIKE:
            taken.append(at)
    return [varied[at - len(plain)] for at in taken[len(plain) :]]


def _most_common(values: np.ndarray) -> float:
    """Share of the commonest value; gaps are one value."""
    _, counts = np.unique(values, return_counts=True)
    return float(counts.max() / len(values))
