"""The warnings of a variant: those that a record states, and those that its raw values show."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.divergence import not_finite
from bench.records.types import Record

DERIVED = ("accuracy ", "divergence: ", "runtime parity: ")
"""How older records begin the warnings that are now computed on read."""


def of_steps(record: Record) -> list[str]:
    """Return the warnings of the steps and of the runner, and why a divergence has no numbers."""
    return [*(line for line in record.warnings if not line.startswith(DERIVED)), *_divergence(record)]


def slowed(records: Sequence[Record]) -> list[str]:
    """Return a warning where a card was slowed while requests of a variant were timed, by what, and how many."""
    timed = [latency for record in records if (latency := record.latency) and latency.cards]
    n = sum(len(latency.ttft_ms) for latency in timed)
    by_request = [
        [reason for reasons in several for reason in reasons]
        for latency in timed
        for several in zip(*(card.slowed_by for card in latency.cards), strict=True)
    ]
    many = sum(map(bool, by_request))
    if not many:
        return []
    reasons = ", ".join(dict.fromkeys(reason for reasons in by_request for reason in reasons))
    return [f"latency: {many:,} of {n:,} requests ran while the card was slowed by: {reasons}"]


def _divergence(record: Record) -> list[str]:
    measured = record.divergence
    broken = not_finite(measured) if measured else 0
    if not measured or not broken:
        return []
    n = len(measured.kl)
    return [f"divergence: not measured, {broken:,} of {n:,} tokens have a value that is no finite number"]
