"""A version made again by its record, and models that were saved by other libraries."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mt_assets.assembly import build_definitions
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.store import objects
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import train


@dataclass
class Model:
    """A model whose first version came of the first half of its data, and its second, the champion, of all of it."""

    spec: Path
    store: ModelStore

    def state(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.store.folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, write_spec: Any, customers: Any, at_home: Callable[[Path], Any]
) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("reproduction")
    with at_home(folder / "home") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MT_ASSETS_SPECS", str(folder / "churn"))
        search = {"nTrials": 5}
        spec = write_spec(folder / "churn", customers(), hyperparameterSearch=search, promotion={"margin": 1.0})
        assert train(load_spec(spec)).exit_code == 0
        customers(180).to_csv(spec.parent / "train.csv", index=False)
        assert train(load_spec(spec)).exit_code == 0
        yield Model(spec, ModelStore(home, "churn"))


def test_a_version_is_made_again_from_recorded_data_and_splits_and_nothing_else_changes(
    model: Model, mt_assets: Callable[..., Any]
) -> None:
    """Although the data and the spec are gone, and the champion's study began with what the version before found."""
    kept = model.spec.rename(model.spec.with_suffix(".away")), (model.spec.parent / "train.csv")
    kept[1].unlink()
    before = model.state()
    try:
        answer = mt_assets("reproduce", "churn")
    finally:
        kept[0].rename(model.spec)
    assert answer.code == 0, answer.out + answer.err
    folds = model.store.get(model.store.version(2).addresses["folds"])  # type: ignore[union-attr]
    assert "Version 2 of churn was reproduced: after its 5 trials and the final fit" in answer.out
    assert f"the predictions for {50 + len(folds.test)} rows are identical" in answer.out  # type: ignore[attr-defined]
    assert model.state() == before


@pytest.mark.slow
def test_what_differs_is_told_where_another_model_comes_out(model: Model, mt_assets: Callable[..., Any]) -> None:
    version = model.store.version(1)
    assert version is not None
    recipe: Any = model.store.get(version.recipe)
    other = recipe.spec | {"options": recipe.spec["options"] | {"seed": 7}}
    surroundings = recipe.surroundings.model_copy(
        update={"versions": recipe.surroundings.versions | {"scikit-learn": "1.0"}}
    )
    changed = recipe.model_copy(update={"spec": other, "surroundings": surroundings})
    path = model.store.folder / "versions" / "1.json"
    told = path.read_text()
    path.write_text(json.dumps(json.loads(told) | {"recipe": model.store.put(changed)}))
    try:
        answer = mt_assets("reproduce", "churn", 1)
    finally:
        path.write_text(told)
    assert answer.code == 1
    assert "was NOT reproduced" in answer.out
    assert "scikit-learn was 1.0, and is" in answer.out
    assert "The plan's seed was 0, and is 7 now." in answer.out


def test_what_is_missing_is_told(model: Model, mt_assets: Callable[..., Any]) -> None:
    assert mt_assets("reproduce", "churn", 9).code == 2
    version = model.store.version(1)
    assert version is not None
    folder = model.store.folder / "objects" / version.addresses["folds"]
    folder.rename(folder.with_name("away"))
    try:
        answer = mt_assets("reproduce", "churn", 1)
    finally:
        folder.with_name("away").rename(folder)
    assert answer.code == 2
    assert "What version 1 of churn was made of is not all there" in answer.err


@pytest.mark.slow
def test_the_job_makes_a_version_again(model: Model) -> None:
    job = build_definitions([load_spec(model.spec)]).resolve_job_def("churn_reproduce")
    config = {"ops": {"churn__reproduce": {"config": {"version": 1}}}}
    with dg.DagsterInstance.get() as instance:
        done = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    assert done.success
    [output] = [event.step_output_data for event in done.all_events if event.is_successful_output]
    assert output.metadata["largest_difference"].value == 0.0


def test_no_password_is_recorded_and_a_limit_of_time_is_told(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, mt_assets: Callable[..., Any]
) -> None:
    tracking = {"enabled": False, "trackingUri": "https://me:geheim@tracker.example.org"}
    search = {"nTrials": 3, "timeout": 60}
    spec = write_spec(tmp_path / "churn", customers(), experimentTracking=tracking, hyperparameterSearch=search)
    assert train(load_spec(spec)).exit_code == 0
    store = ModelStore(home, "churn")
    assert not any(b"geheim" in path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    answer = mt_assets("reproduce", "churn")
    assert answer.code == 0, answer.out + answer.err
    assert "after the final fit of its winner" in answer.out
    assert "their repetition is not promised" in answer.out


@pytest.fixture
def saved_elsewhere(model: Model) -> Iterator[Callable[..., None]]:
    """Makes version 1 one that was saved by another scikit-learn, and its stored predictions such as are given."""
    version = model.store.version(1)
    assert version is not None
    path = model.store.folder / "versions" / "1.json"
    told = path.read_text()

    def change(shift: float) -> None:
        trained: Any = model.store.get(version.addresses["trained_model"])
        trained.facts = trained.facts.model_copy(update={"versions": trained.facts.versions | {"scikit-learn": "1.0"}})
        trained.expected = trained.expected + shift
        address = objects.put(model.store.folder / "objects", trained)
        path.write_text(json.dumps(json.loads(told) | {"addresses": version.addresses | {"trained_model": address}}))

    yield change
    path.write_text(told)


def test_a_model_of_other_libraries_is_tried_before_it_is_used(
    model: Model, saved_elsewhere: Callable[..., None], mt_assets: Callable[..., Any], customers: Any, tmp_path: Path
) -> None:
    customers(20).to_csv(tmp_path / "new.csv", index=False)
    score = ("predict", "churn", tmp_path / "new.csv", "--output", tmp_path / "scored.csv", "--version", 1)
    saved_elsewhere(0.0)
    assert mt_assets(*score).code == 0
    saved_elsewhere(0.25)
    refused = mt_assets(*score)
    assert refused.code == 1
    assert "Version 1 of churn was saved with scikit-learn 1.0 (here " in refused.err
    assert "did not reproduce its predictions" in refused.err
    assert "pip install scikit-learn==1.0" in refused.err
    assert mt_assets("promote", "churn", 1).code == 1
    assert mt_assets("rollback", "churn").code == 1
    champion = model.store.champion()
    assert champion is not None
    assert champion.number == 2
