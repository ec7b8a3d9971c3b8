"""Real faults of the machine below the trainer: each has a name and a remedy, and leaves what a run without it leaves.

Faults that need the whole graph or processes of their own stand in `mt_assets_tests.test_faults`.
"""

import errno
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from mt_assets.trainer.data.reading import Sources, read_table
from mt_assets.trainer.errors import DataError, SpecError, StoreError, TrainerError, TrainingError
from mt_assets.trainer.recovery.causes import CAUSES, EXIT_CODES, cause_of, cause_of_text
from mt_assets.trainer.recovery.failures import exit_code, failure_report, suggestions_for
from mt_assets.trainer.recovery.recovering import REMEDIES, RemediedError, recovering
from mt_assets.trainer.search.study import StudyResult, run_search
from mt_assets.trainer.search.workers import _host
from mt_assets.trainer.store import objects
from mt_assets.trainer.store.atomic import UNFINISHED, write_atomic
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.trainer.store.versions import Champion

Limited = Callable[[int, int, int], Any]


def outcome(study: StudyResult) -> list[dict[str, Any]]:
    return [trial.model_dump(exclude={"seconds"}) for trial in study.trials]


def told_of(error: Exception) -> Any:
    """What a person is told; each suggestion can be pasted, so nothing in braces is left to fill in."""
    report = failure_report(error, phase="test")
    assert report.suggestions
    assert not [text for text in report.suggestions if "{home}" in text or "{path}" in text or "{module}" in text]
    return report


# The table of causes

