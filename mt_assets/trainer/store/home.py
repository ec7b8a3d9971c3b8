"""Where state lives on this machine."""

import os
from pathlib import Path

ENVIRONMENT_VARIABLE = "MT_ASSETS_HOME"


def home_folder() -> Path:
    """Return the absolute folder of all state; it need not exist yet.

    `MT_ASSETS_HOME` where it is set; otherwise `.mt_assets` beside the nearest `dagster.yaml` at or above the working
    directory; otherwise `.mt_assets` in the working directory.
    """
    if given := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(given).expanduser().absolute()
    here = Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / "dagster.yaml").is_file()), here)
    return project / ".mt_assets"
