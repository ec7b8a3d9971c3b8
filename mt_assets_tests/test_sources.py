"""Every kind of source from the spec to the model: the graph, the commands, and that no password is ever shown."""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from mt_assets.assembly import build_definitions
from mt_assets.spec_reading import load_spec, parse_spec
from mt_assets.trainer.data.reading import fingerprint
from mt_assets.trainer.errors import DataError
from mt_assets.trainer.store.model_store import ModelStore


def spec_of(folder: Path, **keys: Any) -> Any:
    asked = {"name": "churn", "targetColumn": "target", "experimentTracking": {"enabled": False}, **keys}
    return parse_spec(asked, base=folder, default_name="churn")


def test_the_asset_takes_the_place_of_source_data(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, trainDataPath={"asset": "shop/customers"})
    graph = build_definitions([spec]).resolve_asset_graph()

    assert graph.get(dg.AssetKey(["churn", "raw_data"])).parent_keys == {dg.AssetKey(["shop", "customers"])}
    assert dg.AssetKey(["churn", "source_data"]) not in graph.get_all_asset_keys()


def test_given_files_beside_an_asset_have_a_source_of_their_own(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, trainDataPath="train.csv")
    mixed = spec.model_copy(
        update={"test_data_path": spec_of(tmp_path, trainDataPath={"asset": "a/b"}).train_data_path}
    )
    graph = build_definitions([mixed]).resolve_asset_graph()

    parents = graph.get(dg.AssetKey(["churn", "raw_data"])).parent_keys
    assert parents == {dg.AssetKey(["churn", "source_data"]), dg.AssetKey(["a", "b"])}


def test_raw_data_is_the_table_of_the_asset(tmp_path: Path, home: Path, customers: Any) -> None:
    """In one code location with the person's own assets, whose table changes between two runs."""
    rows = [120]

    @dg.asset(key=["shop", "customers"])
    def shop() -> pd.DataFrame:
        return customers(rows[0]).iloc[:: 1 if rows[0] > 120 else -1]

    spec = spec_of(tmp_path, trainDataPath={"asset": "shop/customers"})
    io_manager = dg.FilesystemIOManager(base_dir=str(tmp_path / "values"))
    ours = build_definitions([spec])
    defs = dg.Definitions.merge(dg.Definitions([shop], resources={"io_manager": io_manager}), ours)
    raw = dg.AssetKey(["churn", "raw_data"])
    versions = []
    with dg.DagsterInstance.ephemeral() as instance:
        for rows[0] in (120, 150):
            job = defs.resolve_implicit_global_asset_job_def()
            done = job.execute_in_process(instance=instance, asset_selection=[shop.key, raw])
            made = done.asset_materializations_for_node("churn__raw_data")[0]
            assert made.metadata["dagster/row_count"].value == rows[0]
            versions.append(made.metadata["source_version"].value)
        store = ModelStore(home, "churn")
        current = store.current("raw_data")
        assert current is not None and len(store.get(current.address)) == 150

    assert versions[0] != versions[1]


def test_rows_in_another_order_are_the_same_content(tmp_path: Path, customers: Any) -> None:
    from mt_assets.spec import AssetSource
    from mt_assets.trainer.data.reading import Sources

    frame = customers(50)
    source = AssetSource(asset="a")

    def version(table: pd.DataFrame) -> str:
        with Sources(lambda key: pa.Table.from_pandas(table, preserve_index=False)) as sources:
            return sources.fingerprint(source)

    changed = frame.assign(age=frame["age"].where(frame.index != 7, 99))
    assert version(frame) == version(frame.sample(frac=1, random_state=0)) == version(frame[frame.columns[::-1]])
    assert len({version(frame), version(changed), version(frame[:-1])}) == 3
    with pytest.raises(DataError, match="can only be read where Dagster runs"):
        fingerprint(source)


def test_the_commands_read_an_asset_through_the_instance(
    tmp_path: Path, home: Path, customers: Any, write_spec: Any, mt_assets: Any
) -> None:
    from mt_assets.training_run import ensure_instance

    customers(120).to_parquet(tmp_path / "table.parquet")
    path = write_spec(tmp_path / "churn", "x.csv", trainDataPath={"asset": "shop/customers"})
    before = mt_assets("plan", path)
    assert before.code == 2 and "shop/customers has never been materialized" in before.err
    ensure_instance()
    with dg.DagsterInstance.get() as instance:
        metadata = {"path": dg.MetadataValue.path(tmp_path / "table.parquet")}
        instance.report_runless_asset_event(dg.AssetMaterialization(["shop", "customers"], metadata=metadata))

    planned = mt_assets("plan", path)
    trained = mt_assets("train", path)

    assert planned.code == 0, planned.err
    assert trained.code == 0, trained.err
    raw = ModelStore(home, "churn").current("raw_data")
    assert raw is not None and len(ModelStore(home, "churn").get(raw.address)) == 120


