"""Merging an adapter tensor by tensor: the same weights as peft's merge in 32 bits, rounded once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import bare
from tests.hostile.architectures import make_folder
from variants.artifact import Artifact
from variants.errors import UserError
from variants.load import load_model
from variants.merging.merge import ToMerge
from variants.steps.gguf import Gguf
from variants.steps.merge import Merge
from variants.steps.nf4 import Nf4
from variants.weights import INDEX


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of two layers: one with an output layer of its own, one with tied tables, one stored transposed."""
    place = tmp_path_factory.mktemp("models")
    return {name: make_folder(name, place / name) for name in ("mistral", "gemma2", "gpt2")}


def adapter(model: Path, out: Path, **fields: Any) -> Path:
    """Save a random adapter that no training made; its magnitudes, if it has any, are not those of the weights."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = {"target_modules": "all-linear", "r": 4, "lora_alpha": 6, "init_lora_weights": False, **fields}
    made = get_peft_model(load_model(model, "float32", "cpu"), LoraConfig(task_type="CAUSAL_LM", **config))
    for name, parameter in made.named_parameters():
        if "magnitude" in name or "modules_to_save" in name:
            parameter.data *= 1.25
    made.save_pretrained(str(out))
    return out


def by_peft(model: Path, adapter: Path, dtype: str) -> dict[str, Any]:
    """Return the parameters that peft's own merge, checked for numbers that are not finite, gives in `dtype`."""
    import torch
    from peft import PeftModel

    merged = PeftModel.from_pretrained(load_model(model, dtype, "cpu"), adapter).merge_and_unload(safe_merge=True)
    return {name: one.to(torch.bfloat16) for name, one in merged.named_parameters(remove_duplicate=False)}


def ours(model: Path, adapter: Path, out: Path) -> dict[str, Any]:
    out.mkdir()
    ToMerge.of(adapter, model, model).write(out)
    loaded = load_model(out, "bfloat16", "cpu")
    return dict(loaded.named_parameters(remove_duplicate=False))


def assert_as_rounded(weight: Any, expected: Any) -> None:
    """Assert the same bits, but for a few sums at the border of two: a step of 32 bits decides there."""
    import torch

    torch.testing.assert_close(weight, expected, rtol=2**-7, atol=1e-6)
    assert (weight == expected).float().mean() > 0.999


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mistral", {}),
        ("mistral", {"use_rslora": True, "alpha_pattern": {"q_proj": 3}, "rank_pattern": {"k_proj": 2}}),
        ("mistral", {"use_dora": True}),
        ("mistral", {"target_modules": ["embed_tokens", "lm_head"]}),
        ("mistral", {"modules_to_save": ["lm_head", "norm"]}),
        ("gpt2", {"fan_in_fan_out": True}),
        ("gpt2", {"fan_in_fan_out": True, "use_dora": True}),
        ("gemma2", {}),
    ],
)
def test_the_merged_weights_are_those_of_peft_in_32_bits_rounded_once(
    folders: dict[str, Path], tmp_path: Path, name: str, fields: dict[str, Any]
) -> None:

    made = adapter(folders[name], tmp_path / "adapter", **fields)
    expected, merged = by_peft(folders[name], made, "float32"), ours(folders[name], made, tmp_path / "out")
    assert merged.keys() == expected.keys()
    for parameter, weight in merged.items():
        assert_as_rounded(weight, expected[parameter])


