"""Open files that a stranger may have made: regular ones alone, no larger than they can be, no link out of a folder."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

from variants.errors import UserError

LARGEST_JSON = 64 << 20
"""Bytes. The index of a model of a thousand shards has a tenth of that."""
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular_file(path: Path) -> int:
    """Return the size in bytes of a regular file that can be read; nothing is opened, so that no pipe blocks.

    Raises UserError for all else, and for a link to a file outside of the link's folder: it may be anything of this
    machine, and change behind our back. A snapshot of the hub links into the hub's own store, and may.
    """
    try:
        status = path.stat()
    except OSError as error:
        link = f"a link to {str(path.readlink())!r}, " if path.is_symlink() else ""
        raise UserError(f"{path}: {link}{error.strerror}; fetch it again") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: {KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}, allowed: a file; fetch it again")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path}: cannot be read (Permission denied); make it readable")
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()) and not in_hub_store(path):
        target = str(path.resolve())
        raise UserError(f"{path}: a link out of its folder, to {target!r}; put a copy of the file in its place")
    return status.st_size


def in_hub_store(path: Path) -> bool:
    """Return whether a file of a hub snapshot is a link into the store of its own cache.

    The hub's cache has models--OWNER--NAME/snapshots/REVISION/FILE -> ../../blobs/SHA, and that may be a link to
    blobs/ of the whole cache. Both are addressed by content and never written to again.
    """
    folder = path.parent.resolve()
    if not path.is_symlink() or folder.parent.name != "snapshots" or not folder.parents[1].name.startswith("models--"):
        return False
    stores = (folder.parents[1] / "blobs", folder.parents[2] / "blobs")
    return any(path.resolve().is_relative_to(store) for store in stores)


def copy(file: Path, target: Path) -> None:
    """Copy a regular file's bytes; where the file system can, both share them until one is written to."""
    regular_file(file)
    if hasattr(os, "copy_file_range"):
        with file.open("rb") as read, target.open("wb") as write:
            size_bytes = os.fstat(read.fileno()).st_size
            try:
                while os.copy_file_range(read.fileno(), write.fileno(), size_bytes):
                    pass
            except OSError:  # not between these file systems: the plain copy says what else is wrong
                pass
            if os.fstat(write.fileno()).st_size == size_bytes:
                return
    shutil.copyfile(file, target)


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object. Raises UserError for anything else, and for a file that is no regular one or too large."""
    size_bytes = regular_file(path)
    if size_bytes > LARGEST_JSON:
        raise UserError(f"{path}: {size_bytes:,} bytes, allowed: up to {LARGEST_JSON:,}; fetch it again")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise UserError(f"{path}: not JSON; fetch it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: got a JSON {type(value).__name__}, allowed: an object; fetch it again")
    return value
