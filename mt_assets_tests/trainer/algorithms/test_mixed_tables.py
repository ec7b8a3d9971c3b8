"""Every algorithm on small tables with numbers, gaps, booleans, categories, dates and text, of every kind of target."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from threadpoolctl import threadpool_limits

from mt_assets.trainer.algorithms.registry import algorithm, available
from mt_assets.trainer.model import TRUSTED_TYPES, TrainedModel
from mt_assets.trainer.search.candidate import Candidate, FoldCache
from mt_assets.trainer.search.fold_fits import FoldFits, fit_setting
from mt_assets.trainer.search.result import BestParams
from mt_assets.trainer.training import train_final

KINDS = {"binary": "classification", "multiclass": "classification", "regression": "regression"}
CASES = [(name, kind) for kind, task in KINDS.items() for name in available(task)]
CLASSIFIED = [(name, kind) for name, kind in CASES if kind != "regression"]
ROUNDS = {"gradient_boosting": 8, "xgboost": 8, "lightgbm": 8, "catboost": 8, "neural_network": 20}
"""Rounds of the final fit, of algorithms that stop early: few enough for single rows not to be learned by heart."""

OWN_THREADS = {
    **dict.fromkeys(("random_forest", "extra_trees", "knn", "xgboost", "lightgbm"), ("n_jobs",)),
    "catboost": ("thread_count",),
}
"""Parameters that say the threads; all other algorithms follow the limit that the search sets for the process."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As the search does; threads of small fits that wait for each other on a busy machine take 20 times as long."""
    with threadpool_limits(limits=1):
        yield


def table(kind: str) -> pd.DataFrame:
    """150 rows; the target hangs on a number, a category, a date and a word, and one class of it is rare."""
    rng = np.random.default_rng(11)
    n = 150
    number, level = rng.normal(size=n), rng.choice(["red", "green", "blue", "grey"], n, p=[0.4, 0.3, 0.2, 0.1])
    day = rng.integers(0, 700, n)
    word = rng.choice(["broken", "late", "fine"], n)
    value = number + (level == "red") + day / 350 + (word == "broken") + rng.normal(0, 0.3, n)
    frame = pd.DataFrame(
        {
            "number": np.where(rng.random(n) < 0.1, np.nan, number * 1e4),
            "count": rng.integers(0, 9, n),
            "member": rng.random(n) < 0.5,
            "level": np.where(rng.random(n) < 0.1, None, level),
            "since": pd.Timestamp("2022-03-01") + pd.to_timedelta(day, unit="D"),
            "note": [f"it arrived {each} on monday" if at % 11 else None for at, each in enumerate(word)],
        }
    )
    if kind == "regression":
        return frame.assign(target=5e6 + 1e5 * value)
    bounds = [np.quantile(value, 0.85)] if kind == "binary" else np.quantile(value, [0.5, 0.85])
    return frame.assign(target=np.array(["low", "middle", "high"])[np.digitize(value, bounds)])


@pytest.fixture(scope="module")
def work_of(make_work: Any) -> Any:
    tables = {kind: table(kind) for kind in KINDS}

    def work(name: str, kind: str, **plan: Any) -> Any:
        return make_work(tables[kind], (name,), {"note": "text"}, **plan)

    return work


def start_of(work: Any, at: int = 0) -> Candidate:
    """A start configuration, of few trees."""
    name = work.plan.algorithms[0]
    params = dict(algorithm(name).starts(fit_setting(work.plan, work.profile, work.splits))[at])
    return Candidate(name, params | ({"n_estimators": 50} if name in ("random_forest", "extra_trees") else {}))


def final(work: Any) -> TrainedModel:
    start, name = start_of(work), work.plan.algorithms[0]
    rounds = ROUNDS.get(name)
    best = BestParams(algorithm=name, params=start.params, score=0.0, trial_number=0, iterations=rounds, reason="")
    return train_final(work.plan, best, *work.arguments[1:])


