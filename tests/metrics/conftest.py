"""Made-up answers to a task."""

from __future__ import annotations

from bench.metrics.answers import (
    DocumentValue,
)
from bench.records.values import Answers


def choices(correct: int, n: int = 100, golds: tuple[int, ...] = (0, 1, 2, 3)) -> Answers:
    gold = [golds[i % len(golds)] for i in range(n)]
    picked = [g if i < correct else (g + 1) % 4 for i, g in enumerate(gold)]
    loglik: list[list[float | None]] = [[-1.0 if k == p else -3.0 - k for k in range(4)] for p in picked]
    return Answers([str(i) for i in range(n)], [""] * n, gold=gold, picked=picked, loglik=loglik)


def valued(metric: str, value: list[DocumentValue]) -> Answers:
    n = len(value)
    return Answers([str(i) for i in range(n)], [""] * n, metric=metric, value=value)
