"""Searches that were killed: they go on where they stopped, to the same result."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import Trial, TrialState

from mt_assets.trainer.search.proposals import PerTrialSampler
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


@pytest.mark.parametrize("kind", ["random", "tpe"])
@pytest.mark.parametrize("killed_after", [0, 1, 2])
def test_a_trial_killed_between_two_parameters_gets_the_same(tmp_path: Path, kind: str, killed_after: int) -> None:
    def suggest(trial: Trial, count: int = 3) -> list[float]:
        return [trial.suggest_float(name, 0, 1) for name in "abc"[:count]]

    def study_in(name: str) -> optuna.Study:
        return optuna.create_study(
            study_name="s",
            storage=JournalStorage(JournalFileBackend(str(tmp_path / name))),
            sampler=PerTrialSampler(kind, 3),
            load_if_exists=True,
        )

    expected = []
    for name in ("undisturbed", "killed"):
        study = study_in(name)
        for _ in range(15):
            trial = study.ask()
            study.tell(trial, float(np.sum(suggest(trial))))
    expected = suggest(study_in("undisturbed").ask())
    suggest(study_in("killed").ask(), killed_after)
    study = study_in("killed")
    (running,) = study.get_trials(states=(TrialState.RUNNING,))
    assert running.number == 15
    assert suggest(Trial(study, running._trial_id)) == expected
