"""Tables and files that other Dagster assets make, for specs that name `{asset: …}`.

An asset of the same code location is loaded through its own IO manager; every other one through a path or address in
the metadata of its last materialization, which is all that Dagster's instance knows of it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import JobScopedAssetGraph
from dagster._core.storage.asset_value_loader import AssetValueLoader

from mt_assets.spec import AssetSource, TrainingSpec
from mt_assets.spec_values import masked_uri
from mt_assets.trainer.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

PLACES = ("dagster/uri", "uri", "path", "file", "url")
"""Metadata that says where an asset lies, likeliest first. Dagster itself writes `dagster/uri` and its IO managers for
files write `path`. After these comes whatever else is a path or an address by its type."""

Where = dg.AssetExecutionContext | dg.OpExecutionContext | dg.DagsterInstance
"""What knows of assets: a run, which also knows its own code location, or an instance."""


def table_of_asset(where: Where, key: str) -> "pa.Table":
    """Read the table that an asset has made last.

    Parameters
    ----------
    where : AssetExecutionContext, OpExecutionContext or DagsterInstance
    key : str
        The asset's key, its parts joined by `/`.

    Raises
    ------
    DataError
        There is no such asset, it was never materialized, it makes no table, or nothing says where its table lies.
    """
    asset = dg.AssetKey.from_user_string(key)
    instance, unloaded = where if isinstance(where, dg.DagsterInstance) else where.instance, None
    here = {} if isinstance(where, dg.DagsterInstance) else _definitions(where)
    if asset in here and here[asset].is_materializable:
        if here[asset].partitions_def is not None:  # its metadata would lead to the last partition alone
            raise DataError(
                f"The asset {key} is partitioned; only an asset that is one table can be read.",
                suggestions=("Name an asset that joins the partitions, or the folder that they are written to.",),
            )
        try:
            table = _loaded(here, asset, instance)
        except DataError as error:  # an asset that writes its table itself has no value to load, and cannot say so
            table, unloaded = None, error
        if table is not None:
            return table
    places = list(_places(instance, asset))
    readable = [place for place in places if _is_readable(place)]
    if not readable:
        raise unloaded or _no_place(key, places, "a table")
    return _read(readable[0], f"The asset {key}")


def file_of_asset(instance: dg.DagsterInstance, key: str) -> Path:
    """Return the file on this machine that an asset has written last, by the metadata of its materialization.

    Raises
    ------
    DataError
        The asset was never materialized, or its metadata names no file that is there.
    """
    places = list(_places(instance, dg.AssetKey.from_user_string(key)))
    files = [path for place in places if (path := _local(place)) is not None and path.is_file()]
    if not files:
        raise _no_place(key, places, "a file on this machine")
    return files[0]


def versions_of_assets(instance: dg.DagsterInstance, spec: TrainingSpec) -> dict[str, str]:
    """Return, for every asset that a spec takes data from, what changes with each materialization of it.

    Empty before the first one.
    """
    sources = (spec.train_data_path, spec.validation_data_path, spec.test_data_path)
    versions = {}
    for key in {source.asset for source in sources if isinstance(source, AssetSource)}:
        made = instance.fetch_materializations(dg.AssetKey.from_user_string(key), limit=1).records
        versions[key] = f"{made[0].storage_id} at {made[0].timestamp}" if made else ""
    return versions


def _definitions(
    where: dg.AssetExecutionContext | dg.OpExecutionContext,
) -> Mapping[dg.AssetKey, dg.AssetsDefinition]:
    """The assets of the run's own code location, or of the part of it that a job in Python was made of."""
    graph = where.job_def.asset_layer.asset_graph
    # A job knows of other assets only that they exist; the graph that it was cut from knows how they are loaded.
    whole = graph.source_asset_graph if isinstance(graph, JobScopedAssetGraph) else graph
    return {key: definition for definition in whole.assets_defs for key in definition.keys}


