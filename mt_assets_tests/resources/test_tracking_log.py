"""What of a training stands in MLflow, looked at through a client of one's own: embedded database and real server."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mt_assets.resources.mlflow_model import save_model, signature
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.reporting.tracked import ExperimentRun, RegisteredVersion, TrainingBundle, dataset_digest

PREDICT_ELSEWHERE = """
import sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
frame = pd.read_csv(sys.argv[3])
labels = mlflow.pyfunc.load_model(sys.argv[2]).predict(frame)
gaps = pd.DataFrame([{"age": 50, "income": None, "plan": None, "since": None}])
one_row = mlflow.pyfunc.load_model(sys.argv[2]).predict(gaps)
probabilities = mlflow.sklearn.load_model(sys.argv[2]).predict_proba(frame)
pd.DataFrame({"label": labels, "p": probabilities[:, 1], "one": one_row[0]}).to_parquet(sys.argv[4])
"""


@dataclass(frozen=True)
class Logged:
    """A training in one tracker."""

    tracking: MlflowTracking
    uri: str
    client: Any
    run: ExperimentRun
    version: RegisteredVersion

    def stored(self) -> Any:
        return self.client.get_run(self.run.run_id)

    def file(self, name: str, folder: Path) -> Path:
        return Path(self.client.download_artifacts(self.run.run_id, name, str(folder)))


@pytest.fixture(scope="module", params=["embedded", "server"])
def logged(
    request: pytest.FixtureRequest,
    bundle: TrainingBundle,
    server: str,
    client_of: Callable[[str], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Logged:
    home = tmp_path_factory.mktemp("home")
    uri = server if request.param == "server" else f"sqlite:///{home / 'mlflow.db'}"
    tracking = MlflowTracking(home=str(home), uri=uri if request.param == "server" else "")
    run = tracking.log_training(bundle)
    return Logged(tracking, uri, client_of(uri), run, tracking.register(bundle, run))


def test_run_is_finished_and_linked(logged: Logged, bundle: TrainingBundle) -> None:
    info = logged.stored().info

    assert logged.run.status == "logged"
    assert (info.status, info.experiment_id) == ("FINISHED", logged.run.experiment_id)
    assert info.end_time - info.start_time == 1000 * bundle.seconds
    assert logged.run.tracking_uri == logged.uri
    if logged.uri.startswith("http"):
        assert logged.run.url == f"{logged.uri}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    else:
        assert logged.run.url is None


def test_parameters_are_flat(logged: Logged, bundle: TrainingBundle) -> None:
    params = logged.stored().data.params

    assert {name: params[name] for name in bundle.best.params} == {k: _text(v) for k, v in bundle.best.params.items()}
    assert params["algorithm"] == bundle.best.algorithm
    assert params["spec.hyperparameterSearch.nTrials"] == "4"
    assert params["spec.targetColumn"] == "churned"
    assert params["plan.metric"] == bundle.plan.metric
    assert params["data.rows"] == str(len(bundle.table))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def test_metrics_of_every_kind(logged: Logged, bundle: TrainingBundle) -> None:
    metrics = logged.stored().data.metrics

    for group, values in {"test": bundle.evaluation.test, "baseline": bundle.evaluation.baseline}.items():
        known = {f"{group}.{name}": value for name, value in values.items() if value is not None}
        assert {name: metrics[name] for name in known} == pytest.approx(known)
    assert metrics["cv.roc_auc_mean"] == pytest.approx(bundle.evaluation.cross_validation["roc_auc_mean"])
    assert metrics["validation.accuracy"] == pytest.approx(bundle.evaluation.validation["accuracy"])
    assert metrics["model.size_mb"] > 0


def test_folds_and_trials_are_steps(logged: Logged, bundle: TrainingBundle) -> None:
    def steps(key: str) -> list[tuple[int, float]]:
        return sorted((each.step, each.value) for each in logged.client.get_metric_history(logged.run.run_id, key))

    scores = {trial.number: trial.score for trial in bundle.study.trials if trial.score is not None}
    complete = [scores[trial.number] for trial in bundle.study.trials if trial.state == "complete"]
    assert [value for _, value in steps(f"fold.{bundle.study.metric}")] == pytest.approx(
        list(bundle.study.best.fold_scores)
    )
    assert steps("trial.score") == [(number, pytest.approx(score)) for number, score in scores.items()]
    assert [value for _, value in steps("trial.best")] == pytest.approx(list(np.maximum.accumulate(complete)))


def test_trials_are_a_table(logged: Logged, bundle: TrainingBundle, tmp_path: Path) -> None:
    table = json.loads(logged.file("trials.json", tmp_path).read_text())
    trials = pd.DataFrame(table["data"], columns=table["columns"])

    assert list(trials["number"]) == [trial.number for trial in bundle.study.trials]
    assert list(trials["algorithm"]) == [trial.algorithm for trial in bundle.study.trials]
    assert json.loads(logged.stored().data.tags["mlflow.loggedArtifacts"]) == [{"path": "trials.json", "type": "table"}]


def test_datasets_carry_the_digest_of_their_rows(logged: Logged, bundle: TrainingBundle) -> None:
    inputs = logged.stored().inputs.dataset_inputs
    digests = {each.tags[0].value: each.dataset.digest for each in inputs}
    rows = {each.tags[0].value: json.loads(each.dataset.profile)["num_rows"] for each in inputs}

    assert digests == {
        "train": dataset_digest(bundle, bundle.splits.learning),
        "test": dataset_digest(bundle, bundle.splits.test),
    }
    assert rows == {"train": len(bundle.splits.learning), "test": len(bundle.splits.test)}


def test_test_metrics_belong_to_model_and_data(logged: Logged, bundle: TrainingBundle) -> None:
    (model,) = logged.client.search_logged_models([logged.run.experiment_id], f"source_run_id = '{logged.run.run_id}'")
    metrics = {metric.key: metric for metric in model.metrics}

    assert model.status == "READY"
    assert [output.model_id for output in logged.stored().outputs.model_outputs] == [model.model_id]
    assert set(metrics) == {f"test.{name}" for name, value in bundle.evaluation.test.items() if value is not None}
    assert metrics["test.roc_auc"].dataset_digest == dataset_digest(bundle, bundle.splits.test)


def test_decisions_are_the_note(logged: Logged, bundle: TrainingBundle) -> None:
    note = logged.stored().data.tags["mlflow.note.content"]

    assert len(note) <= 8000
    assert bundle.plan.decisions[0].reason in note
    assert bundle.promotion.reason in note


def test_run_and_version_say_where_they_come_from(logged: Logged, bundle: TrainingBundle) -> None:
    version = logged.client.get_model_version(logged.version.name, logged.version.version)
    expected = {
        "mt_assets.training_id": bundle.training_id,
        "mt_assets.data_version": bundle.data_version,
        "mt_assets.spec_hash": bundle.spec.digest,
        "mt_assets.dagster_run": "run-1",
    }

    assert logged.stored().data.tags.items() >= expected.items()
    assert version.tags.items() >= expected.items()
    assert version.run_id == logged.run.run_id


def test_files(logged: Logged, bundle: TrainingBundle, tmp_path: Path) -> None:
    top = {entry.path for entry in logged.client.list_artifacts(logged.run.run_id)}
    plots = {entry.path for entry in logged.client.list_artifacts(logged.run.run_id, "plots")}

    assert top >= {"model.joblib", "feature_importance.json", "training_history.json", "spec.json", "plan.json"}
    assert plots >= {"plots/confusion_matrix.png", "plots/roc_curve.png", "plots/optimization_history.png"}
    assert not any("small" in path for path in plots)
    assert logged.file("model.joblib", tmp_path).read_bytes() == (bundle.trained.path / "model.joblib").read_bytes()
    assert json.loads(logged.file("spec.json", tmp_path).read_text())["targetColumn"] == "churned"


def test_model_predicts_in_a_fresh_process(
    logged: Logged, bundle: TrainingBundle, data_folder: Path, tmp_path: Path
) -> None:
    """Columns as pandas reads them from the user's own file (int64, float64 with gaps, text), and a single row of
    whole numbers and gaps: neither may be turned away by the signature."""
    table, answer = data_folder / "train.csv", tmp_path / "answer.parquet"
    subprocess.run(
        [sys.executable, "-c", PREDICT_ELSEWHERE, logged.uri, str(logged.version.uri), str(table), str(answer)],
        cwd=tmp_path,
        check=True,
    )
    elsewhere, here = pd.read_parquet(answer), pd.read_csv(table)

    assert list(elsewhere["label"]) == list(bundle.trained.model.predict(here))
    np.testing.assert_allclose(elsewhere["p"], bundle.trained.model.predict_proba(here)[:, 1], rtol=1e-9)
    assert set(elsewhere["one"]) <= {"yes", "no"}


def test_model_has_signature_example_and_exact_requirements(
    logged: Logged, bundle: TrainingBundle, tmp_path: Path
) -> None:
    import mlflow
    import yaml

    place = logged.client.get_model_version_download_uri(logged.version.name, logged.version.version)
    folder = Path(mlflow.artifacts.download_artifacts(place, dst_path=str(tmp_path), tracking_uri=logged.uri))
    description = yaml.safe_load((folder / "MLmodel").read_text())
    inputs = {column["name"]: column["type"] for column in json.loads(description["signature"]["inputs"])}
    requirements = (folder / "requirements.txt").read_text().split()

    assert inputs == {"age": "any", "income": "any", "plan": "string", "since": "datetime"}
    assert json.loads(description["signature"]["outputs"]) == [{"type": "string", "required": True}]
    assert description["metadata"]["columns"]["age"] == "int64"
    assert len(json.loads((folder / "input_example.json").read_text())["data"]) == 5
    assert all("==" in line for line in requirements)
    assert {line.partition("==")[0] for line in requirements} >= {"scikit-learn", "skops", "numpy", "pandas", "skrub"}
    assert set(description["flavors"]) == {"python_function", "sklearn"}


def test_logging_again_changes_nothing(logged: Logged, bundle: TrainingBundle) -> None:
    before = logged.stored().to_dictionary()

    assert logged.tracking.log_training(bundle) == logged.run
    assert logged.tracking.register(bundle, logged.run) == logged.version
    assert logged.stored().to_dictionary() == before
    assert len(logged.client.search_runs([logged.run.experiment_id])) == 1
    assert len(logged.client.search_model_versions(f"name = '{logged.version.name}'")) == 1


def test_long_values_and_many_trials(bundle: TrainingBundle, client_of: Callable[[str], Any], home: Path) -> None:
    """6,000 characters a parameter and 1,000 metrics a call are MLflow's limits."""
    trial = bundle.study.trials[0]
    trials = tuple(trial.model_copy(update={"number": number}) for number in range(1200))
    study = bundle.study.model_copy(update={"trials": trials, "best_number": 0})
    spec = bundle.spec.model_copy(update={"known_ahead": tuple(f"column_{number}" for number in range(900))})
    tracking = MlflowTracking(home=str(home))
    run = tracking.log_training(replace(bundle, study=study, spec=spec))
    client = client_of(f"sqlite:///{home / 'mlflow.db'}")

    assert run.status == "logged"
    assert len(client.get_metric_history(run.run_id, "trial.score")) == 1200
    assert len(client.get_run(run.run_id).data.params["spec.knownAhead"]) == 6000


