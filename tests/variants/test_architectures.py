"""Architectures beside Llama: a GGUF that is its source, experts that nothing packs, wrappers for text and images."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bench.runtimes.forest import Request
from bench.runtimes.transformers import Transformers
from tests.conftest import make, steps_of
from tests.hostile.architectures import GEMMA, WIDTHS, gemma, make_folder
from tests.runtimes.conftest import scored
from variants.errors import UserError
from variants.paths import ROOT
from variants.probing.float32 import open_in_float32
from variants.steps.gguf import Gguf, _largest
from variants.steps.probe import Probed, compare, compare_conversion


def test_a_gguf_is_compared_with_its_source_and_one_that_is_another_model_is_warned_of(tmp_path: Path) -> None:
    """llama.cpp scales Gemma's attention by the width of a head, whatever query_pre_attn_scalar says."""
    model = make_folder("gemma2", tmp_path / "gemma2")
    as_stated = make(tmp_path, steps_of(model), ["source", "gguf"])
    assert as_stated.warnings == ()
    assert as_stated.notes["source_mean_difference"] < 0.01  # type: ignore[operator]
    assert as_stated.notes["source_same_top_share"] > 0.98  # type: ignore[operator]
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "query_pre_attn_scalar": 1024}))
    warnings = make(tmp_path, steps_of(model), ["source", "gguf"]).warnings
    assert "llama.cpp computes another model than torch does from the same weights" in warnings[0]


def test_a_gguf_with_fewer_tokens_than_its_source_is_asked_those_that_both_have(
    cache: Path, tiny_model: Path, catalogue: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    gguf = make(cache, catalogue, ["source", "gguf"])
    folder = tmp_path / "padded"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    table = weights["model.embed_tokens.weight"]
    weights["model.embed_tokens.weight"] = torch.cat([table, torch.ones_like(table)])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 2 * len(table)}))
    notes, warnings = compare_conversion(Probed.of(folder), gguf.gguf())
    assert warnings == ()
    assert notes["source_mean_difference"] < 0.01  # type: ignore[operator]


def test_a_divergence_of_nothing_is_zero_and_one_that_is_no_number_stays_none() -> None:
    import torch

    ours = torch.log_softmax(torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).double(), -1)
    assert repr(compare(ours, ours + 1e-7)[0]) == "0.0"  # -1e-07 rounds to -0.0
    assert math.isnan(compare(ours, ours * math.nan)[0])


def test_a_source_computes_while_it_is_converted(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, convert = threading.Barrier(2), Gguf._convert

    def opened(folder: Path) -> object:
        both.wait(60)
        return open_in_float32(folder)

    def meanwhile(step: Gguf, folder: Path, target: Path) -> None:
        both.wait(60)
        convert(step, folder, target)

    monkeypatch.setattr("variants.steps.probe.open_in_float32", opened)
    monkeypatch.setattr(Gguf, "_convert", meanwhile)
    gguf = make(tmp_path, steps_of(tiny_model), ["source", "gguf"])
    assert gguf.notes["source_mean_difference"] < 0.01  # type: ignore[operator]


def test_a_source_that_does_not_fit_beside_its_converter_computes_after_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "variants.steps.gguf.too_large", lambda folders, others_bytes: "there is too little" if others_bytes else None
    )
    gguf = make(tmp_path, steps_of(tiny_model), ["source", "gguf"])
    assert gguf.warnings == ()
    assert gguf.notes["source_mean_difference"] < 0.01  # type: ignore[operator]


@pytest.mark.parametrize("broken", ["variants.steps.gguf._in_torch", "variants.steps.gguf.Gguf._convert"])
def test_what_fails_of_a_conversion_and_its_source_fails_the_step(
    broken: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UserError(broken)

    monkeypatch.setattr(broken, fail)
    with pytest.raises(UserError, match=broken):
        make(tmp_path, steps_of(tiny_model), ["source", "gguf"])


def test_the_process_that_converts_has_torch_and_not_llamacpp_beside_it(tiny_model: Path, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.conftest import make, steps_of
gguf = make(Path(sys.argv[2]), steps_of(Path(sys.argv[1])), ["source", "gguf"])
print("source_mean_difference" in gguf.notes, "torch" in sys.modules, "llama_cpp" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tiny_model), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.endswith("True True False\n"), done.stderr


def test_experts_that_stay_in_16_bits_are_warned_of_with_their_share(tmp_path: Path) -> None:
    model = make_folder("mixtral", tmp_path / "mixtral")
    for step in ("nf4", "int8"):
        packed = make(tmp_path, steps_of(model), ["source", step])
        assert "of the parameters stayed 16-bit, such as model.layers.0.mlp.experts." in packed.warnings[0]
        assert float(packed.warnings[0].split(" with ")[1].split("%")[0]) > 75


def test_packed_linear_layers_leave_nothing_to_warn_of(cache: Path, catalogue: dict[str, dict[str, Any]]) -> None:
    for step in ("nf4", "int8"):
        assert make(cache, catalogue, ["source", step]).warnings == ()


def test_a_wrapper_for_text_and_images_is_read_by_its_text_part(tmp_path: Path) -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    folder = tmp_path / "wrapper"
    folder.mkdir()
    gemma(folder)
    text = {**WIDTHS, **GEMMA, "max_position_embeddings": 200}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(text_config=text, vision_config={**vision, "image_size": 28, "patch_size": 14})
    Gemma3ForConditionalGeneration(config).bfloat16().save_pretrained(folder)
    made = make(tmp_path, steps_of(folder), ["source", "gguf"])
    assert "the GGUF leaves out" in made.warnings[0]
    assert made.notes["source_mean_difference"] < 0.01  # type: ignore[operator]
    assert made.parent is not None
    session = Transformers(300, 64, 64, "float32", "bfloat16", 2, "none").open(made.parent, "cpu")
    assert session.n_ctx == 200
    assert len(scored(session, [Request([2, 20, 30], [40, 50])])) == 2


def test_the_converter_is_expected_to_hold_all_experts_of_a_layer_at_once(tmp_path: Path) -> None:
    assert _largest(make_folder("mixtral", tmp_path / "mixtral")) == 4 * WIDTHS["intermediate_size"] * 256
