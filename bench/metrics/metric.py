"""What the raw values of a measure come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

THRESHOLDS = {
    "e2e_p50_ms": 0.05,
    "e2e_p99_ms": 0.10,
    "peak_resident_bytes": 0.05,
    "peak_device_bytes": 0.05,
    "accuracy": 0.01,
    "perplexity": 0.01,
    "score": 0.01,
    "divergence": 0.10,
}
"""The change that matters in practice: a share of the base's value; of accuracy a difference, 0.01 is a point."""


SHARES = {"e2e_p50_ms": 0.5, "e2e_p99_ms": 0.99}


@dataclass(frozen=True)
class Metric:
    """How a metric is read: its unit, which way is better, and the smallest change of it that matters.

    `threshold` is a share of 1: of the level where `relative`, else of all questions.
    """

    name: str
    title: str
    unit: str
    threshold: float
    relative: bool = True
    higher_is_better: bool = False

    @property
    def place(self) -> tuple[int, str]:
        """Return where it is told among all metrics."""
        return (METRICS.index(self) if self in METRICS else len(METRICS)), self.name


METRICS = (
    Metric("size_bytes", "Size", "byte", 0.0),
    Metric("ttft_p50_ms", "TTFT P50", "ms", THRESHOLDS["e2e_p50_ms"]),
    Metric("tpot_p50_ms", "TPOT P50", "ms", THRESHOLDS["e2e_p50_ms"]),
    Metric("e2e_p50_ms", "E2E P50", "ms", THRESHOLDS["e2e_p50_ms"]),
    Metric("e2e_p99_ms", "E2E P99", "ms", THRESHOLDS["e2e_p99_ms"]),
    Metric("peak_resident_bytes", "Peak memory", "byte", THRESHOLDS["peak_resident_bytes"]),
)


UNJUDGED = ("ttft_p50_ms", "tpot_p50_ms")
"""Metrics that `bench compare` has no verdict on: a part of E2E each, which it has."""


def metric_of(name: str) -> Metric:
    """Return the metric of a name; each task has an accuracy of its own."""
    if name.startswith("accuracy "):
        return Metric(name, f"Accuracy, {name.removeprefix('accuracy ')}", "share", THRESHOLDS["accuracy"], False, True)
    return next(metric for metric in METRICS if metric.name == name)


PERCENTILES = {
    "ttft_p50_ms": ("ttft_ms", 0.5),
    "tpot_p50_ms": ("tpot_ms", 0.5),
    "e2e_p50_ms": ("e2e_ms", 0.5),
    "e2e_p99_ms": ("e2e_ms", 0.99),
}


class Value(NamedTuple):
    """One metric of one variant at one commit, over all rounds, with the 95 % interval of its n samples.

    `identity` names what was measured, in words: values of different identities are no series. `answers` are a task's
    marks, one bit a question, as hexadecimal digits.
    """

    value: float
    low: float | None
    high: float | None
    n: int | None
    identity: Mapping[str, str]
    answers: str | None = None
