"""A llama.cpp context: the cache of keys and values, and the evaluation of batches in it."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Block
from variants.steps.llama_log import captured_log

TRUNK = 0
"""The sequence that holds the trunk of a block; local path p is sequence 1 + p."""
CELLS = 256
"""llama.cpp pads its cache to so many cells; CUDA's flash attention skips masked cells in multiples of them alone."""
ANY_SEQUENCE = -1
TO_THE_END = -1
SAMPLING = {
    "host": "argmax on the host, over llama.cpp's own logits",
    "device": "llama.cpp greedy on the device",
}
"""Who takes the top token. Of equal logits the host takes the lowest id; CUDA's kernel does not always."""


@dataclass(frozen=True)
class ContextShape:
    """What a context is made for. `n_batch` tokens are evaluated at once, in one piece (n_ubatch is the same).

    Room is made for `n_outputs` rows of logits. With `samples` the card itself takes the top token, and its logits
    stay there.
    """

    n_ctx: int
    n_batch: int
    n_seq_max: int
    n_outputs: int
    n_threads: int
    flash_attention: int
    kv_type: int
    on_gpu: bool
    samples: bool


class Batch:
    """llama.cpp's batch over arrays that are made once; a token's sequences are consecutive."""

    def __init__(self, n_tokens: int, n_sequences: int) -> None:
        self._ids = np.arange(n_sequences, dtype=np.int32)
        self.tokens = np.zeros(n_tokens, dtype=np.int32)
        self.positions = np.zeros(n_tokens, dtype=np.int32)
        self._counts = np.ones(n_tokens, dtype=np.int32)
        self._places = np.full(n_tokens, self._ids.ctypes.data, dtype=np.uint64)
        self._wanted = np.zeros(n_tokens, dtype=np.int8)
        self.struct = llama_cpp.llama_batch()
        arrays: dict[str, tuple[NDArray[np.generic], Any]] = {
            "token": (self.tokens, llama_cpp.llama_token),
            "pos": (self.positions, llama_cpp.llama_pos),
            "n_seq_id": (self._counts, ctypes.c_int32),
            "seq_id": (self._places, ctypes.POINTER(llama_cpp.llama_seq_id)),
            "logits": (self._wanted, ctypes.c_int8),
        }
        for name, (values, kind) in arrays.items():
            setattr(self.struct, name, ctypes.cast(values.ctypes.data, ctypes.POINTER(kind)))

    def fill(
        self,
        tokens: Sequence[int] | NDArray[np.int32],
        positions: NDArray[np.int32],
        rows: NDArray[np.int32] | Sequence[int],
        first_sequence: NDArray[np.int32] | int = 0,
        n_sequences: NDArray[np.int32] | int = 1,
    ) -> None:
        """Write tokens, each of its sequences from the first on; the logits of the tokens `rows` are wanted."""
        n = len(tokens)
        self.struct.n_tokens = n
        self.tokens[:n] = tokens
        self.positions[:n] = positions
        self._counts[:n] = n_sequences
        self._places[:n] = self._ids.ctypes.data + 4 * np.asarray(first_sequence, dtype=np.uint64)
        self._wanted[:n] = 0
        self._wanted[rows] = 1


def flash_attention_of(log: str) -> str:
    """Return what llama.cpp says of flash attention as it makes a context: on, off or not stated."""
    if re.search(r"Flash Attention enabled|flash_attn += enabled", log):
        return "on"
    off = re.search(r"Flash Attention not supported|flash_attn += disabled", log)
    return "off" if off else "not stated"


