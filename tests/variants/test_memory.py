"""How much memory builds take: blocks of a tensor, to merge and to compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import bare, make, steps_of
from tests.hostile.architectures import WIDTHS, make_folder
from variants.configure import configure
from variants.load import load_model
from variants.probing import float32
from variants.probing.float32 import open_in_float32
from variants.process import STATUS, own_peak_resident_bytes, reset_peak_resident
from variants.step import Step
from variants.steps.merge import Merge
from variants.steps.probe import probe
from variants.storage.tensors import ToWrite, write_weights

WIDTH, INNER, VOCABULARY, LAYERS = 1024, 4096, 16384, 8


def large_model(folder: Path) -> None:
    """Write a Llama of 0.33 GB in several shards, of one number in each tensor."""
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


def adapter_on_the_output_layer(folder: Path, model: Path) -> Path:
    """Write an adapter that leaves the 16-bit weights of a model as they are: it adds far less than half a step."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    config = json.loads((model / "config.json").read_text())
    LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=4, target_modules=["lm_head"]).save_pretrained(str(folder))
    module = "base_model.model.lm_head"
    parts = {
        f"{module}.lora_A.weight": torch.full((4, config["hidden_size"]), 1e-4),
        f"{module}.lora_B.weight": torch.full((config["vocab_size"], 4), 1e-4),
    }
    save_file(parts, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.skipif(not STATUS.exists(), reason="the peak of a process can be reset on Linux alone")
def test_a_merge_with_its_comparison_takes_less_memory_than_half_of_the_model(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("variants.storage.tensors.SHARD_BYTES", 100_000_000)
    monkeypatch.setattr("variants.storage.tensors.BLOCK_ELEMENTS", 1 << 20)
    monkeypatch.setattr("variants.steps.probe.PROBE_TOKENS", 8)
    large_model(tmp_path / "large")
    weights_bytes = sum(file.stat().st_size for file in (tmp_path / "large").glob("*.safetensors"))
    for model in (tiny_model, tmp_path / "large"):  # the first one loads libraries
        adapter = adapter_on_the_output_layer(tmp_path / f"{model.name} adapter", model)
        out = tmp_path / f"{model.name} merged"
        out.mkdir()
        reset_peak_resident()
        before_bytes = own_peak_resident_bytes()
        report = Merge("16bit").run(bare(adapter, "adapter", bare(model, "hf")), out, "cpu")
        taken_bytes = own_peak_resident_bytes() - before_bytes
    assert len(list(out.glob("*.safetensors"))) > 3
    assert report.notes["merge_mean_kl"] == 0
    assert taken_bytes < weights_bytes / 2, f"{taken_bytes:,} bytes"


@pytest.mark.parametrize("name", ["mistral", "gpt2", "mixtral", "gemma3"])
def test_a_model_whose_weights_stay_in_its_files_computes_the_same_numbers_as_one_in_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    monkeypatch.setitem(WIDTHS, "hidden_size", 320)  # Gemma scales by its root, which no bfloat16 is
    model = make_folder(name, tmp_path / name)
    weights = load_file(model / "model.safetensors")
    gain = next(tensor for tensor in weights.values() if tensor.ndim == 1)
    gain.data = gain.data.float() * (1 + 3e-3)  # no bfloat16 has these values
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    in_memory = probe(load_model(model, "float32", "cpu").eval())
    monkeypatch.setattr("variants.storage.tensors.BLOCK_ELEMENTS", 10_000)
    opened = open_in_float32(model)
    assert {parameter.dtype for parameter in opened.parameters()} == {torch.float32}
    torch.testing.assert_close(probe(opened), in_memory, rtol=0, atol=1e-4)
    assert torch.equal(probe(opened), probe(opened))


def test_a_comparison_that_takes_more_memory_than_there_is_is_left_out_and_said(
    cache: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig, get_peft_model

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
    gguf_bytes, merge_bytes = (steps[name].expected_memory_bytes(8_030_000_000) for name in ("gguf", "merge"))
    assert gguf_bytes - merge_bytes > 3e9  # the converter works while the source computes
