"""What a tracker is told about a training, and what it answered.

What belongs here: everything that is logged, as plain data, whichever tracker it goes to. What does not: how it gets
there (`mt_assets.resources.tracking`); nothing here knows MLflow.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeGuard

from pydantic import BaseModel

from mt_assets.spec_values import masked_uri
from mt_assets.trainer.store.record import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mt_assets.spec import TrainingSpec
    from mt_assets.trainer.data.profile import DataProfile
    from mt_assets.trainer.data.splits import Splits
    from mt_assets.trainer.data.table import Table
    from mt_assets.trainer.evaluation.evaluate import Evaluation
    from mt_assets.trainer.evaluation.fairness import Fairness
    from mt_assets.trainer.evaluation.importance import FeatureImportance
    from mt_assets.trainer.model import TrainedModel
    from mt_assets.trainer.planning.plan import TrainingPlan
    from mt_assets.trainer.promotion import PromotionDecision
    from mt_assets.trainer.search.result import BestParams, StudyResult

TRIALS_FILE = "trials.json"
"""All trials as a table, among the files of a run."""

ENSEMBLE_FILE = "ensemble.json"
"""The members of an ensemble with their parameters and weights, among the files of a run."""


@dataclass(frozen=True)
class TrainingBundle:
    """Everything that is logged about one training, as stored by the phases before.

    Attributes
    ----------
    spec, plan, profile, table, splits, study, best, trained, evaluation, importance, promotion
        What was asked, decided and made; `table` is the full raw table.
    training_id : str
        The same for one training whenever it is logged, and for no other: runs and versions are found by it.
    dagster_run_id : str
        The Dagster run that trained.
    data_version : str
        Digest of the raw table.
    trained_at : datetime
        When the training ended, with time zone. An alias never moves from a younger to an older training.
    seconds : float
        Wall time of the training.
    fairness : Fairness or None
        None where the spec names no sensitive columns.
    dagster_url : str or None
        Address of the Dagster run in its UI.
    files : mapping of str to bytes
        Further files by name, such as the plots of the study and the learning curve.
    """

    spec: "TrainingSpec"
    plan: "TrainingPlan"
    profile: "DataProfile"
    table: "Table"
    splits: "Splits"
    study: "StudyResult"
    best: "BestParams"
    trained: "TrainedModel"
    evaluation: "Evaluation"
    importance: "FeatureImportance"
    promotion: "PromotionDecision"
    training_id: str
    dagster_run_id: str
    data_version: str
    trained_at: datetime
    seconds: float = 0.0
    fairness: "Fairness | None" = None
    dagster_url: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


class ExperimentRun(Record):
    """How the tracker has a training.

    Attributes
    ----------
    status : {"logged", "pending", "disabled"}
        `pending`: the tracker could not be reached or broke off; logging again completes what is there.
    run_id, experiment_id : str or None
    tracking_uri : str or None
        Passwords are left out.
    url : str or None
        The run in the tracker's UI, where the tracker is a server.
    reason : str
        One sentence for a person, empty where nothing is to be said.
    """

    filename: ClassVar[str] = "experiment_run.json"

    status: Literal["logged", "pending", "disabled"]
    run_id: str | None = None
    experiment_id: str | None = None
    tracking_uri: str | None = None
    url: str | None = None
    reason: str = ""


class RegisteredVersion(Record):
    """How the registry has a trained model.

    Attributes
    ----------
    status : {"registered", "pending", "disabled"}
    name : str
    version : str or None
    aliases : tuple of str
        Of this version, sorted.
    uri : str or None
        `models:/<name>/<version>`, what MLflow loads it by.
    url : str or None
        The version in the tracker's UI, where the tracker is a server.
    reason : str
        One sentence for a person, empty where nothing is to be said.
    champion_version, champion_training_id : str or None
        What the registry's alias `champion` points to, whoever set it. The training is None where a person registered
        that version by other means.
    """

    filename: ClassVar[str] = "registered_version.json"

    status: Literal["registered", "pending", "disabled"]
    name: str
    version: str | None = None
    aliases: tuple[str, ...] = ()
    uri: str | None = None
    url: str | None = None
    reason: str = ""
    champion_version: str | None = None
    champion_training_id: str | None = None


@dataclass(frozen=True)
class TrackedMetric:
    """One figure; `on_test` where it says how the final model did on the test rows."""

    key: str
    value: float
    step: int = 0
    on_test: bool = False


def masked(value: Any) -> Any:
    """JSON-like data with passwords and tokens in every text replaced by `***`."""
    if isinstance(value, str):
        return masked_uri(value)
    if isinstance(value, Mapping):
        return {key: masked(content) for key, content in value.items()}
    return [masked(content) for content in value] if isinstance(value, list | tuple) else value


def parameters(bundle: TrainingBundle) -> dict[str, str]:
    """The parameters of the run, flat.

    The parameters of the best single candidate stand by their names, what was asked as `spec.<key>`, what was decided
    as `plan.<name>`; the members of an ensemble are in `ENSEMBLE_FILE`.
    """
    flat: dict[str, Any] = {"algorithm": bundle.best.algorithm, **bundle.best.params}
    if bundle.best.ensemble:
        flat |= {"ensemble": _members(bundle.best)}
    flat |= {f"spec.{key}": value for key, value in _asked(bundle.spec)}
    plan = bundle.plan.model_dump(mode="json", exclude={"decisions"})
    flat |= {f"plan.{key}": value for key, value in plan.items()}
    flat |= {
        "data.rows": len(bundle.table),
        "data.features": len(bundle.profile.features),
        "data.test_rows": len(bundle.splits.test),
        "validation.strategy": bundle.splits.strategy,
        "validation.folds": len(bundle.splits.folds),
    }
    return {key: content if isinstance(content, str) else json.dumps(content) for key, content in masked(flat).items()}


def _members(best: "BestParams") -> str:
    """An ensemble in one line: weight and algorithm of each member."""
    return ", ".join(f"{member.weight:.2f} {member.algorithm}" for member in best.ensemble)


def _asked(spec: "TrainingSpec") -> Iterator[tuple[str, Any]]:
    """Keys of the spec that are set, sections one level deep; mappings by the user's own names stay one value."""
    for name, info in type(spec).model_fields.items():
        value = getattr(spec, name)
        if value is None:
            continue
        key = info.alias or name
        dumped = spec.model_dump(mode="json", by_alias=True, include={name})[key]
        if isinstance(value, BaseModel) and isinstance(dumped, dict):
            yield from ((f"{key}.{part}", content) for part, content in dumped.items() if content is not None)
        else:
            yield key, dumped


