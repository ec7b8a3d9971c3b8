"""Plots: valid PNGs of the promised size, whatever the labels."""

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from mt_assets.trainer.evaluation import plots, search_plots
from mt_assets.trainer.evaluation.goal import Goal
from mt_assets.trainer.evaluation.plot_style import text

MANY = Goal("log_loss")
HOSTILE = ("$a_{1}$ costs $5, and goes on and on for ever", "😀 漢字\n\x00\ud800", "_under <b>&", "")


def small(png: bytes, limit: int = 12_000) -> Image.Image:
    assert len(png) <= limit
    picture = Image.open(BytesIO(png))
    picture.load()
    assert picture.mode == "P"
    assert picture.width == 480
    return picture


def full(png: bytes) -> None:
    picture = Image.open(BytesIO(png))
    picture.load()
    assert picture.width == 1080


def check(files: dict[str, bytes], names: set[str]) -> None:
    assert set(files) == {f"{size}{name}.png" for name in names for size in ("", "small_")}
    for name, png in files.items():
        small(png) if name.startswith("small_") else full(png)
    assert sum(len(png) for name, png in files.items() if name.startswith("small_")) <= 60_000


CURVES = {"confusion_matrix", "roc_curve", "precision_recall", "calibration"}


def test_binary() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    p = DecisionTreeClassifier(max_depth=4, random_state=0).fit(x[::3], y[::3]).predict_proba(x)
    files = plots.plot_files(y, p, classes=("malignant", "benign"), target="kind", goal=Goal("f1", positive=0))
    check(files, CURVES | {"threshold_curve"})


def test_regression_with_few_and_with_many_rows() -> None:
    x, y = load_diabetes(return_X_y=True)
    values = LinearRegression().fit(x, y).predict(x)
    for times in (1, 3):
        files = plots.plot_files(np.tile(y, times), np.tile(values, times), classes=(), target="$y$", goal=Goal("rmse"))
        check(files, {"predicted_vs_actual", "residuals"})


def test_26_classes() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 26, 2000)
    p = rng.dirichlet(np.full(26, 0.3), 2000) * 0.6
    p[np.arange(2000), y] += 0.4
    check(plots.plot_files(y, p, classes=[chr(65 + i) * 20 for i in range(26)], target="letter", goal=MANY), CURVES)


def test_hostile_labels() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 60)
    check(plots.plot_files(rng.integers(0, 4, 60), p, classes=HOSTILE, target="$", goal=MANY), CURVES)
    importance = dict(zip(HOSTILE, (0.4, 0.3, 0.2, 0.1), strict=True))
    small(plots.importance_bars(importance, deviation=importance, title="Importance", small=True))


@pytest.mark.parametrize("y", [[1, 1, 1], [0]])
def test_rows_of_one_class(y: list[int]) -> None:
    p = np.full((len(y), 2), 0.5)
    files = plots.plot_files(np.array(y), p, classes=(False, True), target="t", goal=Goal("recall", positive=1))
    check(files, CURVES | {"threshold_curve"})


def test_constant_values() -> None:
    for rows in (1, 2000):
        files = plots.plot_files(np.ones(rows), np.ones(rows), classes=(), target="t", goal=Goal("rmse"))
        check(files, {"predicted_vs_actual", "residuals"})


def test_a_label_is_one_short_literal_line() -> None:
    assert text("a\nb\x00c") == "a b c"
    assert text("$x$") == r"\$x\$"
    assert text("") == "(blank)"
    assert text("x" * 30, 10) == "x" * 9 + "…"


@dataclass
class MadeTrial:
    number: int
    state: str
    algorithm: str
    params: dict[str, Any]
    score: float | None
    score_std: float | None = 0.01
    values: tuple[float, ...] = ()


@dataclass
class MadeStudy:
    trials: list[MadeTrial]
    metric: str = "roc_auc"
    parameter_importance: dict[str, float] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    front: tuple[int, ...] = ()
    best_number: int = 0


def made_compromises(count: int) -> MadeStudy:
    """Trials with two objectives, every third of them on the front."""
    trials = made_trials(count)
    for trial in trials:
        trial.state, trial.score = "complete", 0.5
        trial.values = (trial.number / count, 1 - trial.number / count - (trial.number % 3) / 10)
    front = tuple(range(0, count, 3))
    return MadeStudy(trials, "recall", objectives=("recall", "precision"), front=front, best_number=front[1])


def made_trials(count: int) -> list[MadeTrial]:
    rng = np.random.default_rng(0)
    trials = []
    for number in range(count):
        params = {
            "learning_rate": float(10 ** rng.uniform(-3, 0)),
            "leaves": int(rng.integers(2, 99)),
            "growth": str(rng.choice(["depth", "$loss$"])),
            "features": [0.3, "sqrt", None][number % 3],
            "share": float(rng.uniform()),
            "penalty": float(rng.uniform()),
            "constant": 1,
        }
        state = "failed" if number == 5 else "pruned" if number % 7 == 6 else "complete"
        score = None if state == "failed" else -9.0 if number == 3 else float(rng.uniform(0.7, 0.8))
        trials.append(MadeTrial(number, state, ["lightgbm", "ridge"][number % 2], params, score))
    return trials


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_study(metric: str) -> None:
    study = MadeStudy(made_trials(300), metric, {"lightgbm.learning_rate": 0.7, "leaves": 0.3})
    shown = search_plots.study_plots(study, small=True)
    assert set(shown) == {"optimization_history", "parallel_coordinates", "parameter_importance", "leaderboard"}
    for png in shown.values():
        small(png, 20_000)
    assert sum(map(len, shown.values())) <= 60_000
    for png in search_plots.study_plots(study, small=False).values():
        full(png)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_study_of_hardly_any_trial(count: int) -> None:
    for png in search_plots.study_plots(MadeStudy(made_trials(count)), small=True).values():
        small(png)


def test_study_of_failures() -> None:
    failed = [MadeTrial(number, "failed", "ridge", {}, None, None) for number in range(3)]
    for png in search_plots.study_plots(MadeStudy(failed), small=True).values():
        small(png)


@dataclass
class MadeCurve:
    rows: tuple[int, ...] = (10, 20, 40)
    scores: tuple[float, ...] = (3.0, 2.0, 1.5)
    metric: str = "rmse"


def test_learning_curve() -> None:
    small(search_plots.learning_curve_plot(MadeCurve()))
    full(search_plots.learning_curve_plot(MadeCurve(), small=False))


def test_several_objectives_are_shown_as_a_front() -> None:
    study = made_compromises(300)
    shown = search_plots.study_plots(study, small=True)
    assert set(shown) == {"optimization_history", "pareto_front"}
    small(shown["pareto_front"], 20_000)
    full(search_plots.study_plots(study, small=False)["pareto_front"])
    study.best_number = study.front[2]
    assert search_plots.study_plots(study, small=True)["pareto_front"] != shown["pareto_front"]
