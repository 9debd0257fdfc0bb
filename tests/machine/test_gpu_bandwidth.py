"""The bandwidth of a card: measured where there is one, said to be missing where there is none."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from bench.machine.canary import canary
from bench.machine.gpu import gpu_names
from bench.machine.gpu_bandwidth import BUFFER_BYTES, OUT_OF_MEMORY, bandwidth_of, gpu_bandwidth


class MadeUpDriver:
    """A card with so much free memory, on which every eight copies take a millisecond."""

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.copied: set[int] = set()

    def __getattr__(self, name: str) -> Callable[..., int]:
        return lambda *_: 0

    def cuMemAlloc_v2(self, _: object, n_bytes: ctypes.c_size_t) -> int:  # noqa: N802 - the driver's name
        self.free_bytes -= n_bytes.value
        return OUT_OF_MEMORY if self.free_bytes < 0 else 0

    def cuMemcpyDtoDAsync_v2(self, target: object, source: object, n_bytes: ctypes.c_size_t, stream: object) -> int:  # noqa: N802
        self.copied.add(n_bytes.value)
        return 0

    def cuEventElapsedTime(self, milliseconds: Any, *_: object) -> int:  # noqa: N802
        milliseconds._obj.value = 1.0
        return 0


def test_a_reading_is_of_one_size_whatever_is_free_or_there_is_none() -> None:
    for free_bytes in (80 * 10**9, 2 * BUFFER_BYTES):
        driver = MadeUpDriver(free_bytes)
        assert bandwidth_of(driver) == pytest.approx(2 * BUFFER_BYTES * 8 / 1e6)
        assert driver.copied == {BUFFER_BYTES}
    with pytest.raises(SystemExit, match=r"^less than 536,870,912 bytes are free$"):
        bandwidth_of(MadeUpDriver(2 * BUFFER_BYTES - 1))


@pytest.mark.skipif(bool(gpu_names()), reason="this machine has a GPU")
def test_without_a_driver_there_is_no_number_and_the_log_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    assert gpu_bandwidth() is None
    assert "the bandwidth of the GPU was not measured: " in capfd.readouterr().err


@pytest.mark.skipif(not gpu_names(), reason="needs an NVIDIA GPU")
def test_a_card_copies_faster_than_a_cpu_and_no_faster_than_any_memory_there_is() -> None:
    readings = canary("cuda")
    assert 50 < readings["device_copy_gb_s"] < 20_000


def test_a_cell_on_the_cpu_has_no_reading_of_a_card() -> None:
    assert set(canary("cpu")) == {"copy_gb_s", "matmul_gflops"}
