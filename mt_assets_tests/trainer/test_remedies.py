"""Advice about missed gates: each piece of it where this run gives reason to."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.trainer.evaluation.evaluate import Evaluation
from mt_assets.trainer.evaluation.fairness import Fairness
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.promotion import GateVerdict, evaluate_gates
from mt_assets.trainer.remedies import MOST, REMEDIES, with_remedies
from mt_assets.trainer.search.result import StudyResult, TrialRecord


def trials(*scores: float, algorithms: tuple[str, ...] = ("lightgbm",), std: float = 0.01) -> StudyResult:
    records = tuple(
        TrialRecord(
            number=number, state="complete", algorithm=algorithms[number % len(algorithms)], score=score,
            score_std=std, params={"n_estimators": 300},
        )
        for number, score in enumerate(scores)
    )  # fmt: skip
    best = max(range(len(scores)), key=lambda number: scores[number])
    return StudyResult(
        study_name="s", storage="", metric="roc_auc", direction="maximize", trials=records, best_number=best,
        seconds=1.0, resumed_trials=0, stopped_by="trials", folds_key="",
    )  # fmt: skip


EARLY = trials(0.9, 0.8, 0.8, 0.8, 0.8, 0.8, algorithms=("lightgbm", "ridge"))
LATE = trials(0.8, 0.8, 0.8, 0.8, 0.8, 0.9, algorithms=("lightgbm", "ridge"))
ALIKE = trials(0.9, 0.895, algorithms=("lightgbm", "random_forest"))

SCORES = {"roc_auc": 0.9, "recall": 0.5, "log_loss": 0.4, "f1": 0.6, "mase": 0.8, "coverage": 0.7}


def advice(
    gate: str,
    bound: str,
    study: StudyResult = EARLY,
    asked: dict[str, Any] | None = None,
    folds: dict[str, float] | None = None,
    **planned: Any,
) -> tuple[str, ...]:
    spec = TrainingSpec.model_validate(
        {"trainDataPath": "/data.csv", "targetColumn": "y", "qualityGates": {gate: bound}, **(asked or {})}
    )
    usual: dict[str, Any] = {
        "task": "classification", "metric": "roc_auc", "algorithms": ("lightgbm", "ridge"), "recommended": "lightgbm",
        "sampler": "tpe", "pruner": "none", "n_trials": 100, "timeout": None, "search_enabled": True,
        "class_weight": None, "early_stopping_rounds": 20, "folds_per_trial": 5, "threads": 1, "seed": 0,
        "decisions": (),
    }  # fmt: skip
    plan = TrainingPlan(**(usual | planned))
    evaluation = Evaluation(
        metric=plan.metric, test=SCORES, baseline={}, validation=SCORES,
        cross_validation={"roc_auc_mean": 0.9, "roc_auc_std": 0.02, **(folds or {})}, folds=5, n_test=500,
        gain=0.1, gain_error=0.01, test_error=0.01, latency_ms=40.0, predict_rows_per_second=1.0, size_mb=9.0,
    )  # fmt: skip
    apart = Fairness(groups=(), columns={}, worst={"demographic_parity_difference": 0.2}, rows=500)
    verdicts = evaluate_gates(spec.gates, evaluation, apart)
    assert not verdicts[0].passed
    assert "missed by" in verdicts[0].reason
    (told,) = with_remedies(verdicts, spec, plan, evaluation, study, 0.5)
    assert 0 < len(told.suggestions) <= MOST
    return told.suggestions


SERIES = {"modelType": "time_series", "timeColumn": "t"}

CASES: dict[str, tuple[str, Callable[[], tuple[str, ...]]]] = {
    "smaller": ("it is a lightgbm now", partial(advice, "model.size_mb", "<=1")),
    "trees": ("it has 300", partial(advice, "model.latency_ms", "<=1")),
    "unequal": ("featureTypes: {<column>: drop}", partial(advice, "fairness.demographic_parity_difference", "<=0.1")),
    "groups": ("the groups in the asset", partial(advice, "fairness.demographic_parity_difference", "<=0.1")),
    "folds": ("Folds of few rows wander", partial(advice, "cv.roc_auc_std", "<=0.01")),
    "aim labels": ('objective.constraints.recall: ">=0.9"', partial(advice, "test.recall", ">=0.9")),
    "let it be found": (
        "instead of 0.5",
        partial(advice, "test.recall", ">=0.9", asked={"objective": {"threshold": 0.5}}, metric="recall"),
    ),
    "tighter": (
        "(>=0.4 now); that costs roc_auc",
        partial(advice, "test.recall", ">=0.9", constraints={"recall": ">=0.4"}, threshold="tuned"),
    ),
    "one-sided": (
        "objective.constraints.precision",
        partial(advice, "test.recall", ">=0.9", metric="recall", threshold=0.5),
    ),
    "few rows": ("so far it is 0.5", partial(advice, "test.f1", ">=0.9", metric="f1", threshold=0.5)),
    "weights": (
        "classImbalance: none",
        partial(advice, "test.log_loss", "<=0.1", class_weight="balanced", calibrate=True),
    ),
    "calibrate": ("options.calibrate: true", partial(advice, "test.log_loss", "<=0.1")),
    "aim": ("`objective.metric: log_loss`", partial(advice, "test.log_loss", "<=0.1", calibrate=True)),
    "chance": ("It may be chance", partial(advice, "test.roc_auc", ">=0.915")),
    "other rows": (
        "Cross-validation keeps the bound",
        partial(advice, "test.roc_auc", ">=0.95", folds={"roc_auc_mean": 0.96}),
    ),
    "search": ("Switch the search on", partial(advice, "test.roc_auc", ">=0.99", search_enabled=False)),
    "longer": ("trial 5 of 6 was the best", partial(advice, "test.roc_auc", ">=0.99", LATE, n_trials=6)),
    "one": (
        "instead of lightgbm",
        partial(advice, "test.roc_auc", ">=0.99", asked={"algorithm": "lightgbm"}, algorithms=("lightgbm",)),
    ),
    "alike": ("All algorithms come out alike", partial(advice, "test.roc_auc", ">=0.99", ALIKE)),
    "wider": ("nTrials` is 6", partial(advice, "test.roc_auc", ">=0.99", n_trials=6)),
    "rows": ("Get more rows", partial(advice, "test.roc_auc", ">=0.99")),
    "known ahead": (
        "columns in `knownAhead`",
        partial(advice, "test.mase", "<=0.5", asked=SERIES, task="time_series", metric="mase"),
    ),
    "origins": (
        "Judge forecasts from more origins",
        partial(advice, "test.coverage", ">=0.99", asked=SERIES, task="time_series", metric="mase"),
    ),
    "last steps": (
        "At the origins the bound is kept",
        partial(
            advice, "test.mase", "<=0.5", asked=SERIES, task="time_series", metric="mase", folds={"mase_mean": 0.4}
        ),
    ),
    "less": ("test.roc_auc is 0.9", partial(advice, "test.roc_auc", ">=0.99")),
}


@pytest.mark.parametrize("case", CASES)
def test_each_remedy_is_told_where_it_may_help(case: str) -> None:
    said, tell = CASES[case]
    assert any(said in text for text in tell())


def test_every_remedy_has_its_case() -> None:
    assert len(CASES) == len(REMEDIES)
    told = {text for _, tell in CASES.values() for text in tell()}
    for remedy in REMEDIES:
        start = remedy.text.partition("{")[0]
        assert any(text.startswith(start) for text in told)


def test_what_was_done_already_is_not_advised() -> None:
    told = " ".join(advice("test.recall", ">=0.9", LATE, metric="recall", threshold="tuned", n_trials=6))
    assert "threshold" not in told and "Aim at it" not in told
    assert "nTrials" not in " ".join(advice("test.roc_auc", ">=0.99", n_trials=200))


def test_what_is_met_or_unknown_gets_no_advice() -> None:
    spec = TrainingSpec.model_validate(
        {"trainDataPath": "/d.csv", "targetColumn": "y", "qualityGates": {"test.f1": ">=0.1", "test.mcc": ">=0.1"}}
    )
    verdicts = (
        GateVerdict(gate="a", value=0.5, passed=True, reason=""),
        GateVerdict(gate="b", value=None, passed=False, reason=""),
    )
    assert with_remedies(verdicts, spec, None, None, EARLY, None) == verdicts  # type: ignore[arg-type]
