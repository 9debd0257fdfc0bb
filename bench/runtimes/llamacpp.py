"""Run a GGUF file in process, over llama.cpp's low-level API."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from bench.runtimes.session import Prefill
from variants.artifact import Artifact, Kind
from variants.errors import UserError
from variants.process import usable_cores
from variants.weights import gguf_header

ALL_LAYERS = 999
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32}


@dataclass(frozen=True)
class LlamaCpp:
    """llama.cpp through llama-cpp-python. `n_threads: null` takes every core that this process may use."""

    n_ctx: int
    n_batch: int
    n_threads: int | None
    flash_attention: str
    kv_type: str

    name: ClassVar[str] = "llamacpp"
    opens: ClassVar[tuple[Kind, ...]] = ("gguf",)
    tools: ClassVar[tuple[str, ...]] = ("llama-cpp-python",)

    def __post_init__(self) -> None:
        for field, allowed in (("flash_attention", FLASH_ATTENTION), ("kv_type", KV_TYPES)):
            if getattr(self, field) not in allowed:
                raise UserError(f"{field}: got {getattr(self, field)!r}, allowed: {', '.join(allowed)}")
        for field in ("n_ctx", "n_batch"):
            if getattr(self, field) < 1:
                raise UserError(f"{field}: got {getattr(self, field)}, allowed: 1 and more")

    def check_cuda(self) -> None:
        """Raise UserError where this llama.cpp cannot use a GPU."""
        if not llama_cpp.llama_supports_gpu_offload():
            raise UserError("device=cuda: this llama.cpp is a CPU build; run `make setup CUDA=1`, or device=cpu")

    def open(self, artifact: Artifact, device: str) -> LlamaCppSession:
        """Load the GGUF file with all layers on `device`."""
        if device == "cuda":
            self.check_cuda()
        return LlamaCppSession(self, artifact, device)


class LlamaCppSession:
    """One model and one context; every request starts from an empty cache."""

    def __init__(self, runtime: LlamaCpp, artifact: Artifact, device: str) -> None:
        path = artifact.gguf()
        gguf_header(path)  # llama.cpp aborts the process on some broken files
        layers = ALL_LAYERS if device == "cuda" else 0
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = layers
        model_params.split_mode = llama_cpp.LLAMA_SPLIT_MODE_NONE  # one GPU, as torch uses one
        with kept_log() as log:
            self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_params)
        if not self._model:
            raise RuntimeError(f"llama.cpp could not load {path}; its message is in the log")
        offloaded = re.search(r"offloaded (\d+)/(\d+) layers to GPU", "".join(log))
        if device == "cuda" and not offloaded:
            raise RuntimeError("asked for the GPU, llama.cpp put no layer on it; its message is in the log")
        n_threads = runtime.n_threads or usable_cores()
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self.n_ctx = min(runtime.n_ctx, llama_cpp.llama_model_n_ctx_train(self._model))
        params.n_batch = self._n_batch = min(runtime.n_batch, self.n_ctx)
        params.n_threads = params.n_threads_batch = n_threads
        params.flash_attn_type = FLASH_ATTENTION[runtime.flash_attention]
        params.type_k = params.type_v = KV_TYPES[runtime.kv_type]
        params.offload_kqv = params.op_offload = device == "cuda"
        params.no_perf = False
        self._ctx = llama_cpp.llama_init_from_model(self._model, params)
        if not self._ctx:
            raise RuntimeError(f"llama.cpp could not make a context of {self.n_ctx} tokens; its message is in the log")
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._n_vocab = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._batch = llama_cpp.llama_batch_init(self._n_batch, 0, 1)
        self.last_prefill = Prefill(0, 0)
        self.facts: Mapping[str, Any] = {
            "runtime": runtime.name,
            "device": device,
            "dtype": f"weights as stored, KV {runtime.kv_type}",
            "gpu_layers": int(offloaded[1]) if offloaded else 0,
            "layers": llama_cpp.llama_model_n_layer(self._model) + 1,  # as llama.cpp counts: the output layer too
            "threads": n_threads,
            "n_ctx": self.n_ctx,
            "flash_attention": runtime.flash_attention,
            "system": (llama_cpp.llama_print_system_info() or b"").decode().strip(" |"),
        }

    @property
    def eot_token_id(self) -> int:
        return int(llama_cpp.llama_vocab_eos(self._vocab))

    @property
    def bos_token_id(self) -> int | None:
        return int(llama_cpp.llama_vocab_bos(self._vocab)) if llama_cpp.llama_vocab_get_add_bos(self._vocab) else None

    def tokenize(self, text: str, bos: bool) -> list[int]:
        data = text.encode()
        room = len(data) + 2
        tokens = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), tokens, room, bos, True)
        if count < 0:
            raise RuntimeError(f"llama_tokenize needs {-count} tokens for {len(data)} bytes")
        return list(tokens[:count])

    def score(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[tuple[float, bool]]:
        llama_cpp.llama_memory_clear(self._memory, True)
        first = log_softmax(self._decode(context, 0, last_only=True))
        scores = []
        for continuation in continuations:
            rows = first
            if len(continuation) > 1:
                llama_cpp.llama_memory_seq_rm(self._memory, 0, len(context), -1)
                rest = self._decode(continuation[:-1], len(context), last_only=False)
                rows = np.concatenate([first, log_softmax(rest)])
            picked = rows[np.arange(len(continuation)), list(continuation)]
            scores.append((float(picked.sum()), bool((rows.argmax(-1) == np.array(continuation)).all())))
        return scores

    def generate(self, prompt: str, n_tokens: int) -> Iterator[int]:
        tokens = self.tokenize(prompt, bos=True)
        if len(tokens) + n_tokens > self.n_ctx:
            raise RuntimeError(f"a prompt of {len(tokens)} tokens and {n_tokens} more do not fit n_ctx={self.n_ctx}")
        llama_cpp.llama_memory_clear(self._memory, True)
        llama_cpp.llama_perf_context_reset(self._ctx)
        logits = self._decode(tokens, 0, last_only=True)
        position = len(tokens)
        counted = llama_cpp.llama_perf_context(self._ctx)
        # llama.cpp counts a batch of one token as generation (n_eval), a longer one as prompt (n_p_eval).
        self.last_prefill = Prefill(position, counted.n_p_eval if position > 1 else counted.n_eval)
        for remaining in range(n_tokens, 0, -1):
            token = int(logits[0].argmax())
            yield token
            if remaining > 1:
                logits = self._decode([token], position, last_only=True)
                position += 1

    def _decode(self, tokens: Sequence[int], position: int, *, last_only: bool) -> NDArray[np.float32]:
        """Evaluate tokens from `position` on; return logits (1 or len(tokens), vocabulary)."""
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(tokens), self._n_batch):
            part = tokens[start : start + self._n_batch]
            batch = self._batch
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i], batch.pos[i] = token, position + start + i
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
                batch.logits[i] = not last_only or start + i == len(tokens) - 1
            code = llama_cpp.llama_decode(self._ctx, batch)
            if code != 0:
                raise RuntimeError(f"llama_decode returned {code} for {len(part)} tokens at {position + start}")
            rows += [self._logits(i) for i in range(len(part)) if batch.logits[i]]
        return np.stack(rows)

    def _logits(self, row: int) -> NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self._ctx, row)
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self._n_vocab,)).copy()


@contextmanager
def kept_log() -> Iterator[list[str]]:
    """Keep what llama.cpp logs meanwhile: it tells in no other way how many layers it really put on the GPU.

    Afterwards llama.cpp writes to standard error itself: llama-cpp-python's own callback would call into Python
    for every debug line of a timed request.
    """
    lines: list[str] = []

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(level: int, text: bytes, user_data: object) -> None:
        lines.append(text.decode(errors="replace"))
        sys.stderr.write(lines[-1])

    llama_cpp.llama_log_set(keep, None)
    try:
        yield lines
    finally:
        llama_cpp.llama_log_set(llama_cpp.llama_log_callback(0), None)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return log-probabilities over the last axis in double precision."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True)))
