"""The code version of each phase: a digest of the library code that it runs."""

import hashlib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

_CODE_OF_PHASE: dict[str, tuple[str, ...]] = {
    "data": ("trainer/data",),
    "splits": ("trainer/data",),
    "planning": ("trainer/planning",),
    "preprocessing": ("trainer/features",),
    "search": ("trainer/features", "trainer/algorithms", "trainer/search", "trainer/ensemble"),
    "training": (
        "trainer/features",
        "trainer/algorithms",
        "trainer/ensemble",
        "trainer/training.py",
        "trainer/model.py",
    ),
    "evaluation": ("trainer/evaluation",),
    "fairness": ("trainer/evaluation",),
    "promotion": ("trainer/promotion", "trainer/judging.py", "trainer/evaluation/groups.py"),
    "card": ("trainer/reporting",),
    "predictions": ("scoring.py", "predictions.py", "trainer/evaluation", "trainer/retraining"),
    "tracking": ("resources", "trainer/reporting"),
    "retraining": ("trainer/retraining",),
    "result": ("trainer/reporting", "result.py"),
}


@cache
def code_version(phase: str) -> str:
    """Return twelve hexadecimal digits that change when the code behind a phase (a module of `assets`) changes."""
    digest = hashlib.sha256()
    for part in _CODE_OF_PHASE[phase.rpartition(".")[2]]:
        path = _PACKAGE / part
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(source.relative_to(_PACKAGE).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
