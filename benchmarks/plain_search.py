"""The baseline of `overhead.py`: a search as one writes it by hand with Optuna and scikit-learn, and nothing of ours.

`python plain_search.py WORK` reads `WORK/work.json` and `WORK/rows.npz` (written by `overhead.py`: which table, which
rows, which trials), searches, fits the winner once more on all learning rows, predicts the test rows, and prints one
line of JSON. The study is in memory, and nothing is kept.
"""

import json
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import lightgbm
import numpy as np
import optuna
import pandas as pd
import xgboost
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder
from skrub import SquashingScaler
from threadpoolctl import threadpool_limits

ESTIMATORS = {
    "lightgbm": lightgbm.LGBMClassifier,
    "xgboost": xgboost.XGBClassifier,
    "random_forest": RandomForestClassifier,
    "logistic_regression": LogisticRegression,
}

SPENT: dict[str, list[float]] = {}


@contextmanager
def timed(part):
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    spent = SPENT.setdefault(part, [0.0, 0.0])
    spent[0] += time.perf_counter() - wall
    spent[1] += time.process_time() - cpu


def preprocessor(algorithm, numbers, categories):
    if algorithm == "logistic_regression":
        scale = make_pipeline(SimpleImputer(add_indicator=True, strategy="median"), SquashingScaler())
        one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=40, sparse_output=False)
        return ColumnTransformer([("numbers", scale, numbers), ("categories", one_hot, categories)])
    levels = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan, max_categories=100
    )
    columns = ColumnTransformer([("numbers", "passthrough", numbers), ("categories", levels, categories)])
    if algorithm == "random_forest":
        return make_pipeline(columns, FunctionTransformer(lambda X: X.astype(np.float32)))
    return columns


def fit(algorithm, params, X, y, n_categories, X_valid=None, y_valid=None, patience=None):
    """Fit with early stopping where there are rows to stop on; return the model."""
    of_categories = list(range(X.shape[1] - n_categories, X.shape[1]))
    if algorithm == "xgboost":
        params = {**params, "feature_types": ["q"] * (X.shape[1] - n_categories) + ["c"] * n_categories}
    model = ESTIMATORS[algorithm](**params)
    if algorithm == "lightgbm" and X_valid is not None:
        stop = lightgbm.early_stopping(patience, first_metric_only=True, verbose=False)
        model.fit(X, y, eval_X=X_valid, eval_y=y_valid, callbacks=[stop], categorical_feature=of_categories)
    elif algorithm == "lightgbm":
        model.fit(X, y, categorical_feature=of_categories)
    elif algorithm == "xgboost" and X_valid is not None:
        model.set_params(early_stopping_rounds=patience)
        model.fit(X, y, eval_set=[(X_valid, y_valid)], verbose=False)
    else:
        model.fit(X, y)
    return model


def suggest(trial, name, text):
    """The value of a parameter; trials are enqueued, so that the sampler proposes and is then overruled."""
    match optuna.distributions.json_to_distribution(text):
        case optuna.distributions.CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case optuna.distributions.IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case distribution:
            return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def search(work, rows, table, y):
    """Run the trials on the folds; return the scores of the folds of each trial."""
    sampler = optuna.samplers.TPESampler(seed=work["seed"], multivariate=True, group=True)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    study = optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")
    scores, encoded = [], set()
    for given in work["trials"]:
        algorithm, space = given["algorithm"], work["spaces"][given["algorithm"]]
        fixed = {f"{algorithm}.{name}": value for name, value in given["params"].items()}
        study.enqueue_trial({"algorithm": algorithm, **fixed})
        trial = study.ask()
        trial.suggest_categorical("algorithm", list(work["spaces"]))
        for name, text in space.items():
            suggest(trial, f"{algorithm}.{name}", text)
        of_folds = []
        for fold in range(given["folds"]):
            train, valid = rows[f"train_{fold}"], rows[f"validation_{fold}"]
            again = (algorithm, fold) in encoded
            encoded.add((algorithm, fold))
            with timed("preprocessing again" if again else "preprocessing"):
                encoder = clone(preprocessor(algorithm, work["numbers"], work["categories"]))
                X, X_valid = encoder.fit_transform(table.iloc[train]), encoder.transform(table.iloc[valid])
            with timed("fits and predictions"):
                n_categories = len(work["categories"])
                model = fit(
                    algorithm, given["estimator"], X, y[train], n_categories, X_valid, y[valid], work["patience"]
                )
                of_folds.append(roc_auc_score(y[valid], model.predict_proba(X_valid)[:, 1]))
            trial.report(float(np.mean(of_folds)), fold)
            trial.should_prune()  # the verdict of the study at hand is the one that counts
        pruned = given["state"] == "pruned"
        study.tell(trial, None if pruned else np.mean(of_folds), optuna.trial.TrialState.PRUNED if pruned else None)
        scores.append(of_folds)
    return scores


def main(folder):
    work = json.loads((folder / "work.json").read_text())
    rows = np.load(folder / "rows.npz")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.simplefilter("ignore", ConvergenceWarning)
    with timed("reading"):
        frame = pd.read_parquet(work["table"])
        table = frame[work["numbers"] + work["categories"]]
        y = (frame[work["target"]] == work["positive"]).to_numpy(dtype=np.int64)
    with threadpool_limits(limits=work["threads"]):
        with timed("search"):
            scores = search(work, rows, table, y)
        with timed("final fit"):
            winner = work["winner"]
            encoder = preprocessor(winner["algorithm"], work["numbers"], work["categories"])
            X = encoder.fit_transform(table.iloc[rows["learning"]])
            model = fit(winner["algorithm"], winner["estimator"], X, y[rows["learning"]], len(work["categories"]))
            predicted = model.predict_proba(encoder.transform(table.iloc[rows["test"]]))[:, 1]
    test = roc_auc_score(y[rows["test"]], predicted)
    print(json.dumps({"spent": SPENT, "scores": scores, "test": test}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
