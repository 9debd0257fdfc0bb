"""Load lm-eval's tasks as they are defined: only where MMLU's rows come from may change. For lm-eval's own process."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any

from bench.tasks import catalogue, mmlu, task_yaml

Task = Any
"""A task of lm-eval, which ships no types."""


@dataclass(frozen=True)
class Loaded:
    """What one name stands for: its leaf tasks in lm-eval's order, and the version that they state."""

    leaves: dict[str, Task]
    version: object


def load(name: str, data_dir: Path | None, num_fewshot: int | None, seed: int) -> Loaded:
    """Load a task, group or tag by name, or a task by the path of its YAML, `num_fewshot` examples in its prompts.

    None is the task's own number; a task that says 0 keeps it, as in lm-eval's `simple_evaluate`. `seed` draws the
    examples where a task draws any. Raises RuntimeError where its data is neither here nor available from the hub.
    """
    path = task_yaml.find(name)
    try:
        with mmlu.served_from(data_dir), chdir(path.parent if path else Path.cwd()):
            leaves, groups = _build(name, path)
    except (OSError, ValueError) as error:
        if not _is_about_data(error):
            raise
        raise RuntimeError(
            f"the data of {name!r} is neither in the local cache nor available from the hub "
            f"({type(error).__name__}); go online once{', or give data_dir' if catalogue.mmlu_subjects([name]) else ''}"
        ) from error
    for task in leaves.values():
        own = task.config.num_fewshot
        task.set_config("num_fewshot", (own if num_fewshot is None or own == 0 else num_fewshot) or 0)
        task.set_fewshot_seed(seed)
    stated = [groups[name].version] if name in groups else [task.VERSION for task in leaves.values()]
    return Loaded(leaves, stated[0] if len(set(map(str, stated))) == 1 else sorted(set(map(str, stated))))


def _build(name: str, path: Path | None) -> tuple[dict[str, Task], dict[str, Task]]:
    import lm_eval.tasks
    from lm_eval.tasks import TaskManager

    if path:
        loaded = TaskManager(include_defaults=False).load([str(path)])
    else:
        # Only the folder that the name's YAMLs lie in: all of lm-eval's take seconds.
        shipped = Path(lm_eval.tasks.__file__).parent
        folder = commonpath([(shipped / entry.yaml).parent for _, entry in catalogue.closure(name) if entry.yaml])
        loaded = TaskManager(include_defaults=False, include_path=folder).load([name])
    return loaded["tasks"], loaded.get("groups", {})


def _is_about_data(error: Exception) -> bool:
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(error, ConnectionError | FileNotFoundError | DatasetsError | HfHubHTTPError)


def chosen(leaves: dict[str, Task], limit_per_subject: int | None, seed: int) -> dict[str, list[int]] | None:
    """Draw the questions of a subset for each leaf, as positions in order; None where all are asked.

    A subject is a leaf of a group, and within a leaf what its questions call their subject. The draw depends on the
    task, the subject, how many questions it has, and `seed`: on nothing of the model.
    """
    if limit_per_subject is None:
        return None
    drawn = {}
    for name, task in leaves.items():
        positions = defaultdict(list)
        for position, doc in enumerate(task.eval_docs):
            positions[subject_of(doc)].append(position)
        drawn[name] = sorted(
            position
            for subject, there in positions.items()
            for position in _draw(there, limit_per_subject, f"{seed}/{name}/{subject}")
        )
    return drawn


def _draw(positions: Sequence[int], n: int, seed: str) -> list[int]:
    return random.Random(seed).sample(positions, min(n, len(positions)))


def subject_of(doc: object) -> str:
    """Return the subject that a question states, empty where it states none."""
    return str(doc.get("subject") or "") if isinstance(doc, dict) else ""


def subject_names(leaves: dict[str, Task]) -> dict[str, str]:
    """Name the subject that each leaf of a group stands for: lm-eval's short names where no two are the same."""
    short = {name: str(getattr(task.config, "task_alias", None) or name) for name, task in leaves.items()}
    return short if len(set(short.values())) == len(short) else {name: name for name in leaves}
