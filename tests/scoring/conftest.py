"""The tiny model in F32, as an artifact and as a session of each runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.runtimes.llamacpp import LlamaCpp
from bench.runtimes.session import Session
from bench.runtimes.transformers import Transformers
from bench.scoring.scorer import VERSION, Scorer
from tests.conftest import make
from variants.artifact import Artifact

N_CTX = 160


class LocalScorer(Scorer):
    """The scorer as lm-eval's process sees it, without the pipe between them."""

    version = VERSION

    @property
    def n_ctx(self) -> int:
        return self.session.n_ctx

    @property
    def vocabulary(self) -> Any:
        return self.session.vocabulary


Catalogue = dict[str, dict[str, Any]]


LLAMACPP = LlamaCpp(
    n_ctx=N_CTX,
    n_batch=64,
    score_tokens_cpu=96,
    score_tokens_cuda=96,
    n_threads=2,
    flash_attention="off",
    kv_type="f32",
    sampling_cuda="host",
    split="none",
)


TRANSFORMERS = Transformers(
    n_ctx=N_CTX,
    score_tokens_cpu=96,
    score_tokens_cuda=96,
    dtype_cpu="float32",
    dtype_cuda="bfloat16",
    n_threads=2,
    split="none",
)


@pytest.fixture(scope="module")
def artifacts(cache: Path, catalogue: Catalogue) -> dict[str, Artifact]:
    """The tiny model in F32, once for each runtime."""
    gguf = make(cache, {**catalogue, "gguf": {**catalogue["gguf"], "type": "f32"}}, ["source", "gguf"])
    assert gguf.parent is not None
    return {"llamacpp": gguf, "transformers": gguf.parent}


@pytest.fixture(scope="module", params=["llamacpp", "transformers"])
def opened(request: pytest.FixtureRequest, artifacts: dict[str, Artifact]) -> tuple[Artifact, Session]:
    runtime = {"llamacpp": LLAMACPP, "transformers": TRANSFORMERS}[request.param]
    artifact = artifacts[request.param]
    return artifact, runtime.open(artifact, "cpu")  # type: ignore[attr-defined]
