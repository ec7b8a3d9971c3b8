"""AutoGluon's tabular predictor with the preset that the job names."""

from contest import Job, compete

METRICS = {"roc_auc": "roc_auc", "log_loss": "log_loss", "rmse": "root_mean_squared_error"}


def fit(job: Job, X, y):
    from autogluon.tabular import TabularPredictor

    predictor = TabularPredictor(
        label=job.target,
        problem_type=job.task,
        eval_metric=METRICS[job.metric],
        path=str(job.scratch / "models"),
        verbosity=0,
    )
    return predictor.fit(
        X.assign(**{job.target: y}),
        presets=job.settings["preset"],
        time_limit=job.seconds,
        num_cpus=job.cores,
        num_gpus=0,
    )


def predict(job: Job, predictor, X):
    if job.task == "regression":
        return predictor.predict(X).to_numpy(), None
    probabilities = predictor.predict_proba(X)
    return probabilities.to_numpy(), probabilities.columns


if __name__ == "__main__":
    compete("autogluon.tabular", fit, predict)
