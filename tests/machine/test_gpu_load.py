"""What is read of a card between requests: clocks, temperature, power, and by name what slowed it."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from bench.machine import gpu
from bench.machine.gpu_load import COUNTERS, OTHER, SLOWING, busy_share, watching
from tests.made_up_cards import MadeUpCard, install

HAS_GPU = bool(gpu.gpus())


def test_a_reading_has_every_card_and_names_what_slowed_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cards = [MadeUpCard("GPU-a", bus=1), MadeUpCard("GPU-b", bus=2)]
    install(monkeypatch, tmp_path, *cards)
    with watching(gpu.gpus()) as watch:
        watch.read()
        watch.restart()
        cards[0].reasons = pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonHwThermalSlowdown
        cards[0].sm_mhz, cards[0].milliwatts = 1410, 699_500
        cards[1].reasons = pynvml.nvmlClocksEventReasonGpuIdle | pynvml.nvmlClocksEventReasonApplicationsClocksSetting
        watch.read()
    slowed, idle = watch.columns()
    assert slowed == {
        "uuid": "GPU-a", "sm_mhz": [1410], "memory_mhz": [2619], "temperature_c": [40], "power_w": [699.5],
        "slowed_by": [["SW power cap", "HW thermal slowdown"]], "other_reasons": [[]],
    }  # fmt: skip
    assert (idle["slowed_by"], idle["other_reasons"]) == ([[]], [["idle", "application clocks"]])


def test_how_busy_a_card_is_is_read_and_none_where_its_driver_does_not_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuses(_: object) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    install(monkeypatch, tmp_path, MadeUpCard("GPU-a", busy_percent=62))
    (card,) = gpu.gpus()
    assert busy_share(card) == 0.62
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", refuses)
    assert busy_share(card) is None


def test_a_card_that_was_slowed_since_the_last_reading_is_named_though_it_is_no_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = MadeUpCard("GPU-a", slowed_ns={74: 5_000_000, 269: 0})
    install(monkeypatch, tmp_path, card)
    with watching(gpu.gpus()) as watch:
        watch.restart()
        for more_ns in (0, 999_999, 3_000_000):
            card.slowed_ns[74] += more_ns
            watch.read()
    assert watch.columns()[0]["slowed_by"] == [[], [], ["SW power cap"]]


def test_what_a_driver_does_not_say_is_none_and_an_old_one_is_asked_by_the_old_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuses(*_: object) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    install(monkeypatch, tmp_path, MadeUpCard("GPU-a"))
    for name in ("ClockInfo", "Temperature", "PowerUsage", "CurrentClocksEventReasons", "FieldValues"):
        monkeypatch.setattr(pynvml, f"nvmlDeviceGet{name}", refuses)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksThrottleReasons", lambda _: 0x08)
    with watching(gpu.gpus()) as watch:
        watch.restart()
        watch.read()
    (columns,) = watch.columns()
    assert [columns[name] for name in ("sm_mhz", "memory_mhz", "temperature_c", "power_w")] == [[None]] * 4
    assert columns["slowed_by"] == [["HW slowdown"]]


def test_a_slice_is_read_from_its_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = MadeUpCard("GPU-a", sm_mhz=1234, slices=[MadeUpCard("MIG-1", sm_mhz=0)])
    install(monkeypatch, tmp_path, card)
    with watching(gpu.gpus()) as watch:
        watch.read()
    assert [(one["uuid"], one["sm_mhz"]) for one in watch.columns()] == [("MIG-1", [1234])]


def test_without_cards_no_driver_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.gpu_load.driver", lambda: pytest.fail("opened"))
    with watching(()) as watch:
        watch.restart()
        watch.read()
    assert watch.columns() == []


def test_the_names_are_those_of_the_bits_and_fields_of_nvml() -> None:
    names = {
        "SW power cap": "EventReasonSwPowerCap", "HW slowdown": "EventReasonHwSlowdown",
        "SW thermal slowdown": "EventReasonSwThermalSlowdown", "HW thermal slowdown": "EventReasonHwThermalSlowdown",
        "HW power brake slowdown": "EventReasonHwPowerBrakeSlowdown", "idle": "EventReasonGpuIdle",
        "application clocks": "EventReasonApplicationsClocksSetting", "sync boost": "EventReasonSyncBoost",
        "display clocks": "EventReasonDisplayClockSetting",
        "board limit": "ThrottleReasonBoardLimit", "reliability": "ThrottleReasonReliability",
    }  # fmt: skip
    bits = {words: bit for bit, words in {**SLOWING, **OTHER}.items()}
    stated = {words: getattr(pynvml, f"nvmlClocks{name}", None) for words, name in names.items()}
    # Older versions of nvidia-ml-py lack the last two.
    assert {words: bit or bits[words] for words, bit in stated.items()} == bits
    assert [words for words, bit in stated.items() if bit is None] in ([], list(names)[-2:])
    fields = ("SW_POWER_CAP", "SW_THERM_SLOWDOWN", "HW_THERM_SLOWDOWN", "HW_POWER_BRAKE_SLOWDOWN")
    assert list(COUNTERS) == [getattr(pynvml, f"NVML_FI_DEV_CLOCKS_EVENT_REASON_{name}") for name in fields]


@pytest.mark.skipif(not HAS_GPU, reason="needs an NVIDIA GPU and its driver")
def test_the_cards_of_this_machine_state_clocks_temperature_and_power() -> None:
    with watching(gpu.usable_gpus()) as watch:
        watch.restart()
        watch.read()
    for columns in watch.columns():
        for name in ("sm_mhz", "memory_mhz", "temperature_c", "power_w"):
            (value,) = columns[name]
            assert value is not None, name
            assert value > 0, name
