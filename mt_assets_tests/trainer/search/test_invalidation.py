"""What a change makes new, and what it leaves: fold results are known by all that they depend on, and by no more."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

import mt_assets
from mt_assets.trainer.data.splits import Fold
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.search import fold_fits
from mt_assets.trainer.search.candidate import Candidate, FoldCache, code_digest
from mt_assets.trainer.search.ledger import OTHER_DATA
from mt_assets.trainer.search.storage import open_storage
from mt_assets.trainer.search.study import StudyResult, run_search

ALGORITHMS = ("logistic_regression", "lightgbm")


def outcome(study: StudyResult) -> list[dict[str, Any]]:
    return [trial.model_dump(exclude={"seconds"}) for trial in study.trials]


def results(folder: Path) -> dict[str, int]:
    """Fold results, and when they were made."""
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "folds").glob("*.npz")}


def keys(study: StudyResult) -> list[tuple[str, ...]]:
    """Fold results that each trial stands on."""
    return [trial.fold_keys for trial in study.trials]


@pytest.fixture(scope="module")
def work(make_work: Any, mixed: pd.DataFrame) -> Any:
    return make_work(mixed, ALGORITHMS, n_trials=3, sampler="random", pruner="none")


def with_cell(work: Any, row: int, column: str, value: Any) -> Any:
    """The same work with another value in one cell of the table."""
    frame = work.table.frame()
    assert frame.loc[row, column] != value
    frame.loc[row, column] = value
    return replace(work, table=Table.of(frame))


def test_more_trials_cost_only_the_new_ones(tmp_path: Path, work: Any) -> None:
    few = run_search(*work.arguments, folder=tmp_path)
    before = results(tmp_path)
    more = run_search(*work.planned(n_trials=5).arguments, folder=tmp_path)
    assert more.resumed_trials == 3
    assert outcome(more)[:3] == outcome(few)
    made = {key for trial in more.trials[3:] for key in trial.fold_keys}
    assert results(tmp_path).keys() == before.keys() | made
    assert before.items() <= results(tmp_path).items()
    assert len(made - before.keys()) == 2 * 3


def without_a_column(work: Any) -> Any:
    columns = tuple(
        each.model_copy(update={"role": "ignored"}) if each.name == "plan" else each for each in work.profile.columns
    )
    return replace(work, profile=work.profile.model_copy(update={"columns": columns}))


def number_as_category(work: Any) -> Any:
    columns = tuple(
        each.model_copy(update={"role": "categorical"}) if each.name == "age" else each for each in work.profile.columns
    )
    return replace(work, profile=work.profile.model_copy(update={"columns": columns}))


def cell_of_a_learning_row(work: Any) -> Any:
    return with_cell(work, int(work.splits.learning[7]), "age", 99)


def target_of_a_learning_row(work: Any) -> Any:
    row = int(work.splits.learning[7])
    return with_cell(work, row, "target", "no" if work.table.frame().loc[row, "target"] == "yes" else "yes")


@pytest.mark.parametrize(
    "change",
    [without_a_column, number_as_category, cell_of_a_learning_row, target_of_a_learning_row],
)
def test_what_results_depend_on_makes_them_all_new(tmp_path: Path, work: Any, change: Callable[..., Any]) -> None:
    run_search(*work.arguments, folder=tmp_path)
    before = results(tmp_path)
    changed = change(work)
    study = run_search(*changed.arguments, folder=tmp_path)
    assert study.resumed_trials == 0
    assert len(results(tmp_path)) == 2 * len(before)
    assert before.items() <= results(tmp_path).items()


@pytest.mark.parametrize(
    ("file", "matters"),
    [("features/columns.py", True), ("algorithms/lightgbm.py", True), ("data/target.py", True), ("judging.py", False)],
)
def test_results_are_of_the_code_that_made_them(tmp_path: Path, file: str, matters: bool) -> None:
    """Asked of a copy of the package in which one file has one more line."""
    package = Path(mt_assets.__file__).parent
    shutil.copytree(package, tmp_path / "mt_assets", ignore=shutil.ignore_patterns("__pycache__", "examples"))
    with (tmp_path / "mt_assets" / "trainer" / file).open("a") as code:
        code.write("# changed\n")
    ask = "from mt_assets.trainer.search.candidate import code_digest; print(code_digest())"
    told = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (told.stdout.strip() != code_digest()) == matters


def test_results_of_other_code_have_other_names(tmp_path: Path, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def name() -> str:
        fits = fold_fits.FoldFits(*work.arguments, FoldCache(tmp_path), tmp_path / "scratch")
        return fits.key(Candidate("lightgbm", {}), 0)

    before = name()
    assert name() == before
    monkeypatch.setattr(fold_fits, "code_digest", lambda: "other code")
    assert name() != before


def test_other_rows_in_one_fold_leave_the_results_of_the_others(tmp_path: Path, work: Any) -> None:
    one = run_search(*work.arguments, folder=tmp_path)
    before = results(tmp_path)
    first, *others = work.splits.folds
    changed = replace(work, splits=replace(work.splits, folds=(Fold(first.train[1:], first.validation), *others)))
    other = run_search(*changed.arguments, folder=tmp_path)
    assert other.resumed_trials == 0
    assert [mine[1:] for mine in keys(other)] == [theirs[1:] for theirs in keys(one)]
    assert len(results(tmp_path).keys() - before.keys()) == len(one.trials)
    assert before.items() <= results(tmp_path).items()


@pytest.mark.parametrize("asked", [{"metric": "accuracy"}, {"pruner": "median"}, {"sampler": "qmc", "n_trials": 2}])
def test_how_results_are_judged_and_candidates_found_refits_nothing(
    tmp_path: Path, work: Any, asked: dict[str, Any]
) -> None:
    one = run_search(*work.arguments, folder=tmp_path)
    before = results(tmp_path)
    other = run_search(*work.planned(**asked).arguments, folder=tmp_path)
    assert other.study_name != one.study_name
    assert other.resumed_trials == 0
    tried = {str((trial.algorithm, trial.params)): trial.fold_keys for trial in one.trials}
    again = [trial for trial in other.trials if str((trial.algorithm, trial.params)) in tried]
    assert len(again) >= 2
    assert all(trial.fold_keys == tried[str((trial.algorithm, trial.params))] for trial in again)
    assert before.items() <= results(tmp_path).items()
    assert results(tmp_path).keys() - before.keys() == {
        key for trial in other.trials if trial not in again for key in trial.fold_keys
    }
    assert other.notes == ()


def test_what_nothing_is_learned_from_changes_nothing(tmp_path: Path, work: Any) -> None:
    unused = replace(work, table=Table.of(work.table.frame().assign(remark=range(len(work.table)))))
    one = run_search(*work.arguments, folder=tmp_path)
    before = results(tmp_path)
    for same in (unused, with_cell(work, int(work.splits.test[0]), "age", 99)):
        again = run_search(*same.arguments, folder=tmp_path)
        assert again.resumed_trials == len(one.trials)
        assert (again.study_name, outcome(again), again.notes) == (one.study_name, outcome(one), ())
    assert results(tmp_path) == before


@pytest.mark.parametrize("shared", [False, True])
def test_an_earlier_study_of_other_data_is_kept_and_told_of(tmp_path: Path, work: Any, shared: bool) -> None:
    where = {"storage_url": f"sqlite:///{tmp_path}/studies.sqlite"} if shared else {}
    folder, fewer = tmp_path / "mine", work.planned(n_trials=2)
    first = run_search(*fewer.arguments, folder=folder, **where)
    changed = cell_of_a_learning_row(fewer)
    other = run_search(*changed.arguments, folder=folder, **where)
    assert (first.notes, other.notes) == ((), (OTHER_DATA,))
    assert other.study_name != first.study_name
    assert run_search(*changed.arguments, folder=folder, **where).notes == (OTHER_DATA,)
    back = run_search(*fewer.arguments, folder=folder, **where)
    assert back == first.model_copy(update={"resumed_trials": 2})
    if shared:  # a neighbour's studies are none of this model's business
        assert run_search(*changed.arguments, folder=tmp_path / "neighbour", **where).notes == ()


def states(folder: Path) -> set[TrialState]:
    storage, _ = open_storage(None, folder)
    return {
        trial.state
        for name in optuna.get_all_study_names(storage)
        for trial in optuna.load_study(study_name=name, storage=storage).trials
    }


def elapsed(folder: Path) -> float:
    storage, _ = open_storage(None, folder)
    [name] = optuna.get_all_study_names(storage)
    return float(optuna.load_study(study_name=name, storage=storage).user_attrs["elapsed"])


def test_a_search_that_its_timeout_cut_goes_on_with_more_time(tmp_path: Path, make_work: Any, mixed: Any) -> None:
    work = make_work(
        mixed, ("lightgbm", "extra_trees"), n_trials=12, search_space={"extra_trees": {"n_estimators": 30}}
    )
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    folder = tmp_path / "cut"
    cut = run_search(*work.planned(timeout=0.2).arguments, folder=folder)
    assert cut.stopped_by == "timeout"
    assert 1 <= len(cut.trials) < 9
    assert states(folder).isdisjoint({TrialState.RUNNING, TrialState.WAITING})
    spent, before = elapsed(folder), results(folder)
    assert spent >= 0.2

    # The time that is over counts: with the same limit there is nothing left.
    began = time.monotonic()
    again = run_search(*work.planned(timeout=0.2).arguments, folder=folder)
    assert again.stopped_by == "timeout"
    assert outcome(again) == outcome(cut)
    assert states(folder).isdisjoint({TrialState.RUNNING, TrialState.WAITING})
    assert elapsed(folder) <= spent + time.monotonic() - began

    more = run_search(*work.planned(timeout=1e6).arguments, folder=folder)
    assert more.stopped_by == "trials"
    assert more.resumed_trials >= len(cut.trials)
    assert outcome(more)[: len(cut.trials)] == outcome(cut)
    assert elapsed(folder) > spent
    assert before.items() <= results(folder).items(), "a fold that was finished before the cut was fitted again"

    whole = run_search(*work.arguments, folder=folder)
    assert whole.stopped_by == "trials"
    assert outcome(whole) == outcome(undisturbed)
    assert before.items() <= results(folder).items()
    assert states(folder).isdisjoint({TrialState.RUNNING, TrialState.WAITING})
