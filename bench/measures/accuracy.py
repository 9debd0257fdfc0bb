"""Accuracy: lm-eval's tasks and metrics, scored through a session, kept question by question."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.judge import judged
from bench.measures.measure import Progress
from bench.runtimes.session import Scorer, Session
from variants.artifact import Artifact
from variants.data import read_rows
from variants.errors import UserError
from variants.paths import resolve

TASKS = Path(__file__).resolve().parents[1] / "tasks"


@dataclass(frozen=True)
class Accuracy:
    """Multiple-choice tasks by log-likelihood; a task is a name in `bench/tasks` or the path of a task YAML.

    `limit` takes the first questions of each task only (a smoke run, not a result); null takes all.
    """

    tasks: list[str]
    limit: int | None

    name: ClassVar[str] = "accuracy"
    tools: ClassVar[tuple[str, ...]] = ("lm-eval",)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit: got {self.limit}, allowed: 1 and more, or null for all questions")
        labels = [task_config(name)["task"] for name in self.tasks]
        for label in labels:
            if labels.count(label) > 1:
                raise UserError(f"tasks: two of them call themselves {label!r}; change `task:` in one YAML")
        for name in self.tasks:
            for path in task_files(name)[1:]:
                read_rows(path)

    def measure(self, artifact: Artifact, session: Session, round_: int, progress: Progress) -> dict[str, Any]:
        """Return, per task, the columns question, subject, gold, picked and loglik (nats, one per choice)."""
        configs = [task_config(name) for name in self.tasks]
        columns: dict[str, Any] = judged(session, progress, evaluate, configs, self.limit)
        return columns


def evaluate(session: Scorer, progress: Progress, configs: list[dict[str, Any]], limit: int | None) -> dict[str, Any]:
    """Run lm-eval's tasks over a session; return the columns of each.

    `evaluate` rather than `simple_evaluate`, which asks the whole environment for versions after every run.
    """
    from lm_eval.evaluator import evaluate as run_tasks
    from lm_eval.tasks import TaskManager

    from bench.scorer import SessionLM

    columns: dict[str, Any] = {}
    for config in configs:
        model = SessionLM(session, progress)
        tasks = TaskManager(include_defaults=False).load([config])
        evaluated = run_tasks(model, tasks, limit=limit, bootstrap_iters=0, log_samples=True)
        samples = sorted(evaluated["samples"][config["task"]], key=lambda s: int(s["doc_id"]))
        columns[config["task"]] = {
            "version": config.get("metadata", {}).get("version"),
            "n": len(samples),
            "truncated": model.truncated,
            **_columns(samples),
        }
    return columns


def _columns(samples: list[Mapping[str, Any]]) -> dict[str, Any]:
    loglik = [[round(float(answer[0]), 5) for answer in sample["filtered_resps"]] for sample in samples]
    for sample, row in zip(samples, loglik, strict=True):
        if not all(map(math.isfinite, row)):
            raise RuntimeError(f"question {sample['doc_id']} has log-likelihoods {row}: this model cannot be scored")
    prompts = [sample["arguments"][0][0] for sample in samples]
    return {
        "prompt_sha256": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
        "question": [sample["doc_hash"][:12] for sample in samples],
        "subject": [sample["doc"].get("subject", "") for sample in samples],
        "gold": [int(sample["target"]) for sample in samples],
        "picked": [max(range(len(row)), key=row.__getitem__) for row in loglik],
        "loglik": loglik,
    }


def task_files(name: str) -> list[Path]:
    """List a task's YAML and the data files it names, or raise UserError."""
    from variants.configure import nearest

    path = TASKS / f"{name}.yaml" if "/" not in name and not name.endswith(".yaml") else resolve(name)
    if not path.is_file():
        known = [p.stem for p in TASKS.glob("*.yaml")]
        raise UserError(f"accuracy.tasks: no task {name!r}; {nearest(name, known)} (or the path of a task YAML)")
    return [path, *(Path(file) for file in _absolute(path)["dataset_kwargs"]["data_files"].values())]


def task_config(name: str) -> dict[str, Any]:
    """Read a task YAML for lm-eval, its data files made absolute."""
    return _absolute(task_files(name)[0])


def _absolute(path: Path) -> dict[str, Any]:
    import yaml

    try:
        config: dict[str, Any] = yaml.safe_load(path.read_text())
        files = config["dataset_kwargs"]["data_files"]
        config["task"] = str(config["task"])
        config["dataset_kwargs"]["data_files"] = {s: str(path.parent / f) for s, f in files.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{path}: not a task YAML with task and dataset_kwargs.data_files over local JSONL files"
        ) from None
    return config
