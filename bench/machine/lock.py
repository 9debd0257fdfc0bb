"""A lock between processes that says who holds it, and how much memory that will need: whoever waits sees what for.

The lock of the machine is one for all of its users, checkouts and sweeps, whatever their environment: what one builds
slows down the requests that another times. Work that needs no quiet machine shares it; what is timed holds it alone.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from bench.terminal import printable
from variants.child import RUN
from variants.errors import UserError

ASK_SECONDS = 5.0
"""How often whoever waits looks again for who holds the lock: it may have passed on to a third."""
POLL_SECONDS = 0.05
LONGEST = 60
"""A command is cut to so many characters."""
HOLDER_BYTES = 200
SHARERS = "processes that share it"
"""Who holds a shared lock after the one that its file named has let go."""
FOR_ALL_USERS = (Path("/run/lock"), Path("/tmp"))
"""Folders that no variable moves. The second may be private to a service or a job, the first is not everywhere."""


def machine_lock() -> Path:
    """Return the file of the lock of this machine: each process on it finds the same one.

    Containers that have these folders for themselves do not see each other.
    """
    folder = next(filter(_is_for_all_users, FOR_ALL_USERS), FOR_ALL_USERS[-1])
    return folder / "variantbench.lock"


def place_lock(name: str) -> Path:
    """Return the file of the lock of a part of this machine, beside that of the whole."""
    return machine_lock().with_name(f"variantbench.{name}.lock")


def _is_for_all_users(folder: Path) -> bool:
    """Return whether every user may make files in a folder. It says nothing about this user: others choose alike."""
    try:
        shared = stat.S_IMODE(folder.stat().st_mode) & 0o1777 == 0o1777
        return shared and not os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return False


@contextmanager
def machine_held(waiting: Callable[[str], None], pid: int | None = None, *, shared: bool) -> Iterator[None]:
    """Hold the lock of this machine as `held` does, alone or `shared`.

    Whoever waits holds a turnstile, through which all go: so those that share the lock and come later stay behind one
    that wants it alone, and cannot keep it from it for ever.
    """
    lock = machine_lock()
    with ExitStack() as stack:
        with held(place_lock("turnstile"), lambda other: waiting(holder_of(lock) or other), pid):
            stack.enter_context(held(lock, waiting, pid, shared=shared))
        yield


@contextmanager
def held(lock: Path, waiting: Callable[[str], None], pid: int | None = None, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock, alone or `shared`; while another process does, hand `waiting` who that is, again and again.

    `pid` is the process that others should see as the holder (default: this one). Raises UserError where the file of
    the lock cannot be made or opened.
    """
    with any_held([lock], waiting, pid, shared=shared):
        yield


