"""mljar-supervised in its mode Compete, which is the one for accuracy."""

from contest import Job, compete

TASKS = {"binary": "binary_classification", "multiclass": "multiclass_classification", "regression": "regression"}
METRICS = {"roc_auc": "auc", "log_loss": "logloss", "rmse": "rmse"}


def fit(job: Job, X, y):
    from supervised import AutoML

    model = AutoML(
        results_path=str(job.scratch / "models"),
        mode="Compete",
        ml_task=TASKS[job.task],
        eval_metric=METRICS[job.metric],
        total_time_limit=job.seconds,
        n_jobs=job.cores,
        random_state=job.seed,
        verbose=0,
    )
    return model.fit(X, y)


def predict(job: Job, model, X):
    if job.task == "regression":
        return model.predict(X), None
    told = model.predict_all(X)
    told = told[[name for name in told if name.startswith("prediction_")]]
    return told.to_numpy(), [name.removeprefix("prediction_") for name in told]


if __name__ == "__main__":
    compete("mljar-supervised", fit, predict)
