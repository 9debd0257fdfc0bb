"""Decoding a token as a GPU's graph does, everything in its place: the same as with a cache that grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.runtimes.session import FROM_PYTHON
from bench.runtimes.transformers import Transformers
from tests.conftest import make
from tests.runtimes.conftest import Catalogue, one_by_one
from tests.runtimes.test_path_attention import HEADS, SIZE

PROMPTS = ([1, *range(3, 30)], [1, 7], [1, *range(20, 33)])


def decoded(decoder: Any, prompt: list[int], n_tokens: int) -> list[int]:
    return [decoder.first(prompt), *(decoder.next() for _ in range(n_tokens - 1))]


@pytest.mark.parametrize("window", [None, 8])
def test_a_token_in_its_place_decodes_as_with_a_cache_that_grows(window: int | None) -> None:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    from bench.runtimes.decoding import FromPython, Replayed, difference

    torch.manual_seed(0)
    model: Any = MistralForCausalLM(MistralConfig(**SIZE, **HEADS, sliding_window=window))
    model.eval()
    forward = torch.inference_mode()(lambda *tokens, **options: model(*tokens, **options).logits)
    grows, stays = FromPython(model, forward), Replayed(model, 64, forward, one_by_one)
    for prompt in PROMPTS:  # a long one first: nothing of it is seen behind a short one
        assert decoded(stays, prompt, 12) == decoded(grows, prompt, 12)
    assert stays.first(PROMPTS[0]) == grows.first(PROMPTS[0])
    assert stays.cached_tokens == grows.cached_tokens == len(PROMPTS[0])
    assert difference(stays, model, forward) < 1e-5
    assert model.config._attn_implementation == "sdpa"


def test_a_token_whose_place_is_wrong_is_found_by_its_numbers() -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from bench.runtimes.decoding import Replayed, difference

    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**SIZE, **HEADS))
    model.eval()
    forward = torch.inference_mode()(lambda *tokens, **options: model(*tokens, **options).logits)

    def blind(query: Any, key: Any, value: Any, *others: Any) -> Any:
        return one_by_one(query, torch.zeros_like(key), value, *others)

    assert difference(Replayed(model, 64, forward, blind), model, forward) > 1e-3


def test_a_cpu_decodes_from_python_and_its_facts_say_nothing_of_it(cache: Path, catalogue: Catalogue) -> None:
    from bench.runtimes.decoding import decoder_of

    session = Transformers(512, 64, 256, "float32", "bfloat16", 2, "none").open(
        make(cache, catalogue, ["source"]), "cpu"
    )
    assert decoder_of(session._model, 512, session._forward, 1e-3)[1] == f"{FROM_PYTHON}: its attention needs masks"
    assert len(list(session.generate([1, 20, 30], 4))) == 4
    assert "decoding" not in session.facts
