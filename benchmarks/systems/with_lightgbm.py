"""LightGBM as its library ships it: no tuning, no early stopping, no budget, all rows; text as native categories."""

from contest import Job, compete


def fit(job: Job, X, y):
    from lightgbm import LGBMClassifier, LGBMRegressor
    from pandas.api.types import is_numeric_dtype

    levels = {name: X[name].astype("category").cat.categories for name in X if not _number(X[name], is_numeric_dtype)}
    kind = LGBMRegressor if job.task == "regression" else LGBMClassifier
    model = kind(n_jobs=job.cores, random_state=job.seed, verbosity=-1)
    return model.fit(_encoded(X, levels), y), levels


def predict(job: Job, fitted, X):
    model, levels = fitted
    X = _encoded(X, levels)
    return (model.predict(X), None) if job.task == "regression" else (model.predict_proba(X), model.classes_)


def _number(column, is_numeric) -> bool:
    return is_numeric(column.dtype) or column.dtype.kind == "M"


def _encoded(X, levels):
    """Categories with the levels of the training rows, times as seconds; names that LightGBM accepts."""
    import pandas as pd

    columns = {}
    for at, name in enumerate(X):
        column = X[name]
        if name in levels:
            column = pd.Series(pd.Categorical(column, categories=levels[name]), index=X.index)
        elif column.dtype.kind == "M":
            column = (column - pd.Timestamp(0, tz=getattr(column.dtype, "tz", None))).dt.total_seconds()
        columns[f"column_{at}"] = column
    return pd.DataFrame(columns)


if __name__ == "__main__":
    compete("lightgbm", fit, predict)
