"""The result of a training, put together from what its phases stored."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mt_assets.result import Budget, DataSummary, ErrorReport, Experiment, Metadata, Metrics, TrainingResult
from mt_assets.spec import TrainingSpec
from mt_assets.trainer.checks import Check
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.evaluation.evaluate import Evaluation
from mt_assets.trainer.evaluation.fairness import Fairness
from mt_assets.trainer.evaluation.importance import FeatureImportance
from mt_assets.trainer.model import MODEL_FILE, TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.promotion import PromotionDecision
from mt_assets.trainer.recovery.causes import cause_of_text
from mt_assets.trainer.reporting.card import ModelCard
from mt_assets.trainer.reporting.tracked import ExperimentRun, RegisteredVersion
from mt_assets.trainer.search.result import BestParams, StudyResult
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.trainer.store.record import Record
from mt_assets.trainer.store.versions import Training

ARTIFACTS = ("trained_model", "feature_importance", "optuna_study", "test_metrics", "fairness", "model_card")
"""The assets whose files a person may want to open."""

BETWEEN = "start_and_between"
"""What a run spends outside its phases: imports, opening Dagster, steps."""


def successful_result(
    spec: TrainingSpec,
    training: Training,
    *,
    table: Table,
    profile: DataProfile,
    splits: Splits,
    plan: TrainingPlan,
    study: StudyResult,
    best: BestParams,
    trained: TrainedModel,
    evaluation: Evaluation,
    importance: FeatureImportance,
    fairness: Fairness | None,
    card: ModelCard | None,
    promotion: PromotionDecision,
    recorded: ExperimentRun,
    registered: RegisteredVersion,
    spent: float | None = None,
) -> TrainingResult:
    """Put together the result of a training that went through.

    Parameters
    ----------
    fairness : Fairness or None
        None where the spec names no sensitive columns.
    card : ModelCard or None
        None where the spec asks for none.
    spent : float, optional
        Seconds since the run began that trained; without it what its phases took.
    """
    stored = {
        "raw_data": table,
        "data_profile": profile,
        "folds": splits,
        "training_plan": plan,
        "optuna_study": study,
        "best_params": best,
        "trained_model": trained,
        "test_metrics": evaluation,
        "feature_importance": importance,
        "fairness": fairness,
        "model_card": card,
        "promotion_decision": promotion,
        "experiment_run": recorded,
        "registered_model": registered,
    }
    parts = _parts(spec, stored, training.seconds, training.doubts)
    if spent is not None:
        parts["budget"] = _budget(spec, training.seconds, spent)
    return TrainingResult(success=True, **parts)


def failed_result(spec: TrainingSpec, store: ModelStore, run_id: str, report: ErrorReport) -> TrainingResult:
    """Put together what a run that failed has left: its error, and every part that it had made and that can be read."""
    made = {
        path.stem: version
        for path in sorted((store.folder / "current").glob("*.json"))
        if (version := store.current(path.stem)) and version.run_id == run_id
    }
    stored: dict[str, Any] = {}
    for name, version in made.items():
        with suppress(StoreError):
            stored[name] = store.get(version.address)
    seconds = {version.phase: version.seconds for version in made.values()}
    doubts = [doubt for version in sorted(made.values(), key=lambda each: each.created) for doubt in version.doubts]
    return TrainingResult(success=False, error=report, **_parts(spec, stored, seconds, doubts))


def check_quality_gates(promotion: PromotionDecision) -> Check:
    """`quality_gates`: the model keeps every bound that the spec sets."""
    missed = [gate for gate in promotion.gates if not gate.passed]
    return Check(
        name="quality_gates",
        passed=not missed,
        blocking=True,
        message=" ".join(text for gate in missed for text in (gate.reason, *gate.suggestions))
        or ("Every gate is met." if promotion.gates else "No gate is set."),
        evidence={"gates": [gate.model_dump() for gate in promotion.gates]},
    )


def _budget(spec: TrainingSpec, seconds: Mapping[str, float], spent: float | None = None) -> Budget:
    """Where the time went; without `spent` the phases are all that is known of it."""
    if spent is None:
        return Budget(asked=spec.options.time_budget, spent=sum(seconds.values()), phases=dict(seconds))
    between = {"start_and_between": round(max(0.0, spent - sum(seconds.values())), 3)}
    return Budget(asked=spec.options.time_budget, spent=round(spent, 3), phases={**seconds, **between})


def _parts(
    spec: TrainingSpec, stored: Mapping[str, Any], seconds: Mapping[str, float], doubts: Sequence[str]
) -> dict[str, Any]:
    """Return the keys of the result that the stored assets can fill."""
    parts: dict[str, Any] = {
        "budget": _budget(spec, seconds),
        "artifacts": _artifacts([path for name in ARTIFACTS if stored.get(name) for path in _files(stored[name])]),
    }
    metadata: dict[str, Any] = {"training_time": sum(seconds.values())}
    if table := stored.get("raw_data"):
        parts["data"] = DataSummary(fingerprint=table.digest, rows=len(table), columns=len(table.columns))
    if profile := stored.get("data_profile"):
        parts["warnings"] = profile.warnings
    if splits := stored.get("folds"):
        parts["warnings"] = (*parts.get("warnings", ()), *splits.warnings)
    if doubts:
        parts["warnings"] = (*parts.get("warnings", ()), *doubts)
    if plan := stored.get("training_plan"):
        parts |= {"decisions": plan.decisions, "metric": plan.metric}
    if study := stored.get("optuna_study"):
        metadata |= {"n_trials": len(study.trials), "best_trial_number": study.best_number}
        parts["decisions"] = (*parts.get("decisions", ()), *study.decisions)
        parts["warnings"] = (*parts.get("warnings", ()), *study.notes)
    if best := stored.get("best_params"):
        parts |= {"best_params": best.told, "algorithm": best.trained_as, "leaderboard": best.leaderboard}
        parts |= {"threshold": best.delivery.threshold, "suggestions": best.delivery.suggestions}
        parts["decisions"] = (*parts.get("decisions", ()), *best.decisions, *best.delivery.decisions)
        parts["warnings"] = (*parts.get("warnings", ()), *best.delivery.warnings)
    if trained := stored.get("trained_model"):
        parts["model_path"] = trained.path / MODEL_FILE
        # Of the notes on a model those are warnings that name a cause of failure, and what helped against it.
        said = (f"{note.rstrip('.')}." for note in trained.facts.notes if cause_of_text(note))
        parts["warnings"] = (*parts.get("warnings", ()), *said)
    if evaluation := stored.get("test_metrics"):
        parts["metrics"] = Metrics(
            test=evaluation.test,
            baseline=evaluation.baseline,
            validation=evaluation.validation,
            cross_validation=evaluation.cross_validation,
        )
    if importance := stored.get("feature_importance"):
        parts["feature_importance"] = importance.permutation
    if fairness := stored.get("fairness"):
        parts["fairness"] = fairness.model_dump()
    if promotion := stored.get("promotion_decision"):
        parts["gates"] = [gate.model_dump() for gate in promotion.gates]
        advice = [*parts.get("suggestions", ()), *(text for gate in promotion.gates for text in gate.suggestions)]
        parts["suggestions"] = tuple(dict.fromkeys(advice))
        parts["promotion"] = promotion.model_dump(exclude={"gates"})
    if recorded := stored.get("experiment_run"):
        parts["experiment"] = Experiment(
            run_id=recorded.run_id, experiment_id=recorded.experiment_id, tracking_uri=recorded.tracking_uri
        )
        if recorded.status == "pending":
            parts["warnings"] = (*parts.get("warnings", ()), recorded.reason)
    registered = stored.get("registered_model")
    if registered and registered.status in ("registered", "pending") and registered.reason:
        parts["warnings"] = tuple(dict.fromkeys((*parts.get("warnings", ()), registered.reason)))
    return parts | {"metadata": Metadata(**metadata)}


def _artifacts(paths: list[Path]) -> list[str]:
    """The files, of two with one name the first: the model's training history holds all that the study's does."""
    by_name = {path.name: str(path) for path in reversed(paths)}
    return [str(path) for path in paths if by_name[path.name] == str(path)]


def _files(value: Record | TrainedModel) -> list[Path]:
    """Return the stored files of an asset, without the small copies of plots that only the UI shows."""
    if isinstance(value, TrainedModel):
        return list(value.files)
    return [path for path in value.files() if not path.name.startswith("small_")]