def test_undefined_figures_are_left_out(bundle: TrainingBundle, client_of: Callable[[str], Any], home: Path) -> None:
    test = {**bundle.evaluation.test, "roc_auc": None, "log_loss": math.nan}
    odd = replace(bundle, evaluation=bundle.evaluation.model_copy(update={"test": test}))
    run = MlflowTracking(home=str(home)).log_training(odd)
    metrics = client_of(f"sqlite:///{home / 'mlflow.db'}").get_run(run.run_id).data.metrics

    assert "test.accuracy" in metrics
    assert not {"test.roc_auc", "test.log_loss"} & set(metrics)


class NobodyKnows:
    """A type that no allow-list names."""


def test_model_with_a_type_outside_the_allow_list_is_refused(bundle: TrainingBundle, home: Path) -> None:
    trained = type(bundle.trained).load(bundle.trained.path)
    trained.model.pipeline["model"].surprise_ = NobodyKnows()
    tracking = MlflowTracking(home=str(home))

    with pytest.raises(TrainingError, match="NobodyKnows"):
        tracking.log_training(replace(bundle, trained=trained))


def test_passwords_reach_no_tracker(bundle: TrainingBundle, client_of: Callable[[str], Any], home: Path) -> None:
    from mt_assets.spec import SqlSource

    source = SqlSource(connection="postgresql://reader:geheim@db/warehouse", query="select * from customers")
    secret = replace(bundle, spec=bundle.spec.model_copy(update={"train_data_path": source}))
    run = MlflowTracking(home=str(home)).log_training(secret)

    assert run.status == "logged"
    written = [home / "mlflow.db", *(path for path in (home / "mlartifacts").rglob("*") if path.is_file())]
    assert not [path for path in written if b"geheim" in path.read_bytes()]