@contextmanager
def any_held(
    locks: Sequence[Path], waiting: Callable[[str], None], pid: int | None = None, *, shared: bool = False
) -> Iterator[Path]:
    """Hold the first of these locks that is free, as `held` does, and yield which."""
    try:
        lock, handle = _taken(locks, waiting, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except OSError as error:
        raise UserError(
            f"lock {error.filename or locks[0]}: {error.strerror}; every user must be able to make and write this file"
        ) from None
    holder = f"{os.environ.get(RUN) or named(pid or os.getpid())}, since {datetime.now():%H:%M}"
    try:
        _state(handle, holder)
        yield lock
    finally:
        _let_go(handle, holder)


def holder_of(lock: Path) -> str:
    """Return who holds a lock, as its file states it; empty where nobody does."""
    with suppress(OSError):
        handle = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _stated(handle)
        finally:
            os.close(handle)
    return ""


@dataclass(frozen=True)
class Promise:
    """The memory that the process which holds a lock will need at most, in bytes."""

    pid: int
    n_bytes: int

    def resident_bytes(self) -> int:
        """Return what the process has taken of the machine's memory. Raises OSError where it is gone."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def promised(lock: Path, n_bytes: int) -> Iterator[None]:
    """State beside a lock what this process will need: one that has just begun has taken nothing yet."""
    _write(_promise_of(lock), f"{os.getpid()} {n_bytes}")
    try:
        yield
    finally:
        take_back(lock)


def take_back(lock: Path) -> None:
    """Remove what was promised beside a lock, also by a process that was killed."""
    _write(_promise_of(lock), "")


def promise_of(lock: Path) -> Promise | None:
    """Return what the process that holds a lock will need; None where none holds it, or it waits for memory itself."""
    with suppress(OSError, ValueError):
        if held_alone(lock):
            pid, n_bytes = map(int, _promise_of(lock).read_text().split())
            return Promise(pid, n_bytes)
    return None


def held_alone(lock: Path) -> bool:
    """Say whether a process holds a lock that it does not share, whatever its file states.

    One that cannot be opened is held by nobody: whoever takes it says what is wrong.
    """
    with suppress(OSError):
        handle = _opened(lock)
        try:
            return not _try(handle, fcntl.LOCK_SH)  # shared: those who look at the same time do not see each other
        finally:
            os.close(handle)
    return False


def _promise_of(lock: Path) -> Path:
    return lock.with_suffix(".bytes")


def _write(file: Path, text: str) -> None:
    with suppress(OSError):  # where it cannot be written, others see the memory when it is taken
        handle = _opened(file, os.O_TRUNC)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)


def _let_go(handle: int, holder: str) -> None:
    """Let go of a lock; its file then names nobody, or those that still share it."""
    others = not _try(handle, fcntl.LOCK_EX)  # a shared lock may be lost by the attempt: it ends here anyway
    if not others:
        _state(handle, "")
    elif _stated(handle) == holder:
        _state(handle, SHARERS)
    fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a child was forked from this process
    os.close(handle)


def _taken(locks: Sequence[Path], waiting: Callable[[str], None], how: int) -> tuple[Path, int]:
    """Open the files of some locks and wait until this process holds one. Raises OSError where one cannot be opened."""
    while True:
        end = time.monotonic()
        handles = {lock: _opened(lock) for lock in locks}
        first = handles[locks[0]]
        while (lock := next((one for one, handle in handles.items() if _try(handle, how)), None)) is None:
            if time.monotonic() >= end:
                try:
                    waiting(_stated(first) or "another process")
                except BaseException:  # whoever does not want to wait says so
                    for handle in handles.values():
                        os.close(handle)
                    raise
                end = time.monotonic() + ASK_SECONDS
            time.sleep(POLL_SECONDS)
        for other, handle in handles.items():
            if other != lock:
                os.close(handle)
        if os.fstat(handles[lock]).st_nlink:
            return lock, handles[lock]
        os.close(handles[lock])  # somebody has removed the file: the next process makes another


def _opened(lock: Path, how: int = 0) -> int:
    """Open the file of a lock, or make it for all users; a link to another file is none. Raises OSError."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | how
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


def _try(handle: int, how: int) -> bool:
    """Take a lock if that is possible now; return whether this process has it."""
    with suppress(BlockingIOError):
        fcntl.flock(handle, how | fcntl.LOCK_NB)
        return True
    return False


def _state(handle: int, holder: str) -> None:
    """Write into the file of a lock who holds it. That is for people: a full disk or a foreign file stops nothing."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, holder.encode(errors="replace"), 0)


def _stated(handle: int) -> str:
    """Return who holds a lock, as far as its file says; empty where it just let go."""
    return printable(os.pread(handle, HOLDER_BYTES, 0).decode(errors="replace"))


def named(pid: int) -> str:
    """Return a process with its command, where the system shows that."""
    words: Sequence[str] = ()
    with suppress(psutil.Error):
        words = psutil.Process(pid).cmdline()
    text = " ".join([*(Path(word).name for word in words[:2]), *words[2:]])
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return f"process {pid} ({text})" if text else f"process {pid}"
