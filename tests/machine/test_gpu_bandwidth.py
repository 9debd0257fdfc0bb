"""The bandwidth of a card: measured where there is one, said to be missing where there is none."""

from __future__ import annotations

import pytest

from bench.machine.canary import canary
from bench.machine.gpu import gpu_names
from bench.machine.gpu_bandwidth import gpu_bandwidth


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
