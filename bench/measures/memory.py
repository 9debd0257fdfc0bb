"""Memory: the peak of the process that serves the model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from bench.machine.gpu import process_bytes, usable_gpus, used_bytes
from bench.measures.measure import Subject
from bench.scoring.scorer import Progress
from variants.process import own_peak_resident_bytes


@dataclass(frozen=True)
class Memory:
    """Read the peaks so far: listed after latency and before accuracy, it gives those of serving."""

    name: ClassVar[str] = "memory"
    tools: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = True

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Mapping[str, object]:
        """Return peak_resident_bytes of this process alone, peak_device_bytes (None on a CPU), and whose they are.

        `device_memory_of` is `process`, or `card` where the driver names no process, as in many containers.
        """
        if subject.session.facts["device"] != "cuda":
            return {"peak_resident_bytes": own_peak_resident_bytes(), "peak_device_bytes": None}
        n_bytes, owner = device_bytes()
        return {
            "peak_resident_bytes": own_peak_resident_bytes(),
            "peak_device_bytes": n_bytes,
            "device_memory_of": owner,
        }


def device_bytes() -> tuple[int, Literal["process", "card"]]:
    """Return the GPU memory that this process has, or all that is in use on its cards, and which of the two it is.

    The driver reports it, because asking torch would open a context that takes hundreds of megabytes itself.
    llama.cpp allocates once, and torch's allocator gives nothing back from the first request on, so that after
    serving this is the peak of serving.
    """
    cards = usable_gpus()
    own = [process_bytes(card, os.getpid()) for card in cards]
    stated = [n_bytes for n_bytes in own if n_bytes is not None]
    if stated and len(stated) == len(cards):
        return sum(stated), "process"
    return sum(map(used_bytes, cards)), "card"