def test_deleted_experiment_is_restored(bundle: TrainingBundle, client_of: Callable[[str], Any], home: Path) -> None:
    tracking = MlflowTracking(home=str(home))
    first = tracking.log_failure(bundle.spec, "churn/0", {"type": "DataError", "message": "no such file"})
    client = client_of(f"sqlite:///{home / 'mlflow.db'}")
    client.delete_experiment(first.experiment_id)

    run = tracking.log_training(bundle)

    assert (run.status, run.experiment_id) == ("logged", first.experiment_id)
    assert client.get_experiment(first.experiment_id).lifecycle_stage == "active"


@pytest.mark.parametrize(
    ("prediction", "kind"),
    [
        (np.array(["a", "b"], dtype=object), "string"),
        (np.array([1, 2]), "long"),
        (np.array([0.5, 1.0]), "double"),
        (np.array([True, False]), "boolean"),
    ],
)
def test_signature_names_the_kind_of_answer(bundle: TrainingBundle, prediction: Any, kind: str) -> None:
    found = signature(bundle.table.schema, ["age", "plan"], prediction)

    assert found.outputs.to_dict() == [{"type": kind, "required": True}]
    assert found.inputs.input_names() == ["age", "plan"]


def test_threshold_and_calibration_travel_with_the_model(bundle: TrainingBundle, tmp_path: Path) -> None:
    from mt_assets.resources.mlflow_model import save_model
    from mt_assets.resources.mlflow_store import import_mlflow
    from mt_assets.trainer.evaluation.calibration import Calibration
    from mt_assets.trainer.model import TrainedModel

    import_mlflow()
    import mlflow.pyfunc

    own, trained = bundle.trained.model, bundle.trained
    frame = bundle.table.take(bundle.splits.test).frame()
    usual = own.predict(frame)
    model = copy(own).set_params(threshold=0.05, calibration=Calibration("sigmoid", slope=0.5, biases=(0.0, -0.5)))
    changed = TrainedModel(trained.facts, trained.rows, trained.fixture, trained.expected, model=model)
    save_model(replace(bundle, trained=changed), tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    labels = loaded.predict(frame[list(model.features)])
    assert list(labels) == list(model.predict(frame))
    assert list(labels) != list(usual)


def test_an_ensemble_is_one_model_with_its_members_told(
    bundle: TrainingBundle, client_of: Callable[[str], Any], home: Path, tmp_path: Path
) -> None:
    from mt_assets.trainer.features.preprocessor import TablePreprocessor
    from mt_assets.trainer.search.result import Member
    from mt_assets.trainer.training import train_final

    of_each = {trial.algorithm: trial for trial in bundle.study.trials}
    members = tuple(
        Member(algorithm=name, params=trial.params, weight=0.5, trial_number=trial.number, searched=trial.params)
        for name, trial in sorted(of_each.items())
    )
    best = bundle.best.model_copy(update={"ensemble": members})
    preprocessor = TablePreprocessor(columns=dict[str, str](bundle.profile.features))
    trained = train_final(bundle.plan, best, bundle.table, bundle.profile, bundle.splits, preprocessor)
    (tmp_path / "stored").mkdir()
    trained.save(tmp_path / "stored")
    combined = replace(bundle, best=best, trained=type(trained).load(tmp_path / "stored"))
    run = MlflowTracking(home=str(home)).log_training(combined)
    client = client_of(f"sqlite:///{home / 'mlflow.db'}")

    params = client.get_run(run.run_id).data.params
    assert params["ensemble"] == "0.50 lightgbm, 0.50 logistic_regression"
    assert {name for name in params if "." not in name} == {"algorithm", "ensemble", *bundle.best.params}
    assert "ensemble.json" in {file.path for file in client.list_artifacts(run.run_id)}

    save_model(combined, tmp_path / "mlflow")
    import mlflow

    loaded = mlflow.pyfunc.load_model(str(tmp_path / "mlflow"))
    rows = bundle.table.take(bundle.splits.test).frame()[list(trained.model.features)]
    assert list(loaded.predict(rows)) == list(trained.model.predict(rows))
    assert "lightgbm==" in (tmp_path / "mlflow" / "requirements.txt").read_text()
