"""The sha256 of files: computed once, while they are written or for as long as a file looks the same."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

SETTLED_NS = 2_000_000_000
"""A file that was changed this lately may change again within one tick of its file system's clock."""
SHA256 = re.compile("[0-9a-f]{64}")
LARGEST_KEPT = 16 << 20
"""Bytes of a file of kept checksums: a hundred thousand of them."""


@dataclass(frozen=True)
class Look:
    """A file at a glance: a write to it changes one of these, and so does a copy of it."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Look:
        """Look at a file. Raises OSError where there is none, ValueError where it is no regular file."""
        return cls.from_status(path.lstat())

    @classmethod
    def from_status(cls, seen: os.stat_result) -> Look:
        """Take what identifies a file from its status. Raises ValueError where it is no regular file."""
        if not stat.S_ISREG(seen.st_mode):
            raise ValueError("is no regular file")
        return cls(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)


@dataclass(frozen=True)
class _Kept:
    """A checksum that is kept, with the device and the look of the file that had it."""

    device: int
    look: Look
    sha256: str


# By device and look, and not by path: a hard link is the same file. What is trusted is the kernel's clock of changes:
# no program sets a ctime, every write moves it, and so does setting the mtime back. A file that changed within the last
# two seconds is never entered, so that a second change in the same tick cannot go unseen. A clock that is set back and
# a write through a mapping of memory that was open before escape this; `bench gc` and a new cache forget all.
_known: dict[tuple[int, Look], str] = {}


def sha256_of(path: Path) -> str:
    """Hash a file's content; a file that did not change since it was last hashed is not read."""
    key, now = _key(path), time.time_ns()
    if key in _known:
        return _known[key]
    digest = read_sha256(path)
    if _key(path) == key and max(key[1].mtime_ns, key[1].ctime_ns) < now - SETTLED_NS:
        _known[key] = digest
    return digest


def known_sha256(path: Path) -> str | None:
    """Return the checksum of a file that did not change since it was last hashed, None for any other."""
    return _known.get(_key(path))


def read_sha256(path: Path) -> str:
    """Read a file and hash its content, whatever is known of it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def link(file: Path, name: Path) -> None:
    """Give a file a second name, by a hard link; its checksum stays known. Raises OSError where it cannot.

    The link itself moves the ctime, and nothing else: a write meanwhile would have moved the mtime, too.
    """
    before = _key(file)
    os.link(file, name)
    after, now = _key(name), time.time_ns()
    is_unwritten = after == (before[0], replace(before[1], ctime_ns=after[1].ctime_ns))
    if before in _known and is_unwritten and before[1].mtime_ns < now - SETTLED_NS:
        _known[after] = _known[before]


def recall(file: Path) -> None:
    """Take the checksums that a file holds; one that is damaged, or not there, holds none."""
    with suppress(OSError, ValueError):
        if Look.of(file).size_bytes <= LARGEST_KEPT:
            kept = msgspec.json.decode(file.read_bytes(), type=list[_Kept])
            _known.update({(one.device, one.look): one.sha256 for one in kept})


def keep(file: Path) -> None:
    """Write the checksums that are known to a file, with those that it holds. A disk that is full keeps none."""
    recall(file)
    content = msgspec.json.encode([_Kept(device, look, digest) for (device, look), digest in _known.items()])
    if _known:
        replace_content(file, content, LARGEST_KEPT)


def replace_content(file: Path, content: bytes, most_bytes: int) -> None:
    """Give a file another content, all at once. One of more than `most_bytes`, or a disk that is full, changes none."""
    with suppress(OSError):
        if len(content) <= most_bytes and not (file.is_file() and file.read_bytes() == content):
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                Path(name).replace(file)
            finally:
                Path(name).unlink(missing_ok=True)


def _key(path: Path) -> tuple[int, Look]:
    seen = path.stat()
    return seen.st_dev, Look.from_status(seen)


class HashedFile:
    """A new file that is hashed while it is written, both beside whatever makes the next bytes.

    At most two blocks are held: the one being written and the one that waits.
    """

    def __init__(self, path: Path) -> None:
        self._stream = path.open("xb")
        self._sha256 = hashlib.sha256()
        self._pool = ThreadPoolExecutor(2)
        self._pending: list[Future[object]] = []

    def write(self, block: bytes | memoryview) -> None:
        """Append a block, which must not change afterwards. Raises OSError for this block or the one before it."""
        self._wait()
        self._pending = [self._pool.submit(self._stream.write, block), self._pool.submit(self._sha256.update, block)]

    @property
    def sha256(self) -> str:
        """The checksum of all that was written."""
        self._wait()
        return self._sha256.hexdigest()

    def _wait(self) -> None:
        pending, self._pending = self._pending, []
        for task in pending:
            task.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait()
        finally:
            self._pool.shutdown()
            self._stream.close()
