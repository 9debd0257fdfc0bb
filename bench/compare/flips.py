"""Questions whose answer went from right to wrong or back between two sweeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.compare.comparison import Comparison
from bench.metrics.answers import right
from bench.records.schema import Answers
from bench.records.store import Record


@dataclass(frozen=True)
class Flip:
    """A question that one side answered right and the other wrong; `lost` says that it was right before.

    `gold`, `base` and `head` are numbers of choices, from 0. Where there are no choices, `gold` is None and the sides
    have the generated text, or the value of the metric.
    """

    variant: str
    task: str
    question: str
    subject: str
    gold: int | None
    base: int | float | str | None
    head: int | float | str | None
    lost: bool


def flips(found: Comparison) -> Iterator[Flip]:
    """Yield the flipped questions behind every accuracy of a comparison that could be compared."""
    for line in found.lines:
        kind, _, task = line.metric.partition(" ")
        if kind == "accuracy" and line.p is not None:
            sides = [_answers(side.records, line.variant, task) for side in (found.base, found.head)]
            marks = zip(*map(right, sides), strict=True)
            gold = sides[0].get("gold") or [None] * len(sides[0]["question"])
            columns = [sides[0]["question"], sides[0]["subject"], gold, *map(_said, sides), marks]
            for question, subject, wanted, before, after, (was, now) in zip(*columns, strict=True):
                if was != now:
                    yield Flip(line.variant, task, question, subject, wanted, before, after, lost=was)


def _said(answers: Answers) -> list[Any]:
    """Return what was answered to each question, as far as the record has it."""
    found: list[Any] = next(answers[name] for name in ("picked", "answer", "value") if answers.get(name) is not None)
    return found


def _answers(records: tuple[Record, ...], variant: str, task: str) -> Answers:
    of = (record.measures.get("accuracy", {}) for record in records if record.variant == variant)
    return next(tasks[task] for tasks in of if task in tasks)
