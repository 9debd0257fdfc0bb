"""A lock between processes that says who holds it: whoever waits sees what for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bench.files import write_at_once

ASK_SECONDS = 5.0
"""How often whoever waits looks again for who holds the lock: it may have passed on to a third."""
LONGEST = 60
"""A command is cut to so many characters."""


@contextmanager
def held(lock: Path, waiting: Callable[[str], None], pid: int | None = None) -> Iterator[None]:
    """Hold a lock; while another process does, hand `waiting` who that is, again and again.

    `pid` is the process that others should see as the holder (default: this one).
    """
    mutex, holder = FileLock(lock), lock.with_suffix(".holder")
    seconds = 0.0
    while True:
        try:
            mutex.acquire(timeout=seconds)
            break
        except Timeout:
            seconds = ASK_SECONDS
            waiting(_stated(holder))
    try:
        write_at_once(holder, f"{_named(pid or os.getpid())}, since {datetime.now():%H:%M}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        mutex.release()


def _stated(holder: Path) -> str:
    """Return who holds a lock; it may let go, and remove the file, before the file is read."""
    try:
        return holder.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "another process"


def _named(pid: int) -> str:
    """Return a process with its command, where the system shows that."""
    command = Path(f"/proc/{pid}/cmdline")
    words = command.read_bytes().decode(errors="replace").split("\0")[:-1] if command.exists() else []
    text = " ".join([*(Path(word).name for word in words[:2]), *words[2:]])
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return f"process {pid} ({text})" if text else f"process {pid}"
