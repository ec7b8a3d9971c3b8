"""The model card: what a person has to know of a model before using it, as one Markdown file.

After Mitchell et al., Model Cards for Model Reporting (2019), as far as a training can know it.
"""

from typing import Any, ClassVar

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.splits import Splits
from mt_assets.trainer.evaluation.evaluate import Evaluation
from mt_assets.trainer.evaluation.fairness import Fairness
from mt_assets.trainer.evaluation.importance import FeatureImportance
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.promotion.decision import PromotionDecision
from mt_assets.trainer.reporting.markdown import markdown_table, plain
from mt_assets.trainer.store.record import Record

LONGEST, MOST_FEATURES = 300, 15


class ModelCard(Record):
    """The card; the same text is attached as `model_card.md`.

    Attributes
    ----------
    text : str
        Markdown.
    """

    filename: ClassVar[str] = "model_card.json"

    text: str


def write_card(
    spec: TrainingSpec,
    *,
    profile: DataProfile,
    splits: Splits,
    plan: TrainingPlan,
    trained: TrainedModel,
    evaluation: Evaluation,
    importance: FeatureImportance,
    fairness: Fairness | None,
    promotion: PromotionDecision,
) -> ModelCard:
    """Put the card of a judged model together."""
    parts = {
        "What it is for": _purpose(spec, profile, trained, promotion),
        "Data": _data(profile, splits),
        "How good it is": _quality(evaluation),
        "What it looks at": markdown_table(importance.table()[:MOST_FEATURES]),
        "Quality gates": markdown_table(
            [{"gate": gate.gate, "value": gate.value, "passed": gate.passed} for gate in promotion.gates]
        ),
        "Parts of the rows": _segments(promotion),
        "Groups of people": _groups(fairness),
        "Decisions": markdown_table(
            [{"decision": row["decision"], "value": row["value"], "reason": row["reason"]} for row in plan.table()],
            LONGEST,
        ),
        "Limits": _limits(profile, splits, evaluation, trained),
    }
    body = "\n\n".join(f"## {title}\n\n{content}" for title, content in parts.items())
    card = ModelCard(text=f"# {spec.name}, version {promotion.challenger_version}\n\n{body}\n")
    card.attach("model_card.md", card.text.encode())
    return card


def _purpose(spec: TrainingSpec, profile: DataProfile, trained: TrainedModel, promotion: PromotionDecision) -> str:
    target = plain(profile.target.column, LONGEST)
    classes = ", ".join(plain(label, 40) for label in profile.target.classes[:20])
    what = f"one of the classes {classes}" if classes else "a number"
    does = f"It predicts {target} ({what}) from {len(trained.facts.features)} columns."
    if series := profile.series:
        many = f"{len(series.names):,} series" if series.series else "one series"
        does = f"It forecasts {target} of {many}, {series.horizon} steps of {series.frequency.freq} ahead."
    return f"{does} Algorithm: {trained.algorithm}.\n\n{plain(promotion.reason, 2_000)}"


def _data(profile: DataProfile, splits: Splits) -> str:
    roles: dict[str, list[str]] = {}
    for column in profile.columns:
        roles.setdefault(column.role, []).append(column.name)
    rows: list[dict[str, Any]] = [
        {"used as": role, "columns": len(names), "names": ", ".join(names)} for role, names in roles.items()
    ]
    count = f"{profile.rows:,} rows: {len(splits.learning):,} to learn from, {len(splits.test):,} to test on."
    return f"{count} Quality {profile.quality.score:.0f} of 100.\n\n{markdown_table(rows, LONGEST)}"


def _quality(evaluation: Evaluation) -> str:
    where = "out-of-fold rows" if evaluation.out_of_fold else "test rows"
    served = f"One row takes {evaluation.latency_ms:.3g} ms; the file has {evaluation.size_mb:.3g} MB."
    table = markdown_table(
        [{key: row[key] for key in ("metric", "test", "baseline", "cv mean", "cv std")} for row in evaluation.table()]
    )
    return f"On {evaluation.n_test:,} {where}, beside a baseline that knows the target alone. {served}\n\n{table}"


def _segments(promotion: PromotionDecision) -> str:
    keys = ("column", "segment", "rows", "challenger", "champion", "worse", "note")
    rows = [{key: getattr(each, key) for key in keys} for each in promotion.segments]
    return markdown_table(rows) if rows else "There was no champion to compare it with in parts of the rows."


def _groups(fairness: Fairness | None) -> str:
    if fairness is None:
        return "The spec names no `sensitiveColumns`, so nothing is known of how groups of people fare."
    tables = (markdown_table(fairness.table()), markdown_table(fairness.differences()))
    return "\n\n".join([*tables, plain(fairness.note, 2_000)])


def _limits(profile: DataProfile, splits: Splits, evaluation: Evaluation, trained: TrainedModel) -> str:
    known = [
        "The figures hold for rows like those that it was tested on; what has changed since, they do not know.",
        *profile.warnings,
        *splits.warnings,
        *([evaluation.note] if evaluation.note else []),
        *trained.facts.notes,
    ]
    return "\n".join(f"- {plain(text, LONGEST)}" for text in known)
