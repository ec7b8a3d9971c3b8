"""FLAML with its defaults, told metric, budget, cores and seed."""

from contest import Job, compete

TASKS = {"binary": "classification", "multiclass": "classification", "regression": "regression"}


def fit(job: Job, X, y):
    from flaml import AutoML

    model = AutoML()
    model.fit(
        X,
        y,
        task=TASKS[job.task],
        metric=job.metric,
        time_budget=job.seconds,
        n_jobs=job.cores,
        seed=job.seed,
        verbose=0,
        log_file_name=str(job.scratch / "flaml.log"),
    )
    return model


def predict(job: Job, model, X):
    return (model.predict(X), None) if job.task == "regression" else (model.predict_proba(X), model.classes_)


if __name__ == "__main__":
    compete("flaml", fit, predict)