def test_recommendations_come_from_the_file_of_an_asset(
    tmp_path: Path, home: Path, customers: Any, write_spec: Any, mt_assets: Any
) -> None:
    from mt_assets.training_run import ensure_instance

    path = write_spec(tmp_path / "churn", customers(), inputs={"featureRecommendations": {"asset": "shop/advice"}})
    (tmp_path / "advice.json").write_text('{"drop": {"income": "unstable"}}')
    assert "shop/advice has never been materialized" in mt_assets("plan", path).err
    ensure_instance()
    with dg.DagsterInstance.get() as instance:
        metadata = {"path": dg.MetadataValue.path(tmp_path / "advice.json")}
        instance.report_runless_asset_event(dg.AssetMaterialization(["shop", "advice"], metadata=metadata))

    defs = build_definitions([load_spec(path)])
    selection = [dg.AssetKey(["churn", asset]) for asset in ("raw_data", "data_profile")]
    with dg.DagsterInstance.get() as instance:
        defs.resolve_job_def("churn_training").execute_in_process(instance=instance, asset_selection=selection)
    store = ModelStore(home, "churn")
    made = store.current("data_profile")
    assert made is not None
    roles = {column.name: column.role for column in store.get(made.address).columns}
    assert roles["income"] == "drop"
    assert dg.AssetKey(["shop", "advice"]) in defs.resolve_asset_graph().get(selection[1]).parent_keys
    assert mt_assets("plan", path).code == 0


def written_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_training_on_a_database_shows_its_password_nowhere(
    tmp_path: Path, home: Path, customers: Any, write_spec: Any, mt_assets: Any, postgres_server: str
) -> None:
    """Neither in state, Dagster's records, MLflow's database and files and the result, nor in anything printed."""
    import sqlalchemy

    url = sqlalchemy.make_url(postgres_server)
    engine = sqlalchemy.create_engine(url)
    customers(120).to_sql("shoppers", engine, index=False, if_exists="replace")
    engine.dispose()
    asked = {"experimentTracking": {"enabled": True}, "options": {"verbosity": 3}}
    source = {"connection": postgres_server, "query": "SELECT * FROM shoppers"}
    path = write_spec(tmp_path / "churn", "x.csv", trainDataPath=source, **asked)
    wrong = write_spec(tmp_path / "lost", "x.csv", trainDataPath={**source, "query": "SELECT * FROM nothing"}, **asked)
    results = tmp_path / "results"
    results.mkdir()

    done = mt_assets("train", path, "--output", results / "done.json")
    failed = mt_assets("train", wrong, "--output", results / "failed.json")

    assert done.code == 0, done.err
    assert failed.code == 2 and "does not exist" in failed.err
    raw = ModelStore(home, "churn").current("raw_data")
    assert raw is not None and len(ModelStore(home, "churn").get(raw.address)) == 120
    password = str(url.password)
    written = written_below(home) | written_below(results)
    assert any(path.name == "mlflow.db" for path in written) and any("runs" in path.name for path in written)
    assert not [path for path, content in written.items() if password.encode() in content]
    assert not [text for text in (done.out, done.err, failed.out, failed.err) if password in text]


def test_the_source_of_a_database_is_observed_by_its_rows(tmp_path: Path, home: Path, customers: Any) -> None:
    import sqlite3

    rows = customers(40)
    with sqlite3.connect(tmp_path / "shop.db") as opened:
        rows.to_sql("customers", opened, index=False)
    opened.close()
    source = {"connection": "sqlite:///shop.db", "query": "SELECT * FROM customers"}
    defs = build_definitions([spec_of(tmp_path, trainDataPath=source)])
    key = dg.AssetKey(["churn", "source_data"])
    versions = []
    with dg.DagsterInstance.ephemeral() as instance:
        for more in (0, 1):
            with sqlite3.connect(tmp_path / "shop.db") as opened:
                rows[:more].to_sql("customers", opened, index=False, if_exists="append")
            opened.close()
            job = defs.resolve_implicit_global_asset_job_def()
            job.execute_in_process(instance=instance, asset_selection=[key])
            [record] = instance.fetch_observations(key, limit=1).records
            assert record.asset_observation is not None
            versions.append(record.asset_observation.data_version)

    assert versions[0] != versions[1]
    assert defs.resolve_asset_graph().get(key).kinds == {"sqlite"}
