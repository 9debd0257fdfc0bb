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
"""llama.cpp pads its cache to so many cells."""


@dataclass(frozen=True)
class Shape:
    """What a context is made for. `n_batch` tokens are evaluated at once, in one piece (n_ubatch is the same)."""

    n_ctx: int
    n_batch: int
    n_seq_max: int
    n_threads: int
    flash_attention: int
    kv_type: int
    on_gpu: bool


class Context:
    """One unified cache that all sequences share, so that a prefix is stored once for all that have it."""

    def __init__(self, model: llama_cpp.llama_model_p, shape: Shape) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max = shape.n_ctx, shape.n_seq_max
        params.n_batch = params.n_ubatch = shape.n_batch
        params.n_threads = params.n_threads_batch = shape.n_threads
        params.flash_attn_type = shape.flash_attention
        params.type_k = params.type_v = shape.kv_type
        params.offload_kqv = params.op_offload = shape.on_gpu
        params.kv_unified = True
        params.no_perf = False
        with captured_log() as log:
            self._ctx = llama_cpp.llama_init_from_model(model, params)
        if not self._ctx:
            raise MemoryError(f"llama.cpp could not make a context of {shape.n_ctx} tokens ({log.reason})")
        sizes_mib = re.findall(r"KV buffer size = +([\d.]+) MiB", log.text)
        self.kv_bytes = round(sum(map(float, sizes_mib)) * 2**20)
        self.shape = shape
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._sequences = np.arange(shape.n_seq_max, dtype=np.int32)

    def close(self) -> None:
        """Free the cache."""
        llama_cpp.llama_free(self._ctx)

    def clear(self) -> None:
        """Empty the cache and set llama.cpp's own counters to zero."""
        llama_cpp.llama_memory_clear(self._memory, True)
        llama_cpp.llama_perf_context_reset(self._ctx)

    def evaluated_tokens(self, sent: int) -> int:
        """Return how many tokens llama.cpp says it evaluated since `clear`, where `sent` were asked for in one go."""
        counted = llama_cpp.llama_perf_context(self._ctx)
        # It counts one token as generation (n_eval), several as prompt (n_p_eval), and neither as less than one.
        return int(counted.n_p_eval if sent > 1 else counted.n_eval)

    def extend(self, tokens: Sequence[int], position: int) -> NDArray[np.float32]:
        """Evaluate tokens of one sequence from `position` on; return the logits behind the last (vocabulary)."""
        logits = np.zeros((0, self._n_vocab), dtype=np.float32)
        for start in range(0, len(tokens), self.shape.n_batch):
            part = np.array(tokens[start : start + self.shape.n_batch], dtype=np.int32)
            positions = np.arange(len(part), dtype=np.int32) + np.int32(position + start)
            zeros, ones = np.zeros_like(part), np.ones_like(part)
            last = start + len(part) == len(tokens)
            rows = np.array([len(part) - 1] if last else [], dtype=np.int32)
            logits = self._decode(part, positions, zeros, ones, rows)
        last_row: NDArray[np.float32] = logits[0].copy()
        return last_row

    def evaluate(self, block: Block) -> NDArray[np.float32]:
        """Evaluate a block behind its trunk and keep the next one's; return the logits of its rows (rows, vocabulary).

        The array is llama.cpp's own memory: read it before the next evaluation.
        """
        memory = self._memory
        if block.trunk == 0:
            self.clear()
        for path, seen in enumerate(block.trunk_seen):
            if seen:
                llama_cpp.llama_memory_seq_cp(memory, TRUNK, 1 + path, 0, int(seen))
        counts = block.last_path - block.first_path + np.int32(1)
        logits = self._decode(block.tokens, block.positions, block.first_path + np.int32(1), counts, block.rows)
        last = block.n_paths
        llama_cpp.llama_memory_seq_keep(memory, last)
        if block.next_trunk:
            llama_cpp.llama_memory_seq_cp(memory, last, TRUNK, 0, block.next_trunk)
        llama_cpp.llama_memory_seq_rm(memory, last, -1, -1)
        return logits

    def _decode(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        first_sequence: NDArray[np.int32],
        n_sequences: NDArray[np.int32],
        rows: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        # A token's sequences are consecutive: all lists of them are pieces of one array.
        places = self._sequences.ctypes.data + 4 * first_sequence.astype(np.uint64)
        wanted = np.zeros(len(tokens), dtype=np.int8)
        wanted[rows] = 1
        batch = llama_cpp.llama_batch()
        batch.n_tokens = len(tokens)
        arrays: dict[str, tuple[NDArray[np.generic], Any]] = {
            "token": (np.ascontiguousarray(tokens), llama_cpp.llama_token),
            "pos": (np.ascontiguousarray(positions), llama_cpp.llama_pos),
            "n_seq_id": (np.ascontiguousarray(n_sequences), ctypes.c_int32),
            "seq_id": (places, ctypes.POINTER(llama_cpp.llama_seq_id)),
            "logits": (wanted, ctypes.c_int8),
        }
        for name, (values, kind) in arrays.items():
            setattr(batch, name, ctypes.cast(values.ctypes.data, ctypes.POINTER(kind)))
        code = llama_cpp.llama_decode(self._ctx, batch)
        if code != 0:
            raise RuntimeError(f"llama_decode returned {code} for {len(tokens)} tokens from position {positions[0]} on")
        if not len(rows):
            return np.zeros((0, self._n_vocab), dtype=np.float32)
        pointer = ctypes.cast(llama_cpp.llama_get_logits(self._ctx), ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, (len(rows), self._n_vocab))
