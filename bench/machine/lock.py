"""A lock between processes that says who holds it: whoever waits sees what for.

The lock of the machine is one for all of its users, checkouts and sweeps, whatever their environment: what one builds
slows down the requests that another times.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from bench.terminal import printable
from variants.errors import UserError

ASK_SECONDS = 5.0
"""How often whoever waits looks again for who holds the lock: it may have passed on to a third."""
POLL_SECONDS = 0.05
LONGEST = 60
"""A command is cut to so many characters."""
HOLDER_BYTES = 200
FOR_ALL_USERS = (Path("/run/lock"), Path("/tmp"))
"""Folders that no variable moves. The second may be private to a service or a job, the first is not everywhere."""


def machine_lock() -> Path:
    """Return the file of the lock of this machine: each process on it finds the same one.

    Containers that have these folders for themselves do not see each other.
    """
    folder = next(filter(_is_for_all_users, FOR_ALL_USERS), FOR_ALL_USERS[-1])
    return folder / "variantbench.lock"


def _is_for_all_users(folder: Path) -> bool:
    """Return whether every user may make files in a folder. It says nothing about this user: others choose alike."""
    try:
        shared = stat.S_IMODE(folder.stat().st_mode) & 0o1777 == 0o1777
        return shared and not os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return False


@contextmanager
def held(lock: Path, waiting: Callable[[str], None], pid: int | None = None) -> Iterator[None]:
    """Hold a lock; while another process does, hand `waiting` who that is, again and again.

    `pid` is the process that others should see as the holder (default: this one). Raises UserError where the file of
    the lock cannot be made or opened.
    """
    try:
        handle = _taken(lock, waiting)
    except OSError as error:
        raise UserError(f"lock {lock}: {error.strerror}; every user must be able to make and write this file") from None
    holder = f"{_named(pid or os.getpid())}, since {datetime.now():%H:%M}"
    try:
        _state(handle, holder)
        yield
    finally:
        _state(handle, "")
        fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a child was forked from this process
        os.close(handle)


def _taken(lock: Path, waiting: Callable[[str], None]) -> int:
    """Open the file of a lock and wait until this process holds it. Raises OSError where it cannot be opened."""
    while True:
        handle = _opened(lock)
        while not _holds(handle, 0.0):
            waiting(_stated(handle))
            if _holds(handle, ASK_SECONDS):
                break
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # somebody has removed the file: the next process makes another


def _opened(lock: Path) -> int:
    """Open the file of a lock, or make it for all users; a link to another file is none. Raises OSError."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        # Linux may refuse to create a file that another user has made there already: it is opened first.
        with suppress(FileNotFoundError):
            try:
                return os.open(lock, flags | os.O_RDWR)
            except PermissionError:
                return os.open(lock, flags | os.O_RDONLY)  # enough to hold it
        with suppress(FileExistsError):
            handle = os.open(lock, flags | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(handle, 0o666)  # whatever the umask
            return handle


def _holds(handle: int, seconds: float) -> bool:
    """Try for some seconds to take a lock; return whether this process has it now."""
    end = time.monotonic() + seconds
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_SECONDS)


def _state(handle: int, holder: str) -> None:
    """Write into the file of a lock who holds it. That is for people: a full disk or a foreign file stops nothing."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, holder.encode(errors="replace"), 0)


def _stated(handle: int) -> str:
    """Return who holds a lock; it may just have let go."""
    return printable(os.pread(handle, HOLDER_BYTES, 0).decode(errors="replace")) or "another process"


def _named(pid: int) -> str:
    """Return a process with its command, where the system shows that."""
    command = Path(f"/proc/{pid}/cmdline")
    words = command.read_bytes().decode(errors="replace").split("\0")[:-1] if command.exists() else []
    text = " ".join([*(Path(word).name for word in words[:2]), *words[2:]])
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return f"process {pid} ({text})" if text else f"process {pid}"
