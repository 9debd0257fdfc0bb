"""Bring a file of the user's into an artifact: shared with the original where no later write can reach it, else copied.

A clone shares the blocks of its original until either is written to. A hard link shares the file itself: a write to the
user's file would change the artifact while it is measured. So only a file that nobody may write to is linked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from variants.errors import UserError
from variants.safety.files import in_hub_store, regular_file
from variants.storage.checksum import HashedFile, link, sha256_of

FICLONE = 0x40049409
"""Linux, ioctl_ficlone(2): btrfs, XFS, bcachefs, ZFS of late and overlays of them can."""
PROTECTED = Path("/proc/sys/fs/protected_hardlinks")
BLOCK_BYTES = 16 << 20
Placed = Literal["linked", "cloned", "copied"]


def place(file: Path, target: Path, *, may_link: bool) -> tuple[Placed, str]:
    """Make `target` hold a file's content; return how, and its sha256.

    Raises UserError for what is no regular file, and for a file that changes meanwhile.
    """
    regular_file(file)
    original = file.resolve()
    expected = sha256_of(original)
    if may_link and in_hub_store(file) and _linked(original, target):  # a link, whatever the file system can
        return "linked", sha256_of(target)
    if _cloned(original, target):
        how: Placed = "cloned"
        digest = expected if sha256_of(original) == expected else ""
    elif may_link and _is_read_only(original) and _linked(original, target):
        return "linked", sha256_of(target)
    else:
        how, digest = "copied", _copied(original, target)
    if digest != expected:
        raise UserError(f"{file}: it was changed while it was copied; run again")
    return how, digest


def copied_bytes(file: Path, folder: Path) -> int:
    """Return how many bytes of a file `place` would write for a target in a folder: none where it can be shared.

    Where the folder is not there yet, the nearest one above it says on which disk it will be.
    """
    original, there = file.resolve(), next(path for path in (folder, *folder.parents) if path.is_dir())
    one_disk = original.stat().st_dev == there.stat().st_dev
    links = (in_hub_store(file) or _is_read_only(original)) and _may_link(original)
    if one_disk and (links or _can_clone(original, there)):
        return 0
    return original.stat().st_size


def _is_read_only(file: Path) -> bool:
    """Return whether a file has no permission to be written to, for anyone: how stores keep what never changes."""
    return not file.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def _may_link(file: Path) -> bool:
    """Return whether this user may link a file: Linux can keep him from linking that of another (proc(5)).

    No link is tried, since one changes the file's ctime, and then its kept checksum counts no more.
    """
    if os.geteuid() in (0, file.stat().st_uid) or os.access(file, os.R_OK | os.W_OK):
        return True
    try:
        return PROTECTED.read_text().strip() == "0"
    except FileNotFoundError:  # another system, without the rule
        return True
    except OSError:  # older kernels show it to root alone
        return False


def _linked(original: Path, target: Path) -> bool:
    try:
        link(original, target)
    except OSError:  # another file system, one without links, or a file of somebody else
        return False
    return True


def _cloned(original: Path, target: Path) -> bool:
    with original.open("rb") as read, target.open("xb") as write:
        if _ficlone(write.fileno(), read.fileno()):
            return True
    target.unlink()
    return False


def _can_clone(original: Path, folder: Path) -> bool:
    try:
        with original.open("rb") as read, tempfile.TemporaryFile(dir=folder) as write:
            return _ficlone(write.fileno(), read.fileno())
    except OSError:
        return False


def _ficlone(write: int, read: int) -> bool:
    try:
        fcntl.ioctl(write, FICLONE, read)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    return True


def _copied(original: Path, target: Path) -> str:
    with HashedFile(target) as copy:
        for block in _blocks(original):
            copy.write(block)
        return copy.sha256


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block
