"""How much memory builds take: blocks of a tensor to merge, one copy of a model to compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import bare, make, steps_of
from tests.hostile.architectures import make_folder
from variants.configure import configure
from variants.merging.merge import write_merged
from variants.probing import float32
from variants.probing.float32 import open_in_float32
from variants.process import STATUS, reset_peak_resident
from variants.step import Step
from variants.steps.merge import Merge
from variants.steps.probe import probe
from variants.storage.tensors import ToWrite, write_weights

WIDTH, INNER, VOCABULARY, LAYERS = 1024, 4096, 16384, 8


def large_model(folder: Path) -> int:
    """Write a Llama of 0.33 GB in several shards, of one number in each tensor; return the bytes of the largest."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=LAYERS)
    with torch.device("meta"):
        shapes = {name: one.shape for name, one in LlamaForCausalLM(config).state_dict().items()}

    def filled(shape: torch.Size) -> Callable[[], Any]:
        return lambda: iter([torch.full(shape, 0.01, dtype=torch.bfloat16)])

    folder.mkdir()
    tensors = [ToWrite(name, "BF16", tuple(shape), filled(shape)) for name, shape in shapes.items()]
    write_weights(folder, tensors)
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    return max(tensor.size_bytes for tensor in tensors)


def own_peak_bytes() -> int:
    """Return the largest resident set of this process without its children, which the reset does not forget."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not STATUS.exists(), reason="the peak of a process can be reset on Linux alone")
def test_merging_takes_less_memory_than_the_largest_tensor_in_32_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    monkeypatch.setattr("variants.storage.tensors.SHARD_BYTES", 100_000_000)
    largest_bytes = large_model(tmp_path / "model")
    LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=4).save_pretrained(str(tmp_path / "adapter"))
    module = "base_model.model.lm_head"
    parts = {f"{module}.lora_A.weight": torch.ones(4, WIDTH), f"{module}.lora_B.weight": torch.ones(VOCABULARY, 4)}
    save_file(parts, tmp_path / "adapter/adapter_model.safetensors")
    sizes = [file.stat().st_size for file in (tmp_path / "model").glob("*.safetensors")]
    assert len(sizes) > 3
    monkeypatch.setattr("variants.storage.tensors.BLOCK_ELEMENTS", 1 << 20)
    for name in ("first", "second"):  # the first loads libraries
        (tmp_path / name).mkdir()
        reset_peak_resident()
        before_bytes = own_peak_bytes()
        write_merged(tmp_path / "adapter", tmp_path / "model", tmp_path / "model", tmp_path / name)
    taken_bytes = own_peak_bytes() - before_bytes
    assert taken_bytes < 2 * largest_bytes < sum(sizes) / 4, f"{taken_bytes:,} bytes"


@pytest.mark.parametrize("name", ["mistral", "gpt2", "mixtral"])
def test_a_model_that_is_held_in_16_bits_computes_the_same_numbers_as_in_32(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    model = make_folder(name, tmp_path / name)
    in_32 = probe(open_in_float32(model))
    monkeypatch.setattr(float32, "SMALL_BYTES", 0)
    held = open_in_float32(model)
    assert {parameter.dtype for parameter in held.parameters()} == {torch.bfloat16}
    assert torch.equal(probe(held), in_32)
    assert {parameter.dtype for parameter in held.parameters()} == {torch.bfloat16}


def test_a_comparison_that_takes_more_memory_than_there_is_is_left_out_and_said(
    cache: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig, get_peft_model

    from variants.load import load_model

    adapted = get_peft_model(load_model(tiny_model, "float32", "cpu"), LoraConfig(task_type="CAUSAL_LM", r=2))
    adapted.save_pretrained(str(tmp_path / "adapter"))
    monkeypatch.setattr(float32, "available_bytes", lambda: 1_000_000)
    (tmp_path / "out").mkdir()
    report = Merge("16bit").run(bare(tmp_path / "adapter", "adapter", bare(tiny_model, "hf")), tmp_path / "out", "cpu")
    assert "the merged model was not compared with its adapter: that takes 1." in report.warnings[0]
    assert "merge_mean_kl" not in report.notes
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"
    gguf = make(tmp_path / "cache", steps_of(tiny_model), ["source", "gguf"])
    assert "not compared with its source in torch: that takes 1." in gguf.warnings[0]


def test_8_billion_parameters_fit_32_gb_in_every_step_where_a_card_trains(catalogue: dict[str, dict[str, Any]]) -> None:
    steps: dict[str, Step] = {name: configure(node, f"steps.{name}") for name, node in catalogue.items()}
    for name, step in steps.items():
        assert 1e9 < step.expected_memory_bytes(8_030_000_000, "cuda") < 26e9, name
    assert steps["lora"].expected_memory_bytes(8_030_000_000) > 32e9
