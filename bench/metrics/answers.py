"""The answers to one task: which are right, what they score by the task's metric, and which are broken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from bench.records.values import Answers
from bench.stats import estimates
from bench.stats.estimates import Estimate

PERPLEXITIES = ("perplexity", "word_perplexity", "byte_perplexity")
DocumentValue = float | tuple[float | None, float | None] | None


def values_of(answers: Answers) -> Sequence[DocumentValue]:
    """Return the value of each document, none where the task has choices instead."""
    return answers.value or ()


def is_right_or_wrong(answers: Answers) -> bool:
    """Say whether each question is right or wrong; if not, `score` has the task's number."""
    if answers.picked is not None:
        return True
    return not is_perplexity(answers) and all(value in (0, 1, None) for value in values_of(answers))


def is_perplexity(answers: Answers) -> bool:
    """Say whether a task's number is a perplexity, the exponential of a mean."""
    return _metric(answers) in PERPLEXITIES


def _metric(answers: Answers) -> str:
    """Return lm-eval's name of the metric without that of the filter behind it; empty where the task has choices."""
    return (answers.metric or "").partition(",")[0]


def right(answers: Answers) -> list[bool]:
    """Return for each question whether it was answered right; only where the task is right or wrong."""
    if answers.picked is not None and answers.gold is not None:
        return [picked == gold for picked, gold in zip(answers.picked, answers.gold, strict=True)]
    return [value == 1 for value in values_of(answers)]


def score(answers: Answers) -> Estimate | None:
    """Return the number of a task that is not right or wrong, in the unit of its metric; None where one is missing.

    As lm-eval aggregates: perplexities are exp(-sum of log-likelihoods / sum of weights), bits_per_byte the same
    in bits, anything else a mean. The interval is Student's over documents (`estimates.ratio_mean`).
    """
    if not_finite(answers):
        return None
    mean = estimates.ratio_mean(*documents(answers))
    return estimates.exponential(mean) if is_perplexity(answers) else mean


def documents(answers: Answers) -> tuple[list[float], list[float]]:
    """Return what each document adds to the mean of a task that is not right or wrong, and its weight.

    Of a perplexity the mean is in nats, of bits_per_byte in bits, both the larger the worse. Only where all values
    are finite.
    """
    pairs = [value if isinstance(value, tuple) else (value, 1.0) for value in values_of(answers)]
    unit = -1.0 if is_perplexity(answers) else -1 / math.log(2) if _metric(answers) == "bits_per_byte" else 1.0
    sums = [unit * value for value, _ in pairs if value is not None]
    return sums, [weight for _, weight in pairs if weight is not None]


def higher_is_better(answers: Answers) -> bool | None:
    """Say which way the number of a task with a `metric` is better; None where nothing says it."""
    if is_perplexity(answers) or _metric(answers) == "bits_per_byte":
        return False
    return answers.higher_is_better


def subjects_of(answers: Answers) -> dict[str, tuple[int, int]]:
    """Return right answers and questions of each subject, in the order in which they were asked."""
    counts: dict[str, tuple[int, int]] = {}
    for subject, is_right in zip(answers.subject, right(answers), strict=True):
        hits, asked = counts.get(subject, (0, 0))
        counts[subject] = (hits + is_right, asked + 1)
    return counts


def unit_of(answers: Answers) -> Literal["1", "bit"]:
    """Return the unit of a task's number that is not right or wrong."""
    return "bit" if _metric(answers) == "bits_per_byte" else "1"


def ties(answers: Answers) -> int:
    """Count the questions whose choices all have the same log-likelihood: no answer was given."""
    rows = [[value for value in row if value is not None] for row in answers.loglik or () if None not in row]
    return sum(len(row) > 1 and max(row) == min(row) for row in rows)


def not_likeliest(answers: Answers) -> int:
    """Count the questions whose stated answer is not the likeliest choice: the record contradicts itself."""
    picks = zip(answers.picked or (), answers.loglik or (), strict=True)
    return sum(not _is_likeliest(picked, row) for picked, row in picks)


def _is_likeliest(picked: int, row: Sequence[float | None]) -> bool:
    finite = [value for value in row if value is not None]
    return (0 <= picked < len(row) and row[picked] == max(finite)) if finite else picked == -1


def same_questions_other_answers(one: Answers, other: Answers) -> int:
    """Count the questions that two variants were asked alike, and for which they state other right answers."""
    if one.question != other.question or one.gold is None or other.gold is None:
        return 0
    return sum(a != b for a, b in zip(one.gold, other.gold, strict=True))


def not_finite(answers: Answers) -> int:
    """Count the questions with a log-likelihood or a value that is not a finite number."""
    if answers.value is not None:
        return sum(value is None or (isinstance(value, tuple) and None in value) for value in answers.value)
    return sum(None in row for row in answers.loglik or ())


def tokenizer_difference(answers: Answers) -> str:
    """Say how the GGUF's own tokenizer and the source's differ, with an example; nothing where they do not."""
    compared = answers.tokenizer
    if compared is None:
        return ""
    texts = []
    if compared.different:
        differ = (
            f"the GGUF's tokenizer and the source's differ on {compared.different:,} of {compared.compared:,} texts"
        )
        example = compared.example
        if example:
            differ += f", for example {_cut(example['text'])}: {_cut(example['gguf'])} against {_cut(example['hf'])}"
        texts.append(differ)
    for what, put in (("every text", compared.starts), ("a text without context", compared.alone)):
        if put:
            texts.append(f"before {what} the GGUF puts the tokens {put['gguf']}, its source {put['hf']}")
    return "; ".join(texts)


PROMPT_CAUSES = {
    "num_fewshot": "the number of examples",
    "chat_template": "the chat template",
    "without_system": "a chat template that refuses a system message",
    "template_date": "the date that the chat template writes",
    "template_tokens": "the special tokens that the chat template writes, which the tokenizers state",
    "question": "the questions",
}
"""What can make the prompts of two variants differ, by the column of `Answers` that shows it; the first is named."""


def prompt_difference(one: Answers, other: Answers) -> str:
    """Name what makes the prompts of two variants differ, empty where they do not or where one states none."""
    if None in (one.prompt_sha256, other.prompt_sha256) or one.prompt_sha256 == other.prompt_sha256:
        return ""
    for column, cause in PROMPT_CAUSES.items():
        values = getattr(one, column), getattr(other, column)
        if values[0] != values[1]:
            shown = "" if column == "question" else f" ({' / '.join(_cut(value, 40) for value in values)})"
            return f"{cause}{shown}"
    return "the text of the task"


def _cut(shown: object, length: int = 80) -> str:
    text = repr(shown)
    return text if len(text) <= length else f"{text[: length - 1]}…"