ERRORS: dict[str, tuple[Exception, str]] = {
    "a full disk": (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "disk_full"),
    "a full quota": (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
    "a full disk below SQLite": (sqlite3.OperationalError("database or disk is full"), "disk_full"),
    "no right": (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "permission_denied"),
    "a disk that may only be read": (OSError(errno.EROFS, "Read-only file system"), "permission_denied"),
    "a broken disk": (OSError(errno.EIO, "Input/output error"), "disk_error"),
    "too many files": (OSError(errno.EMFILE, "Too many open files"), "too_many_files"),
    "no memory": (MemoryError("Unable to allocate 8 GiB"), "out_of_memory"),
    "no memory in C++": (RuntimeError("std::bad_alloc"), "out_of_memory"),
    "no memory for a library": (ImportError("x.so: failed to map segment from shared object"), "out_of_memory"),
    "no memory for a process": (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
    "no package": (ModuleNotFoundError("No module named 'torch'", name="torch.nn"), "missing_module"),
    "another version": (ValueError("numpy.dtype size changed, may indicate binary incompatibility"),
                        "incompatible_version"),
    "a locked database": (sqlite3.OperationalError("database is locked"), "database_locked"),
    "a broken database": (sqlite3.DatabaseError("file is not a database"), "damaged_database"),
    "no convergence": (np.linalg.LinAlgError("SVD did not converge"), "no_convergence"),
    "an overflow": (OverflowError("int too large to convert to float"), "not_finite"),
    "values that are not finite": (ValueError("Input X contains NaN."), "not_finite"),
    "what is hidden behind another": (StoreError("It cannot be opened."), "disk_full"),
    "what nobody knows": (KeyError("a"), "defect"),
}  # fmt: skip
ERRORS["what is hidden behind another"][0].__cause__ = ERRORS["a full disk"][0]


@pytest.mark.parametrize("case", ERRORS)
def test_every_cause_is_recognised_and_ends_with_what_helps(case: str) -> None:
    error, name = ERRORS[case]
    report = told_of(error)
    assert (report.cause, exit_code(report)) == (name, 1)
    if name == "missing_module":
        assert report.suggestions[0] == "pip install torch"
    if case == "no right":
        assert report.suggestions[0] == "See whose it is: ls -ld /x/y"


def test_every_row_of_the_table_has_a_name_a_remedy_and_a_way_to_be_recognised() -> None:
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)
    for cause in CAUSES:
        assert cause.kinds or cause.words or cause.numbers
        assert suggestions_for(cause.name)
        assert all(word == word.lower() for word in cause.words)
    assert set(REMEDIES) <= {cause.name for cause in CAUSES} | {"data_changed"}


def test_what_a_worker_told_is_recognised_by_its_words_alone() -> None:
    for told, name in {
        "MemoryError: Unable to allocate 3 GiB": "out_of_memory",
        "NoRoom: svm would take about 3 GB": "out_of_memory",
        "WorkerLost: its process was killed (signal 9, as the system does when memory runs out)": "out_of_memory",
        "WorkerLost: its process ended with signal 11, for the second time.": "worker_lost",
        "TimeIsUp: its process took longer than its share.": "time_is_up",
        "OSError: [Errno 28] No space left on device": "disk_full",
    }.items():
        found = cause_of_text(told)
        assert found is not None
        assert found.name == name


def test_what_a_person_has_to_mend_keeps_its_exit_code_whatever_is_behind_it() -> None:
    error = DataError("The file cannot be read.")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied")
    assert failure_report(error, phase="raw_data").cause == "spec_or_data"
    assert exit_code(failure_report(error, phase="raw_data")) == 2
    assert exit_code(failure_report(SpecError("No."), phase="spec")) == 2
    assert EXIT_CODES["terminated"] == 143


# Remedies that hold for every phase


def again(errors: list[Exception], left: float = 1e9) -> tuple[Any, list[str], list[int]]:
    """Work that fails so often, with these; what came of it, what was told, and how often memory was let go of."""
    told: list[str] = []
    forgotten: list[int] = []
    remaining = list(errors)

    def work() -> str:
        if remaining:
            raise remaining.pop(0)
        return "done"

    value = recovering(work, forget=lambda: forgotten.append(1), left=lambda: left, tell=told.append)
    return value, told, forgotten


def test_a_phase_that_ran_out_of_memory_is_tried_again_with_what_the_run_held_given_back() -> None:
    (value, tried), told, forgotten = again([MemoryError("Unable to allocate 8 GiB")])
    assert value == "done"
    assert list(tried) == told
    assert "ran out of memory: Unable to allocate 8 GiB. What the run held" in told[0]
    assert forgotten == [1]


def test_what_no_remedy_helps_is_told_with_what_was_tried() -> None:
    with pytest.raises(RemediedError) as caught:
        again([MemoryError("no"), MemoryError("no")])
    assert isinstance(caught.value.__cause__, MemoryError)
    assert "was tried again" in caught.value.tried[0]


def test_what_has_no_remedy_or_no_time_for_it_fails_at_once() -> None:
    with pytest.raises(KeyError):
        again([KeyError("a")])
    with pytest.raises(sqlite3.OperationalError):
        again([sqlite3.OperationalError("database is locked")], left=0.5)


# The disk


def note(text: str) -> Champion:
    """Something to store."""
    return Champion(number=1, previous=None, since=text)


def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(tmp_path: Path, limited: Limited) -> None:
    path = tmp_path / "state.json"
    write_atomic(path, b"old")
    with limited(os.getpid(), resource.RLIMIT_FSIZE, 100), pytest.raises(OSError, match="File too large") as caught:
        write_atomic(path, b"new" * 1000)
    assert told_of(caught.value).cause == "disk_full"
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]
    with limited(os.getpid(), resource.RLIMIT_FSIZE, 100), pytest.raises(OSError, match="File too large"):
        objects.put(tmp_path / "objects", note("long" * 100))
    assert list((tmp_path / "objects").iterdir()) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB, where one may be mounted here."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_search_on_a_full_disk_stops_with_its_name_and_goes_on_when_there_is_room(
    tmp_path: Path, full_disk: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=6)
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    run_search(*work.planned(n_trials=2).arguments, folder=full_disk)
    filler = full_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises((TrainerError, OSError)) as caught:
        run_search(*work.arguments, folder=full_disk)
    assert told_of(caught.value).cause == "disk_full"
    filler.unlink()
    assert outcome(run_search(*work.arguments, folder=full_disk)) == outcome(undisturbed)


