"""Feedback from an evaluator: where it may lie, which of it counts, what it means for the champion."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mt_assets.assembly import build_definitions
from mt_assets.evaluation_feedback import FeedbackVerdict, feedback_trigger, judge_feedback
from mt_assets.resources.tracking import MlflowTracking
from mt_assets.spec import TrainingSpec
from mt_assets.spec_reading import load_spec, parse_spec
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import train

GOOD = {"version": 2, "rows": 500, "metrics": {"roc_auc": 0.84, "accuracy": 0.8}}
BAD = {"version": 2, "rows": 500, "metrics": {"roc_auc": 0.71}}


def spec_of(folder: Path, source: Any = "feedback.json", **keys: Any) -> TrainingSpec:
    asked = {
        "trainDataPath": "train.csv",
        "targetColumn": "target",
        "inputs": {"evaluationFeedback": source},
        "qualityGates": {"test.roc_auc": ">=0.8", "cv.roc_auc_std": "<=0.1"},
    }
    return parse_spec(asked | keys, base=folder, default_name="churn")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Two versions, of which the second serves."""
    store = ModelStore(tmp_path / "home", "churn")
    for number in (1, 2):
        store.add_version(
            run_id=f"run-{number}", addresses={"trained_model": str(number)}, algorithm="svm", metric="f1", score=0.5
        )
        store.crown(number, instead_of=number - 1 or None)
    return store


@pytest.fixture
def judged(tmp_path: Path, store: ModelStore) -> Callable[..., FeedbackVerdict]:
    """`judged(entries, name, **keys of the spec)`: the verdict about what is written to that file."""

    def judge(content: Any, name: str = "feedback.json", **keys: Any) -> FeedbackVerdict:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return judge_feedback(spec_of(tmp_path, name, **keys), store)

    return judge


def test_a_metric_below_the_gate_of_the_spec_is_a_reason_to_train_again(judged: Any) -> None:
    verdict = judged(BAD)
    assert verdict.trigger is not None
    assert verdict.trigger.kind == "feedback"
    assert verdict.trigger.reason == ("Feedback about version 2 on 500 rows: roc_auc is 0.71, and >= 0.8 is asked for.")
    assert verdict.told == (verdict.trigger.reason,)
    assert judged(GOOD).trigger is None
    assert "no reason to train again" in judged(GOOD).told[0]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"gates": {"roc_auc": ">=0.9"}}, "roc_auc is 0.84, and >= 0.9"),
        ({"metrics": {"calls": 900}, "gates": {"calls": "<=500"}}, "calls is 900, and <= 500"),
        ({"verdict": "fail", "reason": "complaints"}, "verdict is `fail` (complaints)"),
        ({"drift": 0.3}, "drift is 0.3, and 0.2 is the threshold"),
        ({"metrics": {"roc_auc": 0.71}, "gates": {"roc_auc": ">=0.7"}}, None),
        ({"metrics": {"roc_auc": 0.71}, "verdict": "pass"}, None),
        ({"metrics": {"profit": 1}}, None),
        ({"drift": 0.1}, None),
    ],
)
def test_the_evaluators_word_goes_before_the_spec(
    tmp_path: Path, store: ModelStore, said: dict[str, Any], reason: str | None
) -> None:
    (tmp_path / "feedback.json").write_text(json.dumps(GOOD | said))
    spec = spec_of(tmp_path)
    spec = spec.model_copy(update={"retraining": spec.retraining.model_copy(update={"drift_threshold": 0.2})})
    trigger = feedback_trigger(spec, store)
    assert (trigger is None) == (reason is None)
    assert trigger is None or (reason and reason in trigger.reason)


def test_the_same_feedback_is_the_same_cause(judged: Any) -> None:
    first, same, other = judged(BAD), judged(dict(reversed(BAD.items())), "again.json"), judged(BAD | {"rows": 501})
    assert first.trigger.identity == same.trigger.identity != other.trigger.identity


def test_a_drop_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path, judged: Any, store: ModelStore) -> None:
    judged(BAD, "drops/may.json")
    judged("{", "drops/april.json")
    verdict = judge_feedback(spec_of(tmp_path, "drops"), store)
    assert verdict.trigger is not None
    assert "april.json is no valid JSON" in verdict.told[-1]

    (tmp_path / "drops" / "april.json").unlink()
    (tmp_path / "drops" / "april.json").symlink_to(tmp_path / "gone.json")
    verdict = judge_feedback(spec_of(tmp_path, "drops"), store)
    assert verdict.trigger is not None
    assert "april.json cannot be read: No such file" in verdict.told[-1]


