"""Pack the samples that a test of two neighbouring commits takes into short texts, and unpack them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence

import numpy as np

from bench.history.series import Packed, Value
from bench.metrics.metric import Clusters, Marks, Metric, Records


def pack(metric: Metric, records: Records) -> Packed | None:
    """Return the sample of a metric in short, None where its test takes no more than the values."""
    if metric.sample is None or metric.test not in ("questions", "documents", "windows"):
        return None
    sample = metric.sample(records)
    if isinstance(sample, Marks):
        return Packed(right=_text(np.packbits(sample.right).tobytes()))
    if isinstance(sample, Clusters):
        return Packed(sums=_numbers(sample.sums), weights=_numbers(sample.weights), log=sample.log, floor=sample.floor)
    return None


def marks(value: Value) -> list[bool]:
    """Return for each question whether it was answered right."""
    packed = np.frombuffer(b64decode(value.sample.right if value.sample else ""), dtype=np.uint8)
    return [bool(bit) for bit in np.unpackbits(packed, count=value.n)]


def clusters(value: Value) -> Clusters:
    """Return what each document or window adds to the mean."""
    packed = value.sample or Packed()
    sums, weights = (
        np.frombuffer(b64decode(text), dtype="<f4").astype(float).tolist() for text in (packed.sums, packed.weights)
    )
    return Clusters(sums, weights, log=packed.log, floor=packed.floor)


def _numbers(values: Sequence[float]) -> str:
    return _text(np.asarray(values, dtype="<f4").tobytes())


def _text(content: bytes) -> str:
    return b64encode(content).decode()
