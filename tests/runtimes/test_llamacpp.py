"""What llama.cpp alone needs: LongRoPE's limit, a device that is there, one top token, a cache that is kept right."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from bench.runtimes.forest import Block, Forest, Limits, Request, chains
from bench.runtimes.llama.context import SAMPLING, flash_attention_of
from bench.runtimes.llama.side_by_side import Contexts
from bench.runtimes.llamacpp import LlamaCpp, LlamaCppSession
from bench.runtimes.session import Read
from bench.selftest.scratch import make_tiny_model
from tests.conftest import make, steps_of
from tests.runtimes.conftest import PROMPT, Catalogue, scored
from variants.artifact import Artifact
from variants.errors import UserError

HAS_GPU = llama_cpp.llama_supports_gpu_offload()
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="needs a GPU and a llama.cpp that is built for it")


@pytest.fixture(scope="module")
def gguf(cache: Path, catalogue: Catalogue) -> Artifact:
    return make(cache, {**catalogue, "gguf": {**catalogue["gguf"], "type": "f32"}}, ["source", "gguf"])


def opened(
    gguf: Artifact, device: str = "cpu", sampling: str = "host", split: str = "none", block: int = 64
) -> LlamaCppSession:
    return LlamaCpp(512, 64, block, block, 1, "auto", "f16", sampling, split).open(gguf, device)


def greedy(session: LlamaCppSession, n_tokens: int = 24) -> list[int]:
    return list(session.generate(session.tokenize(PROMPT, bos=True), n_tokens))


def test_scoring_stays_on_the_side_of_longropes_limit_that_serving_is_on(gguf: Artifact) -> None:
    session = opened(gguf, block=128)
    assert session._short_rope is None
    assert session._number("context_length") == 512
    chosen = session.start_scoring(400)[1]
    assert session._kv_bytes(chosen["cache_tokens"]) == chosen["kv_bytes"]
    session._short_rope = 600
    assert session.start_scoring(400)[1]["cache_tokens"] == 512
    limits, chosen = session.start_scoring(490)
    assert (limits.tokens, chosen["cache_tokens"]) == (16, 512)  # 618 with a block of 128
    with pytest.raises(RuntimeError, match="LongRoPE's limit of 600 has no room for a block behind 510: lower"):
        session.start_scoring(510)
    session._short_rope = 300
    assert session.start_scoring(100)[1]["cache_tokens"] == 512  # serving at 512 takes the long ones


@pytest.mark.skipif(HAS_GPU, reason="this llama.cpp can use a GPU")
def test_cuda_without_a_gpu_is_refused(gguf: Artifact) -> None:
    with pytest.raises(UserError, match="device=cuda"):
        opened(gguf, "cuda")


@pytest.mark.parametrize(("field", "value"), [("split", "rows"), ("sampling_cuda", "gpu")])
def test_a_choice_that_does_not_exist_is_refused(field: str, value: str) -> None:
    fields = {"n_ctx": 64, "n_batch": 16, "score_tokens_cpu": 64, "score_tokens_cuda": 64, "n_threads": 2}
    chosen = {"flash_attention": "auto", "kv_type": "f16", "sampling_cuda": "host", "split": "none", field: value}
    with pytest.raises(UserError, match=f"{field}: got '{value}', allowed: "):
        LlamaCpp(**fields, **chosen)  # type: ignore[arg-type]


def test_facts_name_the_attention_who_takes_the_top_token_and_how_the_model_is_split(gguf: Artifact) -> None:
    facts = opened(gguf, sampling="device").facts  # on a CPU the host is the device
    assert (facts["sampling"], facts["split"]) == (SAMPLING["host"], "none")
    assert facts["flash_attention"] == "auto, on"  # what llama.cpp's log says of it
    without = LlamaCpp(512, 64, 64, 64, 1, "off", "f16", "host", "none").open(gguf, "cpu")
    assert without.facts["flash_attention"] == "off"
    unsupported = (
        "llama_context: flash_attn = auto\nresolve_fused_ops: Flash Attention not supported, set to disabled\n"
    )
    assert [flash_attention_of(log) for log in (unsupported, "another text")] == ["off", "not stated"]
    with pytest.raises(UserError, match="split: got layers on a CPU, allowed: none"):
        opened(gguf, split="layers")


def test_of_equal_logits_the_lowest_token_is_taken(gguf: Artifact, tmp_path: Path) -> None:
    top = greedy(opened(gguf), 1)[0]
    for twin in (top - 1, top + 1):
        tied = with_equal_rows(gguf, tmp_path / str(twin), top, twin)
        assert greedy(opened(tied), 1) == [min(top, twin)]


def with_equal_rows(gguf: Artifact, folder: Path, token: int, twin: int) -> Artifact:
    """Copy a GGUF whose output layer gives `twin` the very logit of `token`."""
    from gguf import GGUFReader

    folder.mkdir()
    copy = Path(shutil.copy(gguf.gguf(), folder))
    reader = GGUFReader(copy, "r+")
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    rows = tensors.get("output.weight", tensors["token_embd.weight"])
    rows[twin] = rows[token]
    reader.data.flush()
    return replace(gguf, path=folder)


def test_what_is_kept_of_the_cache_from_block_to_block_is_what_the_next_one_shares(gguf: Artifact) -> None:
    """Trunks grow, shrink and change, and the cache has room for one path and one block alone."""
    random = np.random.default_rng(7)
    requests, stem = [], random.integers(3, 400, 90).tolist()
    for length in random.integers(0, 90, 16).tolist():
        stem = stem[:length] + random.integers(3, 400, 90 - length).tolist()
        requests += [Request(stem, random.integers(3, 400, n).tolist()) for n in (1, 3)]
    session = LlamaCpp(512, 64, 48, 48, 1, "off", "f32", "host", "none").open(gguf, "cpu")
    alone = [value for request in requests for value in scored(session, [request])]
    assert scored(session, requests) == pytest.approx(alone, abs=1e-3)


def several_chains(n: int) -> tuple[Forest, list[Block]]:
    """Make requests behind `n` different contexts, and their blocks."""
    random = np.random.default_rng(5)
    requests = []
    for _ in range(n):
        stem = random.integers(3, 400, int(random.integers(40, 160))).tolist()
        requests += [Request(stem, random.integers(3, 400, 4).tolist()) for _ in range(3)]
    forest = Forest(requests)
    return forest, [block for chunk in forest.chunks(64) for block in forest.blocks(chunk, Limits(48, 47, 48))]


def side_by_side(session: LlamaCppSession, longest: int, at_most: int = 2) -> Contexts:
    """Make contexts as a session makes them on a GPU."""
    session.start_scoring(longest)
    assert session._contexts is not None
    return Contexts(session._model, session._contexts.shape, at_most)


def test_contexts_side_by_side_give_the_numbers_of_one_in_the_order_of_the_blocks(gguf: Artifact) -> None:
    session = opened(gguf, block=48)
    forest, blocks = several_chains(9)
    assert len(list(chains(blocks))) > 4
    contexts = side_by_side(session, forest.longest)
    alone = list(session.evaluate(blocks))
    heads = [chain[0] for chain in chains(blocks)][:2]
    together = Barrier(2, timeout=30)

    def read(block: Block, logits: NDArray[np.float32]) -> Read:
        if any(block is head for head in heads):
            together.wait()  # the first blocks of two chains are read at the same time
        return session._logits.read(block, logits)

    for _ in range(2):  # what one run leaves in a cache does not move the next
        both = list(contexts.evaluate(blocks, read))
        assert [one.tolist() for pair in both for one in pair] == [one.tolist() for pair in alone for one in pair]


def test_a_run_that_is_left_half_way_or_fails_leaves_contexts_that_compute(gguf: Artifact) -> None:
    session = opened(gguf, block=48)
    forest, blocks = several_chains(9)
    contexts = side_by_side(session, forest.longest)
    first = next(left := contexts.evaluate(blocks, session._logits.read))

    def fail(block: Block, logits: object) -> Read:
        raise RuntimeError(f"no room for {len(block.rows)} rows")

    with pytest.raises(RuntimeError, match="no room for"):
        list(contexts.evaluate(blocks, fail))
    assert next(left, None) is None  # its threads have ended: llama.cpp crashes where two use one context
    again = contexts.evaluate(blocks, session._logits.read)
    assert next(again)[0].tolist() == first[0].tolist()
    assert session._logits.read(blocks[0], contexts.alone().evaluate(blocks[0]))[0].tolist() == first[0].tolist()
    assert next(again, None) is None
    next(contexts.evaluate(blocks, session._logits.read))
    contexts.close()


@pytest.mark.parametrize("room_for", [1, 2, 3])
def test_a_second_context_is_made_where_there_is_room_for_a_third_and_all_are_freed(
    gguf: Artifact, monkeypatch: pytest.MonkeyPatch, room_for: int
) -> None:
    session = opened(gguf, block=48)
    forest, blocks = several_chains(3)
    session.start_scoring(forest.longest)
    assert session._contexts is not None
    shape, living, most = session._contexts.shape, 0, 0

    def init(*given: object) -> object:
        nonlocal living, most
        if living == room_for:
            return None
        living += 1
        most = max(most, living)
        return made(*given)

    def free(context: object) -> None:
        nonlocal living
        living -= 1
        freed(context)

    made, freed = llama_cpp.llama_init_from_model, llama_cpp.llama_free
    monkeypatch.setattr(llama_cpp, "llama_init_from_model", init)
    monkeypatch.setattr(llama_cpp, "llama_free", free)
    contexts = Contexts(session._model, shape, at_most=2)
    contexts.alone().evaluate(blocks[0])
    assert living == 1  # what is done alone needs no other
    for _ in range(2):
        assert len(list(contexts.evaluate(blocks, session._logits.read))) == len(blocks)
        assert living == (2 if room_for == 3 else 1)
    assert most == room_for
    contexts.close()
    assert living == 0


@needs_gpu
def test_on_a_gpu_two_contexts_score(gguf: Artifact) -> None:
    session = opened(gguf, "cuda", block=48)
    forest, blocks = several_chains(9)
    session.start_scoring(forest.longest)
    list(session.evaluate(blocks))
    assert session._contexts is not None
    assert len(session._contexts._all) == 2


def test_the_engines_own_sampler_takes_the_tokens_that_the_host_takes(gguf: Artifact) -> None:
    """On a CPU too, where no configuration asks for it: what runs on a card is then no new code."""
    session = opened(gguf)
    on_host = greedy(session)
    session._serving = replace(session._serving, samples=True)
    assert greedy(session) == on_host
    long = [*range(3, 150), 5]  # three pieces, of which the last alone has a row
    assert len(list(session.generate(long, 2))) == 2
    assert session.last_prefill.evaluated_tokens == len(long)


@needs_gpu
def test_on_a_gpu_all_layers_are_on_it(gguf: Artifact) -> None:
    facts = opened(gguf, "cuda").facts
    assert facts["gpu_layers"] == facts["layers"]


@needs_gpu
def test_the_device_takes_the_tokens_that_the_host_takes(gguf: Artifact) -> None:
    host, device = (opened(gguf, "cuda", sampling) for sampling in ("host", "device"))
    assert greedy(device, 128) == greedy(host, 128)
    assert (host.facts["sampling"], device.facts["sampling"]) == (SAMPLING["host"], SAMPLING["device"])
    assert device.last_prefill.evaluated_tokens == device.last_prefill.sent_tokens


@needs_gpu
def test_layers_split_over_two_cards_give_the_tokens_of_one_card(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from bench.machine.gpu import usable_gpus

    if len(usable_gpus()) < 2:
        pytest.skip("needs two GPUs")
    gguf = make(tmp_path / "cache", steps_of(make_tiny_model(tmp_path / "model", layers=8)), ["source", "gguf"])
    capfd.readouterr()
    split = opened(gguf, "cuda", split="layers")
    assert len(set(re.findall(r"(CUDA\d+) model buffer size", capfd.readouterr().err))) == 2
    assert split.facts["split"] == "layers"
    assert greedy(split) == greedy(opened(gguf, "cuda"))