def metrics(bundle: TrainingBundle) -> list[TrackedMetric]:
    """The figures of the run; what is undefined is left out.

    `test.*`, `baseline.*`, `validation.*`, `cv.*` and `fairness.*` stand once; `fold.<metric>` has the winner's folds
    as its steps, `trial.score` and `trial.best` have the trials; of several objectives these are the first, and
    `trial.<objective>` has each.
    """
    groups = {
        "test": bundle.evaluation.test,
        "baseline": bundle.evaluation.baseline,
        "validation": bundle.evaluation.validation,
        "cv": bundle.evaluation.cross_validation,
        "fairness": bundle.fairness.worst if bundle.fairness else {},
    }
    found = [
        TrackedMetric(f"{group}.{name}", value, on_test=group == "test")
        for group, values in groups.items()
        for name, value in values.items()
        if _is_figure(value)
    ]
    winner = bundle.study.best
    found += [
        TrackedMetric(f"fold.{bundle.study.metric}", value, step)
        for step, value in enumerate(winner.fold_scores)
        if _is_figure(value)
    ]
    return found + list(_trial_metrics(bundle.study)) + _model_metrics(bundle)


def _trial_metrics(study: "StudyResult") -> Iterator[TrackedMetric]:
    better = max if study.direction == "maximize" else min
    best: float | None = None
    for trial in study.trials:
        if not _is_figure(trial.score):
            continue
        yield TrackedMetric("trial.score", trial.score, trial.number)
        for name, value in zip(study.objectives, trial.values, strict=False):
            yield TrackedMetric(f"trial.{name}", value, trial.number)
        if trial.state == "complete":
            best = trial.score if best is None else better(best, trial.score)
            yield TrackedMetric("trial.best", best, trial.number)


def _model_metrics(bundle: TrainingBundle) -> list[TrackedMetric]:
    figures = {
        "model.latency_ms": bundle.evaluation.latency_ms,
        "model.size_mb": bundle.evaluation.size_mb,
        "model.predict_rows_per_second": bundle.evaluation.predict_rows_per_second,
        "training.seconds": bundle.seconds,
        "search.seconds": bundle.study.seconds,
        "data.quality": bundle.profile.quality.score,
    }
    return [TrackedMetric(key, value) for key, value in figures.items() if _is_figure(value)]


