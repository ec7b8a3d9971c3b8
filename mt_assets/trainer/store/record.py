"""What the store can hold: values that write themselves into a folder and read themselves back."""

from pathlib import Path
from typing import ClassVar, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, PrivateAttr


@runtime_checkable
class Storable(Protocol):
    """A value with a folder form. `load(folder)` after `save(folder)` gives an equal value."""

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...


class Record(BaseModel):
    """A frozen value kept as one JSON file, with any attached files (plots, tables) beside it.

    Attachments are bytes until the record is stored; a record read from the store knows the folder they lie in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    filename: ClassVar[str] = "record.json"

    _attachments: dict[str, bytes] = PrivateAttr(default_factory=dict)
    _folder: Path | None = PrivateAttr(default=None)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]

    def attach(self, name: str, content: bytes) -> Self:
        """Add a file to be stored beside the record. `name` is ours, never taken from data."""
        self._attachments[name] = content
        return self

    def attachment(self, name: str) -> bytes | None:
        """The content of an attached file, or None."""
        if name in self._attachments:
            return self._attachments[name]
        path = self._folder / name if self._folder else None
        return path.read_bytes() if path and path.is_file() else None

    def files(self) -> list[Path]:
        """Absolute paths of everything stored for this record; empty before it is stored."""
        return sorted(p for p in self._folder.iterdir() if p.name != "manifest.json") if self._folder else []

    def save(self, folder: Path) -> None:
        (folder / self.filename).write_text(self.model_dump_json(indent=1))
        for name, content in self._attachments.items():
            (folder / name).write_bytes(content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        record = cls.model_validate_json((folder / cls.filename).read_text())
        record._folder = folder
        return record
