"""The NVIDIA GPUs of this machine, as their driver reports them (NVML): no CUDA context is opened.

A card is known by its UUID. CUDA numbers cards by speed and NVML by PCI bus, so that a number can name two of them.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from variants.errors import UserError
from variants.process import SPLITS, available_bytes, memory_bytes

if TYPE_CHECKING:
    Handle = Any
    """A pointer of NVML's, valid while the driver is open."""

DEVICES = Path("/dev")
VISIBLE = "CUDA_VISIBLE_DEVICES"
HIDING = ("-", "NoDevFiles")
"""How VISIBLE begins where it leaves no card on purpose; Slurm writes the second."""


@dataclass(frozen=True)
class Gpu:
    """A card, or a MIG device, which is a slice of one with a UUID of its own; `index` counts them by PCI bus."""

    index: int
    uuid: str
    name: str
    total_bytes: int

    @property
    def is_mig(self) -> bool:
        """Say whether this is a slice of a card: CUDA gives a process one of them at most."""
        return self.uuid.startswith("MIG-")


@cache
def gpus() -> tuple[Gpu, ...]:
    """List all cards of the machine, by PCI bus as with CUDA_DEVICE_ORDER=PCI_BUS_ID; a card in MIG mode as its slices.

    It is empty where there is no device file or no driver. A card that does not answer is left out, with a warning.
    """
    if not has_device():
        return ()
    import pynvml

    try:
        with driver():
            cards = [card for index in range(pynvml.nvmlDeviceGetCount()) for card in _answering(index)]
            cards.sort(key=_bus)
            return tuple(_described(i, one) for i, one in enumerate(part for card in cards for part in _parts(card)))
    except pynvml.NVMLError:
        return ()


def has_device() -> bool:
    """Return whether the machine has a card's device file; a compiler such as nvcc, or a library, proves nothing."""
    return any(DEVICES.glob("nvidia[0-9]*"))


def why_no_card_answers() -> str:
    """Say why no card of this machine answers; empty where one does, or where there is none."""
    if gpus() or not has_device():
        return ""
    import pynvml

    try:
        with driver():
            count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        return str(error)
    return f"none of {count} cards answers" if count else "it lists no card"


def gpu_names() -> tuple[str, ...]:
    """List the names of all cards of the machine."""
    return tuple(gpu.name for gpu in gpus())


def usable_gpus() -> tuple[Gpu, ...]:
    """List the cards that CUDA_VISIBLE_DEVICES leaves to this process, in its order; all where it is not set.

    It is read as CUDA reads it: numbers, or beginnings of UUIDs; the first that names no card ends the list, one that
    comes twice leaves nothing. Raises UserError for numbers where the cards differ: CUDA then counts by speed.
    """
    stated, cards = os.environ.get(VISIBLE), gpus()
    if stated is None or not cards:
        return cards
    if not stated.strip() or stated.lstrip().startswith(HIDING):
        return ()
    by_uuid = stated.lstrip().startswith(("GPU-", "MIG-"))
    if not by_uuid and len({gpu.name for gpu in cards}) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise UserError(
            f"{VISIBLE}: got {stated!r}, but the GPUs of this machine differ, and CUDA counts them by speed; name them "
            f"by UUID ({', '.join(gpu.uuid for gpu in cards)}), or set CUDA_DEVICE_ORDER=PCI_BUS_ID"
        )
    chosen: list[Gpu] = []
    for entry in map(str.strip, stated.split(",")):
        gpu = _starting(entry, cards) if by_uuid else _numbered(entry, cards)
        if gpu is None:
            break
        if gpu in chosen:
            return ()
        chosen.append(gpu)
    return tuple(chosen)


def chosen_gpus(device: str, split: str = "none") -> tuple[Gpu, ...]:
    """Return the cards that `device` and `split` let a run use: one that `cuda:N` names, else all that are usable.

    With split=none a child gets one of them, with split=layers all. Empty for the CPU. Raises UserError for a card
    that is not there and for a split that cannot be: nothing falls back in silence.
    """
    if split not in SPLITS:
        raise UserError(f"split: got {split!r}, allowed: {', '.join(SPLITS)}")
    number = re.fullmatch(r"cuda:(\d+)", device)
    if not number and device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device: got {device!r}, allowed: auto, cpu, cuda, or cuda:N for one card")
    cards = () if device == "cpu" else usable_gpus()
    if not cards and device != "cpu":
        _refuse_without_cards(device)
    if number and int(number[1]) >= len(cards):
        raise UserError(f"device={device}: no such card; there is {listed(cards)}")
    if split == "layers" and (not cards or number or any(gpu.is_mig for gpu in cards)):
        why = f"device={device} is one card" if number else "a process gets one MIG device" if cards else "it is a CPU"
        cure = "; device=cuda uses all whole cards" if cards else ""
        raise UserError(f"split: got 'layers', allowed here: none, because {why}{cure}")
    return (cards[int(number[1])],) if number else cards