@pytest.mark.parametrize("said", [{"version": 1}, {"version": 3}])
def test_feedback_about_a_version_that_does_not_serve_does_not_count(judged: Any, said: dict[str, Any]) -> None:
    verdict = judged(BAD | said)
    assert verdict.trigger is None
    assert f"version {said['version']}; version 2 serves now" in verdict.told[0]


def test_feedback_without_version_is_about_the_one_that_served_then(judged: Any) -> None:
    nameless = {"metrics": BAD["metrics"]}
    assert judged(nameless).trigger
    early = judged(nameless | {"window": {"from": "2020-01-01", "to": "2020-01-31"}})
    assert early.trigger is None
    assert "2020-01-31" in early.told[0]
    assert judged(nameless | {"window": {"to": "2999-01-01T00:00:00+02:00"}}).trigger


def test_feedback_about_another_model_is_passed_over(judged: Any) -> None:
    assert judged([BAD | {"model": "other"}, GOOD | {"model": "Churn"}]).trigger is None
    assert judged(BAD | {"model": "other"}) == FeedbackVerdict()
    assert judged(BAD | {"model": "live-churn"}, experimentTracking={"registeredModelName": "live churn"}).trigger


def test_without_champion_or_file_there_is_nothing_to_say(tmp_path: Path) -> None:
    empty = ModelStore(tmp_path / "empty", "churn")
    assert judge_feedback(spec_of(tmp_path), empty) == FeedbackVerdict()
    (tmp_path / "feedback.json").write_text(json.dumps(BAD))
    assert "no champion" in judge_feedback(spec_of(tmp_path), empty).told[0]


# Where it may lie


def test_the_newest_of_several_counts(tmp_path: Path, store: ModelStore, judged: Any) -> None:
    later, earlier = {"window": {"to": "2998-02-01"}}, {"window": {"to": "2998-01-01"}}
    assert judged([GOOD | later, BAD | earlier]).trigger is None
    assert judged([BAD | later, GOOD | earlier]).trigger
    assert judged([GOOD, BAD]).trigger  # without windows the later in the file

    rows = [
        {"version": 2, "metrics.roc_auc": 0.9, "window.to": pd.Timestamp("2998-01-01"), "gates.roc_auc": None},
        {"version": 2, "metrics.roc_auc": 0.6, "window.to": pd.Timestamp("2998-02-01"), "gates.roc_auc": ">=0.7"},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "table.parquet")
    trigger = feedback_trigger(spec_of(tmp_path, "table.parquet"), store)
    assert trigger is not None and ">= 0.7" in trigger.reason
    assert judged("\n".join(json.dumps(each) for each in (BAD, GOOD)) + "\n", "lines.jsonl").trigger is None


def test_a_folder_holds_one_drop_after_the_other(tmp_path: Path, store: ModelStore, judged: Any) -> None:
    judged(BAD, "drops/b.json")
    judged(GOOD, "drops/a.json")
    judged("nothing of ours", "drops/readme.txt")
    os.utime(tmp_path / "drops" / "b.json", (1_000, 1_000))
    assert feedback_trigger(spec_of(tmp_path, "drops"), store) is None
    os.utime(tmp_path / "drops" / "a.json", (500, 500))
    assert feedback_trigger(spec_of(tmp_path, "drops"), store) is not None


