"""What the divergence measure says, computed on read: how far a variant's next-token distributions are from base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.stats import estimates
from bench.stats.estimates import Estimate


@dataclass(frozen=True)
class Divergence:
    """A variant against the base of its runtime over one text; KL in nats per token, shares of 1.

    The intervals take windows of consecutive tokens as clusters, so each `n` is that of windows. `kl_p99` has none.
    """

    base: str
    text: str
    tokens: int
    windows: int
    kl_mean: Estimate
    kl_p99: float
    same_top: Estimate
    perplexity: Estimate
    base_perplexity: Estimate
    rounding_floor: float | None


def not_numbers(found: Mapping[str, Any]) -> int:
    """Count the tokens with a value that was no finite number."""
    return sum(None in token for token in zip(found["kl"], found["nll"], found["base_nll"], strict=True))


def warnings(found: Mapping[str, Any]) -> list[str]:
    """Say in one line why there are no numbers."""
    broken = not_numbers(found)
    if not broken:
        return []
    return [
        f"divergence: not measured, {broken:,} of {len(found['kl']):,} tokens have a value that is no finite number"
    ]


def divergence(found: Mapping[str, Any]) -> Divergence | None:
    """Return the numbers of one record's `measures.divergence`, None where it has none or one is not finite."""
    if not found or not_numbers(found):
        return None
    tokens, window = len(found["kl"]), int(found["window"])
    tops = [int(mark) for mark in found["same_top"]]
    return Divergence(
        base=str(found["base_variant"]),
        text=str(found["text"]),
        tokens=tokens,
        windows=-(-tokens // window),
        kl_mean=_mean(found["kl"], window),
        kl_p99=estimates.percentile(found["kl"], 0.99),
        same_top=_same(tops, window),
        perplexity=estimates.exponential(_mean(found["nll"], window)),
        base_perplexity=estimates.exponential(_mean(found["base_nll"], window)),
        rounding_floor=found.get("rounding_floor"),
    )


def _mean(values: Sequence[float], window: int) -> Estimate:
    return estimates.ratio_mean(*estimates.windows(values, window))


def _same(marks: Sequence[int], window: int) -> Estimate:
    """Return the share of ones, its ends within 0 and 1; no ends where all are alike, as windows show no spread."""
    found = _mean(marks, window)
    if found.low is None or found.high is None or found.value in (0.0, 1.0):
        return Estimate(found.value, None, None, found.n)
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high), found.n)
