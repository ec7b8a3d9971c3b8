"""Trained models by hand: `predict`, `models`, `promote`, `rollback`, in the store and in the registry."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.model import TrainedModel
from mt_assets.trainer.store.model_store import ModelStore
from mt_assets.training_run import train


@dataclass
class Model:
    """A model of three versions: the first is champion, the second took over, the third missed its gate."""

    spec: Path
    store: ModelStore
    registry: Callable[[], Any]

    def aliases(self) -> dict[str, str]:
        registered = self.registry().get_registered_model("churn")
        return {alias: str(version) for alias, version in registered.aliases.items()}

    def champion(self) -> int:
        champion = self.store.champion()
        assert champion is not None
        return champion.number


def change(spec: Path, **keys: Any) -> None:
    spec.write_text(yaml.safe_dump(yaml.safe_load(spec.read_text()) | keys))


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory,
    write_spec: Any,
    customers: Any,
    at_home: Callable[[Path], Any],
    mlflow_client: Callable[[str], Any],
) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("by_hand")
    with at_home(folder / "home") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MT_ASSETS_SPECS", str(folder / "churn"))
        (folder / "churn").mkdir()
        spec = write_spec(folder / "churn", customers(), experimentTracking={})
        assert train(load_spec(spec)).exit_code == 0
        change(spec, promotion={"margin": 1.0}, options={"seed": 1})
        assert train(load_spec(spec)).exit_code == 0
        change(spec, qualityGates={"test.roc_auc": ">=0.9999"}, options={"seed": 2})
        assert train(load_spec(spec)).exit_code == 3
        yield Model(spec, ModelStore(home, "churn"), lambda: mlflow_client(f"sqlite:///{home / 'mlflow.db'}"))


@pytest.fixture(autouse=True)
def second_is_champion(model: Model, mt_assets: Callable[..., Any]) -> None:
    if model.champion() != 2 or model.aliases()["champion"] != "2":
        assert mt_assets("promote", "churn", 2).code == 0


def test_versions_are_listed_with_who_serves_and_what_became_of_each(
    model: Model, mt_assets: Callable[..., Any]
) -> None:
    listed = [line.split() for line in mt_assets("models", "churn").out.splitlines()]
    assert [line[:2] for line in listed[1:]] == [["churn", "3"], ["churn", "2"], ["churn", "1"]]
    assert listed[1][-2:] == ["rejected", "gates"]
    assert "champion" in listed[2]
    assert "previous" in listed[3]
    [_, only] = mt_assets("models").out.splitlines()
    assert only.split()[:3] == ["churn", "2", "champion"]


def test_rows_are_scored_by_the_champion_with_their_columns_in_any_order(
    model: Model, mt_assets: Callable[..., Any], customers: Any, tmp_path: Path
) -> None:
    rows = customers(50, seed=9)[["category", "income", "age"]].assign(customer=range(50))
    rows.loc[3, "category"] = "never seen"
    rows.loc[4, "age"] = None
    rows.to_csv(tmp_path / "new.csv", index=False)
    answer = mt_assets("predict", "churn", tmp_path / "new.csv", "--output", tmp_path / "scored.parquet")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("50 rows scored by churn 2")
    scored = pd.read_parquet(tmp_path / "scored.parquet")
    assert list(scored) == [*rows, "predicted_target", "probability_no", "probability_yes"]
    assert list(scored["customer"]) == list(range(50))
    stored = model.store.get(model.store.version(2).addresses["trained_model"])  # type: ignore[union-attr]
    assert isinstance(stored, TrainedModel)
    assert list(scored["predicted_target"]) == list(stored.model.predict(rows))
    assert (scored[["probability_no", "probability_yes"]].to_numpy() == stored.model.predict_proba(rows)).all()


def test_values_that_cannot_be_read_as_in_training_are_told(
    model: Model, mt_assets: Callable[..., Any], customers: Any, tmp_path: Path
) -> None:
    rows = customers(30, seed=9).drop(columns="target").astype({"income": object})
    rows.loc[:2, "income"] = "45,000 EUR"
    rows.loc[3, "income"] = None
    rows.to_csv(tmp_path / "new.csv", index=False)
    answer = mt_assets("predict", "churn", tmp_path / "new.csv", "--output", tmp_path / "scored.csv")
    assert answer.code == 0
    assert "3 values of 'income' are no numbers, as they were in training (such as '45,000 EUR')" in answer.out
    assert "'age'" not in answer.out


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".feather"])
def test_scores_are_written_in_the_form_that_the_name_says(
    suffix: str, model: Model, mt_assets: Callable[..., Any], tmp_path: Path
) -> None:
    output = tmp_path / f"scored{suffix}"
    assert mt_assets("predict", "churn", model.spec.parent / "train.csv", "--output", output, "--version", 1).code == 0
    read = {".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True), ".feather": pd.read_feather}
    assert len(read[suffix](output)) == 120
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("predict", "chrun", "train.csv", "--output", "s.csv"), "Did you mean churn?"),
        (("predict", "churn", "train.csv", "--output", "s.csv", "--version", "7"), "has no version 7; it has 1, 2, 3"),
        (("predict", "churn", "train.csv", "--output", "s.xls"), ".parquet"),
        (("predict", "churn", "lacking.csv", "--output", "s.csv"), "'income'"),
        (("predict", "churn", "taken.csv", "--output", "s.csv"), "'predicted_target'"),
        (("promote", "churn", "3"), "test.roc_auc"),
        (("promote", "churn", "9"), "has no version 9"),
        (("rollback", "nobody"), "There are churn."),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_changes_nothing(
    arguments: tuple[str, ...],
    told: str,
    model: Model,
    mt_assets: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = pd.read_csv(model.spec.parent / "train.csv")
    data.to_csv("train.csv", index=False)
    data.drop(columns="income").to_csv("lacking.csv", index=False)
    data.assign(predicted_target=1).to_csv("taken.csv", index=False)
    answer = mt_assets(*arguments)
    assert answer.code == 2
    assert told in answer.err
    assert "Traceback" not in answer.err
    assert not Path("s.csv").exists()
    assert model.champion() == 2


def test_a_promotion_by_hand_moves_store_and_registry_and_rolling_back_undoes_it(
    model: Model, mt_assets: Callable[..., Any]
) -> None:
    assert mt_assets("promote", "churn", 3, "--despite-gates").code == 0
    assert (model.champion(), model.aliases()["champion"]) == (3, "3")
    assert "Version 2 is now the champion of churn; before it was version 3." in mt_assets("rollback", "churn").out
    assert (model.champion(), model.aliases()["champion"]) == (2, "2")
    mt_assets("rollback", "churn")
    assert (model.champion(), model.aliases()["champion"]) == (3, "3")


def test_a_registry_that_is_down_hears_of_it_later(
    model: Model, mt_assets: Callable[..., Any], closed_address: str
) -> None:
    before = model.spec.read_text()
    change(model.spec, experimentTracking={"trackingUri": closed_address})
    try:
        answer = mt_assets("promote", "churn", 1)
        assert answer.code == 0
        assert "does not answer" in answer.out
        assert mt_assets("sync", model.spec).code == 1
    finally:
        model.spec.write_text(before)
    assert (model.champion(), model.aliases()["champion"]) == (1, "2")
    assert mt_assets("sync", model.spec).code == 0
    assert model.aliases()["champion"] == "1"


def test_a_model_that_was_changed_on_disk_does_not_serve(model: Model, mt_assets: Callable[..., Any]) -> None:
    version = model.store.version(1)
    assert version is not None
    stored = model.store.get(version.addresses["trained_model"])
    assert isinstance(stored, TrainedModel)
    file = stored.path / "model.joblib"
    content = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(content[:-1] + b"x")
    try:
        answer = mt_assets("promote", "churn", 1)
    finally:
        file.write_bytes(content)
    assert answer.code == 1
    assert model.champion() == 2


def test_the_store_follows_a_person_who_moves_the_alias_in_the_registry(
    model: Model, mt_assets: Callable[..., Any]
) -> None:
    model.registry().set_registered_model_alias("churn", "champion", "1")
    change(model.spec, options={"seed": 3})
    change(model.spec, qualityGates={})
    outcome = train(load_spec(model.spec))
    assert outcome.exit_code == 0
    assert outcome.result.promotion is not None
    assert outcome.result.promotion["verdict"] == "promoted"  # over the version that the store still had as champion
    (told,) = [warning for warning in outcome.result.warnings if "A person" in warning]
    assert told.startswith("A person put the alias `champion` on version 1, where it stays.")
    assert "The champion is version 1 now" in told
    assert (model.champion(), model.aliases()["champion"]) == (1, "1")
