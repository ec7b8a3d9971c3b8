"""The model card: what it says, where it goes, and that nothing from the data acts as markup in it."""

from pathlib import Path
from typing import Any

from mt_assets.spec_reading import load_spec
from mt_assets.training_run import train


def test_the_card_says_what_a_user_needs_and_lies_where_people_look(
    tmp_path: Path, home: Path, write_spec: Any, customers: Any, mlflow_client: Any
) -> None:
    table = customers(200).rename(columns={"category": "<b>plan|x</b>"})
    keys = {"sensitiveColumns": ["<b>plan|x</b>"], "qualityGates": {"test.roc_auc": ">=0.5"}, "experimentTracking": {}}
    outcome = train(load_spec(write_spec(tmp_path / "carded", table, **keys, outputs=["model_card"])))
    assert outcome.exit_code == 0
    (path,) = [path for path in outcome.result.artifacts if path.endswith("model_card.md")]
    text = Path(path).read_text()
    for title in (
        "for",
        "Data",
        "How good it is",
        "Quality gates",
        "Parts of the rows",
        "Groups",
        "Decisions",
        "Limits",
    ):
        assert any(line.startswith("## ") and title in line for line in text.splitlines())
    assert f"{outcome.result.metrics.test['roc_auc']:.4g}" in text
    assert f"{outcome.result.metrics.baseline['accuracy']:.4g}" in text
    assert "<b>" not in text
    assert all(line.count("|") == text.splitlines()[at + 1].count("|") for at, line in enumerate(text.splitlines()[:-1])
               if line.startswith("| ") and text.splitlines()[at + 1].startswith("|"))  # fmt: skip
    client = mlflow_client(f"sqlite:///{home / 'mlflow.db'}")
    assert "model_card.md" in [each.path for each in client.list_artifacts(outcome.result.experiment.run_id)]
