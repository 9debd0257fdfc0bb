"""What the operating system grants to this process, and how it ends with its parent."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
CGROUP = Path("/sys/fs/cgroup")
"""Where a container sees its own limits (cgroup v2)."""
MEMINFO = Path("/proc/meminfo")
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
PR_SET_PDEATHSIG = 1
SPLITS = ("none", "layers")
"""How a model lies on the cards of a process: whole on one, or its layers in turn on all of them."""
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""The bytes of one unit of ru_maxrss (getrusage(2))."""
PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
"""Looked up before any fork: a lock of the loader that another thread held would stay locked in the child."""


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, or less where a control group has a quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = CPU_QUOTA.read_text().partition(" ") if CPU_QUOTA.exists() else ("max", "", "")
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


def peak_resident_bytes() -> int:
    """Return the largest resident set of this process, or of a child it has waited for if that was larger, in bytes."""
    return max(own_peak_resident_bytes(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * RSS_UNIT)


def own_peak_resident_bytes() -> int:
    """Return the largest resident set of this process alone, in bytes.

    VmHWM where there is one, because Linux lets ru_maxrss of a fresh process start at what its parent had.
    """
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def reset_peak_resident() -> None:
    """Reset the peak of this process to its present size (Linux, proc_pid_clear_refs(5), value 5)."""
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def die_with_parent() -> None:
    """Have the kernel end this process with its parent: nothing of a killed sweep runs on beside the next."""
    if PRCTL:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


def take_at_most_half() -> None:
    """Have this process get no more than half of the memory that is free now, 4 GiB at least (Linux, setrlimit(2))."""
    if sys.platform == "linux":
        most = max(available_bytes() // 2, 4 * 2**30)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        allowed_bytes = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed_bytes, hard))


def available_bytes() -> int:
    """Return the memory that this machine can still give to processes, in bytes; all of it where that is not known."""
    lines = MEMINFO.read_text().splitlines() if MEMINFO.exists() else []
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    if (limit := _limit_bytes()) is not None:  # a container may have less than its machine
        used = int((CGROUP / "memory.current").read_text())
        pages = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        reclaimable = int(pages["active_file"]) + int(pages["inactive_file"])  # pages of files, as MemAvailable has it
        available.append(max(0, limit - used + reclaimable))
    return min(available, default=machine_bytes())


def memory_bytes() -> int:
    """Return the memory that processes can get at most: all of the machine's, or what a container is limited to.

    Swap is left out: what computes from it, or reads its weights from a disk again and again, shows the disk's speed.
    """
    limit = _limit_bytes()
    return machine_bytes() if limit is None else min(limit, machine_bytes())


def machine_bytes() -> int:
    """Return the memory of the machine, whatever a container has of it."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gigabytes(n_bytes: float) -> str:
    """Write bytes of memory or of a disk as GB, or as MB where that would be less than 0.1."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def _limit_bytes() -> int | None:
    file = CGROUP / "memory.max"
    limit = file.read_text().strip() if file.exists() else "max"
    return None if limit == "max" else int(limit)
