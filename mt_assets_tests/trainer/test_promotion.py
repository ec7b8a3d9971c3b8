"""Gates, the paired comparison, and who becomes champion."""

import numpy as np
import pandas as pd
import pytest

from mt_assets.spec import TrainingSpec
from mt_assets.spec_values import Gate
from mt_assets.trainer.errors import TrainingError
from mt_assets.trainer.evaluation.evaluate import Evaluation
from mt_assets.trainer.evaluation.groups import group_rows
from mt_assets.trainer.evaluation.metrics import METRICS, score
from mt_assets.trainer.planning.plan import TrainingPlan
from mt_assets.trainer.promotion import (
    ChampionView,
    Contest,
    GateVerdict,
    PromotionDecision,
    compare,
    decide_promotion,
    default_margin,
    evaluate_gates,
    rows_digest,
)

PASSED = GateVerdict(gate="test.roc_auc >= 0.5", value=0.9, passed=True, reason="It is 0.9.")
MISSED = GateVerdict(gate="test.roc_auc >= 0.95", value=0.9, passed=False, reason="It is 0.9.")


def spec(**asked) -> TrainingSpec:
    return TrainingSpec.model_validate({"trainDataPath": "/data.csv", "targetColumn": "y", **asked})


def plan(metric: str = "roc_auc", task: str = "classification") -> TrainingPlan:
    return TrainingPlan(
        task=task, metric=metric, algorithms=("ridge",), recommended="ridge", sampler="tpe", pruner="none", n_trials=1,
        timeout=None, search_enabled=True, class_weight=None, early_stopping_rounds=20, folds_per_trial=5, threads=1,
        seed=0, decisions=(),
    )  # fmt: skip


def probabilities(positive: np.ndarray) -> np.ndarray:
    clipped = np.clip(positive, 0.01, 0.99)
    return np.column_stack([1 - clipped, clipped])


def scored_rows(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, a good model's probabilities and a clearly worse one's."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(np.int64)
    good = probabilities(0.35 + 0.3 * y + 0.15 * rng.normal(size=n))
    return y, good, probabilities(good[:, 1] + 0.4 * rng.normal(size=n))


def compared(challenger, champion, y, metric="roc_auc", margin=0.0, **changed):
    positive = 1 if challenger.ndim == 2 else None
    contest = Contest(challenger, champion, y, metric, positive)
    return compare(contest, **({"margin": margin, "confidence": 0.95, "seed": 0} | changed))


def decided(challenger, champion, y, gates=(PASSED,), asked=None, **changed) -> PromotionDecision:
    given = {"plan": plan(), "spec": spec(**(asked or {})), "positive": 1, "challenger_version": 2}
    return decide_promotion(
        gates=gates, y_test=y, challenger_prediction=challenger, champion=champion, **(given | changed)
    )


def test_equal_predictions_differ_by_nothing():
    y, good, _ = scored_rows()
    same = compared(good, good, y)
    assert (same.difference, same.lower, same.upper) == (0, 0, 0)
    assert same.not_worse


def test_the_better_one_wins_and_the_worse_one_does_not():
    y, good, poor = scored_rows()
    assert compared(good, poor, y).lower > 0
    worse = compared(poor, good, y)
    assert worse.upper < 0 and not worse.not_worse
    assert compared(poor, good, y, margin=1.0).not_worse


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if "classification" in metric.tasks])
def test_difference_is_positive_for_the_better_whatever_the_metrics_direction(metric):
    y, good, poor = scored_rows()
    found = compared(good, poor, y, metric)
    assert found.lower <= found.difference <= found.upper
    assert found.difference > 0
    assert found.challenger == score(metric, y, good, 1)


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if "regression" in metric.tasks])
def test_regression_is_compared_too(metric):
    rng = np.random.default_rng(0)
    y = 10 + rng.normal(size=200)
    found = compared(y + 0.1 * rng.normal(size=200), y + rng.normal(size=200), y, metric)
    assert found.not_worse and found.difference > 0


def test_every_resample_holds_a_class_of_a_single_row():
    y, good, poor = scored_rows()
    y = np.zeros_like(y)
    y[7] = 1
    good[7], poor[7] = (0.01, 0.99), (0.99, 0.01)
    found = compared(good, poor, y)
    assert found.lower > 0.4


def test_comparison_of_three_classes_draws_each():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [100, 40, 2])
    good = np.full((len(y), 3), 0.1)
    good[np.arange(len(y)), y] = 0.8
    contest = Contest(good, rng.dirichlet([1, 1, 1], len(y)), y, "roc_auc", None)
    found = compare(contest, margin=0, confidence=0.9, seed=0)
    assert found.challenger == 1 and found.lower > 0


def test_same_seed_same_interval_and_wider_with_more_confidence():
    y, good, poor = scored_rows()
    assert compared(good, poor, y) == compared(good, poor, y)
    assert compared(good, poor, y).lower != compared(good, poor, y, seed=1).lower
    assert compared(good, poor, y, confidence=0.99).lower < compared(good, poor, y, confidence=0.8).lower


