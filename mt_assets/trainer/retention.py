"""Removing what nobody needs any more: versions, objects, fold results, studies, reports of failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mt_assets.trainer.search.result import StudyResult
from mt_assets.trainer.search.retention import forget_folds, forget_studies
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.trainer.store.retention import Keep, collect, kept_versions

if TYPE_CHECKING:
    from mt_assets.spec import Retention


@dataclass(frozen=True)
class Cleaned:
    """What went.

    Attributes
    ----------
    versions : tuple of int
        Versions whose model and data went.
    objects, folds, studies, failures : int
    megabytes : float
        Of the objects.
    """

    versions: tuple[int, ...]
    objects: int
    folds: int
    studies: int
    failures: int
    megabytes: float


def clean(store: ModelStore, retention: Retention, storage_url: str | None = None) -> Cleaned:
    """Remove what the spec does not ask to keep. Only for the holder of the model's lock.

    Parameters
    ----------
    store : ModelStore
    retention : Retention
    storage_url : str, optional
        See `search.storage.open_storage`.

    Raises
    ------
    StoreError
        State cannot be read or removed, or the study storage not be reached.
    """
    keep = Keep(retention.keep_versions, retention.keep_days)
    gone = collect(store, keep)
    current = store.current("optuna_study")
    studies = [_study(store, current.address)] if current else []
    keys = {key for study in studies for trial in study.trials for key in trial.fold_keys}
    names = {_study(store, each.addresses["optuna_study"]).study_name for each in kept_versions(store, keep)}
    names |= {study.study_name for study in studies}
    return Cleaned(
        versions=gone.versions,
        objects=gone.objects,
        folds=forget_folds(store.folder, keys, keep.since()),
        studies=forget_studies(store.folder, storage_url, names, keep.since()),
        failures=gone.failures,
        megabytes=gone.bytes / 1e6,
    )


def _study(store: ModelStore, address: str) -> StudyResult:
    study = store.get(address)
    assert isinstance(study, StudyResult)
    return study
