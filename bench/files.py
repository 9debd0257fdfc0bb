"""Write files atomically: readers and concurrent writers see the old version or the new one, never a mix."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp|\..+\.r\d+\.json\.[a-z0-9_]{8}")
"""What a temporary file is called; the second form is that of records in older versions."""
_DIGEST_BYTES = 32


def write_at_once(path: Path, content: str | bytes) -> Path:
    """Write under a temporary name, read it back, rename it, and return the path. Raises OSError where that fails."""
    with _written(path, content, durable=False) as temporary:
        temporary.replace(path)
    return path


def write_for_good(path: Path, content: str | bytes, *, replace: bool = False) -> None:
    """Write a file that is on the disk when this returns, even if the machine loses its power then.

    Raises FileExistsError where there is such a file already, unless it is to be replaced.
    """
    with _written(path, content, durable=True) as temporary:
        if replace:
            temporary.replace(path)
        else:
            _name(temporary, path)
    for folder in path.parents[:3]:  # those that were made for it too
        _sync(folder)


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file that is its content behind the sha256 of it, so that a later change shows."""
    write_at_once(path, hashlib.sha256(content).digest() + content)


def read_sealed(path: Path) -> bytes | None:
    """Return the content of a sealed file, None where there is none or it was changed."""
    try:
        sealed = path.read_bytes() if path.is_file() else b""  # a pipe would never end
    except OSError:
        return None
    digest, content = sealed[:_DIGEST_BYTES], sealed[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


@contextmanager
def scratch(path: Path) -> Iterator[tuple[int, Path]]:
    """Yield handle and path of an empty file with a temporary name beside `path`, locked where that works.

    It is gone in the end; after a kill it is one of the `leftovers`.
    """
    handle, temporary = _temporary(path)
    try:
        yield handle, temporary
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """List the temporary files directly in a folder that no process is writing: what a kill left behind."""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    except OSError:
        return []
    paths = sorted(Path(entry.path) for entry in entries if _TEMPORARY.fullmatch(entry.name))
    return [path for path in paths if _is_left(path)]


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary files directly in a folder that no process is writing, and return them."""
    return [path for path in leftovers(folder) if _is_left(path, remove=True)]


@contextmanager
def _written(path: Path, content: str | bytes, *, durable: bool) -> Iterator[Path]:
    """Write a content under a temporary name beside `path` and read it back; in the end nothing has that name."""
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = _temporary(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if temporary.read_bytes() != data:
                raise OSError(errno.EIO, "what was written does not read back the same", str(path))
            temporary.chmod(0o644)
            yield temporary
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which file found no room
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> tuple[int, Path]:
    """Open a temporary file and lock it: the lock says that its writer lives, and ends with it."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # taken for a leftover before it was locked


def _is_left(path: Path, *, remove: bool = False) -> bool:
    """Return whether no process is writing a temporary file any more, and `remove` it then."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _name(temporary: Path, path: Path) -> None:
    """Give a file its name unless another has it. Raises FileExistsError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.rename(path)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems sync no folders
            os.fsync(handle)
    finally:
        os.close(handle)