class Context:
    """One unified cache that all sequences share, so that a prefix is stored once for all that have it.

    Raises MemoryError where llama.cpp cannot make it.
    """

    def __init__(self, model: llama_cpp.llama_model_p, shape: ContextShape) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max = shape.n_ctx, shape.n_seq_max
        params.n_batch = params.n_ubatch = shape.n_batch
        params.n_outputs_max = shape.n_outputs
        params.n_threads = params.n_threads_batch = shape.n_threads
        params.flash_attn_type = shape.flash_attention
        params.type_k = params.type_v = shape.kv_type
        params.offload_kqv = params.op_offload = shape.on_gpu
        params.kv_unified = True
        params.no_perf = False
        self._sampler = greedy_sampler() if shape.samples else None
        if self._sampler:
            chosen = llama_cpp.llama_sampler_seq_config(TRUNK, ctypes.cast(self._sampler, ctypes.c_void_p))
            params.samplers, params.n_samplers = ctypes.pointer(chosen), 1
        with captured_log() as log:
            self._ctx = llama_cpp.llama_init_from_model(model, params)
        if not self._ctx:
            self._free_sampler()
            raise MemoryError(f"llama.cpp could not make a context of {shape.n_ctx} tokens ({log.reason})")
        sizes_mib = re.findall(r"KV buffer size = +([\d.]+) MiB", log.text)
        self.kv_bytes = round(sum(map(float, sizes_mib)) * 2**20)
        self.flash_attention = flash_attention_of(log.text)
        self.shape = shape
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._batch = Batch(shape.n_batch, shape.n_seq_max)
        self._held = np.zeros(shape.n_seq_max, dtype=np.int64)
        self._view_address = 0
        self._view = np.zeros((0, self._n_vocab), dtype=np.float32)

    def close(self) -> None:
        """Free the cache."""
        llama_cpp.llama_free(self._ctx)
        self._free_sampler()

    def _free_sampler(self) -> None:
        if self._sampler:
            llama_cpp.llama_sampler_free(self._sampler)

    def start(self, tokens: Sequence[int]) -> int:
        """Evaluate a prompt from an empty cache; return the top token behind it, the lowest of equal ones.

        The cache's cells are marked as empty, and their bytes stay, as in llama.cpp's own server: no token sees them.
        """
        llama_cpp.llama_memory_clear(self._memory, False)
        llama_cpp.llama_perf_context_reset(self._ctx)
        size = self.shape.n_batch
        for first in range(0, len(tokens), size):
            part = tokens[first : first + size]
            rows = [len(part) - 1] if first + len(part) == len(tokens) else []
            self._batch.fill(part, np.arange(first, first + len(part), dtype=np.int32), rows)
            self._decode()
        token = self._top()
        self._batch.fill([token], np.array([len(tokens)], dtype=np.int32), [0])  # `step` writes these two in place
        return token

    def step(self, token: int, position: int) -> int:
        """Evaluate one more token behind `start` or `step`; return the top token behind it."""
        self._batch.tokens[0] = token
        self._batch.positions[0] = position
        self._decode()
        return self._top()

    def evaluated_tokens(self, sent: int) -> int:
        """Return how many tokens llama.cpp says it evaluated in `start`, where `sent` were asked for."""
        counted = llama_cpp.llama_perf_context(self._ctx)
        # It counts one token as generation (n_eval), several as prompt (n_p_eval), and neither as less than one.
        return int(counted.n_p_eval if sent > 1 else counted.n_eval)

    def evaluate(self, block: Block) -> NDArray[np.float32]:
        """Evaluate a block behind its trunk and keep the next one's; return its rows' logits, as `logits` does."""
        if block.trunk == 0:
            llama_cpp.llama_memory_clear(self._memory, True)
            self._held[:] = 0
        for path, seen in enumerate(block.trunk_seen.tolist()):
            self._hold(1 + path, seen)
        counts = block.last_path - block.first_path + np.int32(1)
        self._batch.fill(block.tokens, block.positions, block.rows, block.first_path + np.int32(1), counts)
        self._decode()
        self._keep_next_trunk(block)  # before the logits are awaited: a GPU computes meanwhile
        return self.logits(len(block.rows))

    def _hold(self, sequence: int, n_tokens: int) -> None:
        """Let a path's sequence hold the trunk's first tokens. It mostly does: each one added costs a search."""
        held = self._held[sequence]
        if held < n_tokens:
            llama_cpp.llama_memory_seq_cp(self._memory, TRUNK, sequence, int(held), n_tokens)
        elif held > n_tokens:
            llama_cpp.llama_memory_seq_rm(self._memory, sequence, n_tokens, TO_THE_END)
        self._held[sequence] = n_tokens

    def _keep_next_trunk(self, block: Block) -> None:
        """Free all but the next block's trunk; sequences go on to hold what that shares with this block's."""
        memory, last = self._memory, block.n_paths
        common = min(int(block.trunk_seen[-1]), block.next_trunk)
        if block.next_trunk > common:
            llama_cpp.llama_memory_seq_rm(memory, TRUNK, common, TO_THE_END)
            llama_cpp.llama_memory_seq_cp(memory, last, TRUNK, common, block.next_trunk)
            longer = set(np.flatnonzero(self._held > common).tolist()) | set(range(1, last + 1))
            for sequence in sorted(longer - {TRUNK}):
                llama_cpp.llama_memory_seq_rm(memory, sequence, common, TO_THE_END)
        else:
            llama_cpp.llama_memory_seq_rm(memory, ANY_SEQUENCE, common, TO_THE_END)
        np.minimum(self._held, common, out=self._held)

    def _decode(self) -> None:
        batch = self._batch
        code = llama_cpp.llama_decode(self._ctx, batch.struct)
        if code != 0:
            n, position = batch.struct.n_tokens, batch.positions[0]
            raise RuntimeError(f"llama_decode returned {code} for {n} tokens from position {position} on")

    def _top(self) -> int:
        """Wait for the one row that was asked for; return its top token."""
        if not self._sampler:
            return int(self.logits(1).argmax())
        token = llama_cpp.llama_get_sampled_token_ith(self._ctx, -1)
        if token < 0:
            raise RuntimeError("sampling_cuda=device: llama.cpp took no token on this card; set it to host")
        return int(token)

    def logits(self, n_rows: int) -> NDArray[np.float32]:
        """Wait for the rows of logits that were asked for; return them (rows, vocabulary).

        The array is llama.cpp's own memory: read it before the next evaluation.
        """
        if not n_rows:
            return self._view[:0]
        pointer = llama_cpp.llama_get_logits(self._ctx)
        address = ctypes.addressof(pointer.contents)
        if address != self._view_address or n_rows != len(self._view):
            floats = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float))
            self._view = np.ctypeslib.as_array(floats, (n_rows, self._n_vocab))
            self._view_address = address
        return self._view


def greedy_sampler() -> llama_cpp.llama_sampler_p:
    """Return a chain of llama.cpp's greedy sampler alone: only chains are run on a device."""
    params = llama_cpp.llama_sampler_chain_default_params()
    chain: llama_cpp.llama_sampler_p = llama_cpp.llama_sampler_chain_init(params)
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
    return chain
