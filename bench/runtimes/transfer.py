"""Numbers between host and device, without waiting for what the device is doing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; the work that a GPU has been given does not have to end before."""
    return values.to(device) if values.device.type == device.type else values.pin_memory().to(device, non_blocking=True)


def indexes(values: NDArray[np.integer[Any]], device: torch.device) -> Tensor:
    """Return whole numbers on a device, in the 64 bits that torch's indexes have."""
    return to_device(torch.from_numpy(values.astype(np.int64)), device)


def arriving(*values: Tensor) -> Callable[[], tuple[NDArray[Any], ...]]:
    """Start to copy tensors of one device to the host; return a function that waits for them, not for later work."""
    copies = [value.to("cpu", non_blocking=True) for value in values]  # into pinned memory, from a GPU
    ready = torch.cuda.Event() if values[0].is_cuda else None  # type: ignore[no-untyped-call]
    if ready is not None:
        ready.record(torch.cuda.current_stream(values[0].device))

    def wait() -> tuple[NDArray[Any], ...]:
        if ready is not None:
            ready.synchronize()
        return tuple(copy.numpy() for copy in copies)

    return wait
