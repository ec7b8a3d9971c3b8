"""A run keeps to one version of everything it reads, and versions and champions are remembered."""

from pathlib import Path

import pytest

from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store.model_store import ModelStore, RunStore


def value(content: object) -> Decision:
    return Decision(decision="x", value=content, rule="r", reason="r", override="x")


def make(run: RunStore, asset: str, content: object, inputs: list[str] | None = None) -> None:
    run.publish(run.stage(asset, value(content), phase=asset, inputs=inputs or [], seconds=1.0))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, "churn")


def test_a_run_reads_what_it_has_read_before_even_when_a_newer_version_appears(store: ModelStore) -> None:
    make(RunStore(store, "one"), "raw_data", "old")
    reader = RunStore(store, "two")
    assert reader.read("raw_data").value == "old"
    make(RunStore(store, "three"), "raw_data", "new")
    assert reader.read("raw_data").value == "old"
    assert RunStore(store, "four").read("raw_data").value == "new"


def test_what_was_made_from_another_version_of_an_input_is_not_mixed_in(store: ModelStore) -> None:
    first = RunStore(store, "one")
    make(first, "raw_data", "old")
    make(first, "folds", "folds", ["raw_data"])
    make(first, "trained_model", "model", ["folds"])
    make(RunStore(store, "two"), "raw_data", "new")
    reader = RunStore(store, "three")
    reader.read("raw_data")
    with pytest.raises(StoreError, match="trained_model was made from another version of raw_data"):
        reader.read("trained_model")


def test_the_conflict_is_found_in_either_order_of_reading(store: ModelStore) -> None:
    first = RunStore(store, "one")
    make(first, "raw_data", "old")
    make(first, "trained_model", "model", ["raw_data"])
    make(RunStore(store, "two"), "raw_data", "new")
    reader = RunStore(store, "three")
    reader.read("trained_model")
    with pytest.raises(StoreError, match="another version of raw_data"):
        reader.read("raw_data")


def test_an_asset_that_was_never_made_is_named(store: ModelStore) -> None:
    with pytest.raises(StoreError, match="churn/raw_data has not been materialized yet"):
        RunStore(store, "one").read("raw_data")


def test_previous_is_what_an_earlier_run_made(store: ModelStore) -> None:
    run = RunStore(store, "one")
    assert run.previous("folds") is None
    make(run, "folds", "first")
    assert run.previous("folds") is None
    assert RunStore(store, "two").previous("folds").value == "first"


def test_versions_count_and_the_same_model_keeps_its_number(store: ModelStore) -> None:
    def add(run_id: str, model: str) -> int:
        addresses = {"trained_model": model, "test": "t"}
        return store.add_version(
            run_id=run_id, addresses=addresses, algorithm="ridge", metric="roc_auc", score=0.8
        ).number

    assert [add("one", "a"), add("one", "a"), add("two", "a"), add("two", "b")] == [1, 1, 2, 3]
    assert [version.number for version in store.versions()] == [1, 2, 3]


def test_the_champion_remembers_the_one_before_it(store: ModelStore) -> None:
    assert store.champion() is None
    assert store.crown(1, instead_of=None)
    assert store.crown(3, instead_of=1)
    assert store.crown(3, instead_of=3)
    champion = store.champion()
    assert champion is not None
    assert (champion.number, champion.previous) == (3, 1)


def test_a_champion_that_was_named_meanwhile_stays(store: ModelStore) -> None:
    assert store.crown(1, instead_of=None)
    assert store.crown(2, instead_of=1)
    assert not store.crown(3, instead_of=1)
    assert not store.crown(3, instead_of=None)
    champion = store.champion()
    assert champion is not None
    assert (champion.number, champion.previous) == (2, 1)


def test_a_pointer_that_was_changed_by_hand_is_refused_by_name(store: ModelStore) -> None:
    store.crown(1, instead_of=None)
    (store.folder / "champion.json").write_text("{")
    with pytest.raises(StoreError, match=r"champion\.json cannot be read"):
        store.champion()
