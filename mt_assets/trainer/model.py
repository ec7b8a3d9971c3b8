"""The model that a person takes away: from a table to predictions, in one estimator, and its stored form."""

from __future__ import annotations

import io
import platform
import time
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self

import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if

from mt_assets.trainer.data.frames import canonical
from mt_assets.trainer.ensemble.blend import Part
from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.evaluation.calibration import Calibration
from mt_assets.trainer.evaluation.delivery import Delivery
from mt_assets.trainer.evaluation.metrics import predicted_codes
from mt_assets.trainer.evaluation.predictions import with_absent_classes
from mt_assets.trainer.features.preprocessor import TablePreprocessor
from mt_assets.trainer.search.result import FoldRows
from mt_assets.trainer.store.record import Record

MODEL_FILE: Final = "model.joblib"
_ROWS_FILE: Final = "rows.npy"
_FIXTURE_FILE: Final = "fixture.parquet"
_EXPECTED_FILE: Final = "fixture.npy"
HISTORY_FILE: Final = "training_history.json"

TRUSTED_TYPES: Final[tuple[str, ...]] = (
    "catboost.core.CatBoostClassifier",
    "catboost.core.CatBoostRegressor",
    "collections.OrderedDict",
    "functools.partial",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "mt_assets.trainer.algorithms.catboost.CatBoostEstimator",
    "mt_assets.trainer.algorithms.gradient_boosting.BestRoundClassifier",
    "mt_assets.trainer.algorithms.gradient_boosting.BestRoundRegressor",
    "mt_assets.trainer.algorithms.log_target.LogTarget",
    "mt_assets.trainer.algorithms.neural_network_estimator.NetworkClassifier",
    "mt_assets.trainer.algorithms.neural_network_estimator.NetworkRegressor",
    "mt_assets.trainer.ensemble.blend.BlendClassifier",
    "mt_assets.trainer.ensemble.blend.BlendRegressor",
    "mt_assets.trainer.ensemble.blend.Part",
    "mt_assets.trainer.features.columns.CalendarBlock",
    "mt_assets.trainer.features.columns.CategoryBlock",
    "mt_assets.trainer.features.columns.DatetimeBlock",
    "mt_assets.trainer.features.columns.NumberBlock",
    "mt_assets.trainer.features.columns.OneHotBlock",
    "mt_assets.trainer.features.columns.SquashedNumbers",
    "mt_assets.trainer.features.generation.GeneratedBlock",
    "mt_assets.trainer.features.target_encoding.TargetBlock",
    "mt_assets.trainer.features.text.TextBlock",
    "mt_assets.trainer.features.preprocessor.TablePreprocessor",
    "mt_assets.trainer.evaluation.calibration.Calibration",
    "mt_assets.trainer.model.TabularModel",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
    "skrub._datetime_encoder.DatetimeEncoder",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
)
"""What skops may build when it reads a stored `TabularModel`. Written out by hand: a list taken from the file itself
would trust whatever somebody put there. scikit-learn's boosting checks numbers with a `partial` of `check_array`; a
partial of anything that is not in this list is refused."""


def _is_classifier(model: TabularModel) -> bool:
    return model.classes is not None


class View(NamedTuple):
    """Rows as one preprocessor encodes them, [n, features], and the original columns that each feature is made of."""

    encoded: np.ndarray
    sources: tuple[tuple[str, ...], ...]


