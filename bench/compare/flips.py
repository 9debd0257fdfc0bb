"""Questions whose answer went from right to wrong or back: between two sweeps, or between two variants of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.compare.comparison import Comparison
from bench.metrics.accuracy import answers_of, right_or_wrong
from bench.metrics.answers import DocumentValue, right, values_of
from bench.records.values import Answers
from bench.summary.rows import Row

Texts = Mapping[str, tuple[str, tuple[str, ...]]]
"""A question and its choices in words, by the digest that a record has of it."""
NO_TEXTS: Texts = {}


@dataclass(frozen=True)
class Flip:
    """A question that one side answered right and the other wrong; `lost` says that it was right before.

    `gold`, `base` and `head` are numbers of choices, from 0. Where there are no choices, `gold` is None and the sides
    have the generated text, or the value of the metric. `question` is its digest; `text` and `choices` are its words,
    empty where they are not known.
    """

    variant: str
    task: str
    question: str
    subject: str
    gold: int | None
    base: DocumentValue | str
    head: DocumentValue | str
    lost: bool
    text: str = ""
    choices: tuple[str, ...] = ()


def flips(comparison: Comparison, texts: Texts = NO_TEXTS) -> Iterator[Flip]:
    """Yield the flipped questions behind every accuracy that could be compared."""
    for line in comparison.lines:
        kind, _, task = line.metric.partition(" ")
        if kind == "accuracy" and line.p is not None:
            sides = [
                answers_of([record for record in side.records if record.variant == line.variant], task)
                for side in (comparison.base, comparison.head)
            ]
            if sides[0] and sides[1]:
                yield from _flips(line.variant, task, sides[0], sides[1], texts)


def flips_between(before: Row, after: Row, texts: Texts = NO_TEXTS) -> Iterator[Flip]:
    """Yield the questions that flip from one variant of a sweep to another, in the tasks that asked both the same."""
    for task in right_or_wrong([*before.records, *after.records]):
        sides = before.answers.get(task), after.answers.get(task)
        if sides[0] and sides[1] and sides[0].question == sides[1].question:
            yield from _flips(after.variant, task, sides[0], sides[1], texts)


def _flips(variant: str, task: str, before: Answers, after: Answers, texts: Texts) -> Iterator[Flip]:
    golds: Sequence[int | None] = before.gold or [None] * len(before.question)
    columns = zip(before.question, before.subject, golds, _answered(before), _answered(after), strict=True)
    marks = zip(right(before), right(after), strict=True)
    for (question, subject, gold, base, head), (was, now) in zip(columns, marks, strict=True):
        if was != now:
            text, choices = texts.get(question, ("", ()))
            yield Flip(variant, task, question, subject, gold, base, head, was, text, choices)


def _answered(answers: Answers) -> Sequence[DocumentValue | str]:
    """Return what was answered to each question, as far as the record has it."""
    return answers.picked or answers.answer or values_of(answers)
