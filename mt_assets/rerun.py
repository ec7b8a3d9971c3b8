"""One training again in a process and a home of its own, from recorded data and splits: `reproduction` starts it.

`python -m mt_assets.rerun FOLDER` executes what `FOLDER/order.json` says and writes `FOLDER/outcome.json`. The folder
holds a home in which the store has everything that is not to be made again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

ORDER: Final = "order.json"
OUTCOME: Final = "outcome.json"


def rerun(folder: Path) -> dict[str, Any]:
    """Train again; `trained_model` is the address of what came out, else `error` says why there is none."""
    import dagster as dg

    from mt_assets.assembly import build_definitions
    from mt_assets.automation.jobs import training_job_name
    from mt_assets.resources.model_runs import ROUND_TAG
    from mt_assets.spec import TrainingSpec
    from mt_assets.trainer.store.model_store import ModelStore

    order = json.loads((folder / ORDER).read_text())
    try:
        spec = TrainingSpec.model_validate(order["spec"])
    except ValidationError as error:
        return {"error": f"The recorded spec is none that this release of mt_assets knows: {error}", "missing": True}
    logging.getLogger("dagster").setLevel("CRITICAL")
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions([spec]).resolve_job_def(training_job_name(spec.name))
        done = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey([spec.name, asset]) for asset in order["assets"]],
            tags={ROUND_TAG: str(order["further_rounds"])},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    store = ModelStore(Path(os.environ["MT_ASSETS_HOME"]), spec.name)
    made = store.current("trained_model")
    if not done.success or made is None:
        failure = store.failure(done.run_id) or {}
        return {"error": failure.get("message", "The run broke off.")}
    return {"trained_model": made.address}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    (place / OUTCOME).write_text(json.dumps(rerun(place)))
