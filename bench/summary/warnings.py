"""The warnings of a variant: those that a record states, and those that its raw values show."""

from __future__ import annotations

from bench.metrics.divergence import not_finite
from bench.records.types import Record

DERIVED = ("accuracy ", "divergence: ", "runtime parity: ")
"""How older records begin the warnings that are now computed on read."""


def of_steps(record: Record) -> list[str]:
    """Return the warnings of the steps and of the runner, and why a divergence has no numbers."""
    return [*(line for line in record.warnings if not line.startswith(DERIVED)), *_divergence(record)]


def _divergence(record: Record) -> list[str]:
    measured = record.divergence
    broken = not_finite(measured) if measured else 0
    if not measured or not broken:
        return []
    n = len(measured.kl)
    return [f"divergence: not measured, {broken:,} of {n:,} tokens have a value that is no finite number"]