def test_workers_that_cannot_write_stop_the_search_and_no_trial_is_held_against(
    tmp_path: Path, limited: Limited, make_work: Any, mixed: pd.DataFrame
) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=4)
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    with (
        limited(_host().process.pid, resource.RLIMIT_FSIZE, 100),
        pytest.raises(TrainingError, match="no candidate is to blame") as caught,
    ):
        run_search(*work.arguments, folder=tmp_path / "full")
    assert told_of(caught.value).cause == "disk_full"
    gone_on = run_search(*work.arguments, folder=tmp_path / "full")
    assert outcome(gone_on) == outcome(undisturbed)
    assert gone_on.notes == ()


def test_what_may_not_be_written_is_named_with_its_path(tmp_path: Path, as_nobody: Callable[[], Any]) -> None:
    store = ModelStore(tmp_path, "churn")
    store.put(note("a"))
    (store.folder / "objects").chmod(0o555)
    with as_nobody(), pytest.raises(PermissionError) as caught:
        store.put(note("b"))
    report = told_of(caught.value)
    assert report.cause == "permission_denied"
    assert str(store.folder / "objects") in report.suggestions[0]


def test_data_that_may_not_be_read_is_named_with_its_path(tmp_path: Path, as_nobody: Callable[[], Any]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.csv"
        path.write_text("a,b\n1,2\n")
        read_table(path)
        for mode, message in ((0o755, "Permission denied"), (0o600, "may not be entered")):
            Path(folder).chmod(mode)
            path.chmod(0o000)
            with as_nobody(), pytest.raises(DataError, match=message) as caught:
                read_table(path)
            assert str(path) in caught.value.message
            assert exit_code(told_of(caught.value)) == 2


# Memory


def test_workers_without_memory_are_tried_alone_and_named_and_a_new_run_tries_anew(
    tmp_path: Path, limited: Limited, make_work: Any, mixed: pd.DataFrame
) -> None:
    work = make_work(pd.concat([mixed] * 200, ignore_index=True), ("logistic_regression",), n_trials=2)
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    host = _host().process.pid
    with (
        limited(host, resource.RLIMIT_AS, psutil.Process(host).memory_info().vms + 2_000_000),
        pytest.raises(TrainingError, match="All 2 trials of logistic_regression failed") as caught,
    ):
        run_search(*work.arguments, folder=tmp_path / "tight")
    report = told_of(caught.value)
    assert report.cause in ("out_of_memory", "worker_lost")
    assert outcome(run_search(*work.arguments, folder=tmp_path / "tight")) == outcome(undisturbed)


# Candidates


def test_a_candidate_that_fails_is_told_of_and_the_others_go_on(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    """XGBoost refuses targets beyond float32."""
    frame = mixed.assign(target=np.random.default_rng(0).normal(size=len(mixed)) * 1e60)
    study = run_search(*make_work(frame, ("xgboost", "ridge"), n_trials=4).arguments, folder=tmp_path)
    states = {trial.algorithm: trial.state for trial in study.trials}
    assert states == {"xgboost": "failed", "ridge": "complete"}
    [note] = study.notes
    assert "trials of XGBoost failed: XGBoostError" in note


@pytest.mark.parametrize("name", ["gradient_boosting", "lightgbm", "catboost"])
def test_a_candidate_whose_numbers_grow_beyond_all_bounds_is_told_of_and_the_others_go_on(
    name: str, tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    """By a learning rate that somebody asked for."""
    frame = mixed.assign(target=np.random.default_rng(0).normal(size=len(mixed)) * 1e5)
    space = {name: {"learning_rate": 1e30 if name == "catboost" else 1e308}}
    work = make_work(frame, (name, "ridge"), n_trials=2, folds_per_trial=1, search_space=space)
    study = run_search(*work.arguments, folder=tmp_path / "both")
    assert {trial.algorithm: trial.state for trial in study.trials} == {name: "failed", "ridge": "complete"}
    [note] = study.notes
    assert "1 of 1 trials of" in note
    with pytest.raises(TrainingError, match="All 1 trials") as caught:
        run_search(*work.planned(algorithms=(name,), n_trials=1).arguments, folder=tmp_path / "alone")
    assert told_of(caught.value).cause == "not_finite"


def test_where_all_candidates_fail_their_common_cause_is_the_cause(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    frame = mixed.assign(target=np.random.default_rng(0).normal(size=len(mixed)) * 1e60)
    with pytest.raises(TrainingError, match="All 2 trials of xgboost failed") as caught:
        run_search(*make_work(frame, ("xgboost",), n_trials=2).arguments, folder=tmp_path)
    assert told_of(caught.value).cause == "not_finite"


# What is stored


def test_a_bit_that_flips_in_a_stored_object_is_noticed_and_mended_by_making_it_again(
    tmp_path: Path, flip: Callable[..., None]
) -> None:
    store = ModelStore(tmp_path, "churn")
    address = store.put(note("x" * 200))
    folder = store.folder / "objects" / address
    for seed, name in enumerate(["record.json", "manifest.json"] * 5):
        flip(folder / name, seed)
        with pytest.raises(StoreError, match="digest differs") as caught:
            store.get(address)
        report = told_of(caught.value)
        assert report.cause == "damaged_state"
        assert report.suggestions[0].startswith(f"rm -r {folder}")
        assert store.put(note("x" * 200)) == address
        assert store.get(address) == note("x" * 200)
    store.sweep()
    assert [path.name for path in (store.folder / "objects").iterdir()] == [address]


def test_an_object_of_another_version_is_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mt_assets.trainer.store.versions as versions

    store = ModelStore(tmp_path, "churn")
    address = store.put(versions.Champion(number=1, previous=None, since="now"))
    monkeypatch.delattr(versions, "Champion")
    with pytest.raises(StoreError, match="another version") as caught:
        store.get(address)
    assert told_of(caught.value).cause == "incompatible_version"


def test_a_journal_that_is_damaged_is_put_aside_and_no_finished_fit_is_lost(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=5)
    first = run_search(*work.arguments, folder=tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "folds").glob("*.npz")}
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:5], b"\x00garbage\n", *lines[6:]]))
    again = run_search(*work.arguments, folder=tmp_path)
    assert outcome(again) == outcome(first)
    assert "was put aside as" in again.notes[0]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "folds").glob("*.npz")} == stamps
    assert run_search(*work.arguments, folder=tmp_path).notes == ()


