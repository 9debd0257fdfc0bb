"""Runtime parity: the same model in two runtimes must give the same answers, or the scores of neither are believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.metrics.accuracy import ACCURACY, answers_of, asked
from bench.metrics.answers import is_perplexity, is_right_or_wrong, score, values_of
from bench.metrics.metric import difference, identity_of
from bench.records.types import Record
from bench.records.values import Answers

SAME_ANSWERS = 0.99
"""Share of equal answers below which a runtime is said to score wrongly."""
SAME_SCORE = 0.01
"""The same for tasks without answers, such as perplexities: the most by which the two scores may differ, as a share."""


@dataclass(frozen=True)
class Agreement:
    """How two runtimes answered one task of `n` questions.

    `same` counts equal answers, None where the task has none to compare: `apart` is then by which share of itself the
    score differs. `largest_difference` is that of a log-likelihood in nats, None where there is none that both have.
    """

    n: int
    same: int | None
    largest_difference: float | None
    apart: float | None = None

    @property
    def holds(self) -> bool:
        """Say whether the two answer or score alike enough to be the same model."""
        if self.same is not None:
            return self.same / self.n >= SAME_ANSWERS
        return self.apart is None or self.apart <= SAME_SCORE


def model(record: Record) -> tuple[str, ...]:
    """Return the artifacts that a record's model is made of, conversions left out; empty where nothing was built."""
    role = dict(zip(record.steps, record.roles, strict=True))
    return tuple(made.fingerprint for made in record.lineage if role.get(made.step) != "convert")


def parity(one: Sequence[Record], other: Sequence[Record]) -> dict[str, Agreement]:
    """Compare the answers of two runtimes, by task; only those that both were asked in the same words."""
    return {task: _compared(*pair) for task, pair in same_questions(one, other).items()}


def same_questions(one: Sequence[Record], other: Sequence[Record]) -> dict[str, tuple[Answers, Answers]]:
    """Return the answers of two variants to each task that both were asked, put and scored in the same way."""
    both: dict[str, tuple[Answers, Answers]] = {}
    for task in asked(one):
        before, after, metric = answers_of(one, task), answers_of(other, task), ACCURACY.of(task)
        if before and after and not difference(identity_of(metric, one), identity_of(metric, other)):
            both[task] = before, after
    return both


def _compared(one: Answers, other: Answers) -> Agreement:
    pairs = _answered(one, other)
    same = None if pairs is None else sum(a == b for a, b in pairs)
    apart = None if pairs is not None else _apart(one, other)
    return Agreement(len(one.question), same, _largest_difference(one, other), apart)


def _apart(one: Answers, other: Answers) -> float | None:
    """Return by which share of the first its score and the second's differ, None where one is not finite."""
    before, after = score(one), score(other)
    if before is None or after is None:
        return None
    return abs(after.value - before.value) / abs(before.value) if before.value else float(after.value != before.value)


def _answered(one: Answers, other: Answers) -> list[tuple[object, object]] | None:
    """Return the answers of both side by side; None where they are numbers that no two runtimes share to the digit."""
    if one.picked is not None and other.picked is not None:
        return list(zip(one.picked, other.picked, strict=True))
    if one.answer is not None and other.answer is not None:
        return list(zip(one.answer, other.answer, strict=True))
    if is_right_or_wrong(one) and is_right_or_wrong(other):
        return list(zip(values_of(one), values_of(other), strict=True))
    return None


def _largest_difference(one: Answers, other: Answers) -> float | None:
    ours, theirs = list(_log_likelihoods(one)), list(_log_likelihoods(other))
    if len(ours) != len(theirs):  # of choices that are not alike
        return None
    pairs = zip(ours, theirs, strict=True)
    differences = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return round(max(differences), 6) if differences else None


def _log_likelihoods(answers: Answers) -> Iterator[float | None]:
    """Yield the log-likelihoods of a task, none where its values are something else."""
    for row in answers.loglik or ():
        yield from row
    values = values_of(answers)
    if any(isinstance(value, tuple) for value in values):
        yield from (value[0] if isinstance(value, tuple) else value for value in values)
    elif is_perplexity(answers):
        yield from (value for value in values if not isinstance(value, tuple))
