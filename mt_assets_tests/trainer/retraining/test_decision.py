"""Each rule about reading and about training again, on facts alone."""

from dataclasses import replace
from typing import Any

import pytest

from mt_assets.spec import Retraining
from mt_assets.trainer.retraining.decision import (
    Attempts,
    Comparison,
    ReadingFacts,
    RetrainingFacts,
    decide_reading,
    decide_retraining,
)
from mt_assets.trainer.retraining.trigger import Trigger

NOW = 1_000_000.0
NEWS = RetrainingFacts(
    model="churn", now=NOW, data_version="d2", trained_at=NOW - 900, comparison=Comparison(rows=200, new_rows=80)
)
FEEDBACK = Trigger(kind="feedback", reason="Recall in production is 0.4.", identity="march")
OTHER = ReadingFacts(model="churn", now=NOW, observed="f2", read_last="f1")


def with_drift(drift: float) -> Comparison:
    return Comparison(rows=200, new_rows=80, drift=drift, drifted=("income",))


@pytest.mark.parametrize(
    ("policy", "facts", "rule", "said"),
    [
        ({}, {"data_version": ""}, "never_read", "Materialize it once"),
        ({}, {"handled_by": 3}, "handled", "Version 3"),
        ({}, {"busy": "0123456789"}, "busy", "01234567 of churn"),
        ({}, {"attempts": Attempts(1, NOW - 59)}, "back_off", "1970-01-12 13:46:41 UTC"),
        ({}, {"attempts": Attempts(2, NOW - 299)}, "back_off", "Attempt 2"),
        ({}, {"attempts": Attempts(3, NOW - 9999)}, "given_up", "3 attempts"),
        ({}, {"attempts": Attempts(1, NOW - 9999, cancelled=True)}, "cancelled", "A person"),
        ({"cooldown": 901}, {}, "cooldown", "1970-01-12 13:46:41 UTC"),
        ({"cooldown": 901}, {"triggers": (FEEDBACK,)}, "cooldown", "`retraining.cooldown` of 901 s"),
        ({}, {"triggers": (FEEDBACK,), "busy": "x"}, "busy", "has not ended"),
        ({}, {"comparison": None}, "comparing", "is being compared"),
        ({"minNewRows": 81}, {}, "too_few_rows", "80 rows are new"),
        ({}, {"comparison": Comparison(rows=120, new_rows=0)}, "too_few_rows", "0 rows are new"),
        ({"driftThreshold": 0.2}, {"comparison": with_drift(0.1)}, "no_drift", "their drift is 0.100"),
    ],
)
def test_reasons_not_to_train(policy: dict[str, Any], facts: dict[str, Any], rule: str, said: str) -> None:
    decision = decide_retraining(Retraining.model_validate(policy), replace(NEWS, **facts))
    assert (decision.retrain, decision.read, decision.rule) == (False, False, f"train.{rule}")
    assert said in decision.reason


@pytest.mark.parametrize(
    ("policy", "facts", "rule", "said"),
    [
        ({}, {}, "new_data", "80 rows are new since the last training."),
        ({"minNewRows": 80, "cooldown": 900}, {}, "new_data", "80 rows"),
        ({}, {"trained_at": None}, "first", "200 rows are there, and no model was trained yet."),
        ({"minNewRows": 500}, {"trained_at": None}, "first", "200 rows"),
        ({"driftThreshold": 0.2}, {"comparison": with_drift(0.2)}, "drift", "0.200, most of all in income"),
        ({"driftThreshold": 0.2}, {}, "new_data", "80 rows"),  # nothing to compare with
        ({}, {"attempts": Attempts(1, NOW - 60)}, "new_data", "80 rows"),
        ({}, {"attempts": Attempts(2, NOW - 300)}, "new_data", "80 rows"),
        ({}, {"handled_by": 3, "comparison": None, "triggers": (FEEDBACK,)}, "feedback", "Recall in production"),
        ({"minNewRows": 81}, {"triggers": (FEEDBACK,)}, "feedback", "Recall in production"),
    ],
)
def test_reasons_to_train(policy: dict[str, Any], facts: dict[str, Any], rule: str, said: str) -> None:
    decision = decide_retraining(Retraining.model_validate(policy), replace(NEWS, **facts))
    assert (decision.retrain, decision.rule, decision.data_version) == (True, f"train.{rule}", "d2")
    assert said in decision.reason


def test_several_triggers_are_one_training_with_all_their_reasons() -> None:
    more = Trigger(kind="recommendations", reason="The columns changed.", identity="x")
    decision = decide_retraining(Retraining(), replace(NEWS, triggers=(FEEDBACK, more)))
    assert decision.reason == "Recall in production is 0.4. The columns changed."
    assert decision.evidence == {"triggers": ["march", "x"]}


def test_a_reason_reads_the_same_as_long_as_it_holds() -> None:
    """Or else every tick of a long wait would be written down as another decision."""
    policy = Retraining(cooldown=5000.0)
    assert decide_retraining(policy, NEWS) == decide_retraining(policy, replace(NEWS, now=NOW + 30))


@pytest.mark.parametrize(
    ("facts", "rule", "reads"),
    [
        ({}, "changed", True),
        ({"known": False}, "never_read", False),
        ({"observed": "", "waits": "It is still being written."}, "unseen", False),
        ({"read_last": "f2"}, "unchanged", False),
        ({"read_last": "f2", "failed": True, "refused": "A column is gone."}, "refused", False),
        ({"read_last": "f1", "failed": True, "refused": "A column is gone."}, "changed", True),
        ({"read_last": "f2", "failed": True}, "again", True),
        ({"busy": "x"}, "busy", False),
        ({"read_last": "f2", "busy": "x"}, "unchanged", False),
        ({"read_last": "f2", "failed": True, "attempts": Attempts(1, NOW - 59)}, "back_off", False),
        ({"attempts": Attempts(3, NOW - 9999)}, "given_up", False),
    ],
)
def test_when_data_is_read(facts: dict[str, Any], rule: str, reads: bool) -> None:
    decision = decide_reading(replace(OTHER, **facts))
    assert (decision.rule, decision.read, decision.retrain) == (f"read.{rule}", reads, False)
    assert decision.reason.endswith(".")
