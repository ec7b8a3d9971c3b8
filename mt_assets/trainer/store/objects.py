"""Content-addressed folders: what is stored once is never overwritten."""

import hashlib
import importlib
import json
import os
import uuid
from pathlib import Path

from pydantic import ValidationError

from mt_assets.trainer.errors import StoreError
from mt_assets.trainer.store.atomic import UNFINISHED, finish_folder, unfinished_folder
from mt_assets.trainer.store.record import Storable

MANIFEST = "manifest.json"


def put(objects: Path, value: Storable) -> str:
    """Store a value and return its address: the sha256 of its type and of the content of its files.

    One that is stored already stays, unless its files were changed: then what is whole takes its place.
    """
    with unfinished_folder(objects) as folder:
        value.save(folder)
        manifest = {
            "type": f"{type(value).__module__}:{type(value).__qualname__}",
            "files": {path.name: file_digest(path) for path in sorted(folder.iterdir())},
        }
        text = json.dumps(manifest, sort_keys=True, indent=1)
        (folder / MANIFEST).write_text(text)
        address = hashlib.sha256(text.encode()).hexdigest()
        final = objects / address
        if final.exists() and not _is_whole(final, text):
            final.rename(objects / f"{UNFINISHED}{uuid.uuid4().hex}")  # whoever reads it still can; swept later
        finish_folder(folder, final)
        os.utime(final)  # what was stored again is as young as what is new, see `retention`
    return address


def _is_whole(folder: Path, manifest: str) -> bool:
    """Whether a stored object has the files that its manifest names, unchanged."""
    try:
        return (folder / MANIFEST).read_text() == manifest and all(
            file_digest(folder / name) == digest for name, digest in json.loads(manifest)["files"].items()
        )
    except (OSError, ValueError):
        return False


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
            suggestions=["Materialize the asset again; it is made anew from its inputs: mt-assets train SPEC"],
        )
    text = manifest_path.read_bytes()
    if hashlib.sha256(text).hexdigest() != address:
        raise StoreError(
            f"{manifest_path} is not what was stored (its digest differs), so nothing of it is read.",
            suggestions=[f"rm -r {folder}, and materialize the asset again: mt-assets train SPEC"],
        )
    manifest = json.loads(text)
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            raise StoreError(
                f"{path} is not what was stored (its digest differs), so it is not read.",
                suggestions=[f"rm -r {folder}, and materialize the asset again: mt-assets train SPEC"],
            )
    module, _, name = manifest["type"].partition(":")
    if not module.startswith("mt_assets."):
        raise StoreError(f"Stored object {address[:12]} claims the foreign type {manifest['type']}; it is not read.")
    try:
        kind: type[Storable] = getattr(importlib.import_module(module), name)
        return kind.load(folder)
    except (ImportError, AttributeError, ValidationError) as error:
        raise StoreError(
            f"Stored object {address[:12]} is a {name} of another version of mt_assets or of a library: "
            f"{str(error).splitlines()[0][:200]}",
            suggestions=["Train again with what is installed: mt-assets train SPEC"],
            cause="incompatible_version",
        ) from error


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