def test_fold_results_of_a_finished_search_that_are_damaged_are_fitted_again_by_the_next_run(
    tmp_path: Path, flip: Callable[..., None], make_work: Any, mixed: pd.DataFrame
) -> None:
    from mt_assets.trainer.search.selection import fold_predictions

    work = make_work(mixed, ("logistic_regression",), n_trials=2)
    first = run_search(*work.arguments, folder=tmp_path)
    whole = fold_predictions(first, tmp_path, work.splits)
    for seed, path in enumerate((tmp_path / "folds").glob("*.npz")):
        flip(path, seed, where=0.5)
    with pytest.raises(TrainingError, match="damaged") as caught:
        fold_predictions(first, tmp_path, work.splits)
    assert told_of(caught.value).cause == "damaged_state"
    again = fold_predictions(run_search(*work.arguments, folder=tmp_path), tmp_path, work.splits)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.prediction, other.prediction)


def test_a_study_in_a_locked_database_stops_by_name_and_goes_on_when_it_is_free(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    work = make_work(mixed, ("logistic_regression",), n_trials=3)
    url = f"sqlite:///{tmp_path / 'studies.db'}?timeout=0.2"
    undisturbed = run_search(*work.arguments, folder=tmp_path / "undisturbed")
    run_search(*work.planned(n_trials=1).arguments, folder=tmp_path, storage_url=url)
    with closing(sqlite3.connect(tmp_path / "studies.db")) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Exception, match="locked") as caught:
            run_search(*work.arguments, folder=tmp_path, storage_url=url)
        assert isinstance(caught.value, Exception)
        assert told_of(caught.value).cause in ("database_locked", "study_storage")
        holder.rollback()
    gone_on = run_search(*work.arguments, folder=tmp_path, storage_url=url)
    assert [trial.params for trial in gone_on.trials] == [trial.params for trial in undisturbed.trials]
    assert [trial.score for trial in gone_on.trials] == [trial.score for trial in undisturbed.trials]