def _refuse_without_cards(device: str) -> None:
    """Raise UserError where a card is asked for that is not there, or one that is there would be unused in silence."""
    if why := why_no_card_answers():
        raise UserError(
            f"device={device}: this machine has an NVIDIA GPU, and its driver does not answer ({why}): `nvidia-smi` "
            "says more; until it does only device=cpu runs"
        )
    stated = os.environ.get(VISIBLE, "").strip()
    if gpus() and stated and not stated.startswith(HIDING):
        raise UserError(f"{VISIBLE}={stated}: leaves none of the cards here, {listed(gpus())}; device=cpu runs")
    if device.startswith("cuda"):
        hidden = f" that {VISIBLE}={os.environ.get(VISIBLE)} leaves to it" if gpus() else ""
        raise UserError(f"device={device}: no NVIDIA GPU on this machine{hidden}; device=cpu or device=auto runs here")


def listed(cards: Sequence[Gpu]) -> str:
    """Return in words which cards there are, as `device` names them."""
    return ", ".join(f"cuda:{i} ({gpu.name}, {gpu.uuid})" for i, gpu in enumerate(cards))


def leave_only(cards: Sequence[Gpu]) -> None:
    """Have this process see these cards alone. CUDA reads this once: call it before any library of CUDA is loaded."""
    os.environ[VISIBLE] = ",".join(gpu.uuid for gpu in cards)


def driver_version() -> str | None:
    """Return the version of the driver, None where there is none."""
    if not gpus():
        return None
    import pynvml

    with driver():
        return str(pynvml.nvmlSystemGetDriverVersion())


def used_bytes(gpu: Gpu) -> int:
    """Return the memory in use on a card, all processes together. Raises pynvml.NVMLError where the driver fails.

    Version 2 of NVML's answer leaves out what the driver reserves for itself (480 MiB on an H100), as nvidia-smi does.
    """
    return int(_memory(gpu).used)


def free_bytes(gpu: Gpu) -> int:
    """Return the memory that is free on a card, of the machine for one that has none of its own.

    Raises pynvml.NVMLError where the driver fails.
    """
    import pynvml

    try:
        return int(_memory(gpu).free)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NOT_SUPPORTED:
            raise
    return available_bytes()


def process_bytes(gpu: Gpu, pid: int) -> int | None:
    """Return the memory of one process on a card; None where the driver does not say, as in many containers."""
    import pynvml

    with driver():
        try:
            running = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle_of(gpu))
        except pynvml.NVMLError:
            return None
    stated = [one.usedGpuMemory for one in running if one.pid == pid]
    return None if not stated or None in stated else sum(stated)


@contextmanager
def driver() -> Iterator[None]:
    """Open NVML, which counts how often it was opened. Raises pynvml.NVMLError without a driver."""
    import pynvml

    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def handle_of(gpu: Gpu) -> Handle:
    """Return NVML's handle of a card, while the driver is open."""
    import pynvml

    return pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid)


def _memory(gpu: Gpu) -> Any:
    import pynvml

    with driver():
        return pynvml.nvmlDeviceGetMemoryInfo(handle_of(gpu), version=pynvml.nvmlMemory_v2)


def _answering(index: int) -> Iterator[Handle]:
    """Yield a card by its place in NVML's list, nothing where it is lost: then the driver says nothing of it."""
    import pynvml

    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(index)
        _bus(card)
        pynvml.nvmlDeviceGetUUID(card)
    except pynvml.NVMLError as error:
        logging.getLogger(__name__).warning("GPU %d does not answer (%s): it is left out", index, error)
    else:
        yield card


def _bus(card: Handle) -> tuple[int, int, int]:
    import pynvml

    at = pynvml.nvmlDeviceGetPciInfo_v3(card)
    return int(at.domain), int(at.bus), int(at.device)


def _parts(card: Handle) -> list[Handle]:
    """Return the slices of a card in MIG mode, which alone can compute then; else the card."""
    import pynvml

    try:
        if pynvml.nvmlDeviceGetMigMode(card)[0] == 0:
            return [card]
    except pynvml.NVMLError:  # a card without MIG
        return [card]
    slices = []
    for i in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        try:
            slices.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card, i))
        except pynvml.NVMLError:  # a place without a slice
            continue
    return slices


def _described(index: int, handle: Handle) -> Gpu:
    import pynvml

    try:
        total_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:  # a card that has no memory of its own uses the machine's
        total_bytes = memory_bytes()
    uuid, name = str(pynvml.nvmlDeviceGetUUID(handle)), str(pynvml.nvmlDeviceGetName(handle)).strip()
    return Gpu(index, uuid, name, total_bytes)


def _starting(entry: str, cards: Sequence[Gpu]) -> Gpu | None:
    alike = [gpu for gpu in cards if gpu.uuid.startswith(entry)] if entry.startswith(("GPU-", "MIG-")) else []
    return alike[0] if len(alike) == 1 else None


def _numbered(entry: str, cards: Sequence[Gpu]) -> Gpu | None:
    """Return the card of a number; CUDA reads it with strtol, for which `1a` is 1."""
    number = re.match(r"\+?\d+", entry)
    return cards[int(number[0])] if number and int(number[0]) < len(cards) else None
