"""Spec files: JSON and YAML, byte order marks, aliases, and files that cannot be read."""

import pytest

from mt_assets.spec_reading import load_spec
from mt_assets.trainer.errors import SpecError


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "", ["is empty"]),
        ("a.yaml", "  \n", ["is empty"]),
        ("a.yaml", "# nothing\n", ["must be a mapping", "null"]),
        ("a.json", "[1, 2]", ["must be a mapping"]),
        ("a.yaml", "just text", ["must be a mapping"]),
        ("a.json", '{"trainDataPath": "a",\n "targetColumn" "b"}', ["JSON", "line 2, column 17"]),
        ("a.json", '{"targetColumn": "a",}', ["JSON", "line 1"]),
        ("a.yaml", "a: 1\nb: [1, 2\nc: 3", ["YAML", "line 3"]),
        ("a.yaml", "a: 1\n---\nb: 2", ["YAML", "line 2"]),
        ("a.yaml", "a: !!python/object:os.system 1", ["YAML", "line 1"]),
        ("a.yaml", "a: !!int x", ["cannot be read"]),
        ("a.yaml", "a: \x07", ["YAML"]),
        ("a.yaml", "? [a, b]\n: 1", ["YAML", "line 1"]),
        ("a.yaml", "qualityGates:\n  test.f1: >=0.5\n", ["YAML", "line 2", "quotes"]),
        ("a.json", '{"targetColumn": "a", "targetColumn": "b"}', ['"targetColumn"', "more than once"]),
        ("a.json", '{"options": {"seed": 1, "seed": 1}}', ['"seed"', "more than once"]),
        ("a.yaml", "targetColumn: a\ntargetColumn: b\n", ['"targetColumn"', "second time", "line 2"]),
        ("a.yaml", "options:\n  seed: 1\n  seed: 1\n", ['"seed"', "line 3"]),
        ("a.json", "[" * 100_000, ["nested too deeply"]),
        ("a.yaml", "a: &x [*x]", ["inside of itself"]),
        ("a.json", '{"options": {"seed": ' + "9" * 5000 + "}}", ["cannot be read"]),
        ("a.txt", "a: 1", [".yaml", "'.txt'"]),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert all(words in caught.value.message for words in said)
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    (tmp_path / "churn.yaml").write_text("x: 1")
    with pytest.raises(SpecError, match="There is no training spec") as caught:
        load_spec(tmp_path / "chrun.yaml")
    assert "churn.yaml" in caught.value.suggestions[0]
    with pytest.raises(SpecError, match="is a folder"):
        load_spec(tmp_path)
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "nowhere" / "a.yaml")
    assert "no folder" in caught.value.suggestions[0]
    (tmp_path / "bytes.json").write_bytes(b"{\x80\xff}")
    with pytest.raises(SpecError, match="not text"):
        load_spec(tmp_path / "bytes.json")


def test_the_file_is_named_and_its_secrets_are_not(tmp_path):
    path = tmp_path / "churn.yaml"
    path.write_text("experimentTracking: {trackingUri: 'http://me:hunter2@h'\nname: x: y")
    with pytest.raises(SpecError, match=r"churn\.yaml") as caught:
        load_spec(path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_byte_order_marks_are_tolerated(tmp_path, encoding, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes('{"trainDataPath": "größe.csv", "targetColumn": "t"}'.encode(encoding))
    assert load_spec(path).train_data_path == str(tmp_path / "größe.csv")


def test_yaml_means_what_json_means(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "trainDataPath: a.csv\ntargetColumn: y\nfeatures: [no, on, 2024-01-01, 007, 12:30]\npositiveLabel: yes\n"
        "promotion: {margin: 1e-3}\noptions: &o {seed: 3}\nretraining: {warmStart: false}\n"
    )
    spec = load_spec(path)
    assert spec.features == ("no", "on", "2024-01-01", "007", "12:30")
    assert (spec.target_column, spec.positive_label, spec.promotion.margin) == ("y", "yes", 0.001)


def test_yaml_aliases_and_merges_work(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "trainDataPath: a.csv\ntargetColumn: t\npromotion: &p {metric: f1, margin: 0.1}\nobjective: {metric: f1}\n"
        "options: {<<: {seed: 1, threads: 2}, seed: 5}\n"
    )
    spec = load_spec(path)
    assert (spec.options.seed, spec.options.threads) == (5, 2)
