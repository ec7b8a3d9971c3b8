"""What people see on a materialization: values of the trainer as Dagster metadata."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mt_assets.trainer.checks import Check
from mt_assets.trainer.reporting.markdown import plain

if TYPE_CHECKING:
    import pyarrow as pa

PREVIEW_ROWS = 5

CELL_LENGTH = 80
"""Characters of a value that a preview shows; the event log keeps every preview for ever."""


def plot(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """Show a small PNG in the UI. The event log keeps it for ever, so it has to be small (20 KB)."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def plots(images: Mapping[str, bytes]) -> dict[str, dg.MarkdownMetadataValue]:
    """Show several small PNGs, by what they show."""
    return {name: plot(png, name.replace("_", " ")) for name, png in images.items()}


def table(rows: Sequence[Mapping[str, Any]], order: Sequence[str] | None = None) -> dg.TableMetadataValue:
    """Show rows of equal keys as a table; cells that are neither numbers nor text are shown as JSON."""
    columns = list(order or (rows[0] if rows else ["nothing"]))
    records = [dg.TableRecord({column: cell(row[column]) for column in columns}) for row in rows]
    kinds = {column: _kind([record.data[column] for record in records]) for column in columns if records}
    schema = dg.TableSchema([dg.TableColumn(column, kinds.get(column, "string")) for column in columns])
    return dg.MetadataValue.table(records, schema=schema)


def pairs(values: Mapping[str, Any], name: str, content: str) -> dg.TableMetadataValue:
    """Show a mapping as a table of two columns."""
    return table([{name: key, content: value} for key, value in values.items()])


def lines(texts: Sequence[str]) -> dg.MarkdownMetadataValue:
    """Show sentences as a list; "none" where there are none."""
    return dg.MetadataValue.md("\n".join(f"- {_plain(text)}" for text in texts) or "none")


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """Return the columns of a table with their types, as Dagster shows them on an asset.

    It is not given the table: for its checks Dagster keeps the local variables of whoever makes the first of its
    records, and would hold the table in memory to the end of the process.
    """
    return dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in schema])


def cell(value: Any) -> str | int | float | bool | None:
    """Return a value as a table may hold it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= CELL_LENGTH * 4 else text[: CELL_LENGTH * 4 - 1] + "…"


def _kind(values: Sequence[Any]) -> str:
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        return "bool"
    if present and all(isinstance(value, int) and not isinstance(value, bool) for value in present):
        return "int"
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return "float"
    return "string"


def numbers(values: Mapping[str, float | int | None], prefix: str = "") -> dict[str, float | int]:
    """Give numbers as numeric metadata, which Dagster plots across materializations; undefined ones are left out."""
    return {
        f"{prefix}{name}": round(value, 6) if isinstance(value, float) else value
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }


def check_metadata(check: Check) -> dict[str, Any]:
    """Show a check's evidence: lists of rows as tables, numbers as numbers, the rest as JSON."""
    shown: dict[str, Any] = {}
    for name, value in check.evidence.items():
        if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
            shown[name] = table(value)
        elif isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
            shown[name] = value
        else:
            shown[name] = dg.MetadataValue.json(json.loads(json.dumps(value, default=str)))
    return shown


def preview(frame: Any) -> dg.MarkdownMetadataValue:
    """Show the first rows of a pandas frame as a Markdown table in which no value can act as markup."""
    head = frame.head(PREVIEW_ROWS)
    lines = [
        "| " + " | ".join(_plain(column) for column in head.columns) + " |",
        "|" + "---|" * len(head.columns),
        *("| " + " | ".join(_plain(value) for value in row) + " |" for row in head.itertuples(index=False)),
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _plain(value: Any) -> str:
    return plain(value, CELL_LENGTH)
