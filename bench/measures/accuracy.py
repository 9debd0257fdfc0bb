"""Accuracy: lm-eval's tasks and metrics, scored through a session, kept question by question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.measures.measure import Subject
from bench.scoring.lm_eval_process import with_lm_eval
from bench.scoring.scorer import Progress, Scorer
from bench.tasks import catalogue, fetch
from bench.tasks.load import TaskQuestions
from variants.configure import check_least
from variants.errors import UserError
from variants.model_folder import require_chat_template
from variants.step import PERMISSION, PLACE


@dataclass(frozen=True)
class Accuracy:
    """Which questions are asked, and how they are put.

    A task is a name in `bench/tasks`, the path of a task YAML, or any task, group or tag of lm-eval. `limit` takes
    the first questions of each task, `limit_per_subject` a seeded draw from each subject; null takes all.
    `num_fewshot` null is each task's own number of examples; a task that says 0 keeps it. `data_dir` holds the original
    CSVs of MMLU, null is the hub. `chat_template` puts every prompt into the model's own template. `trust_tasks` lets
    task YAMLs by path run code; without it their templates are rendered in a sandbox and functions are refused.
    """

    tasks: list[str]
    num_fewshot: int | None
    limit: int | None
    limit_per_subject: int | None
    seed: int
    data_dir: str | None = field(metadata=PLACE)
    chat_template: bool
    trust_tasks: bool = field(default=False, metadata=PERMISSION)

    name: ClassVar[str] = "accuracy"
    tools: ClassVar[tuple[str, ...]] = ("lm-eval", "datasets", "transformers")
    timed: ClassVar[bool] = False
    expected_cost: ClassVar[float] = 3.0
    of_answers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_least(self, limit=1, limit_per_subject=1, num_fewshot=0)
        if self.limit is not None and self.limit_per_subject is not None:
            raise UserError(
                f"limit_per_subject: got {self.limit_per_subject} and limit {self.limit}; one of them must be null"
            )
        if not self.tasks:
            raise UserError("tasks: got [], allowed: one and more; without any, leave accuracy out of suite.measures")
        catalogue.check(self.tasks, catalogue.folder_of(self.data_dir), self.num_fewshot, self.trust_tasks)

    def check(self, model: Path) -> None:
        """Raise UserError where prompts go into the model's chat template and it has none."""
        if self.chat_template:
            require_chat_template(model)

    def data(self) -> Mapping[str, object]:
        """Return the labels of the tasks, and the sha256 of each file behind them."""
        return catalogue.identity(self.tasks, self.data_dir)

    def fetch(self) -> None:
        """Fetch the questions that come from the hub, and check YAMLs by path. Raises UserError where that fails."""
        fetch.fetch(self.tasks, self.data_dir, self.trust_tasks)

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Mapping[str, object]:
        """Return, per task, the columns of `bench.tasks.ask.ask`; log-likelihoods in nats."""
        from bench.tasks.ask import ask_in_own_process

        artifact = subject.artifact
        converted = artifact.lineage()[0].path if artifact.kind == "gguf" else None
        scorer = Scorer(subject.session, artifact, progress)
        return with_lm_eval(scorer, ask_in_own_process, self.questions(), converted)

    def questions(self) -> TaskQuestions:
        """Return which questions are asked, and how they are put."""
        return TaskQuestions(
            tasks=tuple(self.tasks),
            seed=self.seed,
            data_dir=self.data_dir,
            num_fewshot=self.num_fewshot,
            limit=self.limit,
            limit_per_subject=self.limit_per_subject,
            chat_template=self.chat_template,
            trust_tasks=self.trust_tasks,
        )
