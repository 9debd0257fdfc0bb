"""Models that are not what their folder says, or that a runtime cannot take: one line, before anything is built."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.sweep.plan.grid import plan_sweep
from bench.sweep.plan.request import parse
from tests.conftest import make, steps_of
from tests.hostile.architectures import byte_level
from variants.errors import UserError
from variants.load import load_model
from variants.paths import ROOT
from variants.steps.nf4 import Nf4

if TYPE_CHECKING:
    from torch import Tensor

Weights = dict[str, "Tensor"]
FIRST = "model.layers.0.mlp.up_proj.weight"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def changed(
    tiny_model: Path, folder: Path, change: Callable[[Weights], object] = lambda weights: None, **config: object
) -> Path:
    """Copy the tiny model with some of its weights and of its configuration changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stated, **config}))
    return folder


def refusal(model: Path, *arguments: str) -> str:
    """Plan a sweep of a model and return the one line that refuses it; nothing is built for that."""
    cache = model.parent / "cache"
    places = [f"cache_dir={cache}", f"results_dir={model.parent / 'results'}"]
    with pytest.raises(UserError) as refused:
        plan_sweep(parse(["suite=smoke", "device=cpu", f"model={model}", *places, *arguments]))
    assert "\n" not in str(refused.value)
    assert not (cache / "artifacts").exists()
    return str(refused.value)


def renamed(weights: Weights) -> None:
    for name in list(weights):
        weights[f"module.{name}"] = weights.pop(name)


def second_layer(weights: Weights) -> None:
    weights.update({name.replace(".0.", ".1."): t.clone() for name, t in list(weights.items()) if ".0." in name})


def set_one(weights: Weights, name: str, value: float) -> None:
    weights[name][(0,) * weights[name].ndim] = value


MISFITS: dict[str, tuple[Callable[[Weights], object], dict[str, object], tuple[str, ...]]] = {
    "a missing output layer": (
        lambda w: None,
        {"tie_word_embeddings": False},
        (f"lacks {HEAD}, which",),
    ),
    "a missing matrix": (lambda w: w.pop(FIRST), {}, (f"lacks {FIRST}",)),
    "keys with a prefix": (
        renamed,
        {},
        (f"lacks {HEAD}, {EMBEDDING}", f"has module.{EMBEDDING}", "and 8 more"),
    ),
    "a layer too many": (second_layer, {}, ("has model.layers.1.", "which would be left out")),
    "a layer too few": (lambda w: None, {"num_hidden_layers": 2}, ("lacks model.layers.1.",)),
    "another width": (lambda w: None, {"intermediate_size": 512}, ("has model.layers.0.mlp.", "in another shape")),
    "tied weights that differ": (
        lambda w: w.update({HEAD: w[EMBEDDING] * 2}),
        {},
        (f"ties {HEAD} to {EMBEDDING}, but they differ",),
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_tensors_that_are_not_those_of_the_architecture_are_refused(
    tiny_model: Path, tmp_path: Path, case: str
) -> None:
    change, config, words = MISFITS[case]
    model = changed(tiny_model, tmp_path / "model", change, **config)
    for variant in ("base", "nf4"):
        complaint = refusal(model, f"variant={variant}")
        assert all(word in complaint for word in words), complaint


def test_a_tensor_in_two_files_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """Engines take the one of the first file, or of the last."""
    model = changed(tiny_model, tmp_path / "model")
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    (model / "model.safetensors").rename(model / shards[0])
    shutil.copy(model / shards[0], model / shards[1])
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {FIRST: shards[0], HEAD: shards[1]}}))
    assert "is in two of its weight files" in refusal(model, "variant=base-torch")


