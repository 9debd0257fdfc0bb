"""What takes the place of a model's norms, rotations and gates, and when it does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

from bench.runtimes.on_gpu import fused
from bench.runtimes.on_gpu.fused import Fused

SIZE: dict[str, Any] = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}


def norm(tokens: Tensor, weight: Tensor, eps: float) -> Tensor:
    return torch.nn.functional.rms_norm(tokens, weight.shape, weight, eps)


def rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = heads.shape[-1] // 2
    turned = torch.cat([-heads[..., half:], heads[..., :half]], dim=-1)
    return heads * cos[:, None] + turned * sin[:, None]


def gated(gate: Tensor, up: Tensor) -> Tensor:
    return torch.nn.functional.silu(gate) * up


def counting(calls: list[str]) -> Any:
    """Return the same computations in plain torch, which note that they were called."""

    def noted(name: str, work: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            calls.append(name)
            return work(*given, **named)

        return call

    return SimpleNamespace(norm=noted("norm", norm), rotated=noted("rotated", rotated), gated=noted("gated", gated))


def llama() -> Any:
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**SIZE, **HEADS))
    return model.eval()


def test_every_norm_rotation_and_gate_of_a_llama_is_replaced_at_work_and_is_its_own_again_afterwards() -> None:
    model, calls, tokens = llama(), list[str](), torch.arange(12)[None]
    parts = Fused(model, counting(calls))
    own = model(tokens).logits
    assert parts.parts == ("norms", "rotations", "gates")
    calls.clear()
    with parts.at_work():
        ours = model(tokens).logits
    assert {name: calls.count(name) for name in calls} == {"norm": 5, "rotated": 4, "gated": 2}
    torch.testing.assert_close(ours, own, rtol=1e-4, atol=1e-5)
    calls.clear()
    assert torch.equal(model(tokens).logits, own)
    assert calls == []
    assert modeling_llama.apply_rotary_pos_emb.__module__ == modeling_llama.__name__


def test_a_norm_that_computes_something_else_under_the_same_name_is_left_alone() -> None:
    torch.manual_seed(0)
    model: Any = Gemma3ForCausalLM(Gemma3TextConfig(**SIZE, **HEADS))
    assert Fused(model.eval(), counting([])).parts == ("rotations",)


def test_a_module_with_a_hook_and_a_rotation_of_other_numbers_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    model.model.norm.forward = model.model.norm.forward
    own = modeling_llama.apply_rotary_pos_emb

    def backwards(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> Any:
        return own(q, k, cos, -sin, unsqueeze_dim)

    monkeypatch.setattr(modeling_llama, fused.ROTATION, backwards)
    calls: list[str] = []
    parts = Fused(model, counting(calls))
    assert parts.parts == ("norms", "gates")
    calls.clear()
    with parts.at_work():
        model(torch.arange(3)[None])
    assert calls.count("norm") == 4
    assert "forward" in vars(model.model.norm)


def test_without_triton_there_are_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "find_spec", lambda name: None)
    assert fused.kernels() is None


def test_where_the_kernels_fail_a_model_keeps_its_own_code_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> Tensor:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    monkeypatch.setattr(fused, "kernels", lambda: SimpleNamespace(norm=broken, rotated=rotated, gated=gated))
    assert fused.fuse(llama()) == (None, fused.FAILED)
    assert "Failed to find C compiler" in caplog.text
    monkeypatch.setattr(fused, "kernels", lambda: None)
    assert fused.fuse(llama()) == (None, "nothing: no Triton here")
