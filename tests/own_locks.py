"""Give a test process the lock of the machine for itself, as a container has it: its sweeps wait for no other's.

No test looks at a time, so that a neighbour's sweep disturbs none of them.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from bench.machine.lock import FOR_ALL_USERS

CLONE_NEWNS, MS_PRIVATE, MS_REC = 0x20000, 1 << 18, 1 << 14
CARDS = Path("/dev/nvidiactl")
PLACE = FOR_ALL_USERS[0]


def take_own_locks() -> None:
    """Mount an empty folder of locks that this process and its children alone see (Linux, mount_namespaces(7)).

    Where that is not permitted, or where a GPU is shared by all processes, they share their locks too.
    """
    if sys.platform != "linux" or not PLACE.is_dir() or CARDS.exists():
        return
    libc = ctypes.CDLL(None)
    if libc.unshare(CLONE_NEWNS) == 0 and libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0:
        libc.mount(b"tmpfs", str(PLACE).encode(), b"tmpfs", 0, b"mode=1777")
