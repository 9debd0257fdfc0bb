"""What llama.cpp alone needs: LongRoPE's limit, a device that is there, sums that do not overflow."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.runtimes.llamacpp import LlamaCpp, log_sum_exp
from tests.conftest import make
from tests.runtimes.conftest import Catalogue
from variants.errors import UserError


def test_scoring_stays_on_the_side_of_longropes_limit_that_serving_is_on(cache: Path, catalogue: Catalogue) -> None:
    gguf = make(cache, catalogue, ["source", "gguf"])
    session = LlamaCpp(512, 64, 128, 64, 2, "auto", "f16").open(gguf, "cpu")
    assert session._short_rope is None
    assert session._number("context_length") == 512
    chosen = session.start_scoring(400)[1]
    assert session._kv_bytes(chosen["cache_tokens"]) == chosen["kv_bytes"]
    session._short_rope = 600
    assert session.start_scoring(400)[1]["cache_tokens"] == 512
    limits, chosen = session.start_scoring(490)
    assert (limits.tokens, chosen["cache_tokens"]) == (16, 512)  # 618 with a block of 128
    with pytest.raises(RuntimeError, match="behind 510 tokens LongRoPE's limit of 600 has no room for a block: lower"):
        session.start_scoring(510)
    session._short_rope = 300
    assert session.start_scoring(100)[1]["cache_tokens"] == 512  # serving at 512 takes the long ones


def test_cuda_without_a_gpu_is_refused(cache: Path, catalogue: Catalogue) -> None:
    import llama_cpp

    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp can use a GPU")
    gguf = make(cache, catalogue, ["source", "gguf"])
    with pytest.raises(UserError, match="device=cuda"):
        LlamaCpp(64, 16, 64, 64, 2, "auto", "f16").open(gguf, "cuda")


def test_log_sum_exp_does_not_overflow() -> None:
    logits = np.array([[1e4, 1e4 - 1.0], [0.0, -1e4]], dtype=np.float32)
    assert log_sum_exp(logits) == pytest.approx([1e4 + math.log(1 + math.exp(-1)), 0.0])
