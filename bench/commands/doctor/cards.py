"""The GPUs of this machine and their driver, as NVML reports them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from bench.commands.doctor.check import Check, gigabytes
from bench.machine.gpu import DEVICES, Gpu, driver, driver_version, free_bytes, gpus, handle_of, usable_gpus
from variants.errors import UserError

NO_DRIVER = "here, but the driver does not answer: `nvidia-smi` says why; until it does only device=cpu runs"


def cards() -> Iterator[Check]:
    """Look for GPUs by their devices, and at each of them."""
    if not gpus():
        there = any(DEVICES.glob("nvidia[0-9]*"))
        none = "none: everything runs on the CPU, GPU memory is not measured"
        yield Check("GPU", NO_DRIVER if there else none, "bad" if there else "note")
        return
    yield Check("driver", f"{driver_version()}, runs programs for CUDA {driver_cuda():.1f} and older", "ok")
    try:
        usable = usable_gpus()
    except UserError as error:  # CUDA_VISIBLE_DEVICES names cards in a way that could be another card's
        yield Check("GPU", str(error), "bad")
        return
    for gpu in gpus():
        name = f"cuda:{usable.index(gpu)}" if gpu in usable else f"GPU {gpu.index}"
        hidden = "" if gpu in usable else "; left out by CUDA_VISIBLE_DEVICES"
        capability = f", compute capability {known:.1f}" if (known := capability_of(gpu)) else ""
        text = f"{gpu.name}{capability}, {gigabytes(free_bytes(gpu))} of {gigabytes(gpu.total_bytes)} free, {gpu.uuid}"
        yield Check(name, text + hidden, "note" if hidden else "ok")


def driver_cuda() -> float:
    """Return the newest CUDA whose programs the driver runs; 0 where there is no driver."""
    if not gpus():
        return 0
    import pynvml

    with driver():
        return float(int(pynvml.nvmlSystemGetCudaDriverVersion_v2()) // 10 / 100)


def capability_of(gpu: Gpu) -> float:
    """Return the compute capability of a card, such as 9.0; 0 where the driver does not say, as of a MIG device."""
    import pynvml

    with driver(), suppress(pynvml.NVMLError):
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle_of(gpu))
        return float(major + minor / 10)
    return 0
