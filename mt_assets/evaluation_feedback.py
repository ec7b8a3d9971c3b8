"""Feedback about the model at work, from `inputs.evaluationFeedback` and from scored rows whose answers have come.

What belongs here: where feedback lies, which of it is the newest, and what follows for the champion. What does not: its
format and its gates (`trainer.retraining.feedback`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mt_assets.spec import AssetSource, MetricSource, TrainingSpec, slug
from mt_assets.spec_reading import read_document, read_text
from mt_assets.trainer.errors import DataError, SpecError, TrainerError
from mt_assets.trainer.retraining.trigger import Trigger

if TYPE_CHECKING:
    from mt_assets.spec_values import Gate
    from mt_assets.trainer.retraining.feedback import EvaluationFeedback
    from mt_assets.trainer.store.model_store import Champion, ModelStore

LIVE = "evaluation_feedback"
"""Name under which the store keeps what scored rows with known answers said last."""

WHAT = "evaluation feedback"
SUFFIXES = (".json", ".yaml", ".yml", ".jsonl", ".ndjson", ".parquet")
"""Files of feedback; others in a folder of drops are passed over."""

FileOfAsset = Callable[[str], Path]
MetricOf = Callable[[TrainingSpec, MetricSource], "EvaluationFeedback | None"]


@dataclass(frozen=True)
class FeedbackVerdict:
    """What feedback means for the champion.

    Attributes
    ----------
    trigger : Trigger or None
        The reason to train again, where there is one.
    told : tuple of str
        What was found and what follows from it, a sentence each; also what is wrong with feedback that cannot be read.
    """

    trigger: Trigger | None = None
    told: tuple[str, ...] = ()


def feedback_trigger(
    spec: TrainingSpec,
    store: ModelStore,
    *,
    file_of_asset: FileOfAsset | None = None,
    metric_of: MetricOf | None = None,
) -> Trigger | None:
    """The reason that feedback gives to train again, see `judge_feedback`."""
    return judge_feedback(spec, store, file_of_asset=file_of_asset, metric_of=metric_of).trigger


def judge_feedback(
    spec: TrainingSpec,
    store: ModelStore,
    *,
    file_of_asset: FileOfAsset | None = None,
    metric_of: MetricOf | None = None,
) -> FeedbackVerdict:
    """Hold the newest feedback about the champion against its gates; nothing that is wrong with feedback is raised.

    Parameters
    ----------
    spec : TrainingSpec
    store : ModelStore
    file_of_asset : callable, optional
        Gives the file that an asset has written last, by the asset's key; needed for `{asset: …}`.
    metric_of : callable, optional
        Reads a metric from the tracker (`resources.mlflow_feedback`); needed for `{metric: …}`.
    """
    champion = store.champion()
    verdicts = []
    for read in (lambda: newest_feedback(spec, file_of_asset, metric_of), lambda: (_live(store), ())):
        try:
            feedback, unread = read()
        except TrainerError as error:
            verdicts.append(FeedbackVerdict(told=(error.message,)))
            continue
        if feedback is not None:
            verdicts.append(_judged(spec, champion, feedback))
        verdicts.append(FeedbackVerdict(told=unread))
    triggers = [verdict.trigger for verdict in verdicts if verdict.trigger]
    told = tuple(dict.fromkeys(text for verdict in verdicts for text in verdict.told))
    return FeedbackVerdict(trigger=triggers[0] if triggers else None, told=told)


def newest_feedback(
    spec: TrainingSpec, file_of_asset: FileOfAsset | None = None, metric_of: MetricOf | None = None
) -> tuple[EvaluationFeedback | None, tuple[str, ...]]:
    """The newest feedback that `inputs.evaluationFeedback` holds about this model; None where there is none yet.

    With it what is wrong with files that cannot be read or hold anything but feedback: file, field and value. One such
    drop does not hide the others.

    Raises
    ------
    DataError
        The metric or the asset that the feedback is taken from cannot be read.
    """
    source = spec.inputs.evaluation_feedback
    if source is None:
        return None, ()
    if isinstance(source, MetricSource):
        if metric_of is None:
            raise DataError(f"The metric {source.metric} can only be read where the tracker is at hand.")
        return metric_of(spec, source), ()
    if isinstance(source, AssetSource):
        if file_of_asset is None:
            raise DataError(f"The feedback of the asset {source.asset} can only be read where Dagster runs.")
        place = file_of_asset(source.asset)
    else:
        place = Path(source)
    names = {spec.name, slug(spec.experiment_tracking.registered_model_name or spec.name)}
    unread: list[str] = []
    # Of equally new ones the later in the file counts, and `max` gives the first.
    about_us = [
        (moment, at, feedback)
        for at, (moment, feedback) in enumerate(_all_feedback(place, unread.append))
        if feedback.model is None or _slug(feedback.model) in names
    ]
    return max(about_us, key=lambda each: each[:2])[2] if about_us else None, tuple(unread)


def _slug(name: str) -> str | None:
    try:
        return slug(name)
    except SpecError:
        return None


def _all_feedback(place: Path, tell: Callable[[str], None]) -> Iterator[tuple[datetime, EvaluationFeedback]]:
    """Every entry of a file or folder with the moment that it is as new as: the end of its window, or the file's.

    What is wrong with a file is told, and the next one read.
    """
    files = sorted(place.iterdir()) if place.is_dir() else [place] if place.exists() else []
    for path in files:
        if path.suffix.lower() not in SUFFIXES and place.is_dir():
            continue
        try:
            yield from _feedback_of(path)
        except DataError as error:
            tell(error.message)


def _feedback_of(path: Path) -> list[tuple[datetime, EvaluationFeedback]]:
    from mt_assets.trainer.retraining.feedback import parse_feedback

    try:
        written = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except OSError as error:  # it went away since the folder was listed, or is a link to nowhere
        raise DataError(f"The {WHAT} {path} cannot be read: {error.strerror}.") from None
    found, entries = [], _entries(path)
    for number, entry in enumerate(entries, 1):
        where = f"The {WHAT} {path}{f', entry {number},' if len(entries) > 1 else ''}"
        feedback = parse_feedback(entry, where)
        found.append((feedback.window.to if feedback.window else written, feedback))
    return found


def _entries(path: Path) -> list[Any]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _rows(path)
    if suffix in (".jsonl", ".ndjson"):
        return _lines(path)
    if suffix not in SUFFIXES:
        raise DataError(f"The {WHAT} {path} must be one of {', '.join(SUFFIXES)}, or a folder of them.")
    try:
        content = read_document(path, WHAT)
    except SpecError as error:
        raise DataError(error.message, suggestions=error.suggestions) from None
    return content if isinstance(content, list) else [content]


def _rows(path: Path) -> list[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise DataError(f"The {WHAT} {path} is no regular file; name a file.")
    try:
        return parquet.read_table(path).to_pylist()
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise DataError(f"The {WHAT} {path} cannot be read as Parquet: {str(error).splitlines()[0][:200]}") from None


def _lines(path: Path) -> list[Any]:
    try:
        lines = read_text(path, WHAT).splitlines()
    except SpecError as error:
        raise DataError(error.message, suggestions=error.suggestions) from None
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            said = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long, or it is too deep"
            raise DataError(f"The {WHAT} {path} is no JSON in line {number}: {said}.") from None
    return entries


def _live(store: ModelStore) -> EvaluationFeedback | None:
    from mt_assets.trainer.retraining.feedback import EvaluationFeedback

    kept = store.kept(LIVE)
    found = store.get(kept.address) if kept else None
    return found if isinstance(found, EvaluationFeedback) else None


def gates_of(spec: TrainingSpec) -> dict[str, Gate]:
    """The spec's gates on test metrics, by plain metric: what a model at work has to keep as well."""
    return {gate.metric.removeprefix("test."): gate for gate in spec.gates if gate.metric.startswith("test.")}


