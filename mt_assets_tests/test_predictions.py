"""New rows scored by the champion: what is written and shown, by day and by file, and how answers close the loop."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml

from mt_assets.assembly import build_definitions
from mt_assets.evaluation_feedback import judge_feedback
from mt_assets.scoring import WRITERS
from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import load_spec, parse_spec
from mt_assets.spec_support import SCORED_SUFFIXES
from mt_assets.trainer.errors import SpecError
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import ensure_instance, train

KEY = dg.AssetKey(["churn", "predictions"])


class Model:
    """A model that is trained once; its spec can ask for predictions in any way."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path = path
        self.store = ModelStore(home, "churn")

    def write(self, name: str, frame: pd.DataFrame) -> None:
        (self.path.parent / name).parent.mkdir(exist_ok=True)
        frame.to_csv(self.path.parent / name, index=False)

    def spec(self, **predictions: Any) -> TrainingSpec:
        asked = yaml.safe_load(self.path.read_text())
        asked |= {"predictions": {"dataPath": "new.csv", **predictions}, "qualityGates": {"test.roc_auc": ">=0.6"}}
        return parse_spec(asked, base=self.path.parent, default_name="churn")

    def score(self, partition: str | None = None, **predictions: Any) -> dict[str, Any]:
        """Run the scoring job; gives the metadata, or of a failed run its error as `error`."""
        job = build_definitions([self.spec(**predictions)]).resolve_job_def("churn_scoring")
        with dg.DagsterInstance.get() as instance:
            if partition and predictions["partitions"] == "file":
                instance.add_dynamic_partitions("churn_scored_files", [partition])
            done = job.execute_in_process(instance=instance, partition_key=partition, raise_on_error=False)
        if not done.success:
            [failed] = [event for event in done.all_events if event.is_step_failure]
            return {"error": failed.step_failure_data.user_failure_data.description}
        [made] = done.asset_materializations_for_node("churn__predictions")
        return {name: value.value for name, value in made.metadata.items()}


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, write_spec: Any, customers: Any, at_home: Callable[[Path], Any]
) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("predictions")
    with at_home(folder / "home") as home:
        model = Model(write_spec(folder / "churn", customers(300)), home)
        model.write("new.csv", new_rows(customers))
        ensure_instance()
        assert "has not been trained yet" in model.score()["error"]
        assert train(load_spec(model.path)).exit_code == 0
        yield model


@pytest.fixture(autouse=True)
def forget(request: pytest.FixtureRequest) -> None:
    """No test hears what the one before kept."""
    if "model" in request.fixturenames:
        store = request.getfixturevalue("model").store
        (store.folder / "kept" / "evaluation_feedback.json").unlink(missing_ok=True)


def new_rows(customers: Any, rows: int = 120, seed: int = 5, *, answers: bool = False) -> pd.DataFrame:
    frame = customers(rows, seed).assign(id=range(rows))
    return frame if answers else frame.drop(columns="target")


def test_rows_are_scored_by_the_champion_and_compared_with_what_it_learned_from(model: Model, customers: Any) -> None:
    model.write("new.csv", new_rows(customers))
    shown = model.score()
    scored = pd.read_parquet(shown["path"])
    assert Path(shown["path"]) == model.store.folder / "predictions" / "predictions.parquet"
    assert list(scored) == [
        *("age", "income", "category", "id"), "predicted_target", "probability_no", "probability_yes",
    ]  # fmt: skip
    assert (shown["dagster/row_count"], shown["version"], shown["answers"]) == (120, 1, 0)
    assert shown["drift"] < 0.1
    assert {row.data["column"] for row in shown["drift_columns"].records} == {"age", "income", "category"}
    assert "predicted" in shown["preview"].replace("&#95;", "_")
    assert len(shown["predicted"]) < 30_000
    assert not [name for name in shown if name.startswith("live")]
    assert model.store.kept("evaluation_feedback") is None

    older = new_rows(customers)
    model.write("new.csv", older.assign(age=older["age"] + 30))
    assert model.score()["drift"] > 0.1


def test_answers_give_live_metrics_and_a_missed_gate_is_a_reason_to_train_again(model: Model, customers: Any) -> None:
    good = new_rows(customers, answers=True)
    model.write("new.csv", good)
    shown = model.score(output="scored.csv")
    assert Path(shown["path"]) == model.path.parent / "scored.csv"
    assert shown["answers"] == len(good)
    assert shown["live.roc_auc"] > 0.6
    assert shown["test.roc_auc"] > 0.6
    row = {each.data["metric"]: each.data for each in shown["live_metrics"].records}["roc_auc"]
    assert (row["live"], row["test"]) == (shown["live.roc_auc"], shown["test.roc_auc"])
    assert judge_feedback(model.spec(), model.store).trigger is None

    wrong = good.assign(target=good["target"].map({"yes": "no", "no": "yes"}))
    model.write("new.csv", wrong)
    assert model.score()["live.roc_auc"] < 0.4
    trigger = judge_feedback(model.spec(), model.store).trigger
    assert trigger is not None
    assert trigger.kind == "feedback"
    assert "roc_auc is 0." in trigger.reason and ">= 0.6" in trigger.reason
    model.score()
    again = judge_feedback(model.spec(), model.store).trigger
    assert again is not None and again.identity == trigger.identity  # the same answers are no new cause


