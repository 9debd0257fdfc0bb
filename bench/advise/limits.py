"""The limits that a set of requirements comes to on one sweep, each with the metric that it judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.advise.requirements import Requirements
from bench.metrics.metric import Unit
from bench.summary.rows import Summary

Kind = Literal["latency", "size", "memory", "training memory", "quality", "keeps", "not forgotten"]
GB = 1e9


@dataclass(frozen=True)
class Limit:
    """One limit: `metric` names what is compared, `bound` is in `unit`; a share to be kept is compared with `of`.

    `task` is the task as the sweep calls it, and `stated` as the requirements do: a role or a name.
    """

    kind: Kind
    metric: str
    bound: float
    unit: Unit
    at_most: bool = True
    q: float | None = None
    task: str = ""
    stated: str = ""
    of: str = ""

    @property
    def is_quality(self) -> bool:
        """Say whether it is about what a variant answers."""
        return self.kind in ("quality", "keeps", "not forgotten")


def limits_of(requirements: Requirements, summary: Summary) -> tuple[Limit, ...]:
    """Return every limit, in the order in which a reader wants them: latency, size, memory, quality."""
    return tuple(_limits(requirements, summary))


def _limits(requirements: Requirements, summary: Summary) -> Iterator[Limit]:
    for (timed, q), ms in requirements.latency_limits().items():
        yield Limit("latency", f"{timed}_p{100 * q:.0f}_ms", ms, "ms", q=q)
    if requirements.max_size_gb:
        yield Limit("size", "size_bytes", GB * requirements.max_size_gb, "byte")
    if requirements.max_memory_gb:
        yield Limit("memory", "peak_resident_bytes", GB * requirements.max_memory_gb, "byte")
    if requirements.max_training_memory_gb:
        yield Limit("training memory", "", GB * requirements.max_training_memory_gb, "byte")
    for stated, quality in requirements.quality.items():
        task = task_of(stated, summary)
        if quality.at_least is not None:
            yield Limit("quality", f"accuracy {task}", quality.at_least, "share", False, task=task, stated=stated)
        if quality.keeps is not None and quality.of is not None:
            of = quality.of
            yield Limit("keeps", f"accuracy {task}", quality.keeps, "share", False, task=task, stated=stated, of=of)
    if kept := requirements.not_forgotten:
        task = task_of(kept.task, summary)
        yield Limit(
            "not forgotten", f"accuracy {task}", kept.margin, "share", False, task=task, stated=kept.task, of="base"
        )


def task_of(stated: str, summary: Summary) -> str:
    """Return the task that a requirement means: `domain` and `general` are roles that a suite gives to its tasks."""
    questions = summary.questions
    roles = {
        "domain": questions.domain_task if questions else None,
        "general": questions.general_task if questions else None,
    }
    return roles.get(stated) or stated


def deciding_task(summary: Summary) -> str | None:
    """Return the task by which variants are ordered: the domain's, else the general one, else the first."""
    marked = summary.right_or_wrong
    for role in ("domain", "general"):
        if (task := task_of(role, summary)) in marked:
            return task
    return marked[0] if marked else None


def latency_metric(limits: Sequence[Limit]) -> str:
    """Return the latency that is limited, else the P99 of a whole request."""
    return next((limit.metric for limit in limits if limit.kind == "latency"), "e2e_p99_ms")
