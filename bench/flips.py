"""Questions whose answer went from right to wrong or back between two sweeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.compare import Comparison
from bench.read import Record


@dataclass(frozen=True)
class Flip:
    """A question that one side answered right and the other wrong; `base` and `head` are the choices picked, from 0."""

    variant: str
    task: str
    question: str
    subject: str
    gold: int
    base: int
    head: int

    @property
    def lost(self) -> bool:
        """Say whether it was right before."""
        return self.base == self.gold


def flips(found: Comparison) -> Iterator[Flip]:
    """Yield the flipped questions behind every accuracy of a comparison that could be compared."""
    for line in found.lines:
        kind, _, task = line.metric.partition(" ")
        if kind == "accuracy" and line.p is not None:
            sides = [_answers(side.records, line.variant, task) for side in (found.base, found.head)]
            columns = [sides[0][name] for name in ("question", "subject", "gold", "picked")] + [sides[1]["picked"]]
            for question, subject, gold, before, after in zip(*columns, strict=True):
                if (before == gold) != (after == gold):
                    yield Flip(line.variant, task, question, subject, gold, before, after)


def _answers(records: tuple[Record, ...], variant: str, task: str) -> dict[str, Any]:
    return next(
        record.measures["accuracy"][task]
        for record in records
        if record.variant == variant and task in record.measures.get("accuracy", {})
    )
