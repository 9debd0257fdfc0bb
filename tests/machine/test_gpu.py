"""Which cards there are, which of them a run may use, and what `device=` says about them.

The driver's answers are made up where the machine has none; what is real is asked on a machine with a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pynvml
import pytest

from bench.machine import gpu
from bench.machine.hardware import resolve_device
from tests.made_up_cards import MadeUpCard, install
from variants.errors import UserError

A, B, C = "GPU-1a2b0000", "GPU-1a2c0000", "GPU-3c4d0000"
HAS_GPU = bool(gpu.gpus())


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Install three alike cards, which the driver does not list by bus."""
    install(monkeypatch, tmp_path, MadeUpCard(C, bus=3), MadeUpCard(A, bus=1), MadeUpCard(B, bus=2))


def uuids(cards: tuple[gpu.Gpu, ...]) -> list[str]:
    return [one.uuid for one in cards]


@pytest.mark.usefixtures("three")
def test_cards_are_listed_by_bus_and_known_by_uuid() -> None:
    assert uuids(gpu.gpus()) == [A, B, C]
    assert [one.index for one in gpu.gpus()] == [0, 1, 2]
    assert gpu.driver_version() == "580.1"


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("stated", "left"),
    [
        (None, [A, B, C]),
        ("", []),
        ("-1", []),
        ("2,0", [C, A]),
        ("1,9,0", [B]),
        ("0,0", []),
        ("1x", [B]),
        ("GPU-3", [C]),
        (f"{C},{A}", [C, A]),
        ("GPU-1a2", []),
        (f"{A},1,{B}", [A]),
        (f"{A},{A}", []),
        ("NoDevFiles", []),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(
    monkeypatch: pytest.MonkeyPatch, stated: str | None, left: list[str]
) -> None:
    if stated is not None:
        monkeypatch.setenv(gpu.VISIBLE, stated)
    assert uuids(gpu.usable_gpus()) == left


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_whose_driver_does_not_answer_is_no_reason_to_run_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", failing(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    with pytest.raises(UserError, match=rf"^device={device}: this machine has an NVIDIA GPU, and its driver does not"):
        resolve_device(device)
    assert resolve_device("cpu") == "cpu"


@pytest.mark.usefixtures("three")
def test_a_lost_card_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    by_index = pynvml.nvmlDeviceGetHandleByIndex
    lost = failing(pynvml.NVML_ERROR_GPU_IS_LOST)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda i: lost() if i == 1 else by_index(i))
    assert len(gpu.gpus()) == 2
    assert "GPU 1 does not answer (GPU is lost): it is left out" in caplog.text
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda _: lost())
    with pytest.raises(UserError, match="none of 3 cards answers"):
        resolve_device("auto")


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(("stated", "runs"), [("", True), ("-1", True), ("NoDevFiles", True), ("GPU-typo", False)])
def test_cards_that_are_hidden_on_purpose_leave_the_cpu_and_a_mistake_does_not(
    monkeypatch: pytest.MonkeyPatch, stated: str, runs: bool
) -> None:
    monkeypatch.setenv(gpu.VISIBLE, stated)
    if runs:
        assert resolve_device("auto") == "cpu"
        return
    with pytest.raises(UserError, match=r"^CUDA_VISIBLE_DEVICES=GPU-typo: leaves none of the cards here, cuda:0"):
        resolve_device("auto")


def failing(error: int) -> Callable[[], None]:
    def fail() -> None:
        raise pynvml.NVMLError(error)

    return fail


def test_free_memory_of_a_card_without_its_own_is_that_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, MadeUpCard(A))
    (card,) = gpu.gpus()
    lacking = failing(pynvml.NVML_ERROR_NOT_SUPPORTED)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda *_, **__: lacking())
    monkeypatch.setattr(gpu, "available_bytes", lambda: 7)
    assert gpu.free_bytes(card) == 7


def test_a_number_names_no_card_where_cards_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, MadeUpCard(A, "NVIDIA T4", bus=1), MadeUpCard(B, "NVIDIA H100", bus=2))
    monkeypatch.setenv(gpu.VISIBLE, "NoDevFiles")
    assert gpu.usable_gpus() == ()
    monkeypatch.setenv(gpu.VISIBLE, "0")  # for CUDA the H100, which is faster
    with pytest.raises(UserError, match="count"):
        gpu.usable_gpus()
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert uuids(gpu.usable_gpus()) == [A]


