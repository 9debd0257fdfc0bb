"""The canary, a check of the machine: how fast it copies and multiplies at this moment."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.machine.gpu_bandwidth import gpu_bandwidth

ON_CARD = "device_copy_gb_s"
"""The bandwidth of the card's own memory."""


def canary(device: str = "cpu") -> dict[str, float]:
    """Time a copy and a matrix product of fixed size, the best of a few: memory bandwidth and arithmetic right now.

    On `cuda` the bandwidth of the card's own memory is measured too; its key is absent where that failed.
    """
    on_card = gpu_bandwidth() if device == "cuda" else None
    return {**_of_cpu(), **({} if on_card is None else {ON_CARD: on_card})}


def _of_cpu() -> dict[str, float]:
    import numpy as np

    source = np.ones(8_000_000)
    target = np.empty_like(source)
    left = np.ones((512, 512), dtype=np.float32)

    def best_seconds(work: Callable[[], object]) -> float:
        seconds = []
        for _ in range(7):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    copy_seconds = best_seconds(lambda: np.copyto(target, source))
    product_seconds = best_seconds(lambda: left @ left)
    return {
        "copy_gb_s": round(2 * source.nbytes / copy_seconds / 1e9, 2),
        "matmul_gflops": round(2 * 512**3 / product_seconds / 1e9, 1),
    }
