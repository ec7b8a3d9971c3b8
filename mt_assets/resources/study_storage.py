"""Where Optuna keeps its studies."""

import os


def study_storage_url() -> str | None:
    """Return `MT_ASSETS_STUDY_STORAGE` (an Optuna storage URL), or None for a journal file beside the model's state."""
    return os.environ.get("MT_ASSETS_STUDY_STORAGE") or None
