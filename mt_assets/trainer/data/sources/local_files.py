"""Which files on this machine a name means: one file, a folder, or a glob."""

import re
from pathlib import Path

from mt_assets.trainer.data.names import nearest
from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.data.sources.formats import format_of, readable_suffixes
from mt_assets.trainer.errors import DataError

_HERE = ("file://", "local://")
"""What addresses of this machine begin with."""


def on_this_machine(name: str) -> bool:
    """Whether a name is a path, and no address."""
    return "://" not in name or name.startswith(_HERE)


def local_files(name: str) -> list[DataFile]:
    """The files that a path means, in the order of their names.

    A folder means the tables that lie directly in it, `**` in a glob any depth of folders. What programs put beside
    tables while they write them is left out, unless it is named in full: hidden files and folders, and `_temporary`.

    Raises
    ------
    DataError
        There is none, it is no regular file (a pipe would be waited for without end), or its suffix cannot be read.
    """
    path = _path_of(name)
    if path.is_file():
        if not format_of(path.name):
            raise DataError(
                f"The file {path} has a suffix that cannot be read; files that can be read end in "
                f"{readable_suffixes()}.",
                suggestions=("Rename the file after what it is, or export it as CSV or Parquet.",),
            )
        return [DataFile.local(path)]
    tables = [match for match in _matches(path) if _is_finished(path, match) and match.is_file()]
    if tables:
        return [DataFile.local(table) for table in tables]
    if path.is_dir():
        deeper = any(is_table(match.name) for match in path.glob("*/**/*"))
        raise DataError(
            f"The folder {path} holds no table itself{', but folders in it do' if deeper else ''}.",
            suggestions=(f"Name {path / '**'} for all folders in it." if deeper else "Name another folder.",),
        )
    if path.exists():
        raise DataError(
            f"{path} is no regular file, but a pipe, a socket or a device.",
            suggestions=("Write the table into a file and name that.",),
        )
    beside = [item.name for item in path.parent.iterdir() if item.is_file()] if path.parent.is_dir() else []
    near = nearest(path.name, beside)
    raise DataError(
        f"There is no file {path}."
        + ("" if path.parent.is_dir() or _is_pattern(path) else f" The folder {path.parent} does not exist either."),
        suggestions=(f"Did you mean {path.parent / near}?" if near else "Check the path.",),
    )


def _path_of(name: str) -> Path:
    try:
        path = Path(re.sub(f"^({'|'.join(_HERE)})", "", name)).expanduser()
        path.exists()
    except RuntimeError:  # of an unknown user
        return Path(name)
    except PermissionError as error:
        raise DataError(
            f"The file {path} cannot be reached: a folder above it may not be entered.",
            suggestions=(f"See whose they are: namei -l {path}", f"chmod a+x {path.parent}"),
        ) from error
    except OSError as error:
        raise DataError(
            f"The path {name[:80]}{'…' if len(name) > 80 else ''} cannot be looked at: {str(error.strerror).lower()}.",
            suggestions=("Check the path.",),
        ) from error
    return path


def is_table(name: str) -> bool:
    """Whether a file of this name, found in a folder, is one of the tables there."""
    return not name.startswith(".") and format_of(name) is not None


def _is_finished(asked: Path, match: Path) -> bool:
    """Whether a file that was found is a table, and does not lie in a folder of half-written or hidden ones."""
    folders = set(match.parent.parts) - set(asked.parts)
    return is_table(match.name) and not any(part.startswith((".", "_temporary")) for part in folders)


def _matches(path: Path) -> list[Path]:
    """What lies in a folder, or matches a glob."""
    pattern = path / "*" if path.name == "**" else path  # before Python 3.13 a last `**` means folders alone
    try:
        return sorted(
            path.iterdir() if path.is_dir() else Path(path.anchor).glob(str(pattern.relative_to(path.anchor)))
        )
    except (ValueError, OSError):  # no pattern that glob knows, or a folder that may not be listed
        return []


def _is_pattern(path: Path) -> bool:
    return re.search(r"[*?\[]", str(path)) is not None