@pytest.mark.parametrize(
    ("content", "name", "named"),
    [
        ({"version": 2, "metric": {"roc_auc": 0.7}}, "feedback.json", "the unknown field `metric` (did you mean"),
        (BAD | {"metrics": {"roc_auc": "low"}}, "feedback.json", '`metrics.roc_auc` is "low"'),
        (BAD | {"gates": {"roc_auc": "at least 1"}}, "feedback.json", '`gates.roc_auc` is "at least 1"'),
        (BAD | {"gates": {"recall": ">=0.5"}}, "feedback.json", 'a gate for "recall"'),
        (BAD | {"window": {"from": "2026-01-01"}}, "feedback.json", "`window.to` is missing"),
        (BAD | {"version": 0}, "feedback.json", "`version` is 0"),
        ({"version": 2}, "feedback.json", "says nothing"),
        ([BAD, 7], "feedback.json", "entry 2, cannot be used: it must be a mapping"),
        ("{", "feedback.json", "no valid JSON"),
        ("{}\n{", "feedback.jsonl", "line 2"),
        ("PAR0", "feedback.parquet", "as Parquet"),
        ("a,b", "feedback.csv", "must be one of"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_field_and_value(
    judged: Any, content: Any, name: str, named: str
) -> None:
    verdict = judged(content, name)
    assert verdict.trigger is None
    [sentence] = verdict.told
    assert name in sentence
    assert named in sentence


def test_feedback_of_an_asset_is_the_file_that_it_wrote(tmp_path: Path, store: ModelStore) -> None:
    (tmp_path / "drop.json").write_text(json.dumps(BAD))
    spec = spec_of(tmp_path, {"asset": "monitor/feedback"})
    assert "where Dagster runs" in judge_feedback(spec, store).told[0]
    assert feedback_trigger(spec, store, file_of_asset=lambda key: tmp_path / "drop.json")

    def never(key: str) -> Path:
        raise DataError(f"The asset {key} has never been materialized.")

    assert judge_feedback(spec, store, file_of_asset=never).told == (
        "The asset monitor/feedback has never been materialized.",
    )
    graph = build_definitions([spec]).resolve_asset_graph()
    assert dg.AssetKey(["monitor", "feedback"]) in graph.get(dg.AssetKey(["churn", "training_plan"])).parent_keys


def test_feedback_is_no_asset_of_the_model_itself(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="an asset of this model itself"):
        spec_of(tmp_path, {"asset": "churn/feedback"})


def test_feedback_is_a_metric_of_an_experiment_or_of_the_champions_run(
    tmp_path: Path, store: ModelStore, mlflow_client: Callable[[str], Any]
) -> None:
    tracking = MlflowTracking(home=str(tmp_path / "home"))
    spec = spec_of(tmp_path, {"metric": "live.roc_auc", "experiment": "monitoring"})

    def judge(asked: TrainingSpec = spec, by: MlflowTracking = tracking) -> FeedbackVerdict:
        return judge_feedback(asked, store, metric_of=by.feedback)

    assert judge() == FeedbackVerdict()
    client = mlflow_client(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
    experiment = client.create_experiment("monitoring")
    run = client.create_run(experiment, tags={"mt_assets.version": "2"}).info.run_id
    client.log_metric(run, "live.roc_auc", 0.6)
    client.log_metric(run, "live.roc_auc", 0.9, step=1)
    client.create_run(experiment)
    assert judge().trigger is None
    client.log_metric(run, "live.roc_auc", 0.5, step=2)
    trigger = judge().trigger
    assert trigger is not None and "roc_auc is 0.5" in trigger.reason
    client.set_tag(run, "mt_assets.version", "1")
    assert "version 2 serves now" in judge().told[0]

    own = spec_of(tmp_path, {"metric": "live.roc_auc"})
    assert judge(own) == FeedbackVerdict()
    client.set_tag(run, "mt_assets.version", "2")
    client.create_registered_model("churn")
    client.create_model_version("churn", source=str(tmp_path / "model"), run_id=run)
    client.set_registered_model_alias("churn", "champion", "1")
    assert judge(own).trigger is not None
    down = MlflowTracking(home=str(tmp_path / "home"), uri="http://127.0.0.1:9")
    assert judge(own, down).trigger is None
    assert "cannot be read" in judge(own, down).told[0]


def test_bad_feedback_stops_no_training_and_is_told(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any
) -> None:
    spec = write_spec(tmp_path / "churn", customers(), inputs={"evaluationFeedback": "drops"})
    (tmp_path / "churn" / "drops").mkdir()
    (tmp_path / "churn" / "drops" / "june.json").write_text('{"metrics": {"roc_auc": "bad"}}')
    outcome = train(load_spec(spec))
    assert outcome.exit_code == 0
    with dg.DagsterInstance.get() as instance:
        [record] = instance.fetch_materializations(dg.AssetKey(["churn", "training_plan"]), limit=1).records
    assert record.asset_materialization is not None
    told = str(record.asset_materialization.metadata["evaluation_feedback"].value)
    assert "june.json" in told and "roc_auc" in told
