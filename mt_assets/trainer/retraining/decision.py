"""Whether to read the data again, and whether to train on what was read: facts in, a decision with its reason out.

A reason to wait swallows nothing: nothing here knows what was decided before, and the same facts are looked at again at
the next tick. Reasons name times, not durations, so that a reason that has not changed reads the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from mt_assets.trainer.retraining.trigger import Trigger
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    from mt_assets.spec import Retraining

BACK_OFF_S = (60.0, 300.0)
"""Seconds to wait after the first and the second attempt that ended without a result. There is no fourth attempt: what
fails three times in six minutes wants a person, or other data."""

NEVER_READ = "Materialize it once; from then on new data is noticed."


class RetrainingDecision(Record):
    """What was decided about the data of a model at one moment.

    Attributes
    ----------
    step : {"read", "train"}
        What it is about: reading the data again, or training on what was read.
    read, retrain : bool
        Whether that is to be done now.
    rule : str
        Id, such as `train.too_few_rows`.
    reason : str
        One sentence or two.
    data_version : str
        Fingerprint of the sources (`read`), or address of `raw_data` in the store (`train`).
    evidence : dict
        The facts that made the rule apply.
    at : str
        When it was decided first: UTC, ISO 8601.
    """

    step: Literal["read", "train"]
    read: bool = False
    retrain: bool = False
    rule: str
    reason: str
    data_version: str = ""
    evidence: dict[str, Any] = {}
    at: str = ""


@dataclass(frozen=True)
class Attempts:
    """Runs that tried one thing and ended without a result.

    Attributes
    ----------
    made : int
    last_ended : float
        When the last one ended, in seconds since 1970.
    cancelled : bool
        Whether a person cancelled the last one.
    """

    made: int = 0
    last_ended: float = 0.0
    cancelled: bool = False


class Comparison(Record):
    """What was read, against what the last training had.

    Attributes
    ----------
    rows : int
    new_rows : int
        Rows that the last training did not have; all of them before the first one.
    drift : float or None
        Of the new rows; None where it was not asked for, or there is nothing to compare with.
    drifted : tuple of str
        Columns that drifted most.
    """

    rows: int
    new_rows: int
    drift: float | None = None
    drifted: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadingFacts:
    """What is known when it is decided whether to read.

    Attributes
    ----------
    model : str
    now : float
        Seconds since 1970.
    known : bool
        Whether the model's data was ever read.
    observed : str
        Fingerprint of the data as it lies there now; empty where it could not be found.
    waits : str
        Why it could not be found.
    read_last : str
        Fingerprint of what was read last, well or not.
    refused : str
        Why what was read last was refused, if the same would be asked of it again; else empty.
    failed : bool
        Whether the last reading made no table, for whatever reason.
    busy : str
        Id of a run of the model that has not ended; empty where there is none.
    attempts : Attempts
        At reading this data.
    """

    model: str
    now: float
    known: bool = True
    observed: str = ""
    waits: str = ""
    read_last: str = ""
    refused: str = ""
    failed: bool = False
    busy: str = ""
    attempts: Attempts = Attempts()


@dataclass(frozen=True)
class RetrainingFacts:
    """What is known when it is decided whether to train.

    Attributes
    ----------
    model : str
    now : float
        Seconds since 1970.
    data_version : str
        Address of `raw_data`; empty before it was first read.
    handled_by : int or None
        Number of the model version that was trained on this data and has its result.
    trained_at : float or None
        When the last training ended, in seconds since 1970.
    comparison : Comparison or None
        None while it is being made.
    triggers : tuple of Trigger
        Those that were not handled yet.
    busy : str
        Id of a run of the model that has not ended; empty where there is none.
    attempts : Attempts
        At training on this data for these triggers.
    """

    model: str
    now: float
    data_version: str = ""
    handled_by: int | None = None
    trained_at: float | None = None
    comparison: Comparison | None = None
    triggers: tuple[Trigger, ...] = ()
    busy: str = ""
    attempts: Attempts = Attempts()


# What a rule says: its id, the reason, and the evidence. None where it does not apply.
Said = tuple[str, str, dict[str, Any]] | None


def decide_reading(facts: ReadingFacts) -> RetrainingDecision:
    """Decide whether to make `raw_data` again."""
    for rule in (_unknown_data, _unseen, _unchanged, _refused, _busy, _tried):
        if said := rule(facts):
            name, reason, evidence = said
            return _decision("read", name, reason, facts.observed, evidence)
    name, reason = "changed", "The data is not what was read last."
    if facts.observed == facts.read_last:
        name, reason = "again", "The last reading of this data made no table; it is tried again."
    return _decision("read", name, reason, facts.observed, {}).model_copy(update={"read": True})


def decide_retraining(policy: "Retraining", facts: RetrainingFacts) -> RetrainingDecision:
    """Decide whether to train.

    Parameters
    ----------
    policy : Retraining
        `retraining` of the spec.
    facts : RetrainingFacts
    """
    rules: tuple[Callable[[], Said], ...] = (
        lambda: None if facts.data_version else ("never_read", NEVER_READ, {}),
        lambda: _handled(facts),
        lambda: _busy(facts),
        lambda: _tried(facts),
        lambda: _cooling(policy, facts),
        lambda: None if facts.triggers else _too_little_news(policy, facts),
    )
    for rule in rules:
        if said := rule():
            name, reason, evidence = said
            return _decision("train", name, reason, facts.data_version, evidence)
    name, reason, evidence = _grounds(policy, facts)
    return _decision("train", name, reason, facts.data_version, evidence).model_copy(update={"retrain": True})


def _decision(
    step: Literal["read", "train"], rule: str, reason: str, version: str, evidence: dict[str, Any]
) -> RetrainingDecision:
    return RetrainingDecision(step=step, rule=f"{step}.{rule}", reason=reason, data_version=version, evidence=evidence)


def _unknown_data(facts: ReadingFacts) -> Said:
    return None if facts.known else ("never_read", NEVER_READ, {})


def _unseen(facts: ReadingFacts) -> Said:
    return ("unseen", facts.waits, {}) if facts.waits else None


def _unchanged(facts: ReadingFacts) -> Said:
    if facts.observed != facts.read_last or facts.failed:
        return None
    return "unchanged", "The data is what was read last.", {}


def _refused(facts: ReadingFacts) -> Said:
    if facts.observed != facts.read_last or not facts.refused:
        return None
    remedy = f"Other data, or `mt-assets accept-schema {facts.model}` where the new form is right, goes on from here."
    return "refused", f"This data was refused. {facts.refused} {remedy}", {}


def _busy(facts: ReadingFacts | RetrainingFacts) -> Said:
    if not facts.busy:
        return None
    return "busy", f"Run {facts.busy[:8]} of {facts.model} has not ended.", {"run": facts.busy}


def _tried(facts: ReadingFacts | RetrainingFacts) -> Said:
    """Wait after an attempt without a result, longer after the second, and for other data after the third."""
    tried = facts.attempts
    if not tried.made:
        return None
    evidence = {"attempts": tried.made}
    if tried.cancelled:
        return "cancelled", "A person cancelled the last attempt at this; other data starts another one.", evidence
    if tried.made > len(BACK_OFF_S):
        reason = f"{tried.made} attempts ended without a result; other data, or a person, starts another one."
        return "given_up", reason, evidence
    due = tried.last_ended + BACK_OFF_S[tried.made - 1]
    if facts.now >= due:
        return None
    reason = f"Attempt {tried.made} ended without a result; the next one is due at {_clock(due)}."
    return "back_off", reason, evidence


def _handled(facts: RetrainingFacts) -> Said:
    if facts.handled_by is None or facts.triggers:
        return None
    return "handled", f"Version {facts.handled_by} was trained on this data.", {"version": facts.handled_by}


def _cooling(policy: "Retraining", facts: RetrainingFacts) -> Said:
    if facts.trained_at is None or facts.now >= facts.trained_at + policy.cooldown:
        return None
    until = _clock(facts.trained_at + policy.cooldown)
    ended = _clock(facts.trained_at)
    reason = f"The last training ended at {ended}; `retraining.cooldown` of {policy.cooldown:g} s is over at {until}."
    return "cooldown", reason, {"trained_at": ended, "until": until}


def _too_little_news(policy: "Retraining", facts: RetrainingFacts) -> Said:
    if facts.comparison is None:
        return "comparing", "What was read is being compared with what the last training had.", {}
    if facts.trained_at is None:
        return None
    found = _told(facts.comparison)
    new, drift = facts.comparison.new_rows, facts.comparison.drift
    if new < policy.min_new_rows:
        reason = f"{_rows(new)} new since the last training; `retraining.minNewRows` is {policy.min_new_rows:,}."
        return "too_few_rows", reason, found
    if policy.drift_threshold is not None and drift is not None and drift < policy.drift_threshold:
        reason = (
            f"{_rows(new)} new, but their drift is {drift:.3f}; `retraining.driftThreshold` is "
            f"{policy.drift_threshold:g}."
        )
        return "no_drift", reason, found
    return None


def _grounds(policy: "Retraining", facts: RetrainingFacts) -> tuple[str, str, dict[str, Any]]:
    """Why to train."""
    if facts.triggers:
        named = {"triggers": [trigger.identity for trigger in facts.triggers]}
        return facts.triggers[0].kind, " ".join(trigger.reason for trigger in facts.triggers), named
    assert facts.comparison is not None
    found = _told(facts.comparison)
    if facts.trained_at is None:
        return "first", f"{_rows(facts.comparison.rows)} there, and no model was trained yet.", found
    new = f"{_rows(facts.comparison.new_rows)} new since the last training"
    if policy.drift_threshold is not None and facts.comparison.drift is not None:
        most = f", most of all in {', '.join(facts.comparison.drifted)}" if facts.comparison.drifted else ""
        return "drift", f"{new}; their drift is {facts.comparison.drift:.3f}{most}.", found
    return "new_data", f"{new}.", found


def _told(comparison: Comparison) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": comparison.rows, "new_rows": comparison.new_rows}
    return found if comparison.drift is None else {**found, "drift": comparison.drift}


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count:,} rows are"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
