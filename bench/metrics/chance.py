"""The chance level of a task: what guessing would give, and whether a variant did better."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from bench.metrics.answers import right
from bench.records.values import Answers
from bench.stats.proportions import wilson

ChanceLevel = Literal["", "at chance", "below chance"]


def guesses(answers: Answers) -> tuple[float, ...]:
    """Return the share right of picking blindly, and of always giving the most frequent answer; empty without choices.

    Where the right choice always has the same number (as lm-eval writes truthfulqa_mc1 and blimp), a model cannot learn
    that number, and only blind picking is left.
    """
    if answers.gold is None or answers.loglik is None:
        return ()
    n = len(answers.gold)
    places: Counter[int] = Counter(answers.gold)
    blind = sum(1 / len(choices) for choices in answers.loglik) / n
    return (blind, max(places.values()) / n) if len(places) > 1 else (blind,)


def guessing(answers: Answers) -> str:
    """Say what guessing would give, as "guessing gives 25.0 %, always the most frequent answer 27.1 %"."""
    shares = [f"{100 * value:.1f} %" for value in guesses(answers)]
    return f"guessing gives {', always the most frequent answer '.join(shares)}" if shares else ""


def shuffled_accuracy(answers: Answers) -> float:
    """Return the accuracy that chance alone would give if this variant's picks were shuffled within each subject.

    A preference for some letters gives this much by itself (expected agreement, Cohen 1960), often below blind picks.
    """
    subjects: dict[str, tuple[Counter[int], Counter[int]]] = {}
    for subject, gold, picked in zip(answers.subject, answers.gold or (), answers.picked or (), strict=True):
        golds, picks = subjects.setdefault(subject, (Counter(), Counter()))
        golds[gold] += 1
        picks[picked] += 1
    expected = [sum(golds[k] * picks[k] for k in golds) / golds.total() for golds, picks in subjects.values()]
    return sum(expected) / len(answers.subject)


def chance_level(answers: Answers) -> ChanceLevel:
    """Say in words whether a share right is no better than guessing, within its 95 % interval.

    Below chance is one that letter preferences alone do not explain.
    """
    guess = guesses(answers)
    if not guess:
        return ""
    is_right = right(answers)
    share = wilson(sum(is_right), len(is_right))
    if share.high < min(*guess, shuffled_accuracy(answers)):
        return "below chance"
    return "at chance" if share.low <= max(guess) else ""
