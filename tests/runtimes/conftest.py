"""The tiny model opened in both runtimes, and requests scored by one of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.runtimes.forest import Forest, Request
from bench.runtimes.llamacpp import LlamaCpp
from bench.runtimes.session import Session
from bench.runtimes.transformers import Transformers
from tests.conftest import make

if TYPE_CHECKING:
    from bench.runtimes.on_gpu.path_attention import Group

Catalogue = dict[str, dict[str, Any]]


PROMPT = "Question: How many days of annual leave do I get?\nAnswer:"


@pytest.fixture(scope="module")
def sessions(cache: Path, catalogue: Catalogue) -> tuple[Session, Session]:
    """The tiny model in F32 in llama.cpp (F32 cache) and in torch."""
    exact = {**catalogue, "gguf": {**catalogue["gguf"], "type": "f32"}}
    gguf = make(cache, exact, ["source", "gguf"])
    assert gguf.parent is not None
    llama = LlamaCpp(2048, 16, 64, 64, 2, "off", "f32", "host", "none").open(gguf, "cpu")
    torch = Transformers(2048, 64, 64, "float32", "bfloat16", 2, "none").open(gguf.parent, "cpu")
    return llama, torch


def scored(session: Session, requests: Sequence[Request]) -> list[float]:
    """Evaluate some requests, read by read."""
    forest = Forest(requests)
    limits, _ = session.start_scoring(forest.longest)
    values = [0.0] * int(forest.starts[-1])
    for chunk in forest.chunks():
        for block in forest.blocks(chunk, limits):
            for read, value in zip(block.reads, next(session.evaluate([block]))[0], strict=True):
                values[read] = float(value)
    return values


def one_by_one(query: Any, key: Any, value: Any, group: Group, scaling: float | None, left: int) -> Any:
    """Attend as FlashAttention does, path by path: causal, the last token at the last key."""
    import torch

    parts = []
    for path in range(len(group.starts) - 1):
        a, b = (int(x) for x in group.starts[path : path + 2])
        c, d = (int(x) for x in group.key_starts[path : path + 2])
        at = torch.arange(d - c - (b - a), d - c)[:, None]
        keys = torch.arange(d - c)[None]
        seen = (keys <= at) & ((keys >= at - left) if left >= 0 else True)
        assert b - a <= group.longest
        assert d - c <= group.most_keys
        q, k, v = (x.transpose(0, 1)[None] for x in (query[a:b], key[c:d], value[c:d]))
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, seen, scale=scaling, enable_gqa=True)
        parts.append(attended[0].transpose(0, 1))
    return torch.cat(parts)