def test_a_card_in_mig_mode_is_its_slices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slices = [MadeUpCard("MIG-1", "H100 MIG 1g.10gb", total_bytes=10**10), MadeUpCard("MIG-2", total_bytes=10**10)]
    install(monkeypatch, tmp_path, MadeUpCard(A, bus=1, slices=slices), MadeUpCard(B, bus=2))
    assert uuids(gpu.gpus()) == ["MIG-1", "MIG-2", B]
    monkeypatch.setenv(gpu.VISIBLE, "MIG-2")
    assert [one.total_bytes for one in gpu.usable_gpus()] == [10**10]
    with pytest.raises(UserError, match=r"^split: .* one MIG device"):
        gpu.chosen_gpus("cuda", "layers")


@pytest.mark.usefixtures("three")
def test_a_device_with_a_number_is_one_of_the_cards_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert uuids(gpu.chosen_gpus("cuda:1")) == [B]
    assert uuids(gpu.chosen_gpus("auto")) == uuids(gpu.chosen_gpus("cuda", "layers")) == [A, B, C]
    assert gpu.chosen_gpus("cpu") == ()
    assert [resolve_device(asked) for asked in ("auto", "cuda", "cuda:2", "cpu")] == ["cuda", "cuda", "cuda", "cpu"]
    monkeypatch.setenv(gpu.VISIBLE, f"{C},{A}")
    assert uuids(gpu.chosen_gpus("cuda:0")) == [C]
    monkeypatch.setenv(gpu.VISIBLE, "")
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UserError, match=r"^device=cuda: no NVIDIA GPU on this machine that CUDA_VISIBLE_DEVICES="):
        resolve_device("cuda")


@pytest.mark.usefixtures("three")
def test_a_card_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError) as refused:
        resolve_device("cuda:9")
    assert str(refused.value) == (
        f"device=cuda:9: no such card; there is cuda:0 (NVIDIA H100, {A}), cuda:1 (NVIDIA H100, {B}), "
        f"cuda:2 (NVIDIA H100, {C})"
    )
    for asked, split, named in (("gpu", "none", "device"), ("cuda:x", "none", "device"), ("cuda", "rows", "split")):
        with pytest.raises(UserError, match=f"^{named}: got"):
            gpu.chosen_gpus(asked, split)
    for asked in ("cuda:1", "cpu"):
        with pytest.raises(UserError, match=r"^split: got 'layers'"):
            gpu.chosen_gpus(asked, "layers")


def test_memory_of_a_process_is_none_where_the_driver_does_not_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, MadeUpCard(A, processes={7: 5 * 10**9, 8: None}))
    (card,) = gpu.gpus()
    assert [gpu.process_bytes(card, pid) for pid in (7, 8, 9)] == [5 * 10**9, None, None]
    assert (gpu.used_bytes(card), gpu.free_bytes(card)) == (10**9, 79 * 10**9)


@pytest.mark.usefixtures("three")
def test_a_child_that_is_left_one_card_sees_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu.VISIBLE, "0,1,2")
    gpu.leave_only(gpu.chosen_gpus("cuda:2"))
    assert os.environ[gpu.VISIBLE] == C
    assert uuids(gpu.usable_gpus()) == [C]


@pytest.mark.skipif(not HAS_GPU, reason="needs an NVIDIA GPU and its driver")
def test_the_cards_of_this_machine_are_those_that_cuda_counts() -> None:
    import torch

    cards = gpu.usable_gpus()
    assert len(cards) == torch.cuda.device_count()
    for card in cards:
        assert card.uuid.startswith(("GPU-", "MIG-"))
        assert 0 < gpu.used_bytes(card) <= card.total_bytes
        assert gpu.free_bytes(card) < card.total_bytes
    if not any(card.is_mig for card in cards):
        named = {f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(len(cards))}
        assert {card.uuid for card in cards} == named
    kept = torch.zeros(2**28, device="cuda:0")
    own = [gpu.process_bytes(card, os.getpid()) for card in cards]
    assert all(n_bytes is None or n_bytes > kept.numel() for n_bytes in own)
    assert max(map(gpu.used_bytes, cards)) > 4 * kept.numel()
    assert gpu.driver_version()
