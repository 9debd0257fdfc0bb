"""Cards that a test makes up: the functions of `pynvml` that reach the driver, which no machine without a GPU has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from bench.machine import gpu


@dataclass
class MadeUpCard:
    """A card as the driver describes it; a handle is the card itself. `slices` are the MIG devices of one in that mode.

    `states` are the clocks and what else is read during requests, one per reading; the last one stays.
    """

    uuid: str
    name: str = "NVIDIA H100"
    bus: int = 0
    total_bytes: int = 80 * 10**9
    used_bytes: int = 10**9
    processes: dict[int, int | None] = field(default_factory=dict)
    slices: list[MadeUpCard] | None = None
    sm_mhz: int = 1980
    memory_mhz: int = 2619
    celsius: int = 40
    milliwatts: int = 300_000
    reasons: int = 0
    slowed_ns: dict[int, int] = field(default_factory=dict)
    busy_percent: int = 0


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, *cards: MadeUpCard, driver: str = "580.1") -> None:
    """Have this process see these cards and no others."""
    (folder / "nvidia0").touch()
    monkeypatch.setattr(gpu, "DEVICES", folder)
    monkeypatch.setattr(gpu, "gpus", getattr(gpu.gpus, "__wrapped__", gpu.gpus))  # without its cache
    monkeypatch.delenv(gpu.VISIBLE, raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    all_cards = [part for card in cards for part in (card, *(card.slices or ()))]

    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: driver,
        "nvmlDeviceGetCount": lambda: len(cards),
        "nvmlDeviceGetHandleByIndex": lambda index: cards[index],
        "nvmlDeviceGetHandleByUUID": lambda uuid: next(one for one in all_cards if one.uuid == uuid),
        "nvmlDeviceGetPciInfo_v3": lambda card: SimpleNamespace(domain=0, bus=card.bus, device=0),
        "nvmlDeviceGetUUID": lambda card: card.uuid,
        "nvmlDeviceGetName": lambda card: card.name,
        "nvmlDeviceGetMigMode": _mig_mode,
        "nvmlDeviceGetMaxMigDeviceCount": lambda card: 7,
        "nvmlDeviceGetMigDeviceHandleByIndex": _slice_of,
        "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": lambda part: next(
            card for card in cards if part in (card.slices or ())
        ),
        "nvmlDeviceGetMemoryInfo": _memory,
        "nvmlDeviceGetComputeRunningProcesses_v3": lambda card: [
            SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in card.processes.items()
        ],
        "nvmlDeviceGetClockInfo": lambda card, kind: card.sm_mhz if kind == pynvml.NVML_CLOCK_SM else card.memory_mhz,
        "nvmlDeviceGetTemperature": lambda card, _: card.celsius,
        "nvmlDeviceGetPowerUsage": lambda card: card.milliwatts,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda card: card.reasons,
        "nvmlDeviceGetFieldValues": _field_values,
        "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(gpu=card.busy_percent, memory=0),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)


def _mig_mode(card: MadeUpCard) -> list[int]:
    if card.slices is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return [1, 1]


def _slice_of(card: MadeUpCard, i: int) -> MadeUpCard:
    if i >= len(card.slices or ()):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
    return (card.slices or [])[i]


def _memory(card: MadeUpCard, version: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        total=card.total_bytes, used=card.used_bytes, free=card.total_bytes - card.used_bytes, version=version
    )


def _field_values(card: MadeUpCard, ids: list[int]) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(
            nvmlReturn=pynvml.NVML_SUCCESS if one in card.slowed_ns else pynvml.NVML_ERROR_NOT_SUPPORTED,
            value=SimpleNamespace(ullVal=card.slowed_ns.get(one, 0)),
        )
        for one in ids
    ]
