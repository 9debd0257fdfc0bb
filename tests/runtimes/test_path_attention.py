"""Attention along paths without a mask: the same numbers as with masks, on any block, in groups of any size."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from bench.runtimes.forest import Forest, Limits, Request
from tests.runtimes.conftest import one_by_one

SIZE: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3}


def _llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**SIZE, **HEADS))


def _sinks() -> Any:
    from transformers import GptOssConfig, GptOssForCausalLM

    experts: dict[str, Any] = {"num_local_experts": 2, "num_experts_per_tok": 1, "head_dim": 8}
    return GptOssForCausalLM(GptOssConfig(**SIZE, **HEADS, **experts, layer_types=["full_attention"] * 2))


def _latent() -> Any:
    from transformers import DeepseekV2Config, DeepseekV2ForCausalLM

    ranks: dict[str, Any] = {"q_lora_rank": None, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8}
    heads: dict[str, Any] = {**HEADS, "num_key_value_heads": 4, "v_head_dim": 4}
    return DeepseekV2ForCausalLM(DeepseekV2Config(**SIZE, **heads, **ranks, first_k_dense_replace=2))


def _window() -> Any:
    from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

    experts: dict[str, Any] = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 2}
    window: dict[str, Any] = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}
    return Qwen2MoeForCausalLM(Qwen2MoeConfig(**SIZE, **HEADS, **experts, **window, num_experts_per_tok=1))


MODELS: dict[str, Callable[[], Any]] = {"llama": _llama, "sinks": _sinks, "latent": _latent, "window": _window}


def requests_that_fork() -> list[Request]:
    """Texts that share prefixes of many lengths, some of them whole texts."""
    rng = random.Random(0)
    texts: list[list[int]] = [[1, *(rng.randrange(3, 50) for _ in range(24))]]
    for _ in range(40):
        stem = rng.choice(texts)
        texts.append(
            [*stem[: rng.randrange(1, len(stem))], *(rng.randrange(3, 50) for _ in range(rng.randrange(1, 9)))]
        )
    return [Request(text, [rng.randrange(3, 50), 4]) for text in texts]


def scores(trunk: Any, model: Any, requests: list[Request]) -> dict[int, float]:
    """Evaluate requests in small blocks; return the log-probability of each read's target."""
    import torch

    forward = torch.inference_mode()(lambda *tokens, **options: model(*tokens, **options).logits)
    forest = Forest(requests)
    values: dict[int, float] = {}
    for chunk in forest.chunks(60):
        for block in forest.blocks(chunk, Limits(17, 9, 17)):
            rows = torch.log_softmax(trunk.evaluate(block, forward).float(), -1)
            reads = zip(block.reads, block.read_rows, block.targets, strict=True)
            values |= {int(n): float(rows[r, t]) for n, r, t in reads}
    return values


@pytest.mark.parametrize("window", [None, 8])
def test_attention_along_paths_gives_what_masks_give(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    from bench.runtimes import torch_trunk
    from bench.runtimes.on_gpu.path_attention import PathAttention, groups
    from bench.runtimes.torch_trunk import BlockEvaluation, Trunk

    torch.manual_seed(0)
    model: Any = MistralForCausalLM(MistralConfig(**SIZE, **HEADS, sliding_window=window))
    model.eval()
    requests = requests_that_fork()
    masked = scores(Trunk(model, 80), model, requests)
    along = Trunk(model, 80, BlockEvaluation(PathAttention(one_by_one)))
    assert scores(along, model, requests) == pytest.approx(masked, abs=1e-5)
    monkeypatch.setattr(torch_trunk, "groups", lambda block: groups(block, 40))
    assert scores(along, model, requests) == pytest.approx(masked, abs=1e-5)
    assert model.config._attn_implementation == "sdpa"  # as before: requests are served by torch's own


@pytest.mark.parametrize(("kind", "along"), [("llama", True), ("sinks", False), ("latent", False), ("window", False)])
def test_a_model_that_attention_along_paths_cannot_compute_keeps_its_masks_and_gives_the_same_numbers(
    kind: str, along: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Sinks, values of another size than keys (DeepSeek), a window that only a mask tells (Qwen2-MoE)."""
    import torch

    from bench.runtimes import torch_trunk
    from bench.runtimes.on_gpu import path_attention

    torch.manual_seed(0)
    model = MODELS[kind]()
    model.eval()
    forward = torch.inference_mode()(lambda *tokens, **options: model(*tokens, **options).logits)
    monkeypatch.setattr(torch_trunk, "can_attend", lambda model: True)  # what a GPU would say of it
    monkeypatch.setattr(path_attention, "flash", like_flash)
    evaluation = torch_trunk.choose_evaluation(model, forward, 60, 1e-3)
    assert (evaluation.attention is not None) == along
    assert ("the log says why" in evaluation.kept_apart_by) != along
    assert ("scoring is slower, by masks" in caplog.text) != along
    requests = requests_that_fork()
    masked = scores(torch_trunk.Trunk(model, 80), model, requests)
    assert scores(torch_trunk.Trunk(model, 80, evaluation), model, requests) == pytest.approx(masked, abs=1e-5)


def like_flash(query: Any, key: Any, value: Any, *others: Any) -> Any:
    """Refuse what FlashAttention refuses, without a word."""
    if key.shape != value.shape:
        raise ValueError
    return one_by_one(query, key, value, *others)


def test_a_model_with_a_soft_cap_keeps_its_masks() -> None:
    from transformers import Gemma2Config, LlamaConfig

    from bench.runtimes.on_gpu.path_attention import is_plain

    assert is_plain(LlamaConfig(**SIZE, **HEADS))
    assert not is_plain(Gemma2Config(**SIZE, **HEADS))
    assert is_plain(Gemma2Config(**SIZE, **HEADS, attn_logit_softcapping=None))
