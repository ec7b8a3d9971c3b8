"""What a search on new data takes over from the one before."""

from pathlib import Path
from typing import Any

import pandas as pd

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.search.result import StudyResult
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import Outcome, train

SEARCH: dict[str, Any] = {"algorithm": ["logistic_regression", "lightgbm"], "options": {"ensemble": "none"}}


def study_of(store: ModelStore, outcome: Outcome) -> StudyResult:
    assert outcome.exit_code == 0
    version = next(each for each in store.versions() if each.run_id == outcome.run_id)
    study = store.get(version.addresses["optuna_study"])
    assert isinstance(study, StudyResult)
    return study


def test_new_data_begins_with_what_was_best_on_the_data_before(
    tmp_path: Path, write_spec: Any, customers: Any, at_home: Any
) -> None:
    def spec(trials: int, **others: Any) -> Path:
        path: Path = write_spec(
            tmp_path / "churn", pd.read_csv(data), **SEARCH, hyperparameterSearch={"nTrials": trials}, **others
        )
        return path

    data = tmp_path / "customers.csv"
    customers(240).to_csv(data, index=False)
    with at_home(tmp_path / "home") as home:
        store = ModelStore(home, "churn")
        first = study_of(store, train(load_spec(spec(12))))
        assert "warm_start" not in {each.decision for each in first.decisions}

        pd.concat([pd.read_csv(data), customers(80, seed=1)]).to_csv(data, index=False)
        second = study_of(store, train(load_spec(spec(6))))
        [told] = [each for each in second.decisions if each.decision == "warm_start"]
        assert told.evidence == {"champion": 1, "version": 1}
        assert told.override == "retraining.warmStart"
        handed_over = [(trial.algorithm, trial.params) for trial in second.trials]
        assert (first.best.algorithm, first.best.params) in handed_over[:2]
        known = [(trial.algorithm, trial.params) for trial in first.trials]
        assert all(each in known for each in handed_over)

        again = study_of(store, train(load_spec(spec(6))))
        assert again.resumed_trials == 6
        more = study_of(store, train(load_spec(spec(9))))
        assert more.resumed_trials == 6
        assert [trial.params for trial in more.trials[:6]] == [trial.params for trial in second.trials]

        pd.concat([pd.read_csv(data), customers(40, seed=2)]).to_csv(data, index=False)
        cold = study_of(store, train(load_spec(spec(6, retraining={"warmStart": False}))))
        assert "warm_start" not in {each.decision for each in cold.decisions}
        assert [trial.params for trial in cold.trials[:3]] == [trial.params for trial in first.trials[:3]]
