"""What the columns of one task say: right or wrong, a score by its metric, no better than guessing, or broken."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Literal

from bench.records.schema import Answers
from bench.stats import estimates, proportions
from bench.stats.estimates import Estimate
from bench.stats.proportions import Share

ASKED = ("version", "metric", "question", "gold", "prompt_sha256")
"""What has to be equal for answers to be answers to the same questions in the same words."""
PERPLEXITIES = ("perplexity", "word_perplexity", "byte_perplexity")


def marked(answers: Answers) -> bool:
    """Say whether each question is right or wrong; if not, `score` has the task's number."""
    if "picked" in answers:
        return True
    return not is_perplexity(answers) and all(value in (0, 1, None) for value in answers["value"])


def is_perplexity(answers: Answers) -> bool:
    """Say whether a task's number is a perplexity, the exponential of a mean."""
    return "metric" in answers and _metric(answers) in PERPLEXITIES


def _metric(answers: Answers) -> str:
    """Return lm-eval's name of the metric without that of the filter behind it."""
    return str(answers["metric"]).partition(",")[0]


def right(answers: Answers) -> list[bool]:
    """Return for each question whether it was answered right; only where the task is `marked`."""
    if "picked" in answers:
        return [picked == gold for picked, gold in zip(answers["picked"], answers["gold"], strict=True)]
    return [value == 1 for value in answers["value"]]


def score(answers: Answers) -> Estimate | None:
    """Return the number of a task that is not `marked`, in the unit of its metric; None where a value is missing.

    As lm-eval aggregates: perplexities are exp(-sum of log-likelihoods / sum of weights), bits_per_byte the same
    in bits, anything else a mean. The interval is Student's over documents (`stats.ratio_mean`).
    """
    if not_numbers(answers):
        return None
    mean = estimates.ratio_mean(*documents(answers))
    return estimates.exponential(mean) if is_perplexity(answers) else mean


def documents(answers: Answers) -> tuple[list[float], list[float]]:
    """Return what each document adds to the mean of a task that is not `marked`, and its weight.

    Of a perplexity the mean is in nats, of bits_per_byte in bits, both the larger the worse.
    """
    pairs = [value if isinstance(value, list) else [value, 1] for value in answers["value"]]
    unit = -1.0 if is_perplexity(answers) else -1 / math.log(2) if _metric(answers) == "bits_per_byte" else 1.0
    return [unit * value for value, _ in pairs], [weight for _, weight in pairs]


def higher_is_better(answers: Answers) -> bool | None:
    """Say which way the number of a task with a `metric` is better; None where nothing says it."""
    if is_perplexity(answers) or _metric(answers) == "bits_per_byte":
        return False
    return answers.get("higher_is_better")


def same_questions(before: Answers, after: Answers) -> bool:
    """Say whether two variants were asked the same questions in the same words."""
    return all(before.get(key) == after.get(key) for key in ASKED)


def subjects_of(answers: Answers) -> dict[str, tuple[int, int]]:
    """Return right answers and questions of each subject, in the order in which they were asked."""
    found: dict[str, tuple[int, int]] = {}
    for subject, mark in zip(answers["subject"], right(answers), strict=True):
        hits, asked = found.get(subject, (0, 0))
        found[subject] = (hits + mark, asked + 1)
    return found


def guesses(answers: Answers) -> tuple[float, ...]:
    """Return the share right of picking blindly, and of always giving the most frequent answer; empty without choices.

    Where the right choice always stands at one place (as lm-eval writes truthfulqa_mc1 and blimp), that place is no
    answer a model could learn, and only blind picking is left.
    """
    if "picked" not in answers:
        return ()
    n = len(answers["gold"])
    places: Counter[int] = Counter(answers["gold"])
    blind = sum(1 / len(choices) for choices in answers["loglik"]) / n
    return (blind, max(places.values()) / n) if len(places) > 1 else (blind,)


def guessing(answers: Answers) -> str:
    """Say what no knowledge at all would give, as "guessing gives 25.0 %, always the most frequent answer 27.1 %"."""
    shares = [f"{100 * value:.1f} %" for value in guesses(answers)]
    return f"guessing gives {', always the most frequent answer '.join(shares)}" if shares else ""


def dealt_anew(answers: Answers) -> float:
    """Return the share right to expect of a variant's picks if they were dealt out anew within each subject.

    It is what preferences for letters give by themselves (expected agreement, Cohen 1960), often less than blind picks.
    """
    subjects: dict[str, tuple[Counter[int], Counter[int]]] = {}
    for subject, gold, picked in zip(answers["subject"], answers["gold"], answers["picked"], strict=True):
        golds, picks = subjects.setdefault(subject, (Counter(), Counter()))
        golds[gold] += 1
        picks[picked] += 1
    expected = [sum(golds[k] * picks[k] for k in golds) / golds.total() for golds, picks in subjects.values()]
    return sum(expected) / len(answers["gold"])


def standing(answers: Answers) -> Literal["", "at chance", "below chance"]:
    """Say in words whether a share right is no better than guessing, within its 95 % interval.

    Below chance is one that letter preferences alone do not explain.
    """
    guess = guesses(answers)
    if not guess:
        return ""
    found = _share(answers)
    if found.high < min(*guess, dealt_anew(answers)):
        return "below chance"
    return "at chance" if found.low <= max(guess) else ""


def _share(answers: Answers) -> Share:
    marks = right(answers)
    return proportions.wilson(sum(marks), len(marks))


def ties(answers: Answers) -> int:
    """Count the questions whose choices all have the same log-likelihood: no answer was given."""
    return sum(None not in row and len(row) > 1 and max(row) == min(row) for row in answers.get("loglik", ()))


def not_numbers(answers: Answers) -> int:
    """Count the questions with a log-likelihood or a value that is not a finite number."""
    if "value" in answers:
        return sum(value is None or (isinstance(value, list) and None in value) for value in answers["value"])
    return sum(None in row for row in answers["loglik"])


def warnings(task: str, answers: Answers) -> list[str]:
    """Say in one line each what a reader must know before the number of this task."""
    n, lines = len(answers["question"]), []
    if broken := not_numbers(answers):
        lines.append(f"{broken} of {n} questions have a log-likelihood or value that is not a finite number")
    if tied := ties(answers):
        lines.append(f"all choices have the same log-likelihood on {tied} of {n} questions")
    if words := standing(answers):
        share = _share(answers)
        lines.append(
            f"{words}: {100 * share.value:.1f} % right ({100 * share.low:.1f}–{100 * share.high:.1f}, n = {n}), "
            + guessing(answers)
        )
    if cut := answers.get("truncated"):
        lines.append(f"{cut} prompts of {n} questions were cut on the left to fit the context")
    if answers.get("without_system"):
        lines.append("the chat template refuses a system message: the task's description was left out, as lm-eval does")
    if different := tokenizer_difference(answers):
        lines.append(different)
    return [f"accuracy {task}: {line}" for line in lines]


def tokenizer_difference(answers: Answers) -> str:
    """Say where the GGUF's own tokenizer and the source's differ, with an example; nothing where they do not."""
    found = answers.get("tokenizer") or {}
    if not found.get("different"):
        return ""
    said = f"the GGUF's tokenizer and the source's differ on {found['different']:,} of {found['compared']:,} texts"
    example = found.get("example")
    if not example:
        return said
    return f"{said}, for example {_cut(example['text'])}: {_cut(example['gguf'])} against {_cut(example['hf'])}"


def _cut(shown: Any, length: int = 80) -> str:
    text = repr(shown)
    return text if len(text) <= length else f"{text[: length - 1]}…"
