"""Load lm-eval's tasks as they are defined: only who reads their rows may change. For lm-eval's own process."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any

from bench.tasks import catalogue, mmlu, task_yaml, untrusted
from variants.data.rows import fault_of
from variants.errors import UserError

Task = Any
"""A task of lm-eval, which ships no types."""


@dataclass(frozen=True)
class TaskQuestions:
    """The questions of some tasks and the form of their prompts, as conf/measure/accuracy.yaml has them.

    `limit` takes the first questions of each task, `limit_per_subject` a seeded draw from each subject, None all.
    `num_fewshot` None is each task's own number of examples. `data_dir` holds the CSVs of MMLU, None is the hub.
    `trust_tasks` lets task YAMLs by path run code.
    """

    tasks: tuple[str, ...]
    seed: int
    data_dir: str | None
    num_fewshot: int | None = None
    limit: int | None = None
    limit_per_subject: int | None = None
    chat_template: bool = False
    trust_tasks: bool = False


@dataclass(frozen=True)
class Loaded:
    """What one name stands for: its leaf tasks in lm-eval's order, and the version that they state."""

    leaves: dict[str, Task]
    version: object
    trusted: bool = False


def load(name: str, data_dir: Path | None, num_fewshot: int | None, seed: int, trust_tasks: bool = False) -> Loaded:
    """Load a task, group or tag by name, or a task by the path of its YAML, `num_fewshot` examples in its prompts.

    None is the task's own number; a task that says 0 keeps it, as in lm-eval's `simple_evaluate`. `seed` draws the
    examples where a task draws any. A YAML by path runs code only where such tasks are trusted; lm-eval's own do.
    Raises UserError for a YAML that would run code, or a template that fails; RuntimeError where the data is neither
    here nor available from the hub.
    """
    path = task_yaml.find(name)
    trusted = trust_tasks or not task_yaml.is_path(name)
    try:
        # Code of a trusted task may open files next to it; any other must not make a module of its own importable.
        where = path.parent if path and trusted else Path.cwd()
        with _served(path, data_dir), chdir(where), untrusted.templates(name, trusted):
            leaves, groups = _build(name, path, trusted)
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
    return Loaded(leaves, stated[0] if len(set(map(str, stated))) == 1 else sorted(set(map(str, stated))), trusted)


@contextmanager
def _served(path: Path | None, data_dir: Path | None) -> Iterator[None]:
    """Let lm-eval have the rows of a YAML's JSONL or CSV as training reads them, and MMLU's from a folder."""
    with mmlu.served_from(data_dir):
        if path is None or not (tables := task_yaml.tables(path)):
            yield
            return
        from unittest.mock import patch

        import datasets

        elsewhere, files = datasets.load_dataset, task_yaml.read(path)["dataset_kwargs"]["data_files"]

        def load_dataset(path: str, name: str | None = None, **rest: object) -> object:
            if rest != {"data_files": files}:  # what code of a trusted task loads besides
                return elsewhere(path, name, **rest)
            rows = {split: [line.fields for line in lines] for split, lines in tables.items()}
            return datasets.DatasetDict({split: datasets.Dataset.from_list(listed) for split, listed in rows.items()})

        with patch.object(datasets, "load_dataset", load_dataset):
            yield


def _build(name: str, path: Path | None, trusted: bool) -> tuple[dict[str, Task], dict[str, Task]]:
    import lm_eval.tasks
    from lm_eval.tasks import TaskManager

    if path and trusted:
        loaded = TaskManager(include_defaults=False).load([str(path)])
    elif path:  # what was checked is what lm-eval gets: it does not read the file again
        untrusted.check(path)
        config = task_yaml.absolute(path)
        untrusted.check_registered(path, config)
        loaded = TaskManager(include_defaults=False).load([config])
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


def check_questions(path: Path, loaded: Loaded) -> None:
    """Put the first question into words, as it will be asked, and look at the choices and the answers of all.

    Raise UserError, naming file and line, for a multiple-choice question that nobody can get right or wrong.

    lm-eval itself counts a right answer that is none of the choices as a wrong one, and warns in a log.
    """
    for task in loaded.leaves.values():
        lines = task_yaml.tables(path).get(task.config.test_split or task.config.validation_split, ())
        places = [line.place for line in lines] if task.config.process_docs is None else []
        with untrusted.templates(str(path), loaded.trusted):
            task.build_all_requests(limit=1)
            if task.OUTPUT_TYPE != "multiple_choice" or callable(task.config.process_results):
                continue
            for number, doc in enumerate(task.eval_docs):
                if fault := _fault(task, doc):
                    raise UserError(f"{places[number] if places else f'{path}: question {number + 1}'}: {fault}")


def _fault(task: Task, doc: object) -> str:
    """Say what makes a question none, empty where nothing does."""
    choices = task.doc_to_choice(doc)
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        return f"its choices are {choices!r}, allowed: a list of texts"
    if fault := fault_of(choices):
        return fault
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    for one in gold if isinstance(gold, list) else [gold]:
        if isinstance(one, bool) or not isinstance(one, int | str):
            return f"its answer is {one!r}, allowed: an index of its choices, or one of them"
        if isinstance(one, int) and not 0 <= one < len(choices):
            return f"its answer is {one}, allowed: 0 to {len(choices) - 1}, an index of its choices"
        if isinstance(one, str) and one not in choices:
            hint = '; for an index in a column of text, write doc_to_target: "{{COLUMN}}"' if one.isdigit() else ""
            return f"its answer is {one!r}, which is none of its choices{hint}"
    return ""