def _is_figure(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def trials_table(study: "StudyResult") -> dict[str, list[Any]]:
    """All trials in the form of `DataFrame.to_dict("split")` without index; one column for each parameter.

    Several objectives have one column each, and `on_front` says which trials no other beats in all of them.
    """
    names = sorted({name for trial in study.trials for name in trial.params})
    head = ["number", "state", "algorithm", "score", "score_std", "seconds", "start_configuration", "error"]
    rows = [
        [getattr(trial, name) for name in head] + [trial.params.get(name) for name in names] for trial in study.trials
    ]
    columns = head + [f"params.{name}" for name in names]
    if study.front:
        columns += [*(f"values.{name}" for name in study.objectives), "on_front"]
        for row, trial in zip(rows, study.trials, strict=True):
            row += [*(trial.values or [None] * len(study.objectives)), trial.number in study.front]
    return {"columns": columns, "data": rows}


def write_files(bundle: TrainingBundle, folder: Path) -> None:
    """Write everything that is kept as a file of the run: records, plots, the model, the trials as a table."""
    spec = bundle.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder / "spec.json").write_text(json.dumps(masked(spec), indent=1))
    (folder / "plan.json").write_text(bundle.plan.model_dump_json(indent=1))
    (folder / TRIALS_FILE).write_text(json.dumps(trials_table(bundle.study)))
    if bundle.best.ensemble:
        members = [{**member.told, "trial": member.trial_number} for member in bundle.best.ensemble]
        (folder / ENSEMBLE_FILE).write_text(json.dumps(members, indent=1))
    for record in (bundle.importance, bundle.study, bundle.evaluation, bundle.promotion, bundle.fairness):
        if record is not None:
            _write_record(record, folder)
    for path in bundle.trained.files:
        shutil.copyfile(path, folder / path.name)
    for name, content in bundle.files.items():
        if name.startswith("small_"):
            continue
        (folder / _place(name)).parent.mkdir(exist_ok=True)
        (folder / _place(name)).write_bytes(content)


def _write_record(record: Record, folder: Path) -> None:
    """A record with its attachments: as stored, where it was stored; small copies of plots are left out."""
    scratch = folder / ".record"
    scratch.mkdir()
    if stored := record.files():
        for path in stored:
            shutil.copyfile(path, scratch / path.name)
    else:
        record.save(scratch)
    for path in scratch.iterdir():
        if path.suffix not in (".json", ".png") or path.name.startswith("small_"):
            path.unlink()
            continue
        place = folder / _place(path.name)
        place.parent.mkdir(exist_ok=True)
        path.replace(place)
    scratch.rmdir()


def _place(name: str) -> str:
    return f"plots/{name}" if name.endswith(".png") else name


def dataset_digest(bundle: TrainingBundle, positions: "npt.NDArray[np.int64]") -> str:
    """Digest of the full content of some rows: 32 hexadecimal digits, whatever order the rows stand in."""
    from mt_assets.trainer.promotion.decision import rows_digest

    return rows_digest(bundle.splits.identities[positions])[:32]


def summary(bundle: TrainingBundle) -> str:
    """What came out, in a few lines of Markdown."""
    metric, score = bundle.plan.metric, bundle.evaluation.test.get(bundle.plan.metric)
    figure = "undefined" if score is None else f"{score:.4g}"
    lines = [
        f"**{bundle.spec.name}**, version {bundle.promotion.challenger_version}: {_algorithm(bundle.best)}, "
        f"{metric} {figure} on {bundle.evaluation.n_test:,} test rows.",
        bundle.evaluation.note,
        bundle.promotion.reason,
        f"[Dagster run]({bundle.dagster_url})" if bundle.dagster_url else "",
    ]
    return "\n\n".join(line for line in lines if line)


def _algorithm(best: "BestParams") -> str:
    return f"ensemble ({_members(best)})" if best.ensemble else best.algorithm


def failure_note(report: Mapping[str, Any]) -> str:
    """What stopped a training, as Markdown for the run's note."""
    lines = [f"## {report.get('type') or 'Failed'}", "", str(report.get("message") or ""), ""]
    if phase := report.get("phase"):
        lines += [f"While making `{phase}`.", ""]
    return masked_uri("\n".join(lines + [f"- {suggestion}" for suggestion in report.get("suggestions") or ()]))
