"""The model that `mt-assets train` has written, in a process that did not train it."""

from contest import Job, compete


def fit(job: Job, X, y):
    import joblib

    return joblib.load(job.settings["model"])


def predict(job: Job, model, X):
    return (model.predict(X), None) if job.task == "regression" else (model.predict_proba(X), model.classes)


if __name__ == "__main__":
    compete("mt_assets", fit, predict)
