"""What is remembered about a model's data."""

from pathlib import Path

from mt_assets.trainer.retraining.decision import RetrainingDecision
from mt_assets.trainer.retraining.history import MOST_DECISIONS, History, Reading
from mt_assets.trainer.store.model_store import ModelStore


def test_only_changes_are_written_down_for_each_step(tmp_path: Path) -> None:
    history = History(ModelStore(tmp_path, "churn"))
    reading = RetrainingDecision(step="read", rule="read.unchanged", reason="The same.")
    training = RetrainingDecision(step="train", rule="train.handled", reason="Done.", evidence={"version": 1})
    noted = [history.note_decision(each) for each in (reading, training, reading, training)]
    assert [each is None for each in noted] == [False, False, True, True]
    assert history.decisions() == noted[:2]
    assert history.decisions()[0].at
    other = training.model_copy(update={"evidence": {"version": 2}})
    assert history.note_decision(other) == history.decisions()[-1]


def test_what_is_damaged_is_left_out_and_the_next_is_noted(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, "churn")
    history = History(store)
    for number in range(3):
        history.note_decision(RetrainingDecision(step="read", rule="read.changed", reason=str(number)))
    path = store.folder / "retraining" / "decisions.jsonl"
    first, _, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\x13\xff\xfe garbage\n" + last[:-20])
    assert [each.reason for each in history.decisions()] == ["0"]
    history.note_decision(RetrainingDecision(step="read", rule="read.changed", reason="3"))
    assert [each.reason for each in history.decisions()] == ["0", "3"]
    history.note_reading(Reading(observed="1", question="?", run_id="a"))
    (store.folder / "retraining" / "reading.json").write_bytes(b"\xff\xfe")
    assert history.reading is None


def test_the_oldest_decisions_make_room(tmp_path: Path) -> None:
    history = History(ModelStore(tmp_path, "churn"))
    for number in range(MOST_DECISIONS + 5):
        history.note_decision(RetrainingDecision(step="read", rule="read.changed", reason=str(number)))
    assert [each.reason for each in history.decisions()][:: MOST_DECISIONS - 1] == ["5", str(MOST_DECISIONS + 4)]
