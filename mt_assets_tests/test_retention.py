"""What is left of earlier trainings once newer ones have taken their place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.store import retention
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import train

STRICT = {"keepVersions": 2, "keepDays": 0, "runDays": 0}


def studies(store: ModelStore) -> list[str]:
    journal = JournalStorage(JournalFileBackend(str(store.folder / "study.journal")))
    return [each.study_name for each in optuna.get_all_study_summaries(journal)]


def test_old_versions_folds_studies_and_runs_go_and_what_serves_stays(
    tmp_path: Path,
    home: Path,
    write_spec: Any,
    customers: Any,
    mt_assets: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first version stays champion, as the others miss a gate; the journal is written anew when it is worth it."""
    monkeypatch.setenv("MT_ASSETS_SPECS", str(tmp_path / "churn"))
    spec = write_spec(tmp_path / "churn", customers(), retention=STRICT)
    first = train(load_spec(spec))
    assert first.exit_code == 0
    store = ModelStore(home, "churn")
    write_spec(tmp_path / "churn", customers(), retention=STRICT, qualityGates={"test.accuracy": ">=1.01"})
    outcomes = []
    for rows in (130, 140, 150):
        customers(rows).to_csv(tmp_path / "churn" / "train.csv", index=False)
        outcomes.append(train(load_spec(spec)))
    assert [outcome.exit_code for outcome in outcomes] == [3, 3, 3]
    assert [version.number for version in store.versions() if version.collected] == [2]

    # What a training leaves within a minute may not be pointed to yet.
    monkeypatch.setattr(retention, "GRACE_S", 0.0)
    assert "objects" in mt_assets("clean", "churn").out
    kept = {address for number in (1, 3, 4) for address in store.version(number).addresses.values()}  # type: ignore[union-attr]
    left = {path.name for path in (store.folder / "objects").iterdir()}
    assert kept <= left
    assert len(left - kept) < 12
    with dg.DagsterInstance.get() as instance:
        ran = {run.run_id for run in instance.get_runs()}
    assert ran == {first.run_id, outcomes[1].run_id, outcomes[2].run_id}
    study: Any = store.get(store.current("optuna_study").address)  # type: ignore[union-attr]
    wanted = {f"{key}.npz" for trial in study.trials for key in trial.fold_keys}
    assert {path.name for path in (store.folder / "folds").iterdir()} == wanted
    assert study.study_name in studies(store)

    listed = [line for line in mt_assets("models", "churn").out.splitlines() if "no longer kept" in line]
    assert [line.split()[1] for line in listed] == ["2"]
    refused = mt_assets("predict", "churn", spec.parent / "train.csv", "--output", tmp_path / "x.csv", "--version", 2)
    assert refused.code == 1
    assert "Version 2 of churn is no longer kept" in refused.err
    assert mt_assets("reproduce", "churn", 2).code == 2
    assert mt_assets("predict", "churn", spec.parent / "train.csv", "--output", tmp_path / "x.csv").code == 0


@pytest.mark.slow
def test_a_journal_that_is_written_anew_gives_the_same_search_when_it_goes_on(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any
) -> None:
    """Three earlier studies go; the trials of the one that stays are read, and further ones follow as if none had."""
    from mt_assets.trainer.search.retention import forget_studies

    spec = write_spec(tmp_path / "churn", customers(), hyperparameterSearch={"nTrials": 4, "sampler": "random"})
    store = ModelStore(home, "churn")
    for seed in (3, 2, 1, 0):
        asked = load_spec(spec)
        asked = asked.model_copy(update={"options": asked.options.model_copy(update={"seed": seed})})
        assert train(asked).exit_code == 0
    study: Any = store.get(store.current("optuna_study").address)  # type: ignore[union-attr]
    size = (store.folder / "study.journal").stat().st_size
    assert forget_studies(store.folder, None, {study.study_name}, since=float("inf")) == 3
    assert studies(store) == [study.study_name]
    assert (store.folder / "study.journal").stat().st_size < size / 2
    outcome = train(asked)
    assert outcome.exit_code == 0
    again: Any = store.get(store.current("optuna_study").address)  # type: ignore[union-attr]
    assert again.resumed_trials == 4
    assert again.trials == study.trials
