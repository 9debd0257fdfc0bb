"""A plan that a card has too little memory for is refused before anything is built, with what would fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bench.machine import gpu
from bench.machine.places import Room
from bench.records.types import Card, CellError
from bench.runtimes.session import SIDE_BY_SIDE
from bench.sweep import run
from bench.sweep.jobs import BuildJob, MeasureJob, Result
from bench.sweep.plan import card_room
from bench.sweep.plan.card_room import (
    MARGIN_BYTES,
    SCORING_BYTES,
    Dimensions,
    cache_bytes,
    check_memory,
    scoring_bytes,
    weight_bytes,
)
from bench.sweep.plan.cell import PASSES, Cell, make_cell, to_build
from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import parse
from bench.sweep.record import cards_of, record_of
from bench.sweep.stage import Stage
from bench.sweep.worker import _measure
from tests.made_up_cards import MadeUpCard, install
from variants.errors import UserError
from variants.paths import ROOT

MODEL = Dimensions.of(ROOT / "variants" / "reference")


def cells_of(folder: Path, *variants: str, device: str = "cuda", split: str = "none") -> list[Cell]:
    """Plan variants of the embedded model for the CPU, and say that a GPU was asked for."""
    request = parse([f"cache_dir={folder}", f"results_dir={folder}/results", "device=cpu"])
    cells = [make_cell(compose(request, name, 0)) for name in variants]
    runtimes = {name: {**node, "split": split} for name, node in cells[0].settings.runtime.items()}
    asked = {"device": device, "split": split, "runtime": runtimes}
    return [replace(cell, settings=msgspec.structs.replace(cell.settings, **asked)) for cell in cells]


def check(cells: list[Cell]) -> None:
    check_memory(cells, MODEL, to_build(cells))


def install_cards(monkeypatch: pytest.MonkeyPatch, folder: Path, *n_bytes: int) -> None:
    cards = [MadeUpCard(f"GPU-{i}", "H100", bus=i, total_bytes=MARGIN_BYTES + n) for i, n in enumerate(n_bytes)]
    install(monkeypatch, folder, *cards)


def test_weights_are_counted_in_the_format_that_the_runtime_holds_them_in(tmp_path: Path) -> None:
    stored, n = MODEL.tensors, MODEL.n_parameters
    names = ("base-torch", "nf4", "qlora", "base", "q4")
    chains = {cell.variant: cell.chain for cell in cells_of(tmp_path, *names)}
    size = {name: weight_bytes(chain, stored, "bfloat16") for name, chain in chains.items()}
    assert size["base-torch"] == size["base"] == 2 * n
    assert weight_bytes(chains["base-torch"], stored, "float32") == 4 * n
    assert size["q4"] < 0.7 * n
    assert 0.5 * n < size["nf4"] < 1.5 * n
    assert size["qlora"] > size["nf4"]


def test_keys_and_values_are_those_of_the_context_that_is_asked_for_and_that_the_model_has() -> None:
    config = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    config["max_position_embeddings"] = 100
    assert cache_bytes(config, 50, "f16") == 2 * 3 * 2 * 16 * 50 * 2
    assert cache_bytes(config, 500, "float32") == 2 * 3 * 2 * 16 * 100 * 4
    assert cache_bytes({"text_config": {"num_hidden_layers": 3}}, 50, "f16") == 0


def test_what_scores_in_llama_cpp_shares_a_card_and_what_trains_packs_or_is_timed_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: dict[tuple[str, str], Room] = {}

    def note_room(cell: Cell, stage: str, job: BuildJob | MeasureJob, *_: object) -> Result:
        rooms[cell.variant, stage] = job.room
        return Result(done=True)

    monkeypatch.setattr(run, "run_child", note_room)
    for cell in cells_of(tmp_path, "finetuned", "finetuned-torch", "nf4"):
        for pass_ in PASSES:
            run._run(replace(cell, device="cuda"), pass_, lambda *_: None)
    alone = {one for one, room in rooms.items() if room.place == "card" and not room.card_bytes}
    shared = {one: room.card_bytes for one, room in rooms.items() if room.card_bytes}
    assert shared.keys() == {("finetuned", "logprobs"), ("finetuned", "deterministic")}
    for (_, stage), n_bytes in shared.items():
        contexts = SIDE_BY_SIDE if stage == "deterministic" else 1
        assert 0 < n_bytes - contexts * SCORING_BYTES - MARGIN_BYTES < MARGIN_BYTES
    assert {("finetuned", "lora"), ("finetuned-torch", "logprobs"), ("finetuned-torch", "deterministic")} < alone
    assert {("nf4", "nf4"), ("finetuned", "timed"), ("finetuned-torch", "timed")} < alone


def test_memory_is_not_known_of_a_model_whose_keys_nobody_sizes_and_without_flash_attention(tmp_path: Path) -> None:
    node = cells_of(tmp_path, "base")[0].settings.runtime["llamacpp"]
    unknown = Dimensions(MODEL.tensors, {**MODEL.config, "num_hidden_layers": None})
    assert scoring_bytes(node, 10**9, unknown, 1) == 0
    assert scoring_bytes({**node, "flash_attention": "off"}, 10**9, MODEL, 1) == 0


def test_larger_blocks_take_more_of_a_card(tmp_path: Path) -> None:
    node = cells_of(tmp_path, "base")[0].settings.runtime["llamacpp"]
    usual, eight_times = (scoring_bytes({**node, "score_tokens_cuda": n}, 0, MODEL, 2) for n in (2048, 16384))
    assert eight_times > usual + 2 * 7 * SCORING_BYTES


def test_a_variant_larger_than_the_card_is_named_with_what_would_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = cells_of(tmp_path, "base", "q8", "q4")
    need = card_room.served(cells[0], MODEL, "cuda")
    install_cards(monkeypatch, tmp_path, need.n_bytes - 1, need.n_bytes - 1)
    monkeypatch.setattr(card_room, "gigabytes", lambda n_bytes: f"{n_bytes} B")
    with pytest.raises(UserError) as refused:
        check(cells)
    assert str(refused.value) == (
        f"variant base: needs {need.n_bytes + MARGIN_BYTES} B of GPU memory (weights {need.weight_bytes} B, keys and "
        f"values of a full context {need.cache_bytes} B, and {MARGIN_BYTES} B a card for CUDA); there is H100 with "
        f"{need.n_bytes - 1 + MARGIN_BYTES} B. What fits: variant=q8,q4; split=layers on 2 cards; device=cpu"
    )
    check(cells[1:])
    check(cells_of(tmp_path, "base", split="layers"))
    monkeypatch.setenv(gpu.VISIBLE, "1")
    with pytest.raises(UserError, match=r"What fits: variant=q8,q4; device=cpu$"):
        check(cells)


def test_of_cards_that_differ_the_one_that_has_the_room_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = cells_of(tmp_path, "base")
    install_cards(monkeypatch, tmp_path, 1, card_room.served(cells[0], MODEL, "cuda").n_bytes)
    with pytest.raises(UserError, match=r"What fits: device=cuda:1; split=layers on 2 cards; device=cpu$"):
        check(cells)


def test_training_counts_the_weights_alone_on_one_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cells = cells_of(tmp_path, "finetuned-q4", "q4")
    served = card_room.served(cells[0], MODEL, "cuda")
    install_cards(monkeypatch, tmp_path, served.n_bytes)
    with pytest.raises(UserError, match=r"^step lora of variant finetuned-q4: needs .* alone, .*variant=q4; device="):
        check(cells)
    install_cards(monkeypatch, tmp_path, 2 * MODEL.n_parameters)
    check(cells)


def test_a_plan_for_the_cpu_is_bounded_by_the_memory_and_by_no_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_cards(monkeypatch, tmp_path, 1)
    cells = cells_of(tmp_path, "base", "q4", device="cpu")
    need = card_room.served(cells[0], MODEL, "cpu")
    monkeypatch.setattr(card_room, "memory_bytes", lambda: need.n_bytes)
    check(cells)
    monkeypatch.setattr(card_room, "memory_bytes", lambda: need.n_bytes - 1)
    with pytest.raises(
        UserError, match=r"^variant base: needs .* of memory \(.*\); there is .* What fits: variant=q4$"
    ):
        check(cells)
    elsewhere = {"several_machines": True}
    check([replace(one, settings=msgspec.structs.replace(one.settings, launcher=elsewhere)) for one in cells])


def test_a_record_names_the_cards_that_its_job_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_cards(monkeypatch, tmp_path, 1, 1)
    monkeypatch.setattr("bench.sweep.record.gpus", gpu.gpus)
    assert cards_of(["GPU-1"]) == (Card("GPU-1", "H100", "580.1"),)
    assert cards_of([]) == ()


def test_a_record_says_where_the_bandwidth_of_its_card_is_missing(tmp_path: Path) -> None:
    readings: dict[str, dict[str, float] | None] = {
        "before": {"copy_gb_s": 9.0, "device_copy_gb_s": 3000.0},
        "after": {"copy_gb_s": 9.0},
    }
    failed = CellError(stage="timed", message="made up")
    (cell,) = cells_of(tmp_path, "base")
    for device, n in (("cuda", 1), ("cpu", 0)):
        result = Result(session={"device": device}, canary=readings)
        record = record_of(cell, [Stage("timed", "run", "2026-01-01T00:00:00+00:00", result=result, error=failed)])
        assert [line for line in record.warnings if line.startswith("machine check after: device_copy_gb_s")] == n * [
            "machine check after: device_copy_gb_s was not measured; the log of the cell says why"
        ]


def test_a_record_warns_where_a_gpu_was_told_every_kernel_of_a_token_from_python(tmp_path: Path) -> None:
    (cell,) = cells_of(tmp_path, "base")
    failed = CellError(stage="timed", message="made up")
    for how, n in (("kernel by kernel from Python: on several cards", 1), ("one CUDA graph a token", 0)):
        result = Result(session={"device": "cuda", "decoding": how})
        record = record_of(cell, [Stage("timed", "run", "2026-01-01T00:00:00+00:00", result=result, error=failed)])
        assert len([line for line in record.warnings if line.startswith("tokens are decoded ")]) == n


def test_what_a_session_states_once_it_is_asked_is_in_its_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = SimpleNamespace(facts={"runtime": "toy"})

    def measure(*_: object) -> dict[str, object]:
        session.facts["decoding"] = "one CUDA graph a token"
        return {}

    made: dict[str, Any] = {
        "runtime": SimpleNamespace(open=lambda *_: session),
        "latency": SimpleNamespace(measure=measure),
    }
    monkeypatch.setattr("bench.sweep.worker.configure", lambda _, name: made[name])
    monkeypatch.setattr("bench.sweep.worker.Cache.open", lambda *_: None)
    result = Result()
    _measure(MeasureJob("f", {}, {}, {"latency": {}}, 0, "cpu", str(tmp_path), str(tmp_path / "out")), result)
    assert (result.session or {})["decoding"] == "one CUDA graph a token"


def test_a_card_by_number_makes_the_same_artifacts_and_cells_as_any_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_cards(monkeypatch, tmp_path, 1, 1)
    monkeypatch.setattr("bench.runtimes.llamacpp.LlamaCpp.check_cuda", lambda _: None)
    places = [f"cache_dir={tmp_path}", f"results_dir={tmp_path}/results"]
    asked = ("cuda", "cuda:1", "auto")
    cells = [make_cell(compose(parse([*places, f"device={one}"]), "finetuned-q4", 0)) for one in asked]
    assert {cell.device for cell in cells} == {"cuda"}
    assert len({cell.key for cell in cells}) == len({cell.fingerprint for cell in cells}) == 1
