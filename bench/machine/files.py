"""What a file of a checkout is, read from the disk: the identity that git would give it, whatever its configuration.

Git's own answer rests on its index, which can be told to look away (`assume-unchanged`, a file system monitor), and on
filters that run commands. Here each file is read, and no command is run.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

Kind = Literal["file", "link", "repository", "folder", "unreadable", "no file"]
Content = tuple[Kind, str]
"""What stands under a path, and the object id that git gives to it (empty where it has none)."""

CODE = ("bench", "conf", "variants")
"""The folders of the project's code and configuration."""
CACHE_TAG = "CACHEDIR.TAG"
"""The file that marks a folder as a cache: https://bford.info/cachedir/"""
_CODE_SUFFIXES = (".py", ".yaml", ".so", ".pyd", ".pyc")
_RECORD = re.compile(r"(.+/)?[^/]+/(no-commit|[0-9a-f]{12})(-dirty(-[0-9a-f]+)?)?/[^/]+\.r\d+\.json[^/]*")
_LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
_HEAD_BYTES = 8000
"""A file with a zero byte in so many is binary to git."""


def is_code(name: str) -> bool:
    """Return whether Python or the configuration would read a file of this path: it counts even if git ignores it."""
    folder, slash, _ = name.partition("/")
    in_place = not slash or folder in CODE  # the project's folder is where Python looks first
    return in_place and name.endswith(_CODE_SUFFIXES) and "__pycache__" not in name


def is_record(name: str) -> bool:
    """Return whether a file is called and placed as a record is (`<label>/<variant>.r0.json`), or one half written."""
    return _RECORD.fullmatch(name) is not None


def written_by_sweeps(names: Iterable[str]) -> tuple[str, ...]:
    """Return how the paths begin of what sweeps write besides records: reports next to records, and marked caches."""
    begins = {"results/"}
    for name in names:
        if is_record(name):
            *results, _, _, _ = name.split("/")
            begins.add("/".join([*results, "report/"]))
        elif name.endswith(f"/{CACHE_TAG}"):
            begins.add(name.removesuffix(CACHE_TAG))
    return tuple(begins)


def content_of(path: Path, committed: Content | None, digits: int) -> Content | None:
    """Return what stands under a path, None for nothing; `digits` is the length of the repository's object ids.

    It is `committed` where that is what the file comes from: git may have changed line ends at checkout, and Git LFS
    keeps a digest of a file in its place. A file that another filter rewrote at checkout differs: filters are not run.
    """
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(path.readlink())
            return "link", _object_id(target, digits)
        if stat.S_ISDIR(status.st_mode):
            # A submodule that nobody asked for is an empty folder: nothing of it can run.
            is_empty = committed is not None and committed[0] == "repository" and not any(path.iterdir())
            return committed if is_empty else ("folder", "")
        if not stat.S_ISREG(status.st_mode):
            return "no file", ""
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        identity = _file_id(path, digits, stamp)
        if committed is None or committed == ("file", identity):
            return "file", identity
        return committed if committed[1] in _origins(path, digits, stamp) else ("file", identity)
    except (FileNotFoundError, NotADirectoryError):
        return committed if committed is not None and committed[0] == "repository" else None
    except OSError:
        return "unreadable", ""


@cache
def _file_id(path: Path, digits: int, stamp: tuple[int, ...]) -> str:
    """Return the object id of a file as it is; `stamp` says whether it is still the one that was read before."""
    with path.open("rb") as stream:
        digest = _object_digest(os.fstat(stream.fileno()).st_size, digits)
        return hashlib.file_digest(stream, lambda: digest).hexdigest()


def _origins(path: Path, digits: int, stamp: tuple[int, ...]) -> Iterator[str]:
    """Yield the object ids of the blobs that git would have made this file from."""
    with path.open("rb") as stream:
        is_text = b"\0" not in stream.read(_HEAD_BYTES)
    if is_text:
        yield _object_id(path.read_bytes().replace(b"\r\n", b"\n"), digits)
    yield _object_id(_LFS.format(_sha256(path, stamp), stamp[0]).encode(), digits)


@cache
def _sha256(path: Path, stamp: tuple[int, ...]) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _object_id(content: bytes, digits: int) -> str:
    digest = _object_digest(len(content), digits)
    digest.update(content)
    return digest.hexdigest()


def _object_digest(size: int, digits: int) -> hashlib._Hash:
    """Return the digest that git makes of a blob of so many bytes, before the first of them."""
    name = "sha1" if digits == 40 else "sha256"
    return hashlib.new(name, b"blob %d\0" % size, usedforsecurity=False)