def test_what_plans_a_sweep_has_no_torch_beside_llamacpp(tiny_model: Path, tmp_path: Path) -> None:
    """Some builds of llama.cpp do not survive torch in their process."""
    line = ["suite=smoke", "device=cpu", "variant=base,nf4,qlora", f"model={tiny_model}"]
    line += [f"cache_dir={tmp_path / 'cache'}", f"results_dir={tmp_path / 'results'}"]
    code = f"""
import sys
from bench.sweep.plan.grid import plan_sweep
from bench.sweep.plan.request import parse
plan_sweep(parse({line!r}))
print("llama_cpp" in sys.modules, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "True False\n", done.stderr
    code = code.replace(
        "base,nf4,qlora", "base-torch"
    )  # one of torch alone needs no llama.cpp: a broken one stops nothing
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False False\n", done.stderr


def test_a_load_itself_stops_at_tensors_that_are_missing_or_left_out(tiny_model: Path, tmp_path: Path) -> None:
    lacking = changed(tiny_model, tmp_path / "lacking", tie_word_embeddings=False)
    with pytest.raises(UserError, match=r"lacks lm_head\.weight"):
        load_model(lacking, "float32", "cpu")
    longer = changed(tiny_model, tmp_path / "longer", second_layer)
    with pytest.raises(UserError, match=r"has model\.layers\.1\."):
        load_model(longer, "float32", "cpu")


def test_buffers_that_old_checkpoints_hold_are_no_fault(tiny_model: Path, tmp_path: Path) -> None:
    import torch

    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    model = changed(tiny_model, tmp_path / "model", lambda w: w.update({name: torch.ones(32)}))
    assert load_model(model, "float32", "cpu").config.vocab_size


@pytest.mark.parametrize("place", ["config", "text_config", "tensor", "hf_quant_config.json"])
def test_a_model_that_is_quantized_already_is_refused(tiny_model: Path, tmp_path: Path, place: str) -> None:
    import torch

    method: dict[str, object] = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    stated = method if place == "config" else {"text_config": method} if place == "text_config" else {}
    packed = {FIRST: torch.zeros(256, 256, dtype=torch.float8_e4m3fn)} if place == "tensor" else {}
    model = changed(tiny_model, tmp_path / "model", lambda w: w.update(packed), **stated)
    if place == "hf_quant_config.json":
        (model / place).write_text('{"quantization": {"quant_algo": "FP8"}}')
    complaint = refusal(model, "variant=base-torch")
    assert "this model is quantized already" in complaint
    assert (FIRST if packed else place if place.startswith("hf") else "gptq") in complaint


def test_a_weight_that_float16_cannot_hold_is_named_with_what_to_set(tiny_model: Path, tmp_path: Path) -> None:
    model = changed(tiny_model, tmp_path / "model", lambda w: set_one(w, FIRST, 70000.0))
    complaint = refusal(model, "variant=base")
    assert f"{FIRST} has a weight of 70,144, and float16 ends at 65,504" in complaint
    assert "set steps.gguf.type=bf16" in complaint
    assert load_model(model, "float32", "cpu").dtype
    with pytest.raises(UserError, match="compute in bfloat16 or float32"):
        load_model(model, "float16", "cpu")


def test_float16_takes_its_largest_number_and_a_gguf_a_larger_gain(tiny_model: Path, tmp_path: Path) -> None:
    from variants.steps.model_checks import refuse_overflow

    def change(weights: Weights) -> None:
        set_one(weights, FIRST, 65280.0)
        set_one(weights, "model.norm.weight", 1e6)

    model = changed(tiny_model, tmp_path / "model", change)
    refuse_overflow(model, "", least_dimensions=2)
    with pytest.raises(UserError, match=r"model\.norm\.weight has a weight of 999,424"):
        refuse_overflow(model, "")


def test_32_bit_weights_that_four_bits_would_take_from_float16(tiny_model: Path, tmp_path: Path) -> None:
    def change(weights: Weights) -> None:
        for name in weights:
            weights[name] = weights[name].float()
        set_one(weights, FIRST, -1e5)

    model = changed(tiny_model, tmp_path / "model", change, dtype="float32")
    for variant in ("nf4", "int8"):
        assert f"{FIRST} has a weight of 100,000" in refusal(model, f"variant={variant}")


def test_a_weight_that_is_no_number_is_refused_for_every_variant(tiny_model: Path, tmp_path: Path) -> None:
    model = changed(tiny_model, tmp_path / "model", lambda w: set_one(w, FIRST, float("nan")))
    assert f"{FIRST} has a weight that is nan, no finite number" in refusal(model, "variant=base-torch")


def test_an_architecture_that_transformers_does_not_know(tiny_model: Path, tmp_path: Path) -> None:
    model = changed(tiny_model, tmp_path / "model", model_type="ours", architectures=["OursForCausalLM"])
    assert "transformers cannot make this model" in refusal(model, "variant=base-torch")


def test_an_architecture_that_the_converter_does_not_know_names_what_still_works(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = changed(tiny_model, tmp_path / "model", architectures=["OursForCausalLM"])
    complaint = refusal(model, "variant=finetuned-q4")
    assert "llama.cpp's converter does not know this architecture" in complaint
    assert "Model OursForCausalLM is not supported" in complaint
    assert "what runs in torch still works: variant=base-torch,nf4,int8" in complaint


def test_a_tokenizer_that_the_converter_does_not_know_names_what_still_works(tiny_model: Path, tmp_path: Path) -> None:
    model = changed(tiny_model, tmp_path / "model")
    for file in model.glob("tokenizer*"):
        file.unlink()
    byte_level("<|endoftext|>")(model)
    complaint = refusal(model, "variant=base")
    assert "llama.cpp's converter does not know this tokenizer" in complaint
    assert "variant=base-torch,nf4,int8" in complaint


def test_what_a_conversion_fails_with_is_the_last_line_of_its_log(
    cache: Path, tiny_model: Path, tmp_path: Path
) -> None:
    model = changed(tiny_model, tmp_path / "model", architectures=["OursForCausalLM"])
    with pytest.raises(UserError, match="OursForCausalLM is not supported"):
        make(cache, steps_of(model), ["source", "gguf"])


def test_a_log_ends_in_the_error_of_a_process_that_left_no_result(tmp_path: Path) -> None:
    from bench.sweep.child import last_line

    log = tmp_path / "log"
    log.write_bytes(b"loading\r50 %\nGGML_ASSERT(x) failed \xff\n\n")
    assert last_line(log) == " (its last line: GGML_ASSERT(x) failed \ufffd)"
    log.write_text("\n")
    assert last_line(log) == ""


def test_what_llamacpp_says_of_a_file_it_cannot_load_is_in_the_error(
    tmp_path: Path, catalogue: dict[str, dict[str, Any]]
) -> None:
    from bench.runtimes.llamacpp import LlamaCpp

    gguf = make(tmp_path, catalogue, ["source", "gguf"])
    file = gguf.gguf()
    file.write_bytes(file.read_bytes().replace(b"llama.block_count", b"llama.block_kount"))
    with pytest.raises(RuntimeError, match=r"key not found in model: llama\.block_count"):
        LlamaCpp(512, 16, 64, 64, 2, "off", "f32", "host", "none").open(gguf, "cpu")


def narrow(folder: Path, tiny_model: Path, width: int) -> Path:
    """Make a Llama whose rows are `width` long, with the tiny model's tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shutil.copytree(tiny_model, folder)
    config = LlamaConfig(
        vocab_size=2048, hidden_size=width, intermediate_size=width, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    return folder


def test_widths_that_no_kernel_takes(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitsandbytes.functional.has_avx512bf16", lambda: True)
    model = narrow(tmp_path / "model", tiny_model, 80)
    with pytest.raises(UserError) as refused:
        Nf4(double_quant=True).check(model, "cpu")
    complaint = str(refused.value)
    assert "model.layers.0.self_attn.q_proj has 80 outputs, and bitsandbytes' 4-bit kernel for this CPU" in complaint
    assert "takes multiples of 32; device=cuda, int8 or a GGUF take it" in complaint
    with pytest.raises(UserError, match=r"no tensor of this model fits a block of Q4_K_M"):
        make(tmp_path, steps_of(model), ["source", "gguf", "q4"])


def test_a_model_without_a_longest_text_gets_what_the_runtime_states(tmp_path: Path) -> None:
    """Bloom's positions have no end, and its configuration has no number for it."""
    from transformers import BloomConfig, BloomForCausalLM

    from bench.runtimes.transformers import Transformers

    byte_level("<|endoftext|>")(tmp_path / "bloom")
    config = BloomConfig(vocab_size=640, hidden_size=64, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    BloomForCausalLM(config).save_pretrained(tmp_path / "bloom")
    artifact = make(tmp_path, steps_of(tmp_path / "bloom"), ["source"])
    session = Transformers(300, 64, 64, "float32", "bfloat16", 2, "none").open(artifact, "cpu")
    assert session.n_ctx == 300
    assert len(list(session.generate([1, 2, 3], 2))) == 2
