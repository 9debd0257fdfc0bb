"""End a process together with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress


def end_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill the process group that a child leads, and wait until all of it is gone: it may still write somewhere."""
    with suppress(OSError):
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()
        for _ in range(100):  # where nothing reaps orphans the group never ends
            os.killpg(leader.pid, 0)
            time.sleep(0.05)
