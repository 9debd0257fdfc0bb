"""The numbers of one task of one variant: a share that is right, or a score by the task's own metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.metrics import answers as answered
from bench.records.schema import Answers
from bench.stats import proportions
from bench.stats.estimates import Estimate
from bench.stats.proportions import Paired, Share


@dataclass(frozen=True)
class Accuracy:
    """One task's answers: the share that is right, and against the base of the same runtime.

    `share` is the micro average, over questions; `macro` the mean over subjects, None where there is only one.
    `chance` is None where there are no choices to guess from.
    """

    task: str
    n: int
    correct: int
    share: Share
    macro: Share | None
    chance: float | None
    standing: str
    against: Paired | None
    p_holm: float | None
    subjects: Mapping[str, tuple[int, int]]
    answers: Answers

    @property
    def at_chance(self) -> bool:
        """Say whether guessing, or always giving the most frequent answer, is not beaten."""
        return bool(self.standing)


@dataclass(frozen=True)
class Score:
    """One task whose documents are not right or wrong, as a perplexity; `found` is None where a value is missing."""

    task: str
    metric: str
    n: int
    found: Estimate | None
    answers: Answers


def accuracy_of(tasks: Mapping[str, Answers]) -> dict[str, Accuracy]:
    """Return the tasks whose questions are right or wrong."""
    return {task: _accuracy(task, answers) for task, answers in tasks.items() if answered.marked(answers)}


def scores_of(tasks: Mapping[str, Answers], also_marked: bool = False) -> dict[str, Score]:
    """Return the tasks that have another number; on request also those whose numbers all happen to be 0 or 1."""
    return {
        task: Score(task, answers["metric"], len(answers["value"]), answered.score(answers), answers)
        for task, answers in tasks.items()
        if also_marked or not answered.marked(answers)
    }


def _accuracy(task: str, answers: Answers) -> Accuracy:
    subjects = answered.subjects_of(answers)
    correct, n = (sum(column) for column in zip(*subjects.values(), strict=True))
    return Accuracy(
        task=task,
        n=n,
        correct=correct,
        share=proportions.wilson(correct, n),
        macro=proportions.macro_average(list(subjects.values())) if len(subjects) > 1 else None,
        chance=next(iter(answered.guesses(answers)), None),
        standing=answered.standing(answers),
        against=None,
        p_holm=None,
        subjects=subjects,
        answers=answers,
    )


def paired(before: Accuracy | None, after: Accuracy | None) -> Paired | None:
    """Compare two variants' answers, None unless both were asked the same questions in the same words."""
    if before is None or after is None or not answered.same_questions(before.answers, after.answers):
        return None
    return proportions.paired_difference(answered.right(before.answers), answered.right(after.answers))
