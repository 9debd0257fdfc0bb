"""What cards do: clocks, temperature, power and what slowed them while requests are timed; how busy they are.

A reading takes milliseconds, so that it belongs between two requests and never inside one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from bench.machine.gpu import Gpu, driver, handle_of

if TYPE_CHECKING:
    from bench.machine.gpu import Handle

SLOWING: Mapping[int, str] = {
    0x04: "SW power cap", 0x08: "HW slowdown", 0x20: "SW thermal slowdown", 0x40: "HW thermal slowdown",
    0x80: "HW power brake slowdown", 0x200: "board limit", 0x400: "reliability",
}  # fmt: skip
"""The bits of nvmlClocksEventReasons for which a card runs slower than it was set to (nvml.h)."""
OTHER: Mapping[int, str] = {
    0x01: "idle", 0x02: "application clocks", 0x10: "sync boost", 0x100: "display clocks",
}  # fmt: skip
"""The bits that say why a card runs at the clock it was set to, or waits for work."""
COUNTERS: Mapping[int, str] = {
    74: "SW power cap", 269: "SW thermal slowdown", 270: "HW thermal slowdown", 271: "HW power brake slowdown",
}  # fmt: skip
"""NVML's fields that count the nanoseconds of a reason (NVML_FI_DEV_CLOCKS_EVENT_REASON_…): a bit is only of now."""
SLOWED_NS = 1_000_000
"""A card that was slowed for less than a millisecond during a request was not slowed."""


class CardColumns(TypedDict):
    """What one card did, a value per reading; None is what its driver does not say."""

    uuid: str
    sm_mhz: list[int | None]
    memory_mhz: list[int | None]
    temperature_c: list[int | None]
    power_w: list[float | None]
    slowed_by: list[list[str]]
    other_reasons: list[list[str]]


@dataclass
class _Card:
    gpu: Gpu
    handle: Handle
    columns: CardColumns
    counted_ns: dict[str, int] = field(default_factory=dict)


class Watch:
    """Cards that are read while the driver is open; a reading covers the time since the last one."""

    def __init__(self, cards: Sequence[Gpu]) -> None:
        self._cards = [_Card(gpu, _whole(gpu), _empty(gpu)) for gpu in cards]

    def restart(self) -> None:
        """Forget all readings; the next one covers the time from now on."""
        for card in self._cards:
            card.columns = _empty(card.gpu)
            card.counted_ns = _counted_ns(card.handle)

    def read(self) -> None:
        """Add a reading of every card."""
        for card in self._cards:
            _read(card)

    def columns(self) -> list[CardColumns]:
        """Return the readings, in the order of the cards."""
        return [card.columns for card in self._cards]


@contextmanager
def watching(cards: Sequence[Gpu]) -> Iterator[Watch]:
    """Open the driver for a while to read these cards; without cards nothing is opened, and a reading does nothing."""
    if not cards:
        yield Watch(())
        return
    with driver():
        yield Watch(cards)


def busy_share(gpu: Gpu) -> float | None:
    """Return in which share of the last moment a card ran kernels, None where its driver does not say.

    The moment is of 1/6 s to 1 s, by the card (nvmlUtilization_t). The driver is open.
    """
    import pynvml

    handle = _whole(gpu)
    percent = _stated(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    return None if percent is None else percent / 100


def _whole(gpu: Gpu) -> Handle:
    """Return the handle of the card, of a MIG device that of the card which it is a slice of: it has no clocks."""
    import pynvml

    handle = handle_of(gpu)
    return pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle) if gpu.is_mig else handle


def _empty(gpu: Gpu) -> CardColumns:
    return CardColumns(
        uuid=gpu.uuid, sm_mhz=[], memory_mhz=[], temperature_c=[], power_w=[], slowed_by=[], other_reasons=[]
    )


def _read(card: _Card) -> None:
    import pynvml as nvml

    handle, columns = card.handle, card.columns
    bits = _stated(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    if bits is None:  # a driver before 535 knows them by their old name
        bits = _stated(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0
    counted = _counted_ns(handle)
    moved = {name for name, ns in counted.items() if ns - card.counted_ns.get(name, ns) >= SLOWED_NS}
    card.counted_ns = counted
    milliwatts = _stated(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    columns["sm_mhz"].append(_stated(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)))
    columns["memory_mhz"].append(_stated(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)))
    columns["temperature_c"].append(_stated(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)))
    columns["power_w"].append(None if milliwatts is None else milliwatts / 1e3)
    columns["slowed_by"].append([name for bit, name in SLOWING.items() if bits & bit or name in moved])
    columns["other_reasons"].append([name for bit, name in OTHER.items() if bits & bit])


def _stated(ask: Callable[[], int]) -> int | None:
    """Return what the driver answers, None where it does not say."""
    import pynvml

    try:
        return int(ask())
    except pynvml.NVMLError:
        return None


def _counted_ns(handle: Handle) -> dict[str, int]:
    """Return for how long each reason has slowed a card in all, as far as its driver counts that."""
    import pynvml

    try:
        values = pynvml.nvmlDeviceGetFieldValues(handle, list(COUNTERS))
    except pynvml.NVMLError:
        return {}
    return {
        name: int(value.value.ullVal)
        for name, value in zip(COUNTERS.values(), values, strict=True)
        if value.nvmlReturn == pynvml.NVML_SUCCESS
    }
