"""Content-addressed folders: what is stored once is never overwritten."""

import hashlib
import importlib
import json
import os
from pathlib import Path

from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.store.atomic import finish_folder, unfinished_folder
from mt_assets.trainer.store.record import Storable

MANIFEST = "manifest.json"


def put(objects: Path, value: Storable) -> str:
    """Store a value and return its address: the sha256 of its type and of the content of its files."""
    with unfinished_folder(objects) as folder:
        value.save(folder)
        manifest = {
            "type": f"{type(value).__module__}:{type(value).__qualname__}",
            "files": {path.name: file_digest(path) for path in sorted(folder.iterdir())},
        }
        text = json.dumps(manifest, sort_keys=True, indent=1)
        (folder / MANIFEST).write_text(text)
        address = hashlib.sha256(text.encode()).hexdigest()
        finish_folder(folder, objects / address)
        os.utime(objects / address)  # what was stored again is as young as what is new, see `retention`
    return address


def get(objects: Path, address: str) -> Storable:
    """Read the value at an address after holding its files against their digests.

    Raises
    ------
    StoreError
        If the object is missing, its files were changed, or it is of a type that is not ours.
    """
    folder = objects / address
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        raise StoreError(
            f"Stored object {address[:12]} is missing from {objects}.",
            suggestions=["Materialize the asset again; it is made anew from its inputs."],
        )
    manifest = json.loads(manifest_path.read_text())
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            raise StoreError(
                f"{path} is not what was stored (its digest differs), so it is not read.",
                suggestions=[f"Remove the folder {folder} and materialize the asset again."],
            )
    module, _, name = manifest["type"].partition(":")
    if not module.startswith("mt_assets."):
        raise StoreError(f"Stored object {address[:12]} claims the foreign type {manifest['type']}; it is not read.")
    kind: type[Storable] = getattr(importlib.import_module(module), name)
    return kind.load(folder)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
