"""dagster-mlflow, configured for a person's own assets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mt_assets.resources.dagster_mlflow import mlflow_tracking_for
from mt_assets.spec import TrainingSpec


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore:InitResourceContext:DeprecationWarning")
def test_own_asset_logs_where_trainings_are_logged(
    spec: TrainingSpec, client_of: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # dagster-mlflow sets it for the whole process
    mlflow, end_run = mlflow_tracking_for(spec, tmp_path / "home")

    @dg.asset(required_resource_keys={"mlflow"})
    def report(context: dg.AssetExecutionContext) -> None:
        context.resources.mlflow.log_metric("rows", 120)

    job = dg.define_asset_job("reporting", selection="report", hooks={end_run})
    definitions = dg.Definitions(assets=[report], jobs=[job], resources={"mlflow": mlflow})
    done = definitions.resolve_job_def("reporting").execute_in_process()

    client = client_of(f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("churn").experiment_id])
    assert run.data.metrics == {"rows": 120}
    assert run.data.tags["dagster_run_id"] == done.run_id
    assert run.info.status == "FINISHED"
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
