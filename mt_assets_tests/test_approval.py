"""A person has the last word: models that wait, are approved or refused, in the store, the UI and the registry."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from mt_assets.assembly import build_definitions
from mt_assets.spec_reading import load_spec
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import train


@pytest.fixture
def spec(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A spec whose models wait for approval."""
    monkeypatch.setenv("MT_ASSETS_SPECS", str(tmp_path / "churn"))
    yield write_spec(tmp_path / "churn", customers(), promotion={"approval": "manual", "margin": 1.0})


@pytest.fixture
def store(home: Path) -> ModelStore:
    return ModelStore(home, "churn")


def trained(spec: Path, **keys: Any) -> Any:
    spec.write_text(yaml.safe_dump(yaml.safe_load(spec.read_text()) | keys))
    outcome = train(load_spec(spec))
    assert outcome.exit_code == 0
    return outcome.result.promotion


def champion(store: ModelStore) -> int | None:
    serving = store.champion()
    return serving.number if serving else None


def verdicts(mt_assets: Callable[..., Any]) -> list[str]:
    """What the list says of each version, the newest first."""
    lines = mt_assets("models", "churn").out.splitlines()
    return [line[lines[0].index("Verdict") :].strip() for line in lines[1:]]


def test_models_wait_for_a_person_and_the_newest_replaces_those_before(
    spec: Path, store: ModelStore, mt_assets: Callable[..., Any]
) -> None:
    first = trained(spec)
    assert first["verdict"] == "awaiting_approval"
    assert "mt-assets approve churn" in first["reason"]
    assert champion(store) is None
    assert mt_assets("predict", "churn", spec.parent / "train.csv", "--output", spec.parent / "s.csv").code == 2

    trained(spec, options={"seed": 1})
    assert verdicts(mt_assets) == ["awaiting approval", "superseded"]
    refused = mt_assets("approve", "churn", 1)
    assert refused.code == 2
    assert "Version 1 of churn does not wait for approval; version 2 does." in refused.err
    assert champion(store) is None

    answer = mt_assets("approve", "churn", "--by", "Ada", "--comment", "looked at the curves")
    assert answer.code == 0
    assert "Version 2 is now the champion of churn." in answer.out
    approval = store.version(2).approval  # type: ignore[union-attr]
    assert approval is not None
    assert (approval.by, approval.comment, approval.granted) == ("Ada", "looked at the curves", True)
    assert approval.at > store.version(2).created[:10]  # type: ignore[union-attr]
    assert verdicts(mt_assets) == ["approved by Ada", "superseded"]
    nothing = mt_assets("approve", "churn")
    assert nothing.code == 2
    assert "No version of churn waits for approval." in nothing.err


def test_an_approval_counts_only_against_the_champion_that_the_model_was_compared_with(
    spec: Path, store: ModelStore, mt_assets: Callable[..., Any]
) -> None:
    trained(spec)
    assert mt_assets("approve", "churn").code == 0
    assert trained(spec, options={"seed": 1})["champion_version"] == 1
    trained(spec, options={"seed": 2}, promotion={"margin": 1.0})
    assert champion(store) == 3
    refused = mt_assets("approve", "churn", 2)
    assert refused.code == 2
    assert champion(store) == 3
    assert verdicts(mt_assets)[1] == "superseded"


def test_a_refused_model_stays_a_challenger(spec: Path, store: ModelStore, mt_assets: Callable[..., Any]) -> None:
    trained(spec)
    assert mt_assets("reject", "churn", 1, "--by", "Ada", "--comment", "too old").code == 0
    assert verdicts(mt_assets) == ["rejected by Ada"]
    assert mt_assets("approve", "churn").code == 2
    assert champion(store) is None
    assert mt_assets("promote", "churn", 1, "--by", "Bob").code == 0
    assert champion(store) == 1
    assert verdicts(mt_assets) == ["approved by Bob"]


def test_jobs_of_the_ui_approve_and_roll_back(spec: Path, store: ModelStore, mt_assets: Callable[..., Any]) -> None:
    trained(spec)
    mt_assets("approve", "churn")
    trained(spec, options={"seed": 1})
    definitions = build_definitions([load_spec(spec)])

    def run(job: str, op: str, **config: Any) -> dg.ExecuteInProcessResult:
        return definitions.resolve_job_def(job).execute_in_process(
            run_config={"ops": {op: {"config": config}}}, raise_on_error=False
        )

    assert not run("churn_approve", "churn__approve", version=1).success
    assert champion(store) == 1
    done = run("churn_approve", "churn__approve", version=2, by="Ada")
    assert done.success
    assert champion(store) == 2
    assert store.version(2).approval.by == "Ada"  # type: ignore[union-attr]
    assert run("churn_rollback", "churn__rollback").success
    assert champion(store) == 1
    assert run("churn_rollback", "churn__rollback").success
    assert champion(store) == 2


@pytest.mark.slow
def test_the_registry_follows_an_approval_also_when_it_was_down(
    spec: Path, store: ModelStore, mt_assets: Callable[..., Any], home: Path, closed_address: str, mlflow_client: Any
) -> None:
    def aliases() -> dict[str, str]:
        registered = mlflow_client(f"sqlite:///{home / 'mlflow.db'}").get_registered_model("churn")
        return {alias: str(version) for alias, version in registered.aliases.items()}

    trained(spec, experimentTracking={})
    assert aliases() == {"challenger": "1"}
    assert "registry is now on version 1" in mt_assets("approve", "churn").out
    assert aliases() == {"challenger": "1", "champion": "1"}

    trained(spec, options={"seed": 1}, experimentTracking={"trackingUri": closed_address})
    assert mt_assets("approve", "churn").code == 0
    assert champion(store) == 2
    spec.write_text(yaml.safe_dump(yaml.safe_load(spec.read_text()) | {"experimentTracking": {}}))
    assert mt_assets("sync", spec).code == 0
    assert aliases() == {"challenger": "2", "champion": "2"}


def test_an_approval_while_a_training_ends_is_not_undone_by_it(
    spec: Path, store: ModelStore, mt_assets: Callable[..., Any], home: Path, mlflow_client: Any
) -> None:
    """Between its verdict and its registration a version can be approved; the alias, still on the old one, is no
    person's word."""
    trained(spec, experimentTracking={})
    mt_assets("approve", "churn")
    asked = load_spec(spec).model_copy(update={"options": load_spec(spec).options.model_copy(update={"seed": 1})})
    job = build_definitions([asked]).resolve_job_def("churn_training")
    late = ["experiment_run", "registered_model", "training_result"]
    early = [key for key in job.asset_layer.executable_asset_keys if key.path[-1] not in late]
    assert job.execute_in_process(asset_selection=early).success
    assert mt_assets("approve", "churn", 2).code == 0
    assert job.execute_in_process(asset_selection=[dg.AssetKey(["churn", name]) for name in late]).success
    assert champion(store) == 2
    assert mt_assets("sync", spec).code == 0
    client = mlflow_client(f"sqlite:///{home / 'mlflow.db'}")
    assert str(client.get_model_version_by_alias("churn", "champion").version) == "2"


@pytest.mark.slow
def test_the_alias_that_a_person_puts_on_a_waiting_model_approves_it(
    spec: Path, store: ModelStore, home: Path, mlflow_client: Any
) -> None:
    trained(spec, experimentTracking={})
    client = mlflow_client(f"sqlite:///{home / 'mlflow.db'}")
    client.set_registered_model_alias("churn", "champion", "1")
    outcome = train(load_spec(spec))
    assert champion(store) == 1
    assert any("The champion is version 1 now" in warning for warning in outcome.result.warnings)