def _loaded(
    here: Mapping[dg.AssetKey, dg.AssetsDefinition], asset: dg.AssetKey, instance: dg.DagsterInstance
) -> "pa.Table | None":
    """The table of an asset through its IO manager; None where it makes no value."""
    key, definition = asset.to_user_string(), here[asset]
    kind = definition.node_def.output_def_named(definition.get_output_name_for_asset_key(asset)).dagster_type
    if kind.is_nothing:
        return None
    declared = kind.typing_type if isinstance(kind.typing_type, type) else None
    with AssetValueLoader(here, instance=instance) as loader:
        try:
            value = loader.load_asset_value(asset, python_type=declared)
        except Exception as error:  # an IO manager may raise anything
            raise DataError(
                f"The asset {key} cannot be loaded through its IO manager: "
                f"{masked_uri(f'{type(error).__name__}: {error}').partition(chr(10))[0][:300]}",
                suggestions=(f"Materialize {key} again, and check its IO manager.",),
            ) from None
        return None if value is None else _as_table(value, f"The asset {key}")


def _as_table(value: Any, what: str) -> "pa.Table":
    """A value as Arrow: a table of whatever library, a path, or several paths."""
    import pandas as pd
    import pyarrow as pa

    from mt_assets.trainer.data.table import Table, arrow_of

    if isinstance(value, Table):
        return value.arrow()
    if isinstance(value, pd.DataFrame):
        return arrow_of(value)
    if isinstance(value, dg.MetadataValue):
        value = value.value
    if isinstance(value, str | Path):
        return _read(value, what)
    if isinstance(value, list | tuple) and value and all(isinstance(entry, str | Path) for entry in value):
        return _read(value, what)
    if hasattr(value, "__arrow_c_stream__"):  # Arrow, Polars, DuckDB and most other libraries of tables
        return pa.table(value)
    if hasattr(value, "to_arrow"):
        return value.to_arrow()
    raise DataError(
        f"{what} gives a {type(value).__module__}.{type(value).__qualname__}, which is no table.",
        suggestions=("Let it return a pandas, Arrow or Polars table, or the path of a file.",),
    )


def _read(place: Any, what: str) -> "pa.Table":
    from mt_assets.trainer.data.reading import read_table

    try:
        return read_table(place)
    except DataError as error:
        raise DataError(f"{what}: {error.message}", suggestions=error.suggestions) from error


def _places(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Iterator[str]:
    """Every path and address in the metadata of an asset's last materialization, likeliest first."""
    event = instance.get_latest_materialization_event(asset)
    made = event.asset_materialization if event else None
    if made is None:
        raise _never_made(asset.to_user_string())
    located = (dg.PathMetadataValue, dg.UrlMetadataValue)
    named = [made.metadata[name] for name in PLACES if name in made.metadata]
    others = [value for name, value in made.metadata.items() if name not in PLACES and isinstance(value, located)]
    for value in [*named, *others]:
        if isinstance(value, (*located, dg.TextMetadataValue)) and value.value:
            yield _plain_path(value.value)


def _plain_path(place: str) -> str:
    return unquote(urlsplit(place).path) if place.startswith("file://") else place


def _local(place: str) -> Path | None:
    return None if "://" in place else Path(place).expanduser()


def _is_readable(place: str) -> bool:
    """Whether a place can be a table: by its suffix, or as a folder or glob. Pickles are never opened."""
    from mt_assets.trainer.data.sources.formats import format_of

    path = _local(place)
    name = urlsplit(place).path if path is None else place
    return format_of(Path(name).name) is not None or "*" in name or (path is not None and path.is_dir())


def _never_made(key: str) -> DataError:
    return DataError(
        f"The asset {key} has never been materialized on this Dagster instance.",
        suggestions=(
            f"Materialize {key} first.",
            "If it lives on another instance, set DAGSTER_HOME to that one.",
        ),
    )


def _no_place(key: str, places: list[str], wanted: str) -> DataError:
    found = f"; it names {', '.join(masked_uri(place) for place in places)}" if places else ""
    return DataError(
        f"The metadata of the last materialization of the asset {key} does not say where {wanted} lies{found}.",
        suggestions=(
            "Let the asset add it to its metadata: "
            'MaterializeResult(metadata={"path": MetadataValue.path("/data/table.parquet")}).',
            f"Or put {key} and this model into one code location, where it is loaded through its IO manager.",
        ),
    )
