"""The numbers of each task: a share of right answers, or a score by the task's own metric."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.metrics import answers as columns
from bench.metrics import identity
from bench.metrics.metric import Better, Clusters, Identity, Marks, Metric, Records, Unit
from bench.records.types import Record
from bench.records.values import Answers
from bench.stats.estimates import Estimate
from bench.stats.proportions import macro_average, wilson


def answers_of(records: Records, task: str) -> Answers | None:
    """Return a variant's answers to a task, those of the first round that asked it."""
    return next((record.answers[task] for record in records if task in record.answers), None)


def asked(records: Records) -> list[str]:
    """Return every task that any of these records was asked, in the order in which they were asked."""
    return list(dict.fromkeys(task for record in records for task in record.answers))


def right_or_wrong(records: Records) -> list[str]:
    """Return the tasks whose questions are right or wrong in all of these records."""
    return [task for task in asked(records) if all(map(columns.is_right_or_wrong, _all(records, task)))]


def _all(records: Records, task: str) -> Iterator[Answers]:
    return (record.answers[task] for record in records if task in record.answers)


def _perplexities(records: Records) -> list[str]:
    return [task for task in _others(records) if any(map(columns.is_perplexity, _all(records, task)))]


def _scores(records: Records, better: Better | None, unit: Unit) -> list[str]:
    """Return the other tasks with a mean of numbers that is better in this direction, in this unit."""
    perplexities = _perplexities(records)
    scored = {task: next(_all(records, task)) for task in _others(records) if task not in perplexities}
    return [task for task, answers in scored.items() if (_better(answers), columns.unit_of(answers)) == (better, unit)]


def _others(records: Records) -> list[str]:
    with_answers = right_or_wrong(records)
    return [task for task in asked(records) if task not in with_answers]


def _better(answers: Answers) -> Better | None:
    ways: dict[bool | None, Better] = {True: "higher", False: "lower"}
    return ways.get(columns.higher_is_better(answers))


def _share(records: Records, task: str = "") -> Estimate | None:
    answers = answers_of(records, task)
    if answers is None:
        return None
    is_right = columns.right(answers)
    return Estimate(**vars(wilson(sum(is_right), len(is_right))))


def _macro(records: Records, task: str = "") -> Estimate | None:
    """Return the mean over subjects, None where there is only one."""
    answers = answers_of(records, task)
    counts = list(columns.subjects_of(answers).values()) if answers else []
    return Estimate(**vars(macro_average(counts))) if len(counts) > 1 else None


def _marks(records: Records, task: str = "") -> Marks | None:
    answers = answers_of(records, task)
    return Marks(columns.right(answers), answers.picked or answers.answer or ()) if answers else None


def _score(records: Records, task: str = "") -> Estimate | None:
    answers = answers_of(records, task)
    return columns.score(answers) if answers else None


def _documents(records: Records, task: str = "") -> Clusters | None:
    answers = answers_of(records, task)
    if answers is None or columns.not_finite(answers):
        return None
    return Clusters(*columns.documents(answers), log=columns.is_perplexity(answers))


def _not_finite(records: Records, task: str = "") -> int:
    answers = answers_of(records, task)
    return columns.not_finite(answers) if answers else 0


def _called(records: Records, task: str = "") -> str:
    answers = answers_of(records, task)
    return (answers and answers.metric) or "score"


def _identity(record: Record, task: str = "") -> Identity:
    """Name the questions of a task, and how they were put and scored."""
    answers = record.answers.get(task)
    if answers is None:
        return identity.model(record)
    questions = identity.digest(tuple(answers.question), tuple(answers.gold or ()))
    scored = ("version", "scorer", "metric", "num_fewshot", "truncated")
    digests = {"chat_template": answers.chat_template, "prompts": answers.prompt_sha256}
    written = {"template date": answers.template_date, "template tokens": answers.template_tokens}
    return {
        **identity.model(record),
        **{f"{task} {name}": identity.stated(getattr(answers, name)) for name in scored},
        **{f"{task} {name}": str(value) for name, value in written.items() if value is not None},
        **{f"{task} {name}": identity.stated(digest)[:12] for name, digest in digests.items()},
        f"{task} questions": f"{len(answers.question):,} ({questions})",
    }


def _scored_identity(record: Record, task: str = "") -> Identity:
    """Name also what a number per document is weighed by, and which way it is better."""
    answers = record.answers.get(task)
    if answers is None:
        return identity.model(record)
    weights = () if columns.not_finite(answers) else tuple(columns.documents(answers)[1])
    way = {True: "higher", False: "lower", None: identity.NOT_STATED}[columns.higher_is_better(answers)]
    weighed = {f"{task} weights": identity.digest(weights)} if weights else {}
    return {**_identity(record, task), **weighed, f"{task} {answers.metric}, which is better": way}


WAYS: tuple[tuple[Better | None, Unit], ...] = (("higher", "1"), ("lower", "1"), ("lower", "bit"), (None, "1"))
ACCURACY = Metric(
    "accuracy", "Accuracy", "share", "accuracy", _share, _identity,
    better="higher", limit=0.01, test="questions", scale="points", sample=_marks, tasks=right_or_wrong,
    column="right", beside_base="points to base",
)  # fmt: skip
METRICS = (
    ACCURACY,
    Metric(
        "accuracy_macro", "Mean of subjects", "share", "accuracy", _macro, _identity,
        better="higher", scale="points", tasks=right_or_wrong,
    ),
    Metric(
        "perplexity", "Perplexity", "1", "accuracy", _score, _scored_identity,
        limit=0.01, test="documents", sample=_documents, not_finite=_not_finite, tasks=_perplexities, label=_called,
    ),
    *(
        Metric(
            "score", "Score", unit, "accuracy", _score, _scored_identity,
            better=better, limit=0.01, test="documents", scale="difference", sample=_documents, not_finite=_not_finite,
            tasks=partial(_scores, better=better, unit=unit), label=_called,
        )
        for better, unit in WAYS
    ),
)  # fmt: skip