def test_pairing_narrows_the_interval():
    """Two models that err on the same rows are told apart far better than their scores' own spread would allow."""
    rng = np.random.default_rng(0)
    y, shared = rng.normal(size=300), rng.normal(size=300)
    found = compared(y + shared, y + 1.02 * shared, y, "rmse")
    assert found.lower > 0
    assert found.upper - found.lower < 0.01


def test_equally_good_models_seldom_look_better():
    """The lower bound at 95 % lies above zero for about one in twenty pairs of equal models."""
    rng = np.random.default_rng(0)
    wrong = 0
    for seed in range(60):
        y = rng.normal(size=100)
        first, second = y + rng.normal(size=100), y + rng.normal(size=100)
        wrong += compared(first, second, y, "mae", seed=seed).lower > 0
    assert 0 <= wrong <= 8


def test_large_tests_take_fewer_resamples():
    y = np.zeros(50_001)
    assert compared(y + 1, y + 1, y, "mae").resamples == 200
    assert compared(y[1:] + 1, y[1:] + 1, y[1:], "mae").resamples == 1_000


def test_margin_follows_the_metrics_scale_where_none_is_given():
    assert default_margin("roc_auc", 0.8) == 0.01
    assert default_margin("rmse", 500.0) == 5.0
    y, good, _ = scored_rows()
    assert compared(good, good, y, margin=None).margin == 0.01


def evaluation(**changed) -> Evaluation:
    figures = {"metric": "roc_auc", "test": {"roc_auc": 0.9, "mcc": None}, "baseline": {}, "validation": {"f1": 0.5}}
    figures |= {"cross_validation": {"accuracy_std": 0.02}, "folds": 5, "n_test": 100, "gain": None, "gain_error": None}
    figures |= {"test_error": None, "latency_ms": 3.0, "size_mb": 1.5, "predict_rows_per_second": 1e5}
    return Evaluation(**(figures | changed))


@pytest.mark.parametrize(
    ("gate", "passed", "said"),
    [
        ("test.roc_auc >=0.9", True, "0.9"),
        ("test.roc_auc >0.9", False, "0.9"),
        ("validation.f1 <0.6", True, "0.5"),
        ("cv.accuracy_std <=0.01", False, "0.02"),
        ("model.latency_ms <=3", True, "3"),
        ("model.size_mb <1", False, "1.5"),
        ("test.mcc >=0", False, "not defined"),
        ("test.roc_acu >=0", False, "nearest is test.roc_auc"),
        ("latency >=0", False, "nearest is model.latency_ms"),
    ],
)
def test_gates_hold_what_they_say(gate, passed, said):
    (verdict,) = evaluate_gates([Gate.parse(*gate.split())], evaluation())
    assert verdict.passed == passed
    assert said in verdict.reason
    assert (verdict.value is None) == ("nearest" in said or "not defined" in said)


def test_every_gate_gets_its_verdict():
    gates = spec(qualityGates={"test.roc_auc": ">=0.8", "model.size_mb": "<=1"}).gates
    assert [verdict.passed for verdict in evaluate_gates(gates, evaluation())] == [True, False]
    assert evaluate_gates((), evaluation()) == ()


def test_first_model_that_passes_becomes_champion():
    y, good, _ = scored_rows()
    decision = decided(good, None, y)
    assert decision.verdict == "first" and decision.takes_over
    assert decision.comparison is None and decision.champion_version is None


@pytest.mark.parametrize("has_champion", [True, False])
def test_a_model_that_misses_a_gate_never_takes_over(has_champion):
    y, good, poor = scored_rows()
    decision = decided(good, ChampionView(1, poor) if has_champion else None, y, gates=(PASSED, MISSED))
    assert decision.verdict == "rejected_gates" and not decision.takes_over
    assert MISSED.gate in decision.reason and "1 of 2" in decision.reason
    assert (decision.comparison is not None) == has_champion


def test_better_challenger_is_promoted_and_worse_one_kept():
    y, good, poor = scored_rows()
    promoted = decided(good, ChampionView(1, poor), y)
    assert promoted.verdict == "promoted" and promoted.takes_over
    assert (promoted.champion_version, promoted.challenger_version, promoted.test_rows) == (1, 2, 400)
    kept = decided(poor, ChampionView(1, good), y)
    assert kept.verdict == "kept_challenger" and not kept.takes_over
    assert "champion 1" in kept.reason and "margin" in kept.reason


def test_a_point_that_looks_better_by_luck_is_not_enough():
    rng = np.random.default_rng(1)
    y = (rng.random(60) < 0.5).astype(np.int64)
    first = probabilities(0.4 + 0.2 * y + 0.3 * rng.normal(size=60))
    second = probabilities(0.4 + 0.2 * y + 0.3 * rng.normal(size=60))
    better, worse = (
        (first, second) if score("roc_auc", y, first, 1) > score("roc_auc", y, second, 1) else (second, first)
    )
    decision = decided(better, ChampionView(1, worse), y, asked={"promotion": {"margin": 0.0}})
    assert decision.comparison.difference > 0
    assert decision.verdict == "kept_challenger"


