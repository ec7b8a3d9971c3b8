"""Files at an address (`s3://`, `gs://`, `az://`, `https://` and whatever else fsspec knows), brought to this machine.

Credentials and endpoints are fsspec's own business: its configuration files, FSSPEC_* and what each cloud's own library
reads from the environment (AWS_ENDPOINT_URL and the like). They never reach a message.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mt_assets.spec_values import masked_uri
from mt_assets.trainer.data.sources.data_file import DataFile
from mt_assets.trainer.data.sources.formats import format_of, readable_suffixes
from mt_assets.trainer.data.sources.local_files import is_table
from mt_assets.trainer.errors import DataError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

INSTALL = "pip install 'mt-assets[cloud]'"


STAMPS = (
    *("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "generation", "VersionId"),
    *("updated", "mtime", "LastModified", "last_modified", "Last-Modified", "size"),
)
"""What places tell of a file that changes when the file does, under the names that each of them has for it."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address, not fetched yet.

    Attributes
    ----------
    filesystem : fsspec.AbstractFileSystem
    path : str
        As that file system knows it.
    shown : str
        How messages name it, without secrets.
    """

    filesystem: "AbstractFileSystem"
    path: str
    shown: str

    def stamp(self) -> str | None:
        """What changes when the file does, as far as the place tells of such a thing."""
        with _told(self.shown):
            known = self.filesystem.info(self.path)
        found = {name: str(known[name]) for name in STAMPS if known.get(name) is not None}
        return None if set(found) <= {"size"} else " ".join(f"{name}={value}" for name, value in found.items())

    def fetch(self, folder: Path) -> DataFile:
        """Bring it into an empty folder that is yet to be made. Nothing is held in memory."""
        with _told(self.shown):
            target = folder / _file_name(self.path)
            target.parent.mkdir()
            self.filesystem.get_file(self.path, str(target))
            return DataFile(target, self.shown)


def remote_files(address: str) -> list[RemoteFile]:
    """The files that an address means, in the order of their names.

    A glob or a folder means several, where the place can list its files.

    Raises
    ------
    DataError
        The address means no file, cannot be reached, or a package for it is missing.
    """
    shown = masked_uri(address)
    files, path = _filesystem(address, shown)
    with _told(shown):
        files.invalidate_cache()  # what was listed minutes ago in this process says nothing about now
        found = _found(files, path)
        if not found:
            raise DataError(
                f"There is no table at {shown}; files that can be read end in {readable_suffixes()}.",
                suggestions=("Check the address, and that the credentials in use may list it.",),
            )
        names = [shown] if len(found) == 1 else [masked_uri(files.unstrip_protocol(each)) for each in found]
        return [RemoteFile(files, each, name) for each, name in zip(found, names, strict=True)]


def download(address: str, folder: Path) -> list[DataFile]:
    """Fetch the files that an address means into an empty folder, see `remote_files`."""
    return [file.fetch(folder / f"{at:06d}") for at, file in enumerate(remote_files(address))]


@contextmanager
def _told(shown: str) -> Iterator[None]:
    """What goes wrong at an address, as an error that a person can act on."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise _refused(f"There is no file {shown}.", "Check the address.") from None
    except Exception as error:  # each kind of place raises the errors of its own library, which no common class binds
        raise _unreachable(shown, error) from None


def _filesystem(address: str, shown: str) -> "tuple[AbstractFileSystem, str]":
    import fsspec

    scheme = address.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise _refused(
            f"{shown} cannot be read, because a package for {scheme}:// is not installed "
            f"({masked_uri(str(error)).partition(chr(10))[0]}).",
            f"Run: {INSTALL}",
        ) from None
    except ValueError as error:
        if "protocol" not in str(error).lower():
            raise _unreachable(shown, error) from None
        known = "s3://, gs://, az://, https://"
        raise _refused(
            f"{shown} has an address of a kind ({scheme}://) that is not known; known are {known} and those of fsspec.",
            "Check the address, or download the file and name the local path.",
        ) from None
    except Exception as error:
        raise _unreachable(shown, error) from None


def _found(files: "AbstractFileSystem", path: str) -> list[str]:
    """The paths of all tables that a path means: one file, what a glob matches, or what lies in a folder."""
    if re.search(r"[*\[]", path.partition("?")[0]):
        pattern = f"{path}/*" if path.endswith("**") else path
        matches = files.glob(pattern)
        return sorted(match for match in matches if is_table(_file_name(match)) and files.isfile(match))
    if format_of(_file_name(path)):
        return [path]
    inside = files.ls(path, detail=True) if files.isdir(path) else []
    return sorted(
        entry["name"] for entry in inside if entry["type"] == "file" and is_table(_file_name(str(entry["name"])))
    )


def _file_name(path: str) -> str:
    """The last part of a remote path, without the query that a web address may have."""
    plain = unquote(urlsplit(path).path) if "://" in path else path
    return PurePosixPath(plain).name or "table"


def _unreachable(shown: str, error: Exception) -> DataError:
    why = masked_uri(f"{type(error).__name__}: {error}").partition("\n")[0][:300].rstrip(".: ")
    return _refused(
        f"{shown} cannot be read: {why}.",
        "Check the address, the network, and the credentials and endpoint that fsspec takes from its configuration and "
        "the environment.",
    )


def _refused(message: str, remedy: str) -> DataError:
    return DataError(message, suggestions=(remedy,))
