"""H2O AutoML with its defaults, in a Java process that is started and ended here."""

from contest import Job, compete

METRICS = {"roc_auc": "AUC", "log_loss": "logloss", "rmse": "RMSE"}


def fit(job: Job, X, y):
    import h2o
    from h2o.automl import H2OAutoML

    automl = H2OAutoML(
        max_runtime_secs=job.seconds,
        sort_metric=METRICS[job.metric],
        seed=job.seed,
        verbosity=None,
    )
    h2o.no_progress()
    kinds = {name: "categorical" for name in X if X[name].dtype.kind not in "biufM"}
    frame = h2o.H2OFrame(X.assign(**{job.target: y}), column_types=dict.fromkeys(kinds, "enum"))
    if job.task != "regression":
        frame[job.target] = frame[job.target].asfactor()
    automl.train(y=job.target, training_frame=frame)
    return automl.leader, kinds


def predict(job: Job, fitted, X):
    import h2o

    leader, kinds = fitted
    told = leader.predict(h2o.H2OFrame(X, column_types=dict.fromkeys(kinds, "enum"))).as_data_frame()
    if job.task == "regression":
        return told["predict"].to_numpy(), None
    classes = leader._model_json["output"]["domains"][-1]
    return told.drop(columns="predict").to_numpy(), classes


if __name__ == "__main__":
    import os

    import h2o

    h2o.init(nthreads=len(os.sched_getaffinity(0)), port=54333, verbose=False)
    try:
        compete("h2o", fit, predict)
    finally:
        h2o.cluster().shutdown()