def test_spec_chooses_metric_margin_and_confidence():
    y, good, poor = scored_rows()
    asked = {"promotion": {"metric": "log_loss", "margin": 10.0, "confidence": 0.8}}
    decision = decided(poor, ChampionView(1, good), y, asked=asked)
    assert decision.verdict == "promoted"
    assert (decision.comparison.metric, decision.margin, decision.confidence) == ("log_loss", 10.0, 0.8)


@pytest.mark.parametrize(
    ("rows", "shape", "reason"),
    [(0, 2, "testSize"), (400, 3, "other classes"), (20, 2, "one class")],
)
def test_without_a_comparison_the_challenger_is_kept(rows, shape, reason):
    y, good, _ = scored_rows()
    y = np.zeros(20, dtype=np.int64) if rows == 20 else y[:rows]
    champion = ChampionView(1, np.full((rows, shape), 1 / shape))
    decision = decided(good[:rows], champion, y)
    assert decision.verdict == "kept_challenger"
    assert reason in decision.reason
    assert decision.comparison is None and decision.margin is None
    assert decided(good[:rows], None, y).verdict == "first"


def test_predictions_that_are_not_numbers_are_no_comparison():
    y, good, poor = scored_rows()
    broken = poor.copy()
    broken[3] = np.nan
    assert "NaN" in decided(good, ChampionView(1, broken), y).reason
    with pytest.raises(TrainingError):
        compared(good, broken, y)


def test_a_champion_trained_on_test_rows_is_an_error():
    y, good, poor = scored_rows()
    with pytest.raises(ValueError, match="trained on 3"):
        decided(good, ChampionView(1, poor, trained_on_test_rows=3), y)


def test_reuse_of_the_same_test_rows_is_counted():
    y, good, poor = scored_rows()
    digest = rows_digest(np.array([3, 1, 2], dtype=np.uint64))
    assert digest == rows_digest(np.array([1, 2, 3], dtype=np.uint64))
    first = decided(good, None, y, test_digest=digest)
    second = decided(good, ChampionView(1, poor), y, test_digest=digest, previous=first)
    other = decided(good, ChampionView(1, poor), y, test_digest="other", previous=second)
    third = decided(good, ChampionView(1, poor), y, test_digest=digest, previous=second)
    assert [each.times_test_rows_used for each in (first, second, third, other)] == [1, 2, 3, 1]
    assert "The same test rows have now decided 3 times in a row" in third.reason
    assert "in a row" not in first.reason + other.reason


def test_the_comparison_says_how_it_was_made():
    y, good, poor = scored_rows()
    assert "paired bootstrap" in decided(good, ChampionView(1, poor), y).comparison.method


def test_with_manual_approval_what_has_earned_it_waits_and_nothing_else():
    y, good, poor = scored_rows()
    manual = {"promotion": {"approval": "manual"}}
    waiting = [decided(good, None, y, asked=manual), decided(good, ChampionView(1, poor), y, asked=manual)]
    assert {each.verdict for each in waiting} == {"awaiting_approval"}
    assert not any(each.takes_over for each in waiting)
    assert decided(poor, ChampionView(1, good), y, asked=manual).verdict == "kept_challenger"
    assert decided(good, None, y, gates=(MISSED,), asked=manual).verdict == "rejected_gates"


def test_a_challenger_that_is_better_on_the_whole_and_worse_in_a_segment_is_kept():
    y, good, poor = scored_rows(1_200)
    segment = pd.Series(np.where(np.arange(1_200) % 4 == 0, "new", "old"), name="customer")
    challenger = np.where((segment == "new").to_numpy()[:, None], probabilities(1 - good[:, 1]), good)
    champion = ChampionView(1, np.where((segment == "new").to_numpy()[:, None], good, poor))
    asked = {"promotion": {"margin": 0.2}}
    assert decided(challenger, champion, y, asked=asked).verdict == "promoted"
    kept = decided(challenger, champion, y, asked=asked, groupings=[group_rows(segment, 3)])
    assert kept.verdict == "kept_challenger"
    assert "clearly worse in 1 of 2 segments: customer new" in kept.reason
    few = {"promotion": {"margin": 0.2, "minSegment": 400}}
    assert decided(challenger, champion, y, asked=few, groupings=[group_rows(segment, 3)]).verdict == "promoted"


def test_decision_reads_back_equal(tmp_path):
    y, good, poor = scored_rows()
    decision = decided(good, ChampionView(1, poor), y)
    decision.save(tmp_path)
    assert PromotionDecision.load(tmp_path).model_dump() == decision.model_dump()


def test_each_model_is_compared_by_its_own_threshold():
    y, good, _ = scored_rows()
    shifted = probabilities(good[:, 1] - 0.2)  # the same order of rows, another scale
    champion = ChampionView(version=1, prediction=good, threshold=0.5)
    with_own = decided(shifted, champion, y, plan=plan("f1"), threshold=0.3).comparison
    assert with_own.challenger == pytest.approx(with_own.champion, abs=0.02)
    with_other = decided(shifted, champion, y, plan=plan("f1")).comparison
    assert with_other.challenger < with_other.champion - 0.1
