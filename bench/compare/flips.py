"""Questions whose answer went from right to wrong or back between two sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.compare.comparison import Comparison
from bench.metrics.accuracy import answers_of
from bench.metrics.answers import DocumentValue, right, values_of
from bench.records.values import Answers


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
    base: DocumentValue | str
    head: DocumentValue | str
    lost: bool


def flips(comparison: Comparison) -> Iterator[Flip]:
    """Yield the flipped questions behind every accuracy that could be compared."""
    for line in comparison.lines:
        kind, _, task = line.metric.partition(" ")
        if kind == "accuracy" and line.p is not None:
            sides = [
                answers_of([record for record in side.records if record.variant == line.variant], task)
                for side in (comparison.base, comparison.head)
            ]
            if sides[0] and sides[1]:
                yield from _flips(line.variant, task, sides[0], sides[1])


def _flips(variant: str, task: str, before: Answers, after: Answers) -> Iterator[Flip]:
    golds: Sequence[int | None] = before.gold or [None] * len(before.question)
    columns = zip(before.question, before.subject, golds, _answered(before), _answered(after), strict=True)
    marks = zip(right(before), right(after), strict=True)
    for (question, subject, gold, base, head), (was, now) in zip(columns, marks, strict=True):
        if was != now:
            yield Flip(variant, task, question, subject, gold, base, head, lost=was)


def _answered(answers: Answers) -> Sequence[DocumentValue | str]:
    """Return what was answered to each question, as far as the record has it."""
    return answers.picked or answers.answer or values_of(answers)
