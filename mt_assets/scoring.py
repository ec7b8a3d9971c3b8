"""Batch scores of a table by a trained model: what `mt-assets predict` does, and how `predictions` begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from mt_assets import trainer
from mt_assets.model_versions import chosen_version, model_store, version_model
from mt_assets.trainer.data.frames import as_datetime, canonical_column
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError, SpecError
from mt_assets.trainer.features.columns import as_number
from mt_assets.trainer.model import TabularModel
from mt_assets.trainer.store.atomic import unfinished_folder

if TYPE_CHECKING:
    from mt_assets.trainer.forecasting.model import ForecastModel

BATCH_ROWS = 50_000
"""Rows that are encoded at a time: with 1,000 encoded features in double precision 400 MB."""


@dataclass(frozen=True)
class Scored:
    """What was scored: model, version, rows, the columns that were added, and what is to be known about the data."""

    model: str
    version: int
    rows: int
    added: tuple[str, ...]
    notes: tuple[str, ...] = ()


def predict(name: str, data: str, output: Path, *, version: int | None = None) -> Scored:
    """Write a table with the predictions of a model beside it.

    The columns of the data come first, as they were read. Then comes `predicted_<target>`, and for classes their
    probabilities as `probability_<label>`. Of a model of series the data is history, and the steps that follow are
    written.

    Parameters
    ----------
    name : str
        Of the model.
    data : str
        File, glob, folder or address.
    output : Path
        CSV, Parquet, Feather or JSON lines, as its suffix says.
    version : int, optional
        By default the champion.

    Raises
    ------
    SpecError
        There is no such model or version.
    DataError
        The data cannot be read, lacks a column that the model needs, or has one of the names that are added; or there
        is no history to forecast from.
    """
    writer_of(output)
    store = model_store(name)
    chosen = chosen_version(store, version)
    scored = score_table(version_model(store, chosen).model, Table.of(trainer.read_table(data)))
    write_table(scored.table, output)
    return Scored(
        model=store.name,
        version=chosen.number,
        rows=scored.table.num_rows,
        added=scored.added,
        notes=scored.notes,
    )


@dataclass(frozen=True, eq=False)
class ScoredTable:
    """A table with its predictions: all columns, the names of those that were added, and what is to be known."""

    table: pa.Table
    added: tuple[str, ...]
    notes: tuple[str, ...]


def score_table(model: TabularModel | ForecastModel, table: Table) -> ScoredTable:
    """Put `predicted_<target>`, and for classes `probability_<label>`, behind the columns of a table.

    A table of series is history, and what comes of it are the steps that follow: see `ForecastModel.predict`.

    Raises
    ------
    DataError
        The table lacks a column that the model needs, or has one of the names that are added.
    """
    if not isinstance(model, TabularModel):
        return _forecast(model, table)
    added = _predictions(model, table)
    taken = sorted(set(added) & set(table.columns))
    if taken:
        raise DataError(
            f"The data has a column {taken[0]!r} already, which is what the prediction is called.",
            suggestions=(f"Rename {taken[0]!r} in the data.",),
        )
    scored = table.arrow()
    for column, values in added.items():
        scored = scored.append_column(column, values)
    return ScoredTable(scored, tuple(added), _unreadable(model, table))


def _forecast(model: ForecastModel, table: Table) -> ScoredTable:
    """The steps that follow a history; times and names of series have the types that they have in it."""
    from mt_assets.trainer.forecasting.history import read_history

    layout = model.layout
    named = [name for name in layout.columns if name in table.columns]
    history = read_history(table.arrow(named).to_pandas(date_as_object=False), layout)
    made = pa.Table.from_pandas(model.told(history), preserve_index=False)
    for name in (layout.time, layout.series):
        if name is not None:
            at, kind = made.column_names.index(name), table.schema.field(name).type
            values = made.column(at)
            made = made.set_column(at, name, values if values.type == kind else _as(values, kind))
    added = tuple(name for name in made.column_names if name not in (layout.time, layout.series))
    return ScoredTable(made.replace_schema_metadata(None), added, history.notes)


def _as(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Values in another type; times where it is text as ISO 8601, days without a time of day."""
    if pa.types.is_timestamp(values.type) and pa.types.is_string(kind):
        times = values.to_pandas()
        days = (times == times.dt.normalize()).all() and times.dt.tz is None
        return pa.chunked_array(
            [pa.array(times.dt.strftime("%Y-%m-%d") if days else times.map(lambda t: t.isoformat()))]
        )
    return values.cast(kind, safe=False)


def write_table(table: pa.Table, output: Path) -> None:
    """Write a table in the form that the suffix says: the whole file, or none."""
    write = writer_of(output)
    with unfinished_folder(output.absolute().parent) as folder:
        write(table, folder / "table")
        (folder / "table").replace(output)


def _unreadable(model: TabularModel, table: Table) -> tuple[str, ...]:
    """Columns of text in place of numbers or dates: what cannot be read in them counts as missing, which is told."""
    notes = []
    columns = {name: role for view in model.preprocessors for name, role in view.columns.items()}
    for column, role in columns.items():
        if role not in READ_AS:
            continue
        kind, read = READ_AS[role]
        values = canonical_column(table.frame([column])[column])
        lost = values[values.notna() & pd.isna(read(values))] if values.dtype == object else values[:0]
        if len(lost):
            count = f"{len(lost):,} value{'' if len(lost) == 1 else 's'} of '{column}'"
            notes.append(
                f"{count} are no {kind}, as they were in training (such as {lost.iloc[0]!r}); they count as missing."
            )
    return tuple(notes)


READ_AS: dict[str, tuple[str, Callable[[pd.Series], Any]]] = {
    "numeric": ("numbers", as_number),
    "datetime": ("dates", as_datetime),
}
"""What columns of a role hold, and how text in them is read."""


def _predictions(model: TabularModel, table: Table) -> dict[str, pa.ChunkedArray]:
    columns: dict[str, list[pa.Array]] = {}
    for start in range(0, len(table), BATCH_ROWS):
        frame = table.take(table.positions[start : start + BATCH_ROWS]).frame()
        scores = model.scores(frame)
        added = {f"predicted_{model.target}": model.labels(scores)}
        if model.classes is not None:
            added |= {f"probability_{label}": scores[:, code] for code, label in enumerate(model.classes)}
        for column, values in added.items():
            columns.setdefault(column, []).append(pa.array(values))
    return {column: pa.chunked_array(parts) for column, parts in columns.items()}


Write = Callable[[pa.Table, Path], None]


def _write_csv(table: pa.Table, path: Path) -> None:
    from pyarrow import csv

    csv.write_csv(table, path)


def _write_parquet(table: pa.Table, path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(table, path)


def _write_feather(table: pa.Table, path: Path) -> None:
    from pyarrow import feather

    feather.write_feather(table, path)


def _write_json_lines(table: pa.Table, path: Path) -> None:
    table.to_pandas().to_json(path, orient="records", lines=True, date_format="iso", force_ascii=False)


WRITERS: dict[str, Write] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".feather": _write_feather,
    ".arrow": _write_feather,
    ".jsonl": _write_json_lines,
}
"""What can be written, by suffix."""


def writer_of(output: Path) -> Write:
    """How a file of that name is written.

    Raises
    ------
    SpecError
        Its suffix is none of the known ones.
    """
    if output.suffix.lower() not in WRITERS:
        raise SpecError(
            f"{output} ends in {output.suffix or 'no suffix'}, so that its form is not known.",
            suggestions=(f"Give it one of the suffixes {', '.join(WRITERS)}.",),
        )
    return WRITERS[output.suffix.lower()]
