"""Log-probabilities from raw logits, in the engine's own memory, rows in parallel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bench.runtimes.forest import Block
from bench.runtimes.session import Read

ROWS_BYTES = 2**21
"""Logits that one thread reads at once: few enough to stay in its core's cache, enough to pay for the hand-over."""

Logits = NDArray[np.float32]
Rows = Callable[[slice], None]


class LogitsReader:
    """Reads rows of logits (rows, vocabulary) with up to `n_threads` threads. How many has no influence on a bit."""

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads
        self._pool = ThreadPoolExecutor(n_threads, "logits")

    def top_and_log_sum_exp(self, logits: Logits) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return each row's top token, the lowest of equal ones, and log(sum(exp(x))), summed in double precision."""
        tops, sums = np.empty(len(logits), dtype=np.int64), np.empty(len(logits))

        def read(rows: slice) -> None:
            tops[rows], sums[rows] = _top_and_log_sum_exp(logits[rows])

        self._each(logits, read)
        return tops, sums

    def read(self, block: Block, logits: Logits) -> Read:
        """Return what a block asks of its rows' logits."""
        tops, sums = self.top_and_log_sum_exp(logits)
        picked = logits[block.read_rows, block.targets].astype(np.float64) - sums[block.read_rows]
        return picked, tops[block.read_rows] == block.targets

    def log_probabilities(self, logits: Logits) -> Logits:
        """Return the log-probabilities of all tokens, shape (rows, vocabulary)."""
        values = np.empty_like(logits)

        def write(rows: slice) -> None:
            _, sums = _top_and_log_sum_exp(logits[rows])
            np.subtract(logits[rows], sums[:, None].astype(np.float32), out=values[rows])

        self._each(logits, write)
        return values

    def _each(self, logits: Logits, work: Rows) -> None:
        step = max(1, ROWS_BYTES // max(1, logits[:1].nbytes))
        parts = [slice(first, first + step) for first in range(0, len(logits), step)]
        if self._n_threads == 1 or len(parts) < 2:
            for part in parts:
                work(part)
            return
        list(self._pool.map(work, parts))


def _top_and_log_sum_exp(logits: Logits) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    tops = logits.argmax(-1)
    highest = np.take_along_axis(logits, tops[:, None], -1)
    scratch = logits - highest
    np.exp(scratch, out=scratch)
    return tops, highest[:, 0] + np.log(scratch.sum(-1, dtype=np.float64))
