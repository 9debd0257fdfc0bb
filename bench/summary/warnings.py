"""The warnings of a variant: those that a record states, and those that its raw values show."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.divergence import not_finite
from bench.records.types import Record
from bench.records.values import CardLoad

DERIVED = ("accuracy ", "divergence: ", "runtime parity: ")
"""How older records begin the warnings that are now computed on read."""


def of_steps(record: Record) -> list[str]:
    """Return the warnings of the steps and of the runner, and why a divergence has no numbers."""
    return [*(line for line in record.warnings if not line.startswith(DERIVED)), *_divergence(record)]


def slowed(records: Sequence[Record]) -> list[str]:
    """Return warnings where a card was slowed while a variant was timed: by what, and during how much of it."""
    requests = [latency.cards for record in records if (latency := record.latency)]
    prompts = [prefill.cards for record in records if (prefill := record.prefill)]
    return [*_slowed("latency", "requests", requests), *_slowed("prefill", "prompts", prompts)]


def _slowed(measure: str, turns: str, rounds: Sequence[Sequence[CardLoad]]) -> list[str]:
    """Count the turns of a measure in which any of its cards was slowed; `rounds` have the cards of each round."""
    by_turn = [
        [reason for reasons in several for reason in reasons]
        for cards in rounds
        for several in zip(*(card.slowed_by for card in cards), strict=True)
    ]
    many = sum(map(bool, by_turn))
    if not many:
        return []
    reasons = ", ".join(dict.fromkeys(reason for reasons in by_turn for reason in reasons))
    return [f"{measure}: {many:,} of {len(by_turn):,} {turns} ran while the card was slowed by: {reasons}"]


def _divergence(record: Record) -> list[str]:
    measured = record.divergence
    broken = not_finite(measured) if measured else 0
    if not measured or not broken:
        return []
    n = len(measured.kl)
    return [f"divergence: not measured, {broken:,} of {n:,} tokens have a value that is no finite number"]
