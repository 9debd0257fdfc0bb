"""What metrics are called in a sentence or a table that people read; programs and options use their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from bench.metrics.catalogue import templates

LATENCIES: Mapping[str, str] = {
    "ttft": "Time to first token",
    "tpot": "Time per output token",
    "e2e": "Time of a request",
}
OTHERS: Mapping[str, str] = {
    "artifact": "Weights",
    "tensor_types": "Types of the tensors",
    "record": "Record",
    "kl_mean": "Divergence from the base, mean KL",
}
"""Those that are no metric, or whose title is short for the head of a column."""


def metric_in_words(name: str) -> str:
    """Return what a metric is called in words, such as "Time of a request, median" for `e2e_p50_ms`."""
    kind, _, task = name.partition(" ")
    if latency := re.fullmatch(r"(ttft|tpot|e2e)_p(\d+)_ms", kind):
        at = "median" if latency[2] == "50" else f"P{latency[2]}"
        return f"{LATENCIES[latency[1]]}, {at}"
    words = OTHERS.get(kind) or _titles().get((kind, bool(task)), kind)
    return f"{words}, {task}" if task else words


@cache
def _titles() -> Mapping[tuple[str, bool], str]:
    return {(metric.kind, metric.tasks is not None): metric.title for metric in templates()}