class TabularModel(BaseEstimator):
    """A fitted model that takes tables as people have them.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted: `preprocessor`, then `model`. Of an ensemble `model` alone (`ensemble.blend`), with preprocessors of its
        own.
    features : tuple of str
        Columns that a table must have; more columns, in any order, do no harm.
    classes : tuple of labels or None
        Original labels in the order of the probabilities; None for regression.
    target : str
        Name of the predicted column.
    known : tuple of int or None
        Codes of the classes that the estimator knows, where the rows that it learned from lacked some.
    positive : int or None
        Code of the positive class where there are two.
    threshold : float
        Probability of the positive class from which a row is labelled as it.
    calibration : Calibration or None
        Applied to the estimator's probabilities.

    Examples
    --------
    >>> model.predict(pandas.read_csv("customers.csv"))  # doctest: +SKIP
    """

    def __init__(
        self,
        pipeline: Pipeline,
        features: tuple[str, ...],
        classes: tuple[Any, ...] | None,
        target: str,
        known: tuple[int, ...] | None = None,
        positive: int | None = None,
        threshold: float = 0.5,
        calibration: Calibration | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.features = features
        self.classes = classes
        self.target = target
        self.known = known
        self.positive = positive
        self.threshold = threshold
        self.calibration = calibration

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Original labels or values, [n].

        Of two classes the positive one where its probability is at least the threshold, of more the likeliest (the
        first of equal ones).

        Raises
        ------
        DataError
            When a feature column is missing.
        """
        return self.labels(self.scores(frame))

    def labels(self, scores: np.ndarray) -> np.ndarray:
        """What is predicted where these are the `scores`: original labels or values, [n]."""
        if self.classes is None:
            return scores
        labels: np.ndarray = self.classes_[predicted_codes(scores, self.positive, self.threshold)]
        return labels

    @available_if(_is_classifier)
    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities [n, k] in the order of `classes_`.

        Raises
        ------
        DataError
            When a feature column is missing.
        """
        return self.scores(frame)

    def scores(self, frame: pd.DataFrame) -> np.ndarray:
        """What metrics look at: probabilities [n, k] in the order of the class codes, or values [n]; float64."""
        return self.scores_of(self.encode(frame))

    def encode(self, frame: pd.DataFrame) -> Any:
        """The features as the estimator sees them, [n, len(encoded_names)]; a canonical frame for an ensemble."""
        rows = self._own_rows(frame)
        return rows if self.is_blend else self.pipeline["preprocessor"].transform(rows)

    def _own_rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        return canonical(frame[[column for column in self.features if column in frame.columns]])

    def scores_of(self, encoded: Any) -> np.ndarray:
        """`scores` of encoded features."""
        return self.calibrated(self.uncalibrated(encoded))

    def calibrated(self, scores: np.ndarray) -> np.ndarray:
        """`scores` of what the estimator itself says."""
        return scores if self.calibration is None or not len(scores) else self.calibration.apply(scores)

    def uncalibrated(self, encoded: Any) -> np.ndarray:
        """What the estimator itself says of encoded features, in the form of `scores`."""
        if not len(encoded):
            return np.empty((0, len(self.classes)) if self.classes is not None else 0)
        if self.classes is None:
            return np.asarray(self.estimator.predict(encoded), dtype=np.float64).reshape(len(encoded))
        probabilities = np.asarray(self.estimator.predict_proba(encoded), dtype=np.float64)
        return (
            probabilities if self.known is None else with_absent_classes(probabilities, self.known, len(self.classes))
        )

    @property
    def estimator(self) -> Any:
        """The fitted estimator behind the preprocessor."""
        return self.pipeline["model"]

    @property
    def estimators(self) -> tuple[Part, ...]:
        """Every fitted estimator with its weight and the view that it takes: one, or the parts of an ensemble."""
        if self.is_blend:
            return tuple(self.estimator.parts)
        return (Part(1.0, 0, self.estimator, self.known or (), ""),)

    @property
    def preprocessors(self) -> tuple[TablePreprocessor, ...]:
        """What encodes each of the views."""
        return tuple(self.estimator.preprocessors) if self.is_blend else (self.pipeline["preprocessor"],)

    def views(self, frame: pd.DataFrame) -> list[View]:
        """The features as the estimators see them: one matrix, or of an ensemble one for each preprocessor."""
        return [self.view(frame, number) for number in range(len(self.preprocessors))]

    def view(self, frame: pd.DataFrame, number: int) -> View:
        """One of the views."""
        encoder = self.preprocessors[number]
        sources = tuple(encoder.parents_.get(name, (source,)) for name, source in encoder.source_columns_.items())
        return View(encoder.transform(self._own_rows(frame)), sources)

    def scores_of_views(self, encoded: list[np.ndarray]) -> np.ndarray:
        """`scores` of the matrices of `views`."""
        return self.calibrated(self.estimator.combined(encoded)) if self.is_blend else self.scores_of(encoded[0])

    @property
    def is_blend(self) -> bool:
        """Whether it is an ensemble."""
        return len(self.pipeline.steps) == 1

    @property
    def classes_(self) -> np.ndarray:
        """Original labels, [k]."""
        if self.classes is None:
            raise AttributeError("a regression model has no classes")
        labels = np.array(self.classes)
        return labels.astype(object) if labels.dtype.kind == "U" else labels

    @property
    def feature_names_in_(self) -> np.ndarray:
        """As scikit-learn names it: the columns of `features`."""
        return np.array(self.features, dtype=object)

    @property
    def n_features_in_(self) -> int:
        return len(self.features)

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Names of the encoded features."""
        return tuple(self.source_columns)

    @property
    def source_columns(self) -> dict[str, str]:
        """The original column of each encoded feature; of one that is made from several the first."""
        if self.is_blend:
            return {name: name for name in self.features}
        return dict(self.pipeline["preprocessor"].source_columns_)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.classes is None:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        else:
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags


def seconds_of(model: TabularModel, rows: pd.DataFrame) -> float:
    """How long the model takes to predict rows."""
    began = time.perf_counter()
    model.scores(rows)
    return time.perf_counter() - began


class ModelFacts(Record):
    """What is written down about a trained model.

    Attributes
    ----------
    algorithm : str
        `ensemble` where there are members.
    params : dict
        Of the best single candidate.
    members : tuple of dict
        Of an ensemble: algorithm, params and weight of each.
    features : tuple of str
    classes : tuple or None
    target : str
    rows_seen : str
        `rows_digest` of the rows that the estimator was fitted on, in an ensemble by any of its parts.
    fold_rows : tuple of FoldRows
        Of an ensemble the rows that its fold models were really given.
    n_rows : int
    seconds : float
        Of the fit, encoding included.
    versions : dict
        Of Python and the libraries.
    notes : tuple of str
    delivery : Delivery
        Threshold and calibration, and why they are so.
    model_digest : str
        Sha256 of the model file.
    """

    filename: ClassVar[str] = "model.json"

    algorithm: str
    params: dict[str, Any]
    features: tuple[str, ...]
    classes: tuple[bool | int | float | str, ...] | None
    target: str
    rows_seen: str
    n_rows: int
    seconds: float
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    members: tuple[dict[str, Any], ...] = ()
    fold_rows: tuple[FoldRows, ...] = ()
    delivery: Delivery = Delivery()
    model_digest: str = ""


class TrainedModel:
    """A trained model with what is known about it and a few rows that prove it; `Storable`.

    Attributes
    ----------
    facts : ModelFacts
    rows : numpy.ndarray
        Positions of the rows that it was fitted on, int64.
    fixture : pandas.DataFrame
        Up to 50 rows of its features.
    expected : numpy.ndarray
        Its scores for them (`TabularModel.scores`, `ForecastModel.scores`).
    history : bytes
        Content of `training_history.json`: how it came about; may be empty.
    """

    def __init__(
        self,
        facts: ModelFacts,
        rows: np.ndarray,
        fixture: pd.DataFrame,
        expected: np.ndarray,
        *,
        model: Any = None,
        folder: Path | None = None,
        history: bytes = b"",
    ) -> None:
        self.history = history
        self.facts = facts
        self.rows = rows
        self.fixture = fixture
        self.expected = expected
        self._folder = folder
        if model is not None:
            self.__dict__["model"] = model

    @cached_property
    def model(self) -> Any:
        """The model itself, a `TabularModel` or of series a `ForecastModel`, read on first use.

        Raises
        ------
        StoreError
            When the stored file is missing or was changed; it is then not read.
        """
        content = self._content
        if sha256(content).hexdigest() != self.facts.model_digest:
            raise StoreError(
                f"{self.path / MODEL_FILE} is not what was stored (its digest differs), so it is not read.",
                suggestions=("Train the model again.",),
            )
        try:
            return joblib.load(io.BytesIO(content))
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            libraries = {name: number for name, number in self.facts.versions.items() if name != "python"}
            made_with = " ".join(f"{name}=={number}" for name, number in libraries.items())
            raise StoreError(
                f"{self.path / MODEL_FILE} was made with other versions than are installed, and cannot be read with "
                f"these: {str(error).splitlines()[0][:200]}",
                suggestions=(f"pip install {made_with}", "Or train it again: mt-assets train SPEC"),
                cause="incompatible_version",
            ) from error

    @property
    def _content(self) -> bytes:
        if self._folder is None:
            return self._made
        try:
            return (self._folder / MODEL_FILE).read_bytes()
        except OSError as error:
            raise StoreError(f"The stored model in {self._folder} cannot be read: {error}") from error

    @cached_property
    def _made(self) -> bytes:
        content = io.BytesIO()
        joblib.dump(self.model, content)
        return content.getvalue()

    @property
    def path(self) -> Path:
        """The folder that it is stored in.

        Raises
        ------
        StoreError
            Before it is stored.
        """
        if self._folder is None:
            raise StoreError("The trained model is not stored yet, so that it has no path.")
        return self._folder

    @property
    def algorithm(self) -> str:
        return self.facts.algorithm

    @property
    def params(self) -> dict[str, Any]:
        return self.facts.params

    @property
    def rows_seen(self) -> str:
        return self.facts.rows_seen

    @property
    def size_mb(self) -> float:
        """Of the model file, in megabytes (10^6 bytes)."""
        return (len(self._made) if self._folder is None else (self._folder / MODEL_FILE).stat().st_size) / 1e6

    @property
    def files(self) -> tuple[Path, ...]:
        """The stored files that a person may want to open."""
        history = self.path / HISTORY_FILE
        return (self.path / MODEL_FILE, *((history,) if history.exists() else ()))

    def save(self, folder: Path) -> None:
        content = self._content
        (folder / MODEL_FILE).write_bytes(content)
        self.facts.model_copy(update={"model_digest": sha256(content).hexdigest()}).save(folder)
        np.save(folder / _ROWS_FILE, self.rows)
        np.save(folder / _EXPECTED_FILE, self.expected)
        self.fixture.to_parquet(folder / _FIXTURE_FILE)
        if self.history:
            (folder / HISTORY_FILE).write_bytes(self.history)

    @classmethod
    def load(cls, folder: Path) -> Self:
        try:
            facts = ModelFacts.load(folder)
            rows, expected = np.load(folder / _ROWS_FILE), np.load(folder / _EXPECTED_FILE)
            fixture = pd.read_parquet(folder / _FIXTURE_FILE)
            history = (folder / HISTORY_FILE).read_bytes() if (folder / HISTORY_FILE).exists() else b""
        except (OSError, ValueError) as error:
            raise StoreError(f"The stored model in {folder} is missing or damaged: {error}") from error
        return cls(facts, rows, fixture, expected, folder=folder, history=history)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a model may stand on, as far as they are installed."""
    versions = {"python": platform.python_version()}
    for library in (
        "numpy", "pandas", "scikit-learn", "skrub", "lightgbm", "xgboost", "catboost", "mlforecast",
        "statsforecast", "prophet", "neuralforecast", "torch",
    ):  # fmt: skip
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return versions
