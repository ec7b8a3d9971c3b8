"""Which trainings came to a result, and on what data: read from the store alone."""

from mt_assets.trainer.store.model_store import ModelStore, ModelVersion


def finished(store: ModelStore) -> list[ModelVersion]:
    """Return the versions whose training has its result, whatever the verdict, oldest first.

    Only the newest version can lack one: the training of an older one has ended, or was given up for the next.
    """
    versions, result = store.versions(), store.current("training_result")
    if versions and (result is None or not _is_of(result.made_from, versions[-1])):
        return versions[:-1]
    return versions


def _is_of(made_from: dict[str, str], version: ModelVersion) -> bool:
    return all(made_from.get(asset) == version.addresses[asset] for asset in ("raw_data", "trained_model"))


def handled_by(versions: list[ModelVersion], data_version: str) -> ModelVersion | None:
    """Return the newest of these versions that was trained on this data, or None."""
    return next((each for each in reversed(versions) if each.addresses.get("raw_data") == data_version), None)