@pytest.fixture(scope="module")
def trained(work_of: Any) -> dict[tuple[str, str], TrainedModel]:
    return {(name, kind): final(work_of(name, kind)) for name, kind in CASES}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_fits_and_predicts_in_range_and_the_same_again(trained: Any, work_of: Any, name: str, kind: str) -> None:
    work = work_of(name, kind)
    model, frame = trained[name, kind].model, table(kind)
    scores = model.scores(frame)
    if kind == "regression":
        y = frame["target"].to_numpy()
        assert scores.shape == (len(frame),)
        assert y.min() - y.std() < scores.min() < scores.max() < y.max() + y.std()
        assert np.corrcoef(scores, y)[0, 1] > 0.5
    else:
        assert scores.shape == (len(frame), 2 if kind == "binary" else 3)
        assert scores.min() >= 0
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
        assert set(model.predict(frame)) <= set(frame["target"])
    np.testing.assert_array_equal(final(work).model.scores(frame), scores)


@pytest.mark.parametrize(("name", "kind"), CLASSIFIED)
def test_class_weights_raise_the_rarest_class(trained: Any, work_of: Any, name: str, kind: str) -> None:
    frame, rarest = table(kind), {"binary": "middle", "multiclass": "high"}[kind]
    weighted = final(work_of(name, kind, class_weight="balanced"))
    chances = [each.model.predict_proba(frame) for each in (trained[name, kind], weighted)]
    even, raised = (chance[:, list(weighted.model.classes_).index(rarest)].mean() for chance in chances)
    if name == "knn":
        assert raised == even
        assert "knn takes no class weights" in weighted.facts.notes[0]
    elif name not in ("random_forest", "extra_trees"):  # leaves of single rows are what they are with any weight
        assert raised > even + 0.01


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_start_runs_on_a_fold_and_boosters_stop(work_of: Any, tmp_path: Path, name: str, kind: str) -> None:
    work = work_of(name, kind)
    fits = FoldFits(*work.arguments, FoldCache(tmp_path), tmp_path / "scratch")
    learner = algorithm(name)
    for at, start in enumerate(learner.starts(fits.setting)):
        assert set(start) == set(learner.space(fits.setting))
        result = fits.run(start_of(work, at), 0)
        assert np.isfinite(result.prediction).all()
        if name in ROUNDS:
            assert result.best_iteration is not None and 1 <= result.best_iteration <= 2_000
            assert learner.with_iterations(start, result.best_iteration) != start
        else:
            assert learner.with_iterations(start, None) == start


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_skops_reads_it_with_the_list_alone(trained: Any, name: str, kind: str) -> None:
    model = trained[name, kind].model
    content = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=content)) <= set(TRUSTED_TYPES)
    frame = table(kind)
    again = skops.io.loads(content, trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.scores(frame), model.scores(frame))


def test_a_fresh_process_reads_them_all(trained: Any, tmp_path: Path) -> None:
    for (name, kind), each in trained.items():
        folder = tmp_path / f"{name}.{kind}"
        folder.mkdir()
        each.save(folder)
    code = (
        "import json, sys; from pathlib import Path; from mt_assets.trainer.load_check import check;"
        "print(json.dumps({folder.name: check(folder) for folder in Path(sys.argv[1]).iterdir()}))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    verdicts = json.loads(ended.stdout)
    assert set(verdicts) == {f"{name}.{kind}" for name, kind in CASES}
    assert {name: verdict["message"] for name, verdict in verdicts.items() if not verdict["passed"]} == {}


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_a_fit_takes_the_threads_that_it_is_given(work_of: Any, tmp_path: Path, name: str) -> None:
    """Pools of threads live on after their use, so that one that a fit has opened can be counted after it."""
    kind = "binary" if name in available("classification") else "regression"
    work = work_of(name, kind)
    fits = FoldFits(*work.arguments, FoldCache(tmp_path), tmp_path / "scratch")
    before = len(list(Path("/proc/self/task").iterdir()))
    fits.run(start_of(work), 0)
    assert len(list(Path("/proc/self/task").iterdir())) <= before
    setting = fit_setting(work.planned(threads=3).plan, work.profile, work.splits)
    told = algorithm(name).build(setting, start_of(work).params).get_params()
    assert all((told | told.get("params", {}))[key] == 3 for key in OWN_THREADS.get(name, ()))
