"""Read a stored model as a stranger would, in a process of its own, and see whether it still says the same.

`python -m mt_assets.trainer.load_check FOLDER` prints one line of JSON and ends with 0, or with 1 where it does not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from mt_assets.trainer.errors import StoreError, TrainerError
from mt_assets.trainer.model import TrainedModel, library_versions

TOLERANCE: Final = 1e-6
"""Relative, and absolute for probabilities: another number of BLAS threads adds in another order."""


_PATIENCE_S: Final = 300.0
"""For a fresh process to import the libraries, read the model and predict 50 rows; usually 2 to 4 s."""


def check_elsewhere(folder: Path) -> dict[str, Any]:
    """The verdict of a fresh process on the model in a folder, see `check`."""
    command = [sys.executable, "-m", "mt_assets.trainer.load_check", str(folder)]
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, env={**os.environ, "PYTHONPATH": path}
        )
    except subprocess.TimeoutExpired:
        return {"passed": False, "message": f"A fresh process did not read the model within {_PATIENCE_S:.0f} s."}
    try:
        verdict: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        cause = ended.stderr.strip()[-500:]
        return {"passed": False, "message": f"A fresh process could not read the model: {cause}"}
    return verdict


def check_libraries(trained: TrainedModel, named: str) -> None:
    """Try a stored model in a fresh process where it was saved by other versions of the libraries than are installed.

    Reading such a model may end the process, or give other predictions without a word. Where the versions are the same,
    this costs nothing.

    Parameters
    ----------
    trained : TrainedModel
    named : str
        What to call it in the message.

    Raises
    ------
    StoreError
        It cannot be read, or predicts otherwise than it did.
    """
    saved, here = trained.facts.versions, library_versions()
    other = {name: version for name, version in saved.items() if here.get(name) != version}
    if not other:
        return
    verdict = _tried(trained.path, tuple(sorted(here.items())))
    if verdict["passed"]:
        return
    told = ", ".join(f"{name} {version} (here {here.get(name, 'none')})" for name, version in other.items())
    install = " ".join(f"{name}=={version}" for name, version in other.items() if name != "python")
    raise StoreError(
        f"{named} was saved with {told}, and does not work with what is installed. {verdict['message']}",
        suggestions=(
            *((f"Install what it was saved with: pip install {install}",) if install else ()),
            *((f"Use Python {other['python']}.",) if "python" in other else ()),
            "Or train the model again here.",
        ),
    )


@cache
def _tried(folder: Path, _: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The verdict on what never changes, worked out once."""
    return check_elsewhere(folder)


def check(folder: Path) -> dict[str, Any]:
    """The verdict: `passed`, `message`, and as evidence the rows and the largest difference."""
    trained = TrainedModel.load(folder)
    found = trained.model.scores(trained.fixture)
    if found.shape != trained.expected.shape:
        return {"passed": False, "message": f"It predicts {found.shape} values instead of {trained.expected.shape}."}
    difference = float(np.max(np.abs(found - trained.expected), initial=0.0))
    passed = bool(np.allclose(found, trained.expected, rtol=TOLERANCE, atol=TOLERANCE))
    verb = "reproduced" if passed else "did not reproduce"
    return {
        "passed": passed,
        "message": f"A fresh process read the model and {verb} its predictions for {len(found)} rows.",
        "evidence": {"rows": len(found), "largest_difference": difference},
    }


def main(folder: Path) -> int:
    """Print the verdict; return the exit code."""
    try:
        verdict = check(folder)
    except (TrainerError, ImportError, AttributeError, ValueError, OSError) as error:
        verdict = {"passed": False, "message": f"The model cannot be read: {type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(verdict) + "\n")
    return 0 if verdict["passed"] else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
