"""Read a stored model as a stranger would, in a process of its own, and see whether it still says the same."""

from __future__ import annotations

from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.model import TrainedModel, library_versions
from mt_assets.trainer.search.workers import end_process, fresh_process, how_ended, pickled

TOLERANCE: Final = 1e-6
"""Relative, and absolute for probabilities: another number of BLAS threads adds in another order."""


_PATIENCE_S: Final = 300.0
"""For a fresh process to read the model and predict 50 rows; usually less than a second, and 2 to 4 s more where the
libraries have to be imported first."""


def check_elsewhere(folder: Path) -> dict[str, Any]:
    """The verdict of a fresh process on the model in a folder, see `check`."""
    process, connection = fresh_process(pickled(partial(_tell, folder.absolute())))
    try:
        if connection.poll(_PATIENCE_S):
            verdict: dict[str, Any] = connection.recv()
            return verdict
        message = f"A fresh process did not read the model within {_PATIENCE_S:.0f} s."
    except (EOFError, ConnectionError):
        message = f"A fresh process could not read the model: it {how_ended(process)}."
    finally:
        end_process(process, connection)
    return {"passed": False, "message": message}


def _tell(folder: Path, connection: Connection) -> None:
    """In the fresh process: say what comes out."""
    try:
        verdict = check(folder)
    except Exception as error:  # whatever a damaged or foreign model raises
        verdict = {"passed": False, "message": f"The model cannot be read: {type(error).__name__}: {error}"}
    connection.send(verdict)


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
