"""Tables of other assets: through their IO manager, through a path in their metadata, or one clear paragraph."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mt_assets.resources.asset_tables import file_of_asset, table_of_asset
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError

ROWS = {"code": ["007", "012"], "n": [1, None], "day": ["2024-01-01", "2024-01-02"]}


class Frame:
    """A table of a library that mt_assets has never heard of."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return pa.table(ROWS).__arrow_c_stream__(requested_schema)


class InMemory(dg.IOManager):
    """Keeps what it was given last."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        self.value = obj

    def load_input(self, context: dg.InputContext) -> Any:
        return self.value


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def read_in_run(instance: dg.DagsterInstance, upstream: dg.AssetsDefinition, resources: Any = None) -> pa.Table:
    """Materialize an asset and, in the same code location, one that reads its table."""
    read: list[pa.Table] = []

    @dg.asset(deps=[upstream])
    def reader(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        read.append(table_of_asset(context, upstream.key.to_user_string()))
        return dg.MaterializeResult()

    defs = dg.Definitions([upstream, reader], resources=resources, executor=dg.in_process_executor)
    defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    return read[0]


@pytest.mark.parametrize("kind", ["pandas", "arrow", "batch", "another library", "path", "paths", "our own"])
def test_every_kind_of_table_is_read_through_its_io_manager(kind: str, instance: Any, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(ROWS), path)
    value = {
        "pandas": pd.DataFrame(ROWS),
        "arrow": pa.table(ROWS),
        "batch": pa.table(ROWS).to_batches()[0],
        "another library": Frame(),
        "path": path,
        "paths": [str(path)],
        "our own": Table.of(pa.table(ROWS)),
    }[kind]

    @dg.asset(key_prefix="shop")
    def customers() -> Any:
        return value

    io_manager = {"io_manager": dg.FilesystemIOManager(base_dir=str(tmp_path / "values"))}
    if kind == "another library":  # cannot be pickled; it stays in memory
        io_manager = {"io_manager": dg.IOManagerDefinition.hardcoded_io_manager(InMemory())}
    table = Table.of(read_in_run(instance, customers, io_manager))

    assert table.frame(["code"])["code"].tolist() == ["007", "012"]
    assert table.frame(["n"])["n"].isna().tolist() == [False, True]


@pytest.mark.parametrize("name", ["path", "dagster/uri", "anything"])
def test_another_location_is_read_through_the_path_in_its_metadata(name: str, instance: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table(ROWS), tmp_path / "table.parquet")
    place = (tmp_path / "table.parquet").as_uri() if name == "dagster/uri" else str(tmp_path / "table.parquet")
    value = dg.MetadataValue.url(place) if "://" in place else dg.MetadataValue.path(place)
    (tmp_path / "notes.txt").touch()
    more = {"log": dg.MetadataValue.path(tmp_path / "notes.txt"), "rows": 2, "owner": "me"}
    for metadata in ({"path": str(tmp_path / "older.parquet")}, {**more, name: value}):
        instance.report_runless_asset_event(dg.AssetMaterialization(["shop", "customers"], metadata=metadata))

    table = table_of_asset(instance, "shop/customers")

    assert table.column("code").to_pylist() == ["007", "012"]
    assert str(table.schema.field("day").type) == "date32[day]"
    assert file_of_asset(instance, "shop/customers") == tmp_path / (
        "table.parquet" if name != "anything" else "notes.txt"
    )


def test_an_asset_that_returns_nothing_is_read_through_its_metadata(instance: Any, tmp_path: Path) -> None:
    @dg.asset
    def customers() -> dg.MaterializeResult:
        pq.write_table(pa.table(ROWS), tmp_path / "table.parquet")
        return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(tmp_path / "table.parquet")})

    assert read_in_run(instance, customers).num_rows == 2


def test_pickles_of_other_locations_are_never_opened(instance: Any, tmp_path: Path) -> None:
    (tmp_path / "customers").write_bytes(pickle.dumps(pd.DataFrame(ROWS)))
    event = dg.AssetMaterialization("customers", metadata={"path": dg.MetadataValue.path(tmp_path / "customers")})
    instance.report_runless_asset_event(event)

    with pytest.raises(DataError, match=f"does not say where a table lies; it names {tmp_path}/customers") as refused:
        table_of_asset(instance, "customers")

    assert "one code location" in refused.value.suggestions[1]


def test_what_is_no_table_is_refused(instance: Any, tmp_path: Path) -> None:
    @dg.asset
    def number() -> int:
        return 3

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
    def parted() -> Any:
        return pd.DataFrame(ROWS)

    def refusal(upstream: dg.AssetsDefinition) -> str:
        told: list[str] = []

        @dg.asset(deps=[dg.AssetDep(upstream, partition_mapping=dg.AllPartitionMapping())])
        def reader(context: dg.AssetExecutionContext) -> None:
            with pytest.raises(DataError) as refused:
                table_of_asset(context, upstream.key.to_user_string())
            told.append(refused.value.message)

        defs = dg.Definitions(
            [upstream, reader],
            resources={"io_manager": dg.FilesystemIOManager(base_dir=str(tmp_path))},
            jobs=[dg.define_asset_job("read", selection=[reader], executor_def=dg.in_process_executor)],
        )
        if upstream.partitions_def is None:
            dg.materialize([upstream], instance=instance, resources=defs.resources)
        defs.resolve_job_def("read").execute_in_process(instance=instance)
        return told[0]

    assert refusal(number) == "The asset number gives a builtins.int, which is no table."
    assert "is partitioned" in refusal(parted)
    with pytest.raises(DataError, match="shop/nobody has never been materialized on this Dagster instance"):
        table_of_asset(instance, "shop/nobody")


def test_an_asset_never_materialized_is_named(instance: Any, tmp_path: Path) -> None:
    @dg.asset
    def customers() -> pd.DataFrame:
        return pd.DataFrame(ROWS)

    @dg.asset(deps=[customers])
    def reader(context: dg.AssetExecutionContext) -> None:
        with pytest.raises(DataError, match="customers has never been materialized"):
            table_of_asset(context, "customers")

    defs = dg.Definitions(
        [customers, reader],
        resources={"io_manager": dg.FilesystemIOManager(base_dir=str(tmp_path))},
        jobs=[dg.define_asset_job("read", selection=[reader], executor_def=dg.in_process_executor)],
    )
    assert defs.resolve_job_def("read").execute_in_process(instance=instance).success
