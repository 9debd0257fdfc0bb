"""Decoding a token as a GPU's graph does, everything in its place: the same as with a cache that grows."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from bench.runtimes import decoding
from bench.runtimes.decoder import FromPython
from bench.runtimes.decoding import BY_GRAPH, decoder_of, difference
from bench.runtimes.forest import Request
from bench.runtimes.graph_decoder import GraphDecoder
from bench.runtimes.on_gpu.path_attention import PathAttention
from bench.runtimes.session import FROM_PYTHON, Prefill
from bench.runtimes.torch_trunk import BlockEvaluation, Trunk
from bench.runtimes.transformers import Transformers
from tests.conftest import make
from tests.runtimes.conftest import Catalogue, one_by_one
from tests.runtimes.test_path_attention import HEADS, SIZE, scores

PROMPTS = ([1, *range(3, 30)], [1, 7], [1, *range(20, 33)])
ROOM = 64


def opened(model: Any) -> tuple[Any, Any]:
    """Return a model and its forward pass, as a session has them."""
    model.eval()
    return model, torch.inference_mode()(lambda *tokens, **options: model(*tokens, **options).logits)


@pytest.fixture
def llama() -> tuple[Any, Any]:
    torch.manual_seed(0)
    return opened(LlamaForCausalLM(LlamaConfig(**SIZE, **HEADS)))


@pytest.mark.parametrize("window", [None, 8])
def test_a_token_in_its_place_decodes_as_with_a_cache_that_grows(window: int | None) -> None:
    torch.manual_seed(0)
    model, forward = opened(MistralForCausalLM(MistralConfig(**SIZE, **HEADS, sliding_window=window)))
    grows, stays = FromPython(model, forward), GraphDecoder(model, ROOM, forward, one_by_one)
    for prompt in PROMPTS:  # a long one first: nothing of it is seen behind a short one
        assert list(stays.generate(prompt, 12)) == list(grows.generate(prompt, 12))
    assert stays.first(PROMPTS[0]) == grows.first(PROMPTS[0])
    n_prompt = len(PROMPTS[0])
    assert stays.prefill == grows.prefill == Prefill(n_prompt, n_prompt)
    assert difference(stays, model, ROOM, forward) < 1e-5
    assert model.config._attn_implementation == "sdpa"


def test_a_window_that_only_a_mask_tells_is_refused_once_keys_lie_behind_it() -> None:
    torch.manual_seed(0)
    moe: dict[str, Any] = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 2}
    window: dict[str, Any] = {"use_sliding_window": True, "sliding_window": 40, "max_window_layers": 2}
    config = Qwen2MoeConfig(**SIZE, **HEADS, **moe, **window, num_experts_per_tok=1)
    model, forward = opened(Qwen2MoeForCausalLM(config))
    short, long = (GraphDecoder(model, room, forward, one_by_one) for room in (40, ROOM))
    assert list(short.generate([1, 7], 8)) == list(FromPython(model, forward).generate([1, 7], 8))
    long.first([1, 7])
    with pytest.raises(ValueError, match=r"set runtime.transformers.n_ctx=40"):
        long.next()
    with pytest.raises(ValueError, match=r"set runtime.transformers.n_ctx=40"):
        scores(
            Trunk(model, 2 * ROOM, BlockEvaluation(PathAttention(one_by_one))),
            model,
            [Request([1, *range(3, 49)], [7])],
        )


def test_keys_that_are_not_seen_and_a_wrong_position_show_in_the_numbers(llama: tuple[Any, Any]) -> None:
    model, forward = llama

    def blind(query: Any, key: Any, value: Any, *others: Any) -> Any:
        return one_by_one(query, torch.zeros_like(key), value, *others)

    def elsewhere(*tokens: Any, position_ids: Any = None, **options: Any) -> Any:
        return forward(*tokens, position_ids=None if position_ids is None else 0 * position_ids, **options)

    assert difference(GraphDecoder(model, ROOM, forward, blind), model, ROOM, forward) > 1e-3
    assert difference(GraphDecoder(model, ROOM, elsewhere, one_by_one), model, ROOM, forward) > 1e-3


def test_a_prompt_that_another_one_interrupts_is_not_continued_with_its_keys(llama: tuple[Any, Any]) -> None:
    decoder = FromPython(*llama)
    first = decoder.generate([1, 7], 4)
    next(first)
    next(decoder.generate([1, 8], 4))
    with pytest.raises(RuntimeError, match="another prompt was begun"):
        next(first)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Have a model pass for one that can be captured, in numbers that are its own; a step is launched as before."""
    monkeypatch.setattr(decoding, "_unfit", lambda *_: "")
    monkeypatch.setattr(decoding, "difference", lambda *_: 0.0)
    for name in ("warm_up", "capture"):
        monkeypatch.setattr(GraphDecoder, name, lambda _: None)
    return monkeypatch


def failing(error: BaseException) -> Any:
    def fail(_: object) -> None:
        raise error

    return fail


def test_a_graph_is_used_where_it_has_the_models_numbers_and_the_words_say_why_not(
    llama: tuple[Any, Any], on_a_gpu: pytest.MonkeyPatch
) -> None:
    def words() -> str:
        decoder, how = decoder_of(llama[0], ROOM, llama[1], 1e-3)
        assert isinstance(decoder, GraphDecoder if how == BY_GRAPH else FromPython)
        return how

    assert words() == BY_GRAPH
    for worst in (0.2, float("nan")):
        on_a_gpu.setattr(decoding, "difference", lambda *_, worst=worst: worst)
        assert words() == f"{FROM_PYTHON}: captured, a token has other numbers"
    for error in (RuntimeError("waits"), AttributeError("layers"), ValueError("window")):
        for part in ("warm_up", "capture"):
            with on_a_gpu.context() as patch:
                patch.setattr(GraphDecoder, part, failing(error))
                assert words() == f"{FROM_PYTHON}: a token cannot be captured, the log says why"
    on_a_gpu.setattr(GraphDecoder, "warm_up", failing(torch.OutOfMemoryError()))
    with pytest.raises(torch.OutOfMemoryError):
        words()


def test_a_decoder_that_is_given_up_leaves_no_keys_in_memory(
    llama: tuple[Any, Any], on_a_gpu: pytest.MonkeyPatch
) -> None:
    keys: list[Any] = []

    def fail(graph: Any) -> None:
        graph.first([0])
        keys.append(weakref.ref(graph._layers[0].buffers[0]))
        raise RuntimeError("waits")

    on_a_gpu.setattr(GraphDecoder, "warm_up", fail)
    gc.disable()  # what is freed before torch's cache is emptied is freed at once
    try:
        decoder_of(llama[0], ROOM, llama[1], 1e-3)
        assert keys[0]() is None
    finally:
        gc.enable()


def test_a_cpu_decodes_from_python_and_its_facts_say_nothing_of_it(cache: Path, catalogue: Catalogue) -> None:
    made = make(cache, catalogue, ["source"])
    session = Transformers(512, 64, 256, "float32", "bfloat16", 2, "none").open(made, "cpu")
    assert decoder_of(session._model, 512, session._forward, 1e-3)[1] == f"{FROM_PYTHON}: its attention needs masks"
    assert decoding._unfit(session._model, 512) == "its attention needs masks"
    assert [len(list(session.generate([1, 20, 30], n))) for n in (4, 0)] == [4, 0]
    assert "decoding" not in session.facts
