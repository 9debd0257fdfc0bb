"""The NVIDIA GPUs of this machine, as their driver reports them (NVML): no CUDA context is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

DEVICES = Path("/dev")


@cache
def gpu_names() -> tuple[str, ...]:
    """List the GPUs by name; empty where there is no device file or no driver."""
    # The device file comes first: a compiler such as nvcc, or an installed library, proves nothing.
    if not any(DEVICES.glob("nvidia[0-9]*")):
        return ()
    import pynvml

    try:
        with _driver():
            handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
            return tuple(str(pynvml.nvmlDeviceGetName(handle)).strip() for handle in handles)
    except pynvml.NVMLError:
        return ()


def used_bytes(index: int = 0) -> int:
    """Return the memory in use on a GPU, all processes together. Raises pynvml.NVMLError where the driver fails.

    Version 2 of NVML's answer leaves out what the driver reserves for itself (480 MiB on an H100), as nvidia-smi does.
    """
    import pynvml

    with _driver():
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used)


@contextmanager
def _driver() -> Iterator[None]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()
