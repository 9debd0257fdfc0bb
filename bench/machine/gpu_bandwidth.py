"""The memory bandwidth of a GPU right now: `python -m bench.machine.gpu_bandwidth`, a process of its own.

It asks NVIDIA's driver itself (libcuda, through ctypes): torch takes seconds to load, and beside llama.cpp in one
process some builds do not survive. The driver gives the first card that CUDA_VISIBLE_DEVICES leaves.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from variants.child import start
from variants.paths import ROOT

BUFFER_BYTES = 2**28
"""Bytes of each of the two buffers: beyond any cache of a card, and the same whatever is free, so that readings of
different moments can be compared."""
COPIES, REPEATS = 8, 5
OUT_OF_MEMORY = 2
"""CUDA_ERROR_OUT_OF_MEMORY (cuda.h)."""
SECONDS = 60


def gpu_bandwidth() -> float | None:
    """Return in GB/s how fast the card copies within its own memory, read and written bytes counted; None if it fails.

    Why it failed goes to this process's standard error, which is the log of the cell.
    """
    command = [sys.executable, "-m", "bench.machine.gpu_bandwidth"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS, **start(offline=True))
        return round(float(done.stdout), 1)
    except (subprocess.TimeoutExpired, ValueError) as error:
        reason = done.stderr.strip() if isinstance(error, ValueError) else f"no answer in {SECONDS} s"
        print(f"the bandwidth of the GPU was not measured: {reason}", file=sys.stderr)
        return None


def bandwidth_of(driver: Any) -> float:
    """Return in GB/s what the first card of a driver copies, or exit with what the driver said."""

    def checked(name: str, *arguments: object) -> None:
        if code := int(getattr(driver, name)(*arguments)):
            full = name == "cuMemAlloc_v2" and code == OUT_OF_MEMORY
            sys.exit(f"less than {2 * BUFFER_BYTES:,} bytes are free" if full else f"{name} returned {code}")

    device, context = ctypes.c_int(), ctypes.c_void_p()
    checked("cuInit", ctypes.c_uint(0))
    checked("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
    checked("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    checked("cuCtxSetCurrent", context)
    source, target = ctypes.c_uint64(), ctypes.c_uint64()
    for buffer in (source, target):
        checked("cuMemAlloc_v2", ctypes.byref(buffer), ctypes.c_size_t(BUFFER_BYTES))
    return _gb_per_s(checked, target, source)


def _gb_per_s(checked: Callable[..., None], target: ctypes.c_uint64, source: ctypes.c_uint64) -> float:
    """Copy several times between two events of the driver's own clock; return the best of a few."""
    began, ended = ctypes.c_void_p(), ctypes.c_void_p()
    for event in (began, ended):
        checked("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
    checked("cuMemsetD8_v2", source, ctypes.c_ubyte(1), ctypes.c_size_t(BUFFER_BYTES))
    stream = ctypes.c_void_p(0)
    rates = []
    for _ in range(1 + REPEATS):
        checked("cuEventRecord", began, stream)
        for _ in range(COPIES):
            checked("cuMemcpyDtoDAsync_v2", target, source, ctypes.c_size_t(BUFFER_BYTES), stream)
        checked("cuEventRecord", ended, stream)
        checked("cuEventSynchronize", ended)
        milliseconds = ctypes.c_float()
        checked("cuEventElapsedTime", ctypes.byref(milliseconds), began, ended)
        rates.append(2 * BUFFER_BYTES * COPIES / (1e6 * milliseconds.value))
    return max(rates[1:])  # the first copy warms the card up


if __name__ == "__main__":
    print(bandwidth_of(ctypes.CDLL("libcuda.so.1")))
