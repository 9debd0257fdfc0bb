"""Turn what lm-eval logged of a task into the columns of a record: one entry a question, nothing averaged."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat, TypedDict

from bench.tasks import task_yaml
from bench.tasks.load import Task, subject_of
from variants.configure import nearest

if TYPE_CHECKING:
    from bench.scoring.scorer import Scoring
    from bench.scoring.tokenizer_parity import TokenizerComparison

Sample = Mapping[str, Any]
"""One question as lm-eval logs it."""
Doc = Mapping[str, object]
"""A row of a task's data."""


class Answered(TypedDict, total=False):
    """What a model answered to each question of a task. A record keeps it under these keys.

    Multiple choice has `gold`, `picked` (numbers of choices) and `loglik` (nats, one per choice). Other tasks have a
    `metric`, a `value` per question (a number, or a pair of numbers), and the `answer` where one was generated.
    """

    prompt_sha256: str
    question: list[str]
    subject: list[str]
    gold: list[int]
    picked: list[int]
    loglik: list[list[float | None]]
    metric: str
    higher_is_better: bool | None
    value: list[object]
    answer: list[str]


class Columns(Answered, total=False):
    """The answers to a task, and how it was asked and scored: its entry in a record's `accuracy`."""

    version: object
    n: int
    truncated: int
    num_fewshot: int | list[int]
    chat_template: str | None
    without_system: bool
    template_date: str | None
    template_tokens: dict[str, str] | None
    scorer: str
    scoring: Scoring
    tokenizer: TokenizerComparison | None


def check_kinds(name: str, leaves: Mapping[str, Task]) -> None:
    """Raise RuntimeError where no metric is common to all leaves of a group, so that it has no single score.

    Also where a task of the user's own names a column that its data does not have.
    """
    if task_yaml.find(name):
        for task in leaves.values():
            _check_columns(task)
    if all(map(_is_choice, leaves.values())):
        return
    kinds: dict[tuple[str, ...], list[str]] = {}
    for leaf, task in leaves.items():
        kinds.setdefault(tuple(task.aggregation()), []).append(leaf)
    if set.intersection(*map(set, kinds)):
        return
    listed = "; ".join(f"{_some(names)} by {', '.join(metrics)}" for metrics, names in kinds.items())
    raise RuntimeError(
        f"task {name}: its tasks have no metric in common ({listed}), so it is no single score; name its tasks or "
        "subgroups one by one in accuracy.tasks"
    )


def _check_columns(task: Task) -> None:
    """Raise RuntimeError for a word that lm-eval would put into every question as it is: it names no column."""
    for key in ("doc_to_text", "doc_to_target"):
        word = getattr(task.config, key)
        if isinstance(word, str) and word.isidentifier() and word not in task.features:
            raise RuntimeError(f"task {task.task_name}: {key} is {word!r}, no column; {nearest(word, task.features)}")


def _some(names: Sequence[str], n: int = 3) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def columns(samples: Mapping[str, Sequence[Sample]], leaves: Mapping[str, Task], names: Mapping[str, str]) -> Answered:
    """Return prompt_sha256, question, subject, and the columns of `_picked` or `_scored`, leaf after leaf.

    `samples` are lm-eval's for each leaf; `names` are the subjects that the leaves of a group stand for.
    """
    ordered = [(leaf, sample) for leaf in leaves for sample in _first_filter(samples[leaf])]
    asked = [sample for _, sample in ordered]
    prompts = [sample["arguments"][0][0] for sample in asked]
    several = len(leaves) > 1
    picks = all(map(_is_choice, leaves.values()))
    return {
        "prompt_sha256": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
        "question": [sample["doc_hash"][:12] for sample in asked],
        "subject": [names[leaf] if several else subject_of(sample["doc"]) for leaf, sample in ordered],
        **(_picked(ordered, leaves) if picks else _scored(ordered, leaves)),
    }


def _first_filter(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples under the first of a task's filters, in the order of the questions."""
    first = samples[0]["filter"]
    return sorted((s for s in samples if s["filter"] == first), key=lambda s: int(s["doc_id"]))


def _is_choice(task: Task) -> bool:
    """Say whether a task is graded by lm-eval's own rule: the likeliest of several choices, one of them right."""
    return (
        task.OUTPUT_TYPE == "multiple_choice" and not callable(task.config.process_results) and not task.multiple_target
    )


def _picked(ordered: Sequence[tuple[str, Sample]], leaves: Mapping[str, Task]) -> Answered:
    loglik = []
    for leaf, sample in ordered:
        n_choices = len(leaves[leaf].doc_to_choice(sample["doc"]))
        loglik.append([float(answer[0]) for answer in sample["filtered_resps"][:n_choices]])
    return {
        "gold": [_gold(leaves[leaf], sample["doc"]) for leaf, sample in ordered],
        "picked": [_likeliest(row) for row in loglik],
        "loglik": [list(map(_finite, row)) for row in loglik],
    }


def _gold(task: Task, doc: Doc) -> int:
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    return task.doc_to_choice(doc).index(gold) if isinstance(gold, str) else int(gold)


def _likeliest(row: Sequence[float]) -> int:
    finite = [i for i, value in enumerate(row) if math.isfinite(value)]
    return max(finite, key=lambda i: row[i], default=-1)  # the first of equals, as numpy's argmax in lm-eval


def _finite(value: SupportsFloat) -> float | None:
    return round(float(value), 5) if math.isfinite(float(value)) else None


def _scored(ordered: Sequence[tuple[str, Sample]], leaves: Mapping[str, Task]) -> Answered:
    first = ordered[0][1]
    numbers = (name for name in first["metrics"] if _value(first[name]) is not _NO_NUMBER)
    metric = next((name for name in numbers if all(name in sample for _, sample in ordered)), None)
    task = leaves[ordered[0][0]]
    if metric is None:
        raise RuntimeError(f"task {task.task_name}: no number for each question in its metrics {first['metrics']}")
    named = metric if first["filter"] == "none" else f"{metric},{first['filter']}"
    answers = [sample["filtered_resps"][0] for _, sample in ordered]
    texts: Answered = {"answer": [str(answer) for answer in answers]} if task.OUTPUT_TYPE == "generate_until" else {}
    return {
        "metric": named,
        "higher_is_better": task.higher_is_better().get(metric),
        "value": [_value(sample[metric]) for _, sample in ordered],
        **texts,
    }


_NO_NUMBER = object()


def _value(value: Any) -> object:
    """Return a metric of one question as a number or a pair of numbers, None for what is not finite."""
    parts = value if isinstance(value, tuple | list) else (value,)
    try:
        numbers = [_finite(part) for part in parts]
    except (TypeError, ValueError):
        return _NO_NUMBER
    if len(numbers) == 2 and len(parts) == 2:
        return numbers
    return numbers[0] if not isinstance(value, tuple | list) else _NO_NUMBER
