"""The trained model in the form that MLflow loads, with signature, example and exact requirements.

Models of tables are written by skops. A forecasting model is a pyfunc: history in, a table of forecasts with intervals
out; its file is read by `forecast_loader`, which looks at the digest first.

`mlflow.pyfunc.load_model(...).predict(frame)` gives what the model's own `predict` gives: labels as they stand in the
data, or values. Probabilities, with one column for each of `classes_`, come from the same model in its own flavour:
`mlflow.sklearn.load_model(...).predict_proba(frame)`.
"""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.store.atomic import unfinished_folder

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec

    from mt_assets.trainer.forecasting.model import ForecastModel
    from mt_assets.trainer.model import TabularModel
    from mt_assets.trainer.reporting.tracked import TrainingBundle

EXAMPLE_ROWS = 5
"""Rows of the input example: enough to see the columns, few enough to read."""

REQUIRED = ("mt-assets", "scikit-learn", "skops", "numpy", "scipy", "pandas", "pyarrow", "skrub", "joblib")
"""What every model needs to be loaded and to predict; the library of its estimator is added."""

ESTIMATOR_LIBRARIES = ("xgboost", "lightgbm", "catboost")


def save_model(bundle: "TrainingBundle", folder: Path) -> "Model":
    """Write the bundle's model as an MLflow model into a folder that does not exist yet.

    Returns
    -------
    mlflow.models.Model
        What stands in the folder's `MLmodel`.

    Raises
    ------
    TrainingError
        The model holds a type that is not in the allow-list of `mt_assets.trainer.model`.
    """
    if bundle.profile.series is not None:
        return _save_forecaster(bundle, folder)
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    from mt_assets.trainer.model import TRUSTED_TYPES

    model, description = bundle.trained.model, Model()
    example = example_rows(bundle)
    try:
        mlflow.sklearn.save_model(
            model,
            str(folder),
            mlflow_model=description,
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
            signature=signature(bundle.table.schema, model.features, model.predict(example)),
            input_example=example,
            pip_requirements=requirements(model),
            metadata={
                "columns": {name: str(bundle.table.schema.field(name).type) for name in model.features},
                "target": bundle.profile.target.column,
                "training_id": bundle.training_id,
            },
        )
    except MlflowException as error:
        raise TrainingError(
            f"The {bundle.best.trained_as} model cannot be written for MLflow: {_why(model, TRUSTED_TYPES) or error}",
            suggestions=("Set experimentTracking.enabled to false to train without MLflow.",),
        ) from error
    return description


def _save_forecaster(bundle: "TrainingBundle", folder: Path) -> "Model":
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    model, description = bundle.trained.model, Model()
    example = bundle.trained.fixture
    forecasts = model.predict(example)
    inputs = Schema([_column(bundle.table.schema.field(name)) for name in model.features])
    outputs = Schema([ColSpec(_label_type(forecasts[name]), name) for name in forecasts.columns])
    with unfinished_folder(folder.parent) as data:
        bundle.trained.save(data)
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module="mt_assets.resources.forecast_loader",
            data_path=str(data),
            mlflow_model=description,
            signature=ModelSignature(inputs=inputs, outputs=outputs),
            input_example=example,
            pip_requirements=requirements(model),
            metadata={
                "columns": {name: str(bundle.table.schema.field(name).type) for name in model.features},
                "target": bundle.profile.target.column,
                "training_id": bundle.training_id,
            },
        )
    return description


def _why(model: "TabularModel", trusted: Sequence[str]) -> str | None:
    """Name the types that are not allowed, where that is what was wrong."""
    import skops.io

    unknown = sorted(set(skops.io.get_untrusted_types(data=skops.io.dumps(model))) - set(trusted))
    return f"it holds types that are not in its allow-list: {', '.join(unknown)}." if unknown else None


def example_rows(bundle: "TrainingBundle") -> "pd.DataFrame":
    """A few real rows of the feature columns, in the types of the data."""
    positions = bundle.splits.learning[:EXAMPLE_ROWS]
    frame: pd.DataFrame = bundle.table.take(positions).frame(bundle.trained.model.features)
    return frame.reset_index(drop=True)


def signature(schema: "pa.Schema", features: Sequence[str], prediction: Any) -> "ModelSignature":
    """What goes in and what comes out, by column.

    Numbers are declared as `any`. MLflow takes a declared type literally: a `double` column refuses the whole numbers
    of pandas (int64), a `long` column refuses one with a missing value, so that `{"income": 50000}` or a small batch
    without gaps would be turned away. The model itself takes every kind of number. Types of the training data stand in
    the model's metadata.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    return ModelSignature(
        inputs=Schema([_column(schema.field(name)) for name in features]),
        outputs=Schema([ColSpec(_label_type(prediction))]),
    )


def _column(field: "pa.Field") -> "ColSpec":
    from mlflow.types.schema import AnyType, ColSpec

    kind = _kind(field.type)
    return ColSpec(AnyType() if kind in ("long", "double") else kind, field.name)


def schema_columns(schema: "pa.Schema") -> list[dict[str, Any]]:
    """The columns of a table in the words of MLflow's datasets."""
    return [{"type": _kind(field.type), "name": field.name, "required": False} for field in schema]


def _kind(dtype: "pa.DataType") -> str:
    import pyarrow as pa

    kinds = {
        "string": pa.types.is_string,
        "boolean": pa.types.is_boolean,
        "long": pa.types.is_integer,
        "datetime": pa.types.is_temporal,
    }
    return next((kind for kind, holds in kinds.items() if holds(dtype)), "double")


def _label_type(prediction: Any) -> str:
    import pandas as pd

    kinds = {"b": "boolean", "i": "long", "u": "long", "f": "double", "M": "datetime"}
    return kinds.get(pd.Series(prediction).infer_objects().dtype.kind, "string")


def requirements(model: "TabularModel | ForecastModel") -> list[str]:
    """The libraries that the model needs, each with the version it was made with."""
    from mt_assets.trainer.algorithms.registry import FORECASTER_PACKAGES
    from mt_assets.trainer.forecasting.model import ForecastModel

    if isinstance(model, ForecastModel):
        packages = {FORECASTER_PACKAGES[part.name][0] for part in model.parts if part.name in FORECASTER_PACKAGES}
        boosters = {part.name for part in model.parts} & set(ESTIMATOR_LIBRARIES)
        return _pinned([*REQUIRED, *sorted(packages | boosters)])
    estimators = [part.estimator for part in model.estimators if part.estimator is not None]
    parts = [part for estimator in estimators for part in (estimator, *vars(estimator).values())]
    roots = {type(part).__module__.partition(".")[0] for part in parts}
    return _pinned([*REQUIRED, *(name for name in ESTIMATOR_LIBRARIES if name in roots)])


def _pinned(distributions: Sequence[str]) -> list[str]:
    return [f"{name}=={version}" for name in distributions if (version := _version(name))]


def _version(distribution: str) -> str | None:
    """The installed version; None where the package runs from its source folder without being installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