def test_a_study_database_that_is_damaged_is_told_before_any_work(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    (tmp_path / "studies.db").write_bytes(b"no database" * 1000)
    work = make_work(mixed, ("logistic_regression",))
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        run_search(*work.arguments, folder=tmp_path, storage_url=f"sqlite:///{tmp_path / 'studies.db'}")
    assert told_of(caught.value).cause == "study_storage"


def test_a_model_of_other_versions_is_named_so_with_those_that_it_needs(
    tmp_path: Path, make_work: Any, mixed: pd.DataFrame
) -> None:
    from hashlib import sha256

    from mt_assets.trainer.model import MODEL_FILE, TrainedModel
    from mt_assets.trainer.search.selection import select_best
    from mt_assets.trainer.training import train_final

    work = make_work(mixed, ("logistic_regression",), n_trials=1)
    best = select_best(run_search(*work.arguments, folder=tmp_path / "search"), work.plan)
    folder = tmp_path / "model"
    folder.mkdir()
    train_final(work.plan, best, *work.arguments[1:]).save(folder)
    script = "class Gone: pass\nimport sys, joblib; joblib.dump(Gone(), sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, str(folder / MODEL_FILE)], check=True)
    trained = TrainedModel.load(folder)
    digest = sha256((folder / MODEL_FILE).read_bytes()).hexdigest()
    trained.facts = trained.facts.model_copy(update={"model_digest": digest})
    with pytest.raises(StoreError, match="other versions") as caught:
        _ = trained.model
    report = told_of(caught.value)
    assert report.cause == "incompatible_version"
    assert f"scikit-learn=={trained.facts.versions['scikit-learn']}" in report.suggestions[0]


# Data that changes while it is read


@contextmanager
def written_again_and_again(path: Path, seconds: float) -> Iterator[None]:
    """Another program that rewrites a file without pause, for so long."""
    content, until = path.read_bytes(), time.monotonic() + seconds

    def write() -> None:
        while time.monotonic() < until:
            path.write_bytes(content)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.05)
    try:
        yield
    finally:
        thread.join()


def test_data_that_is_rewritten_while_it_is_read_is_read_again_when_it_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("a,b\n" + "1,2\n" * 200_000)
    told: list[str] = []

    def read() -> int:
        with Sources() as sources:
            sources.fingerprint(path)
            return sources.read(path).num_rows

    with written_again_and_again(path, 1.0):
        rows, tried = recovering(read, forget=lambda: None, left=lambda: 1e9, tell=told.append)
    assert rows == 200_000
    assert list(tried) == told
    assert "changed while it was read" in told[0]


# Signals


class EndedError(BaseException):
    """What a handler raises, as Dagster's does."""


def test_a_write_is_finished_whenever_the_signal_comes(tmp_path: Path) -> None:
    path, whole = tmp_path / "state", {b"before"} | {bytes([letter]) * 5000 for letter in b"abcdefgh"}

    path.write_bytes(b"before")

    def end(*_: object) -> None:
        raise EndedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        for number, content in enumerate(sorted(whole) * 5):
            timer = threading.Timer(0.0002 * number, lambda: os.kill(os.getpid(), signal.SIGTERM))
            with suppress(EndedError):
                timer.start()
                while True:
                    write_atomic(path, content)
            timer.join()
            assert path.read_bytes() in whole
            assert not list(tmp_path.glob(f"{UNFINISHED}*"))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_chain_of_an_error_that_is_its_own_context_ends() -> None:
    one, other = ValueError("a"), ValueError("b")
    one.__context__, other.__context__ = other, one
    assert cause_of(one) is None