def test_live_metrics_below_a_gate_have_the_sensor_train_again(model: Model, customers: Any) -> None:
    rows = new_rows(customers, answers=True)
    defs = build_definitions([model.spec()])
    sensor = defs.resolve_sensor_def("churn_retraining_sensor")

    def tick() -> Any:
        with (
            dg.DagsterInstance.get() as instance,
            dg.build_sensor_context(instance=instance, resources=defs.resources) as context,
        ):
            return sensor(context)

    model.write("new.csv", rows)
    model.score()
    assert not tick().run_requests
    model.write("new.csv", rows.assign(target=rows["target"].map({"yes": "no", "no": "yes"})))
    model.score()
    [asked] = tick().run_requests
    assert "roc_auc is 0." in asked.tags["mt_assets/reason"]


def test_answers_are_matched_by_key_in_any_order(model: Model, customers: Any) -> None:
    rows = new_rows(customers, answers=True)
    model.write("new.csv", rows.drop(columns="target"))
    by_key = {"labelsPath": "labels.csv", "keyColumns": ["id"]}
    (model.path.parent / "labels.csv").unlink(missing_ok=True)
    early = model.score(**by_key)
    assert early["answers"] == 0
    assert "No live metrics: There is no file" in early["notes"]

    model.write("labels.csv", rows[["id", "target"]].sample(frac=0.5, random_state=0).assign(other=1))
    late = model.score(**by_key)
    assert late["answers"] == 60
    assert late["live.roc_auc"] > 0.6
    assert model.store.kept("evaluation_feedback") is not None

    for labels, said in (
        (rows[["id", "target"]].iloc[[0, 0]], "more than one row for id = 0"),
        (rows[["target"]], "lack the key column 'id'"),
        (rows[["id"]], "lacks the target 'target'"),
        (rows[["id"]].assign(target="maybe"), "'maybe', which the model does not know"),
        (rows[["id", "target"]].assign(id=rows["id"] + 1_000), "no row's answer is known yet"),
    ):
        model.write("labels.csv", labels)
        assert said in model.score(**by_key)["notes"]


def test_a_handful_of_answers_is_shown_and_is_no_feedback(model: Model, customers: Any) -> None:
    rows = new_rows(customers, answers=True)
    model.write("new.csv", rows.assign(target=rows["target"].where(rows.index < 20)))
    shown = model.score()
    assert shown["answers"] == 20
    assert "live.accuracy" in shown
    assert model.store.kept("evaluation_feedback") is None


def test_rows_that_cannot_be_scored_are_refused_with_the_column(model: Model, customers: Any) -> None:
    model.write("new.csv", new_rows(customers).drop(columns="age"))
    assert "'age'" in model.score()["error"]
    assert model.store.failure("") is None
    assert not list((model.store.folder / "failures").glob("*"))  # it is no training that failed


def test_days_are_scored_one_by_one_and_an_older_day_does_not_speak_after_a_newer(model: Model, customers: Any) -> None:
    rows = new_rows(customers, answers=True)
    wrong = rows["target"].map({"yes": "no", "no": "yes"})
    days = pd.Timestamp("2026-03-01 12:00") + pd.to_timedelta(rows.index % 2, "D")
    model.write("new.csv", rows.assign(at=days, target=rows["target"].where(rows.index % 2 == 1, wrong)))
    daily = {"partitions": "daily", "start": "2026-03-01", "timeColumn": "at", "output": "by_day"}
    second = model.score("2026-03-02", **daily)
    assert second["dagster/row_count"] == 60
    assert len(pd.read_parquet(model.path.parent / "by_day" / "2026-03-02.parquet")) == 60
    assert judge_feedback(model.spec(), model.store).trigger is None
    assert model.score("2026-03-01", **daily)["live.roc_auc"] < 0.4
    assert judge_feedback(model.spec(), model.store).trigger is None
    assert "No row" in model.score("2026-03-05", **daily)["error"]
    assert "no column 'when'" in model.score("2026-03-05", **(daily | {"timeColumn": "when"}))["error"]


