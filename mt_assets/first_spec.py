"""A first spec from a look at the data: what `mt-assets init` writes."""

import json
import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import yaml

from mt_assets import trainer
from mt_assets.spec import slug
from mt_assets.spec_reading import parse_spec
from mt_assets.trainer.data.profile import DataProfile
from mt_assets.trainer.data.table import Table
from mt_assets.trainer.errors import DataError

TARGET_NAMES = ("target", "label", "class", "y", "outcome", "response")
"""Names that a column to predict usually has, likeliest first."""


def name_for(data: str) -> str:
    """Make a name of where data lies: of the file's name, or of the folder's where a glob stands for the files."""
    plain = urlsplit(data).path if "://" in data else str(Path(data).absolute())
    parts = [part for part in PurePosixPath(plain).parts if not re.search(r"[*?\[]", part)]
    return slug(parts[-1].split(".")[0] if parts else "data")


def draft_spec(data: str, target: str | None, folder: Path) -> str:
    """Return the text of a spec in YAML, with what was found as comments.

    Parameters
    ----------
    data : str
        File of any kind that can be read, folder, glob or address.
    target : str or None
        Column to predict; None chooses a column with a usual name, else the last one.
    folder : Path
        Where the spec will lie; a path of the data is written relative to it.

    Raises
    ------
    DataError
        If the data cannot be read, or the column cannot be predicted.
    """
    place = data if "://" in data else str(Path(data).absolute())
    table = Table.of(trainer.read_table(place))
    column, why = (target, "as you asked") if target is not None else _guess_target(table.columns)
    name = name_for(data)
    relative = place if "://" in data else Path(os.path.relpath(place, folder.absolute())).as_posix()
    asked = {"name": name, "trainDataPath": relative, "targetColumn": column}
    spec = parse_spec(asked, base=folder.absolute(), default_name=name)
    profile = trainer.profile_data(table, spec)
    lines = [f"# {len(table):,} rows, {len(table.columns)} columns; data quality {profile.quality.score:.0f} of 100."]
    lines += [f"# {_one_line(warning)}" for warning in profile.warnings]
    lines += [
        _entry("name", name),
        _entry("trainDataPath", relative),
        _entry("targetColumn", column) + f"  # {why}",
        *(
            f"# {decision.decision}: {_one_line(decision.value)} ({_one_line(decision.reason)})"
            for decision in profile.target.decisions
        ),
        "",
        "# What the columns are used as; change one by moving its line below `featureTypes:`",
        "# featureTypes:",
        *_column_lines(profile),
        "",
        "# Bounds that the model must keep to become the champion",
        "# qualityGates:",
        f"#   {'test.r2' if profile.target.task == 'regression' else 'test.roc_auc'}: '>=0.8'",
        *_forecast_lines(table, profile),
    ]
    return "\n".join(lines) + "\n"


def _guess_target(columns: tuple[str, ...]) -> tuple[str, str]:
    if not columns:
        raise DataError("The table has no columns.")
    by_name = {column.lower(): column for column in reversed(columns)}
    for usual in TARGET_NAMES:
        if usual in by_name:
            return by_name[usual], "its name says so; name another with --target"
    return columns[-1], "the last column; name another with --target"


def _column_lines(profile: DataProfile) -> list[str]:
    shown = [column for column in profile.columns if column.role != "target"]
    return [f"#   {_key(column.name)}: {column.role}  # {_one_line(column.reason)}" for column in shown]


def _forecast_lines(table: Table, profile: DataProfile) -> list[str]:
    """How to forecast the target instead, where numbers stand beside times."""
    times = [column.name for column in profile.columns if column.role == "datetime"]
    if not times or profile.target.task != "regression":
        return []
    lines = ["", f"# To forecast {_one_line(profile.target.column)} in time, instead of predicting it row by row"]
    lines += ["# modelType: time_series", f"# {_entry('timeColumn', times[0])}"]
    names = [column.name for column in profile.columns if column.role == "categorical"]
    frame = table.frame([times[0], *names])
    if frame[times[0]].duplicated().any():
        of_series = (name for name in names if not frame.duplicated([times[0], name]).any())
        lines += [f"# {_entry('seriesColumn', name)}" for name in list(of_series)[:1]]
    return lines


def _entry(key: str, value: str) -> str:
    return yaml.safe_dump({key: value}, allow_unicode=True, width=10_000).strip()


def _key(name: str) -> str:
    """A name as a key on one line; what YAML would break over lines is written as JSON does."""
    text = yaml.safe_dump(name, allow_unicode=True, width=10_000).removesuffix("\n...\n").strip()
    return text if "\n" not in text else json.dumps(name)


def _one_line(text: object) -> str:
    """Text that cannot leave the comment that it stands in, without characters that YAML refuses."""
    return " ".join("".join(each if each.isprintable() else " " for each in str(text)).split())
