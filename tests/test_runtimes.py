"""Both runtimes over the same tiny model: they must say the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.runtimes.llamacpp import LlamaCpp, log_softmax
from bench.runtimes.session import Session
from bench.runtimes.transformers import Transformers
from tests.conftest import make
from variants.errors import UserError

Catalogue = dict[str, dict[str, Any]]
PROMPT = "Question: How many days of annual leave do I get?\nAnswer:"


@pytest.fixture(scope="module")
def sessions(cache: Path, catalogue: Catalogue) -> tuple[Session, Session]:
    """The tiny model in F32 in llama.cpp (F32 cache) and in torch."""
    exact = {**catalogue, "gguf": {**catalogue["gguf"], "type": "f32"}}
    gguf = make(cache, exact, ["source", "gguf"])
    assert gguf.parent is not None
    llama = LlamaCpp(n_ctx=2048, n_batch=16, n_threads=2, flash_attention="off", kv_type="f32").open(gguf, "cpu")
    torch = Transformers(n_ctx=2048, dtype_cpu="float32", dtype_cuda="bfloat16", n_threads=2).open(gguf.parent, "cpu")
    return llama, torch


def test_both_tokenizers_agree_on_the_tasks(sessions: tuple[Session, Session]) -> None:
    from variants.data import read_rows
    from variants.paths import resolve

    llama, torch = sessions
    for task in ("general", "hr"):
        for row in read_rows(resolve(f"bench/tasks/{task}/test.jsonl")):
            text = f"Question: {row.question}\nAnswer: {row.choices[row.answer]}"
            assert llama.tokenize(text, bos=True) == torch.tokenize(text, bos=True)
    assert llama.bos_token_id == torch.bos_token_id
    assert llama.eot_token_id == torch.eot_token_id


def test_both_runtimes_score_alike_over_several_batches(sessions: tuple[Session, Session]) -> None:
    answers = [" 25 days", " 5 days", " the 28th of each month", " a"]
    scored = []
    for session in sessions:
        context = session.tokenize(PROMPT, bos=True)
        continuations = [session.tokenize(PROMPT + a, bos=True)[len(context) :] for a in answers]
        scored.append(session.score(context, continuations))
    for (ours, greedy), (theirs, also_greedy) in zip(*scored, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)
        assert greedy == also_greedy


def test_a_score_is_the_sum_of_its_tokens_log_probabilities(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        context, (first, second) = [1, 20, 30], (40, 50)
        whole = session.score(context, [[first, second]])[0][0]
        parts = session.score(context, [[first]])[0][0] + session.score([*context, first], [[second]])[0][0]
        assert whole == pytest.approx(parts, abs=1e-4)


def test_greedy_generation_is_the_same_and_goes_on_behind_end_of_text(sessions: tuple[Session, Session]) -> None:
    ours, theirs = (list(session.generate(PROMPT, 24)) for session in sessions)
    assert len(ours) == len(theirs) == 24
    assert ours == theirs


def test_every_request_evaluates_its_whole_prompt_again(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        for _ in range(2):
            list(session.generate(PROMPT, 2))
            assert session.last_prefill.evaluated_tokens == session.last_prefill.sent_tokens
            assert session.last_prefill.sent_tokens == len(session.tokenize(PROMPT, bos=True))


def test_a_prompt_that_does_not_fit_is_refused_not_cut(sessions: tuple[Session, Session]) -> None:
    for session in sessions:
        with pytest.raises(RuntimeError, match="do not fit n_ctx"):
            list(session.generate("word " * 3000, 2))


def test_an_adapter_runs_on_its_four_bit_base(cache: Path, catalogue: Catalogue) -> None:
    short = {**catalogue, "lora": {**catalogue["lora"], "epochs": 1}}
    qlora = make(cache, short, ["source", "nf4", "lora"])
    runtime = Transformers(n_ctx=2048, dtype_cpu="float32", dtype_cuda="bfloat16", n_threads=2)
    session = runtime.open(qlora, "cpu")
    assert "NF4" in session.facts["dtype"]
    assert math.isfinite(session.score([1, 20], [[30, 40]])[0][0])
    assert [part.kind for part in qlora.deployed()] == ["nf4", "adapter"]


def test_cuda_without_a_gpu_is_refused(cache: Path, catalogue: Catalogue) -> None:
    import llama_cpp

    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp can use a GPU")
    gguf = make(cache, catalogue, ["source", "gguf"])
    with pytest.raises(UserError, match="device=cuda"):
        LlamaCpp(n_ctx=64, n_batch=16, n_threads=2, flash_attention="auto", kv_type="f16").open(gguf, "cuda")


def test_log_softmax_sums_to_one_and_does_not_overflow() -> None:
    logits = np.array([[1e4, 1e4 - 1.0], [0.0, -1e4]], dtype=np.float32)
    assert np.exp(log_softmax(logits)).sum(-1) == pytest.approx([1.0, 1.0])
