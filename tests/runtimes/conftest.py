"""The tiny model opened in both runtimes, and requests scored by one of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.runtimes.forest import Forest, Request
from bench.runtimes.llamacpp import LlamaCpp
from bench.runtimes.session import Session
from bench.runtimes.transformers import Transformers
from tests.conftest import make

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
