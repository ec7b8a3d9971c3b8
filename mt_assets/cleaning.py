"""Removing by hand what is no longer kept of a model: what `mt-assets clean` does."""

import uuid
from collections.abc import Callable

import dagster as dg

from mt_assets.model_versions import named
from mt_assets.resources.cleaning import clean_up, told
from mt_assets.spec import Retention
from mt_assets.trainer.store import lock
from mt_assets.training_run import ensure_instance


def clean(name: str, keep_versions: int | None, keep_days: float | None, waiting: Callable[[str], None]) -> str:
    """Remove what is not to be kept, once no run is at work on the model; returns what went.

    Parameters
    ----------
    name : str
        Of the model. Its spec, where it is at hand, says what is kept, as far as the arguments do not.
    keep_versions : int, optional
    keep_days : float, optional
    waiting : callable
        Told in a sentence what is waited for.

    Raises
    ------
    SpecError
        No model of that name was trained.
    StoreError
        State cannot be read or removed.
    """
    model = named(name)
    asked = {"keep_versions": keep_versions, "keep_days": keep_days}
    retention = model.spec.retention if model.spec else Retention()
    retention = retention.model_copy(update={key: value for key, value in asked.items() if value is not None})
    ensure_instance()
    with dg.DagsterInstance.get() as instance, lock.hold(model.store.folder, f"clean-{uuid.uuid4()}", waiting):
        model.store.sweep()
        return told(*clean_up(model.store, retention, instance))