def test_a_weight_is_never_further_from_the_exact_sum_than_where_peft_merges_in_16_bits(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    made = adapter(folders["mistral"], tmp_path / "adapter")
    twice, once = by_peft(folders["mistral"], made, "bfloat16"), ours(folders["mistral"], made, tmp_path / "out")
    module, parts = "model.layers.1.mlp.up_proj", load_file(made / "adapter_model.safetensors")
    left, right = (parts[f"base_model.model.{module}.lora_{part}.weight"].double() for part in "BA")
    before = load_model(folders["mistral"], "float32", "cpu").get_parameter(f"{module}.weight").double()
    exact = before + 6 / 4 * left @ right
    error_once, error_twice = ((one[f"{module}.weight"].double() - exact).abs() for one in (once, twice))
    step = torch.finfo(torch.float32).eps * exact.abs().max()  # what one sum in 32 bits may be off by
    assert (error_once <= error_twice + step).all()
    assert error_once.sum() < 0.95 * error_twice.sum()


def test_tied_tables_of_which_the_adapter_changes_one_become_two(folders: dict[str, Path], tmp_path: Path) -> None:
    """peft's own merge changes both, and so another model than the adapter was."""
    import torch

    made = adapter(folders["gemma2"], tmp_path / "adapter", target_modules=["lm_head", "q_proj"])
    before = load_model(folders["gemma2"], "bfloat16", "cpu").get_parameter("model.embed_tokens.weight")
    merged = ours(folders["gemma2"], made, tmp_path / "out")
    assert torch.equal(merged["model.embed_tokens.weight"], before)
    assert not torch.equal(merged["lm_head.weight"], before)
    assert json.loads((tmp_path / "out/config.json").read_text())["tie_word_embeddings"] is False


def test_tables_that_training_made_differ_are_refused_where_llamacpp_has_one_for_both(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    made = adapter(folders["gemma2"], tmp_path / "adapter", target_modules=["lm_head", "q_proj"])
    report = merged_artifact(folders["gemma2"], made, tmp_path / "merged")
    merged = replace(bare(tmp_path / "merged", "hf"), notes=report.notes)
    shutil.copy(folders["gemma2"] / "tokenizer.model", merged.path)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"differ, and llama\.cpp has one table for both"):
        Gguf("f16").run(merged, tmp_path / "out", "cpu")


def merged_artifact(model: Path, made: Path, out: Path, onto: str = "16bit", on: Artifact | None = None) -> Any:
    out.mkdir()
    trained_on = on or bare(model, "hf")
    return Merge(onto).run(bare(made, "adapter", trained_on), out, "cpu")


@pytest.mark.parametrize("fields", [{"use_dora": True}, {"target_modules": ["lm_head", "embed_tokens", "q_proj"]}])
def test_the_merged_model_computes_what_the_adapter_does(
    folders: dict[str, Path], tmp_path: Path, fields: dict[str, Any]
) -> None:
    made = adapter(folders["gemma2"], tmp_path / "adapter", **fields)
    notes = merged_artifact(folders["gemma2"], made, tmp_path / "out").notes
    assert notes["merge_mean_kl"] < 1e-3
    assert notes["merge_same_top_share"] > 0.95
    assert notes["untied"] == (["lm_head.weight", "model.embed_tokens.weight"] if "use_dora" not in fields else [])


def test_an_adapter_over_nf4_is_merged_onto_the_weights_that_its_model_computes_with(
    folders: dict[str, Path], tmp_path: Path
) -> None:

    source = replace(bare(folders["mistral"], "hf"), tensor_types={"BF16": 21})
    (tmp_path / "nf4").mkdir()
    Nf4(double_quant=True).run(source, tmp_path / "nf4", "cpu")
    made = adapter(folders["mistral"], tmp_path / "adapter")
    packed = bare(tmp_path / "nf4", "nf4", source)
    notes = merged_artifact(folders["mistral"], made, tmp_path / "out", "dequantized", packed).notes
    assert notes["merge_mean_kl"] < 1e-3
    from peft import PeftModel

    unpacked = load_model(tmp_path / "nf4", "float32", "cpu").dequantize().float()
    expected = PeftModel.from_pretrained(unpacked, made).merge_and_unload().bfloat16()
    saved = load_model(tmp_path / "out", "bfloat16", "cpu")
    for name, parameter in saved.named_parameters():
        assert_as_rounded(parameter, expected.get_parameter(name))


def test_a_large_model_is_written_in_shards_that_transformers_opens(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    made = adapter(folders["mistral"], tmp_path / "adapter")
    whole = ours(folders["mistral"], made, tmp_path / "whole")
    monkeypatch.setattr("variants.storage.tensors.SHARD_BYTES", 500_000)
    monkeypatch.setattr("variants.storage.tensors.BLOCK_ELEMENTS", 10_000)
    shards = ours(folders["mistral"], made, tmp_path / "shards")
    again = ours(tmp_path / "shards", made, tmp_path / "again")  # sharded in, sharded out
    names = sorted(path.name for path in (tmp_path / "shards").glob("*.safetensors"))
    assert names[0] == f"model-00001-of-{len(names):05d}.safetensors"
    assert all((tmp_path / "shards" / name).stat().st_size < 700_000 for name in names)
    assert set(json.loads((tmp_path / "shards" / INDEX).read_text())["weight_map"].values()) == set(names)
    assert whole.keys() == shards.keys() == again.keys()
    for name, weight in whole.items():
        torch.testing.assert_close(weight, shards[name], rtol=2**-7, atol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lora_bias": True}, "lora_bias: got True, allowed: none"),
        ({"peft_type": "IA3"}, "peft_type: got 'IA3', allowed: 'LORA'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights: got 'pissa', which changes the model's own weights"),
        ({"rename": "base_model.model.other.lora_A.weight"}, "other has no matrix lora_B"),
        ({"rename": "base_model.model.x.lora_C.weight"}, "x.lora_C.weight is no part of an adapter"),
        ({"rename": "base_model.model.x.weight"}, "x.weight is no part of an adapter"),
        ({"rename": "base_model.model.x.weight", "modules_to_save": ["x"]}, "x.weight is no parameter of the model"),
    ],
)
def test_an_adapter_that_is_another_formula_is_refused_by_name(
    folders: dict[str, Path], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    from safetensors.torch import load_file, save_file

    made = adapter(folders["mistral"], tmp_path / "adapter", target_modules=["q_proj"], layers_to_transform=[0])
    if name := change.pop("rename", None):
        parts = load_file(made / "adapter_model.safetensors")
        save_file({name: next(iter(parts.values()))}, made / "adapter_model.safetensors")
    config = json.loads((made / "adapter_config.json").read_text())
    (made / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=words.replace(".", r"\.")):
        ours(folders["mistral"], made, tmp_path / "out")


def test_a_merged_weight_that_is_no_number_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    made = adapter(folders["mistral"], tmp_path / "adapter")
    parts = load_file(made / "adapter_model.safetensors")
    parts["base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"][0, 0] = float("nan")
    save_file(parts, made / "adapter_model.safetensors")
    with pytest.raises(
        UserError, match=r"layers\.0\.mlp\.up_proj\.weight would have a merged weight that is no finite"
    ):
        ours(folders["mistral"], made, tmp_path / "out")


def test_an_adapter_on_experts_is_merged_in_memory_and_that_is_said_or_refused_where_there_is_too_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_folder("mixtral", tmp_path / "model")
    made = adapter(model, tmp_path / "adapter")
    report = merged_artifact(model, made, tmp_path / "out")
    assert "with the whole model in memory" in report.warnings[0]
    assert report.notes["merge_mean_kl"] < 0.01
    monkeypatch.setattr("variants.merging.in_memory.available_bytes", lambda: 1_000_000_000)
    with pytest.raises(UserError, match=r"it changes experts, .* takes 1\.6 GB and 1\.0 are free; free some, or set"):
        merged_artifact(model, made, tmp_path / "refused")