def _judged(spec: TrainingSpec, champion: Champion | None, feedback: EvaluationFeedback) -> FeedbackVerdict:
    told = _outdated(champion, feedback)
    if told:
        return FeedbackVerdict(told=(told,))
    assert champion is not None
    about = f"Feedback about version {champion.number}{f' on {feedback.rows:,} rows' if feedback.rows else ''}"
    gates = gates_of(spec)
    missed = feedback.missed(gates, spec.retraining.drift_threshold)
    if missed:
        reason = f"{about}: {'; '.join(missed)}."
        return FeedbackVerdict(Trigger("feedback", reason, feedback.identity), (reason,))
    held = sorted(set(feedback.metrics) & {*gates, *feedback.gates})
    if feedback.metrics and not held and feedback.verdict is None:
        free = ", ".join(feedback.metrics)
        return FeedbackVerdict(told=(f"{about} gives {free}, for which there is no gate.",))
    return FeedbackVerdict(told=(f"{about} is met: no reason to train again.",))


def _outdated(champion: Champion | None, feedback: EvaluationFeedback) -> str:
    """Why feedback says nothing about the champion; empty where it does."""
    if champion is None:
        return "There is feedback, but no champion that it could be about."
    if feedback.version is not None and feedback.version != champion.number:
        return (
            f"Feedback is about version {feedback.version}; version {champion.number} serves now, so it does not count."
        )
    since = datetime.fromisoformat(champion.since)
    if feedback.version is None and feedback.window is not None and feedback.window.to < since:
        return (
            f"Feedback ends at {feedback.window.to.isoformat()}, before version {champion.number} served; it does not "
            "count."
        )
    return ""
