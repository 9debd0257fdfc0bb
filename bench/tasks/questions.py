"""Which questions are asked, and how they are put: what `ask` needs, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskQuestions:
    """The questions of some tasks and the form of their prompts, as conf/measure/accuracy.yaml has them.

    `limit` takes the first questions of each task, `limit_per_subject` a seeded draw from each subject, None all.
    `num_fewshot` None is each task's own number of examples. `data_dir` holds the CSVs of MMLU, None is the hub.
    """

    tasks: tuple[str, ...]
    seed: int
    data_dir: str | None
    num_fewshot: int | None = None
    limit: int | None = None
    limit_per_subject: int | None = None
    chat_template: bool = False
