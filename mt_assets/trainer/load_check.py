"""Read a stored model as a stranger would, in a process of its own, and see whether it still says the same.

`python -m mt_assets.trainer.load_check FOLDER` prints one line of JSON and ends with 0, or with 1 where it does not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from mt_assets.trainer.errors import TrainerError
from mt_assets.trainer.model import TrainedModel

TOLERANCE: Final = 1e-6
"""Relative, and absolute for probabilities: another number of BLAS threads adds in another order."""


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
