"""Encoders of one kind of column each, from canonical frames to numbers.

Each block takes the whole frame, reads its own columns, and keeps what it learned in types of numpy and scikit-learn,
so that a fitted model can be stored without pickle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from mt_assets.trainer.data.frames import as_datetime

if TYPE_CHECKING:
    from mt_assets.trainer.data.recommendations import Transformation

MAX_LEVELS: Final = 100
"""Levels of a category that trees see; rarer ones are one level together. AutoGluon caps XGBoost's at 100 as well
(`proc.max_category_levels`), and LightGBM cannot tell more than its 255 bins apart."""

RARE_BELOW: Final = 2
"""Rows with which a level stands for itself. A level that was seen once tells what an unseen one would (the idea of
Good's estimate of the unseen, 1953), and nothing of itself."""

MAX_ONE_HOT: Final = 40
"""Columns that one category may become; skrub's TableVectorizer one-hot encodes up to 40 levels too.

Categories of more levels are told by the target (`target_encoding`), for linear models and for forests, or where that
cannot be by their spelling. Measured in 3 folds, linear models with the 40 commonest levels, by target, by spelling (30
directions): AUC lending_club (50 states) .715, .738, .715; flights (97 airports, 2,955 planes) .630, .637, .635; 392
made-up levels .683, .706, .674; R² Sacramento (68 zip codes) .667, .664, .655. Forests with level numbers and by
target: .683, .692; .646, .651; .633, .673; .603, .630."""

LARGEST: Final = 1e37
"""Largest absolute value of a number: sums of two stay finite in single precision, which trees compute in."""

SQUASH_AT: Final = 3.0
"""Largest absolute value of a scaled number. Holzmüller et al. 2024 (arXiv 2407.04491); skrub's default. Measured for
linear models in 3 folds against standardization: ames RMSE 28,780 against 31,215, adult AUC .906 against .905,
telco_churn .844 and german_credit .793 both."""


def unique_names(names: list[str]) -> list[str]:
    """Each name unlike all others, with a number added where it must be."""
    taken: set[str] = set()
    result = []
    for name in names:
        given, number = name, 2
        while given in taken:
            given, number = f"{name}_{number}", number + 1
        taken.add(given)
        result.append(given)
    return result


def as_labels(column: pd.Series) -> np.ndarray:
    """A column as labels: object [n] of str, NaN where missing.

    Whole numbers read the same whether they came as int or float, booleans as 1 and 0, so that a column means the same
    whether or not the frame at hand has missing values in it.
    """
    if column.dtype == bool:
        column = column.astype("int64")
    codes, uniques = pd.factorize(column)
    labels = np.empty(len(uniques) + 1, dtype=object)
    labels[:-1] = [_label(value) for value in uniques]
    labels[-1] = np.nan
    return labels[codes]


def _label(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def as_number(column: pd.Series) -> np.ndarray:
    """A column as float64 [n]: text that reads as a number is one, everything else and infinity are missing.

    Numbers beyond `LARGEST` count as it.
    """
    if column.dtype == object:
        column = pd.to_numeric(column, errors="coerce")
    elif pd.api.types.is_datetime64_any_dtype(column.dtype):
        return np.full(len(column), np.nan)
    values = column.to_numpy(dtype=np.float64)
    return np.clip(np.where(np.isfinite(values), values, np.nan), -LARGEST, LARGEST)


class NumberBlock(BaseEstimator):
    """Numbers and booleans as they are, or transformed as an exploration step recommends.

    Parameters
    ----------
    columns : list of str
    transforms : dict of str to transformation, optional
        See `recommendations.Transformation`; those of other columns are passed over.
    """

    def __init__(self, columns: list[str], transforms: dict[str, Transformation] | None = None) -> None:
        self.columns = columns
        self.transforms = transforms

    def fit(self, frame: pd.DataFrame) -> Self:
        self.percentiles_ = {
            column: _percentiles(as_number(frame[column]))
            for column in self.columns
            if column in (self.transforms or {})
        }
        self.names_ = list(self.columns)
        self.sources_ = list(self.columns)
        return self

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        if not self.columns:
            return np.empty((len(frame), 0))
        return np.column_stack(list(self.each(frame)))

    def each(self, frame: pd.DataFrame) -> Iterator[np.ndarray]:
        """The columns of `transform` one by one, float64 [n]."""
        return (self._numbers(frame[column], column) for column in self.columns)

    def _numbers(self, values: pd.Series, column: str) -> np.ndarray:
        numbers = as_number(values)
        match (self.transforms or {}).get(column):
            case "log":
                return np.sign(numbers) * np.log1p(np.abs(numbers))
            case "sqrt":
                return np.sign(numbers) * np.sqrt(np.abs(numbers))
            case "square":
                return np.minimum(numbers**2, LARGEST)
            case "clip":
                return np.clip(numbers, self.percentiles_[column][1], self.percentiles_[column][99])
            case "rank":
                return np.interp(numbers, self.percentiles_[column], np.linspace(0, 1, 101))
        return numbers


def _percentiles(numbers: np.ndarray) -> np.ndarray:
    """The 0th to the 100th percentile of those that are there; zeros where none is."""
    known = numbers[~np.isnan(numbers)]
    return np.percentile(known, np.arange(101)) if len(known) else np.zeros(101)


class DatetimeBlock(BaseEstimator):
    """Instants as year, month, day, hour, seconds since 1970 and weekday (skrub's DatetimeEncoder)."""

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns

    def fit(self, frame: pd.DataFrame) -> Self:
        self.encoders_ = []
        self.names_: list[str] = []
        self.sources_: list[str] = []
        for column in self.columns:
            from skrub import DatetimeEncoder

            encoder = DatetimeEncoder(add_weekday=True)
            encoder.fit_transform(self._instants(frame[column]))
            self.encoders_.append(encoder)
            self.names_ += list(encoder.all_outputs_)
            self.sources_ += [column] * len(encoder.all_outputs_)
        return self

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        parts = [
            encoder.transform(self._instants(frame[column])).to_numpy(dtype=np.float64)
            for column, encoder in zip(self.columns, self.encoders_, strict=True)
        ]
        return np.hstack([np.empty((len(frame), 0)), *parts])

    @staticmethod
    def _instants(column: pd.Series) -> pd.Series:
        return as_datetime(column).reset_index(drop=True)


CALENDAR: Final = ("month", "weekday", "hour")


class CalendarBlock(BaseEstimator):
    """Months, weekdays and hours as one column of 0 and 1 each, for models to which hour 23 is not far from hour 0.

    Those that the training rows differ in; an instant that is missing is 0 in all of them. Measured with ridge
    regression in 3 folds of 8,000 rows, dates alone, R² without and
    with them: hourly bike hires .26 and .62, particulate matter .01 and .03, delays of flights .00 and .05.
    """

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns

    def fit(self, frame: pd.DataFrame) -> Self:
        self.names_: list[str] = []
        self.sources_: list[str] = []
        self.levels_: list[tuple[str, str, int]] = []
        for column in self.columns:
            instants = as_datetime(frame[column])
            for part in CALENDAR:
                seen = np.unique(getattr(instants.dt, part).dropna().to_numpy(dtype=np.int64))
                if len(seen) > 1:
                    self.levels_ += [(column, part, int(level)) for level in seen]
        self.names_ = [f"{column}_{part}_{level}" for column, part, level in self.levels_]
        self.sources_ = [column for column, _, _ in self.levels_]
        return self

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        instants = {column: as_datetime(frame[column]).dt for column in dict.fromkeys(self.sources_)}
        parts = {at: getattr(instants[at[0]], at[1]).to_numpy() for at in {each[:2] for each in self.levels_}}
        columns = [parts[column, part] == level for column, part, level in self.levels_]
        return np.column_stack([np.empty((len(frame), 0)), *columns])


class CategoryBlock(BaseEstimator):
    """Categories with their levels fixed at fit: missing ones are missing, unseen ones are rare, or else missing.

    An unseen level is likest to one that was hardly seen. Where rare levels are one level together, trees have learned
    what those rows are like; on a gap that training rows never had they decide by accident (`titanic`: a fifth of the
    test rows' tickets are unseen, and an XGBoost model gave them a mean chance of .61 in place of .38).

    Parameters
    ----------
    columns : list of str
    most : int or None
        Levels of a column that are told apart; the rarest others, and all that were seen once, are one level together.
        None: all are told apart, and unseen ones are missing.
    """

    def __init__(self, columns: list[str], most: int | None = MAX_LEVELS) -> None:
        self.columns = columns
        self.most = most

    def fit(self, frame: pd.DataFrame) -> Self:
        self.names_ = list(self.columns)
        self.sources_ = list(self.columns)
        self.encoder_ = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=np.nan,
            encoded_missing_value=np.nan,
            max_categories=self.most,
            min_frequency=None if self.most is None else RARE_BELOW,
        )
        if self.columns:
            self.encoder_.fit(label_matrix(frame, self.columns))
            self.rare_codes_ = self._rare_codes()
        return self

    def _rare_codes(self) -> np.ndarray:
        """The code of the level of rare labels of each column, [p]; NaN where there is none."""
        if self.most is None:
            return np.full(len(self.columns), np.nan)
        rare = [np.nan if labels is None else labels[0] for labels in self.encoder_.infrequent_categories_]
        codes: np.ndarray = self.encoder_.transform(np.array([rare], dtype=object))[0]
        return codes

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Codes as float64 [n, p], NaN where missing, or unseen and no level is rare."""
        if not self.columns:
            return np.empty((len(frame), 0))
        labels = label_matrix(frame, self.columns)
        codes = np.asarray(self.encoder_.transform(labels), dtype=np.float64)
        return np.where(np.isnan(codes) & ~pd.isna(labels), self.rare_codes_, codes)


class OneHotBlock(BaseEstimator):
    """Categories as one column of 0 and 1 a level, rare levels together; missing is a level where it was seen."""

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns

    def fit(self, frame: pd.DataFrame) -> Self:
        self.encoder_ = OneHotEncoder(
            handle_unknown="infrequent_if_exist", max_categories=MAX_ONE_HOT, sparse_output=False
        )
        self.names_: list[str] = []
        self.sources_: list[str] = []
        if self.columns:
            self.encoder_.fit(label_matrix(frame, self.columns))
            for at, column in enumerate(self.columns):
                self.sources_ += [column] * self._width(at)
            self.names_ = list(self.encoder_.get_feature_names_out(self.columns))
        return self

    def _width(self, at: int) -> int:
        rare = self.encoder_.infrequent_categories_[at]
        levels = len(self.encoder_.categories_[at])
        return levels if rare is None else levels - len(rare) + 1

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        if not self.columns:
            return np.empty((len(frame), 0))
        return np.asarray(self.encoder_.transform(label_matrix(frame, self.columns)), dtype=np.float64)


class SquashedNumbers(BaseEstimator):
    """Numbers for linear models: gaps filled with the median and marked, scaled by the quartiles, outliers squashed.

    A scaled value z becomes z / sqrt(1 + (z / 3)**2), which keeps the order of values and leaves the usual ones alone.
    Where both quartiles are equal, the range takes the place of the distance between them.
    """

    def fit(self, columns: Iterable[np.ndarray]) -> Self:
        """Learn from numbers, column by column [n], with NaN for what is missing."""
        rows, quartiles, ranges = [], [], []
        for numbers in columns:
            gaps = np.isnan(numbers)
            median = np.median(numbers[~gaps]) if not gaps.all() else np.nan
            rows.append((median, np.nan if gaps.any() else median))
            filled = np.where(gaps, np.nan_to_num(median), numbers)
            quartiles.append(np.percentile(filled, [25, 50, 75]))
            ranges.append(filled.max() - filled.min())
        # All that the imputer learns of a column lies in two values: its median, and a gap if it has any.
        self.imputer_ = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
        self.imputer_.fit(np.transpose(rows))
        low, self.center_, high = np.transpose(quartiles)
        spread, half_range = high - low, np.array(ranges) / 2
        self.scale_ = np.where(spread > 0, spread, np.where(half_range > 0, half_range, 1.0))
        self.indicators_ = [int(at) for at in self.imputer_.indicator_.features_]
        return self

    def transform(self, numbers: np.ndarray) -> np.ndarray:
        """Scaled numbers [n, p], followed by a column of 0 and 1 for each that had gaps when it was learned."""
        filled: np.ndarray = self.imputer_.transform(numbers)
        # Differences of huge numbers may overflow to infinity, which squashes to the bound as it should.
        with np.errstate(over="ignore"):
            for at in range(numbers.shape[1]):  # in place, since the matrix may be as large as the table
                scaled = np.clip((filled[:, at] - self.center_[at]) / self.scale_[at], -1e100, 1e100)
                filled[:, at] = scaled / np.hypot(1.0, scaled / SQUASH_AT)
        return filled


def label_matrix(frame: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Columns as labels: object [n, p], see `as_labels`."""
    matrix = np.empty((len(frame), len(columns)), dtype=object)
    for at, column in enumerate(columns):
        matrix[:, at] = as_labels(frame[column])
    return matrix