def test_files_are_scored_when_they_arrive(model: Model, customers: Any) -> None:
    by_file = {"partitions": "file", "dataPath": "arrived"}
    for name in ("a.csv", "b.csv"):
        model.write(f"arrived/{name}", new_rows(customers, 40))
    defs = build_definitions([model.spec(**by_file)])
    sensor = defs.resolve_sensor_def("churn_new_files")
    with dg.DagsterInstance.get() as instance:

        def tick() -> Any:
            with dg.build_sensor_context(instance=instance, resources=defs.resources) as context:
                return sensor(context)

        said = tick()
        assert [request.partition_key for request in said.run_requests] == ["a.csv", "b.csv"]
        [added] = said.dynamic_partitions_requests
        instance.add_dynamic_partitions(added.partitions_def_name, added.partition_keys)
        assert "are known" in tick().skip_message
        model.write("arrived/c.csv", new_rows(customers, 40))
        assert [request.partition_key for request in tick().run_requests] == ["c.csv"]
    shown = model.score("b.csv", **by_file)
    assert shown["dagster/row_count"] == 40
    assert Path(shown["path"]).name == "b.csv.parquet"
    assert "No file" in model.score("z.csv", **by_file)["error"]


# The graph


def test_training_jobs_leave_predictions_out_and_the_group_trains_and_then_scores(model: Model) -> None:
    defs = build_definitions([model.spec(schedule="0 6 * * *")])
    graph = defs.resolve_asset_graph()
    assert graph.get(KEY).group_name == "churn"
    assert graph.get(KEY).parent_keys == {dg.AssetKey(["churn", "registered_model"])}
    for job, scored in (("churn_training", False), ("churn_retraining", False), ("churn_scoring", True)):
        assert (KEY in defs.resolve_job_def(job).asset_layer.selected_asset_keys) == scored
    schedule = defs.resolve_schedule_def("churn_scoring_schedule")
    assert (schedule.cron_schedule, schedule.job_name) == ("0 6 * * *", "churn_scoring")
    nothing = build_definitions([load_spec(model.path)])
    assert KEY not in nothing.resolve_asset_graph().get_all_asset_keys()
    daily = build_definitions([model.spec(partitions="daily", start="2026-01-01", timeColumn="at")])
    assert daily.resolve_asset_graph().get(KEY).group_name == "churn_scoring"


def test_one_run_of_the_group_trains_and_scores(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, program: Any
) -> None:
    new_rows(customers).to_csv(tmp_path / "new.csv", index=False)
    spec = write_spec(tmp_path / "churn", customers(), predictions={"dataPath": "../new.csv", "output": "s.parquet"})
    command = ("dagster", "asset", "materialize", "--select", "group:churn", "-m", "mt_assets.definitions")
    (home / "dagster").mkdir(parents=True)
    done = program(*command, MT_ASSETS_SPECS=str(spec))
    assert done.returncode == 0, done.stderr
    assert "predicted_target" in pd.read_parquet(spec.parent / "s.parquet")


def test_the_day_that_is_over_is_scored_by_the_clock(model: Model) -> None:
    defs = build_definitions(
        [model.spec(partitions="daily", start="2026-03-01", timeColumn="at", schedule="0 6 * * *")]
    )
    schedule = defs.resolve_schedule_def("churn_scoring_schedule")
    for moment, day in ((datetime(2026, 3, 5, 6, tzinfo=UTC), "2026-03-04"), (datetime(2026, 3, 1, 6, tzinfo=UTC), "")):
        repository = defs.get_repository_def()
        with dg.build_schedule_context(scheduled_execution_time=moment, repository_def=repository) as context:
            said = schedule.evaluate_tick(context)
        assert [request.partition_key for request in said.run_requests] == ([day] if day else [])


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"labelsPath": "l.csv"}, "`predictions.keyColumns` is missing"),
        ({"keyColumns": ["id"]}, "no `labelsPath`"),
        ({"partitions": "daily", "timeColumn": "at"}, "needs `start`"),
        ({"partitions": "daily", "start": "2026-01-01"}, "needs `start`"),
        ({"start": "2026-01-01"}, "`predictions.start`"),
        ({"start": "1.1.2026"}, 'a day is written "2026-01-31"'),
        ({"partitions": "file", "dataPath": "s3://a/b"}, "a folder or glob on this machine"),
        ({"partitions": "file", "schedule": "0 6 * * *"}, "when it arrives"),
        ({"output": "scored.xlsx"}, "its suffix must be one of"),
        ({"partitions": "file", "output": "scored.csv"}, "name a folder"),
        ({"dataPath": {"asset": "churn/raw_data"}}, "an asset of this model itself"),
        ({"datapath": "new.csv"}, "did you mean `dataPath`"),
    ],
)
def test_what_does_not_go_together_is_refused(keys: dict[str, Any], named: str) -> None:
    asked = {"trainDataPath": "a.csv", "targetColumn": "t", "predictions": {"dataPath": "new.csv", **keys}}
    with pytest.raises(SpecError) as refused:
        parse_spec(asked, base=Path("/specs"), default_name="churn")
    assert named in refused.value.message


def test_every_form_that_can_be_written_can_be_asked_for() -> None:
    assert set(SCORED_SUFFIXES) == set(WRITERS)
