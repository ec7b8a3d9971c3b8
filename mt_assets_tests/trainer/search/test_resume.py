"""Searches that were killed: they go on where they stopped, to the same result."""

import itertools
import math
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.trial import TrialState, create_trial
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold

from mt_assets.trainer.data.splits import Fold
from mt_assets.trainer.search.proposals import Proposals
from mt_assets.trainer.search.space import SearchSpace
from mt_assets.trainer.search.storage import open_storage
from mt_assets.trainer.search.study import StudyResult, run_search


def outcome(study: StudyResult) -> list[dict[str, Any]]:
    """Everything of the trials but the seconds."""
    return [trial.model_dump(exclude={"seconds"}) for trial in study.trials]


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "folds").glob("*.npz")}


def kill_after(folder: Path, files: int, work: Any) -> None:
    """Run the search in a process of its own and kill -9 it when there are so many fold results."""
    process = multiprocessing.get_context("spawn").Process(
        target=run_search, args=work.arguments, kwargs={"folder": folder}
    )
    process.start()
    try:
        while len(stamps(folder)) < files and process.is_alive():
            time.sleep(0.002)
        assert process.is_alive(), "the search ended before it could be killed"
    finally:
        process.kill()
        process.join()


def test_killed_and_gone_on(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("lightgbm", "xgboost"), n_trials=8)
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    folder = tmp_path / "killed"
    kill_after(folder, 8, work)
    seen = stamps(folder)
    study = run_search(*work.arguments, folder=folder)
    assert 2 <= study.resumed_trials < 8
    assert outcome(study) == outcome(undisturbed)
    assert study.best_number == undisturbed.best_number
    assert seen.items() <= stamps(folder).items(), "a finished fold was fitted again"
    assert stamps(folder).keys() == stamps(tmp_path / "undisturbed").keys()


def test_a_finished_search_is_only_read(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression", "lightgbm"), n_trials=7)
    first = run_search(*work.arguments, folder=tmp_path)
    before = stamps(tmp_path)
    again = run_search(*work.arguments, folder=tmp_path)
    assert again.resumed_trials == 7
    assert again.model_copy(update={"resumed_trials": 0}) == first
    assert stamps(tmp_path) == before
    more = run_search(*work.planned(n_trials=9).arguments, folder=tmp_path)
    assert outcome(more)[:7] == outcome(first)
    fewer = run_search(*work.planned(n_trials=4).arguments, folder=tmp_path)
    assert outcome(fewer) == outcome(first)[:4]
    assert before.items() <= stamps(tmp_path).items()


def test_fold_results_outlive_the_study(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=4)
    first = run_search(*work.arguments, folder=tmp_path)
    before = stamps(tmp_path)
    (tmp_path / "study.journal").unlink()
    again = run_search(*work.arguments, folder=tmp_path)
    assert again.resumed_trials == 0
    assert again.trials == first.trials
    assert stamps(tmp_path) == before


def test_a_damaged_fold_result_is_fitted_again(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=2)
    first = run_search(*work.arguments, folder=tmp_path)
    for path in (tmp_path / "folds").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    (tmp_path / "study.journal").unlink()
    assert outcome(run_search(*work.arguments, folder=tmp_path)) == outcome(first)


def test_a_killed_writer_blocks_nothing(tmp_path: Path, make_work: Any, mixed: pd.DataFrame) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=6)
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    run_search(*work.planned(n_trials=3).arguments, folder=tmp_path / "torn")
    journal = tmp_path / "torn" / "study.journal"
    with journal.open("ab") as file:
        file.write(b'{"op_code":5,"worker_id":"kil')
    assert JournalFileSymlinkLock(str(journal)).acquire()
    open_storage(None, journal.parent)
    assert not journal.with_name("study.journal.lock").is_symlink()
    study = run_search(*work.arguments, folder=tmp_path / "torn")
    assert outcome(study) == outcome(undisturbed)


class Interrupted(BaseException):
    """Stands for a kill at any moment: nothing in the search catches it."""


