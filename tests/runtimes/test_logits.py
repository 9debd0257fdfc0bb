"""Rows of logits read in parallel: the same bits with any number of threads, and no overflow."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.runtimes.logits import ROWS_BYTES, LogitsReader


def test_log_sum_exp_does_not_overflow() -> None:
    logits = np.array([[1e4, 1e4 - 1.0], [0.0, -1e4]], dtype=np.float32)
    tops, sums = LogitsReader(1).top_and_log_sum_exp(logits)
    assert sums == pytest.approx([1e4 + math.log(1 + math.exp(-1)), 0.0])
    assert tops.tolist() == [0, 0]


def test_threads_change_no_bit_and_leave_out_no_row() -> None:
    n_vocab = 5_000
    n_rows = 3 * (ROWS_BYTES // (4 * n_vocab)) + 1
    logits = np.random.default_rng(3).normal(0, 4, (n_rows, n_vocab)).astype(np.float32)
    logits[:, 17] = logits[:, 4_000] = logits.max(-1)
    top = logits.max(-1, keepdims=True)
    sums = top[:, 0] + np.log(np.exp(logits - top).sum(-1, dtype=np.float64))
    for reader in (LogitsReader(1), LogitsReader(4)):
        tops, read = reader.top_and_log_sum_exp(logits)
        assert read.tolist() == sums.tolist()
        assert tops.tolist() == [17] * n_rows
        assert (reader.log_probabilities(logits) == logits - sums[:, None].astype(np.float32)).all()
