"""What is kept of earlier versions, whatever happens while the rest is removed."""

import os
import time
from pathlib import Path

import pytest

from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.planning.decision import Decision
from mt_assets.trainer.store import retention
from mt_assets.trainer.store.model_store import ModelStore, RunStore
from mt_assets.trainer.store.retention import Keep, collect

LONG_AGO = time.time() - 100 * 86_400


def train(store: ModelStore, number: int, *, crowned: bool = False) -> None:
    """A version of two objects of its own and one that it shares with all others."""
    run = RunStore(store, f"run-{number}")
    for asset, content in (("raw_data", "shared"), ("folds", f"folds {number}"), ("trained_model", f"model {number}")):
        value = Decision(decision=asset, value=content, rule="r", reason="r", override="x")
        run.publish(run.stage(asset, value, phase=asset, inputs=[], seconds=1.0))
    addresses = {name: made.address for name, made in run.made().items()}
    version = store.add_version(run_id=run.run_id, addresses=addresses, algorithm="a", metric="m", score=1.0)
    if crowned:
        champion = store.champion()
        assert store.crown(version.number, instead_of=champion.number if champion else None)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Eight versions that are long gone: the first was champion, the second is, the others are not."""
    store = ModelStore(tmp_path, "churn")
    for number in range(1, 9):
        train(store, number, crowned=number < 3)
    for path in (store.folder / "versions").iterdir():
        path.write_text(path.read_text().replace(time.strftime("%Y-"), "2001-"))
    for folder in (store.folder / "objects").iterdir():
        os.utime(folder, (LONG_AGO, LONG_AGO))
    return store


def there(store: ModelStore) -> list[int]:
    """Numbers of the versions that can be read whole; of the others nothing is to be left but their place."""
    whole = []
    for version in store.versions():
        folders = [store.folder / "objects" / address for address in version.addresses.values()]
        if not version.collected:
            assert [store.get(folder.name) for folder in folders]
            whole.append(version.number)
    return whole


def test_the_newest_the_champion_and_the_one_before_it_stay_whole(store: ModelStore) -> None:
    collected = collect(store, Keep(versions=3, days=7))
    assert collected.versions == (3, 4, 5)
    assert collected.objects == 6
    assert there(store) == [1, 2, 6, 7, 8]
    assert [version.number for version in store.versions()] == list(range(1, 9))
    assert collect(store, Keep(versions=3, days=7)).objects == 0


def test_what_is_young_stays(store: ModelStore) -> None:
    assert collect(store, Keep(versions=3, days=365 * 100)).versions == ()
    train(store, 9)
    collect(store, Keep(versions=2, days=1))
    assert there(store) == [1, 2, 8, 9]


def test_a_version_that_is_gone_cannot_become_the_champion(store: ModelStore) -> None:
    collect(store, Keep(versions=3, days=7))
    with pytest.raises(StoreError, match="Version 4 of churn is no longer kept"):
        store.crown(4, instead_of=2)
    champion = store.champion()
    assert champion is not None
    assert champion.number == 2


def test_killed_at_any_moment_the_store_is_valid_and_the_next_collection_ends_the_work(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    real_remove, real_note = retention.remove_folder, store.note_collected
    left = 0

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError

    def remove(folder: Path) -> None:
        step()
        if left == 0:  # half way: nobody finds it any more, and its files are still there
            folder.rename(folder.with_name(f"{retention.UNFINISHED}x"))
            raise KilledError
        real_remove(folder)

    for steps in range(20):
        left = steps
        monkeypatch.setattr(retention, "remove_folder", remove)
        monkeypatch.setattr(store, "note_collected", lambda version: (step(), real_note(version)))
        try:
            collect(store, Keep(versions=3, days=7))
        except KilledError:
            assert {1, 2, 6, 7, 8} <= set(there(store))
            store.sweep()
        else:
            break
    assert there(store) == [1, 2, 6, 7, 8]
    assert len(list((store.folder / "objects").iterdir())) == 1 + 2 * 5
