"""Memory: the peak of the process that serves the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bench.machine import gpu
from bench.measures.measure import Subject
from bench.scoring.scorer import Progress
from variants.process import peak_resident_bytes


@dataclass(frozen=True)
class Memory:
    """Read the peaks so far: listed after latency and before accuracy, it gives those of serving."""

    name: ClassVar[str] = "memory"
    tools: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = True

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Mapping[str, object]:
        """Return peak_resident_bytes of this process and peak_device_bytes (None on a CPU)."""
        return {
            "peak_resident_bytes": peak_resident_bytes(),
            "peak_device_bytes": device_bytes() if subject.session.facts["device"] == "cuda" else None,
        }


def device_bytes() -> int:
    """Return the GPU memory in use on GPU 0, all processes together: a sweep needs the GPU to itself.

    The driver reports it, because asking torch would open a context that takes hundreds of megabytes itself.
    llama.cpp allocates once and torch's allocator gives nothing back, so that after serving this is the peak.
    """
    return sum(map(gpu.used_bytes, gpu.usable_gpus()))