def kill_in_trial(number: int, folder: Path, work: Any, **where: Any) -> None:
    """Tear a search of trials with three folds out of this one before its first fold."""
    calls = itertools.count()

    def interrupt(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == "submit" and next(calls) == 3 * number:
            raise Interrupted

    sys.setprofile(interrupt)
    try:
        run_search(*work.arguments, folder=folder, **where)
    except Interrupted:
        return
    finally:
        sys.setprofile(None)
    raise AssertionError("the search ended before it could be killed")


@pytest.mark.parametrize("shared", [False, True])
def test_nothing_stays_running_when_data_or_plan_change(
    tmp_path: Path, make_work: Any, houses: pd.DataFrame, shared: bool
) -> None:
    where = {"storage_url": f"sqlite:///{tmp_path}/studies.sqlite"} if shared else {}
    work = make_work(houses, ("ridge",), n_trials=6, pruner="none")
    mine, neighbour = tmp_path / "mine", tmp_path / "neighbour"
    kill_in_trial(4, neighbour, work.planned(seed=9), **where)
    kill_in_trial(4, mine, work, **where)

    def states(folder: Path) -> Counter[TrialState]:
        storage, _ = open_storage(where.get("storage_url"), folder)
        names = optuna.get_all_study_names(storage)
        studies = [optuna.load_study(study_name=name, storage=storage) for name in names]
        return Counter(trial.state for study in studies for trial in study.trials)

    run_search(*work.planned(seed=8).arguments, folder=mine, **where)
    # In a storage that they share, the neighbour's trial is none of this model's business.
    assert states(mine)[TrialState.RUNNING] == (1 if shared else 0)
    assert states(mine)[TrialState.FAIL] == 1
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    assert outcome(run_search(*work.arguments, folder=mine, **where)) == outcome(undisturbed)


def interrupted_until_done(folder: Path, work: Any) -> tuple[StudyResult, int]:
    """Run a search that is torn out of whatever it or Optuna does after ever more calls, until it comes to its end."""
    for attempt in itertools.count(1):
        calls = itertools.count(-1_500 * attempt)

        def interrupt(frame: Any, event: str, _: Any, calls: Any = calls) -> None:
            own = "/optuna/" in frame.f_code.co_filename or "/trainer/search/" in frame.f_code.co_filename
            if own and event == "call" and next(calls) > 0:
                raise Interrupted

        sys.setprofile(interrupt)
        try:
            return run_search(*work.arguments, folder=folder), attempt
        except Interrupted:
            continue
        finally:
            sys.setprofile(None)
    raise AssertionError


def with_folds(work: Any, count: int) -> Any:
    """The same work on more folds."""
    rows = work.splits.learning
    parts = KFold(count, shuffle=True, random_state=0).split(rows)
    folds = tuple(Fold(rows[train], rows[validation]) for train, validation in parts)
    return replace(work.planned(folds_per_trial=count), splits=replace(work.splits, folds=folds))


@pytest.fixture(scope="module")
def houses() -> pd.DataFrame:
    return load_diabetes(as_frame=True).frame.astype(float).iloc[:150]


# A generator that is torn apart while it is closed can tell nobody.
torn = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@torn
@pytest.mark.parametrize("sampler", ["random", "nsga2", "qmc", "grid", "cmaes", "gp"])
def test_every_sampler_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, make_work: Any, houses: pd.DataFrame, sampler: str
) -> None:
    work = make_work(houses, ("ridge",), n_trials=16, sampler=sampler, pruner="none")
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    study, attempts = interrupted_until_done(tmp_path / "interrupted", work)
    assert attempts > 2
    assert outcome(study) == outcome(undisturbed)
    assert len({str(trial.params) for trial in study.trials}) > 12, "trials repeat each other"


@torn
@pytest.mark.parametrize("pruner", ["median", "percentile", "hyperband", "successive_halving", "wilcoxon"])
def test_every_pruner_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, make_work: Any, houses: pd.DataFrame, pruner: str
) -> None:
    work = with_folds(make_work(houses, ("ridge",), n_trials=25, sampler="random", pruner=pruner), 6)
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    study, attempts = interrupted_until_done(tmp_path / "interrupted", work)
    assert attempts > 2
    assert outcome(study) == outcome(undisturbed)
    assert any(trial.state == "pruned" for trial in study.trials)


SPACES: dict[str, dict[str, BaseDistribution]] = {
    "forest": {
        "trees": IntDistribution(50, 500, step=50),
        "depth": IntDistribution(2, 16, log=True),
        "features": CategoricalDistribution(["sqrt", 0.5, None]),
        "fixed": CategoricalDistribution([3]),
    },
    "linear": {"alpha": FloatDistribution(1e-3, 1e3, log=True), "ratio": FloatDistribution(0, 1)},
}
STARTS: dict[str, tuple[dict[str, Any], ...]] = {
    "forest": ({"trees": 100, "depth": 16, "features": "sqrt", "fixed": 3},),
    "linear": ({"alpha": 1.0, "ratio": 0.5}, {"alpha": 10.0, "ratio": 0.0}),
}


def made_value(point: dict[str, Any]) -> float:
    return sum(math.log(1 + abs(value)) for value in point.values() if isinstance(value, int | float))


def proposed(kind: str, space: SearchSpace, objectives: int, *, restarts: bool) -> list[dict[str, Any]]:
    """The trials of a search without fits; with restarts every trial is proposed by a new process, so to say."""

    def fresh() -> Proposals:
        return Proposals(kind, 5, space, ["minimize"] * objectives, 40)

    proposals, trials = fresh(), []
    wanted = 14 if kind == "gp" else 40  # Gaussian processes begin at the eleventh trial, and take long
    for number in range(int(min(wanted, proposals.most))):
        proposals = fresh() if restarts else proposals
        point = proposals.propose(number, trials)
        algorithm = point.get("algorithm", next(iter(space.spaces)))
        distributions = {space.name(algorithm, name): own for name, own in space.spaces[algorithm].items()}
        if space.several:
            distributions["algorithm"] = CategoricalDistribution(list(space.spaces))
        state = TrialState.FAIL if number == 7 else TrialState.COMPLETE
        values = [made_value(point) * (-1) ** each for each in range(objectives)]
        trials.append(
            create_trial(
                params=point,
                distributions=distributions,
                values=None if state == TrialState.FAIL else values,
                state=state,
            )
        )
    return [trial.params for trial in trials]


@pytest.mark.parametrize("algorithms", [("forest",), ("forest", "linear")])
@pytest.mark.parametrize(
    ("kind", "objectives"),
    [(kind, 1) for kind in ("tpe", "random", "nsga2", "qmc", "grid", "cmaes", "gp")] + [("nsga2", 2), ("tpe", 2)],
)
def test_a_trial_is_proposed_from_those_before_it_alone(
    kind: str, objectives: int, algorithms: tuple[str, ...]
) -> None:
    space = SearchSpace({name: SPACES[name] for name in algorithms}, {name: STARTS[name] for name in algorithms})
    points = proposed(kind, space, objectives, restarts=False)
    assert points == proposed(kind, space, objectives, restarts=True)
    assert points[: len(space.starts)] == [space.point(*start) for start in space.starts]
    assert len({str(point) for point in points}) > 0.6 * len(points)
    if len(algorithms) > 1:
        assert {point["algorithm"] for point in points[3:]} == set(algorithms)
