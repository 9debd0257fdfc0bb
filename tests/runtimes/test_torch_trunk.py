"""A shared prefix in torch: windows of attention, and architectures that cannot be evaluated behind one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.runtimes.forest import Forest, Limits, Request
from bench.runtimes.session import Session


def test_a_sliding_window_hides_what_it_has_passed_whatever_shares_a_prefix(tiny_model: Path) -> None:
    """Compare with the model's own masks, one request at a time: a window of 8 over paths of 24 tokens."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

    from bench.runtimes.torch_trunk import Forward, Trunk

    size: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    heads: dict[str, Any] = {
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
        "sliding_window": 8,
    }
    layers: dict[str, Any] = {
        "use_sliding_window": True,
        "layer_types": ["full_attention", "sliding_attention"],
        "head_dim": 16,
    }
    models: list[Any] = [
        MistralForCausalLM(MistralConfig(**size, **heads)),
        Qwen3ForCausalLM(Qwen3Config(**size, **heads, **layers)),
    ]

    def logits_of(model: Any) -> Forward:
        return torch.inference_mode()(lambda *tokens, **options: model(*tokens, **options).logits)

    for model in models:
        model.eval()
        requests = [Request([1, *range(20), last], [7, last]) for last in (3, 4, 5)]
        forest, trunk = Forest(requests), Trunk(model, 60)
        forward = logits_of(model)
        values: dict[int, float] = {}
        for block in forest.blocks(next(forest.chunks()), Limits(10, 4, 10)):
            rows = torch.log_softmax(trunk.evaluate(block, forward), -1)
            values |= {
                int(n): float(rows[r, t]) for n, r, t in zip(block.reads, block.read_rows, block.targets, strict=True)
            }
        for i, request in enumerate(requests):
            tokens = torch.tensor([[*request.context, request.continuation[0]]])
            alone = torch.log_softmax(forward(tokens)[0], -1)
            expected = [float(alone[-2, 7]), float(alone[-1, request.continuation[1]])]
            assert [values[2 * i], values[2 * i + 1]] == pytest.approx(expected, abs=1e-4)


def test_an_architecture_that_does_not_go_by_its_mask_is_refused_not_scored_wrongly(
    sessions: tuple[Session, Session],
) -> None:
    """GPT-Neo's local layers have a window of their own, which no mask from outside changes."""
    import copy

    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    size: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "num_layers": 2, "num_heads": 2, "window_size": 8}
    kinds: dict[str, Any] = {"attention_types": [[["global", "local"], 1]], "initializer_range": 0.3}
    session: Any = copy.copy(sessions[1])
    model: Any = GPTNeoForCausalLM(GPTNeoConfig(**size, **kinds))
    session._model, session._trunk, session.n_ctx = model.eval(), None, 40
    session.vocabulary = replace(session.vocabulary, n_tokens=50)
    with pytest.raises(RuntimeError, match="cannot be evaluated behind a shared prefix"):
        session.check_sharing()
