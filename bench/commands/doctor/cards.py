"""The GPUs of this machine and their driver, as NVML reports them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from bench.commands.doctor.check import Check
from bench.machine import gpu
from variants.errors import UserError
from variants.process import gigabytes

NO_DRIVER = "here, but its driver does not answer ({}): `nvidia-smi` says more; until it does only device=cpu runs"


def cards() -> Iterator[Check]:
    """Look for GPUs by their devices, and at each of them."""
    if not gpu.gpus():
        why = gpu.why_no_card_answers()
        none = "none: everything runs on the CPU, GPU memory is not measured"
        yield Check("GPU", NO_DRIVER.format(why) if why else none, "bad" if why else "note")
        return
    yield Check("driver", f"{gpu.driver_version()}, runs programs for CUDA {driver_cuda():.1f} and older", "ok")
    try:
        usable = gpu.usable_gpus()
    except UserError as error:  # CUDA_VISIBLE_DEVICES names cards in a way that could be another card's
        yield Check("GPU", str(error), "bad")
        return
    for card in gpu.gpus():
        name = f"cuda:{usable.index(card)}" if card in usable else f"GPU {card.index}"
        hidden = "" if card in usable else f"; {gpu.VISIBLE} leaves it out"
        capability = f", compute capability {known:.1f}" if (known := capability_of(card)) else ""
        room = f"{gigabytes(gpu.free_bytes(card))} of {gigabytes(card.total_bytes)} free"
        yield Check(name, f"{card.name}{capability}, {room}, {card.uuid}{hidden}", "note" if hidden else "ok")


def driver_cuda() -> float:
    """Return the newest CUDA whose programs the driver runs; 0 where there is no driver."""
    if not gpu.gpus():
        return 0
    import pynvml

    with gpu.driver():
        version = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())  # 12040 is 12.4
    return version // 1000 + version % 1000 / 100


def capability_of(card: gpu.Gpu) -> float:
    """Return the compute capability of a card, such as 9.0; 0 where the driver does not say, as of a MIG device."""
    import pynvml

    with gpu.driver(), suppress(pynvml.NVMLError):
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(gpu.handle_of(card))
        return float(major + minor / 10)
    return 0
