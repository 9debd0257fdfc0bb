"""Every name that `accuracy.tasks` may hold: embedded tasks, task YAMLs, and lm-eval's tasks, groups and tags.

lm-eval is never imported beside llama.cpp (bench/scoring/lm_eval_process.py says why). A child process lists its names,
which takes seconds, once for each version of lm-eval, and the list is kept in the cache.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.tasks import mmlu, task_yaml, untrusted
from variants.cache import Cache
from variants.child import start
from variants.data.rows import read_rows
from variants.errors import UserError
from variants.paths import ROOT, resolve
from variants.storage.checksum import sha256_of

_Entry = tuple[str | None, tuple[str, ...], str | None, str | None]
"""The fields of a LmEvalName, as the kept list has them."""


@dataclass(frozen=True)
class LmEvalName:
    """A name that lm-eval knows: its YAML, in `lm_eval/tasks` (none for a tag), its members, the data it reads."""

    yaml: str | None
    members: tuple[str, ...]
    dataset_path: str | None
    dataset_name: str | None


def label(name: str) -> str:
    """Return the name of a task's columns in a record: the `task` of its YAML, or the name that was asked for."""
    path = task_yaml.find(name)
    return str(task_yaml.read(path)["task"]) if path else name


def folder_of(data_dir: str | None) -> Path | None:
    """Return the folder of MMLU's CSVs that a measure names, None for the hub. Raises UserError where it is absent."""
    folder = resolve(data_dir) if data_dir else None
    if folder and not folder.is_dir():
        raise UserError(f"data_dir: got {data_dir}, no such folder; relative ones start at the project's")
    return folder


def identity(names: Sequence[str], data_dir: str | None) -> dict[str, object]:
    """Return what identifies the questions of some tasks, wherever their files lie: labels, and the files' sha256."""
    return {"tasks": [label(name) for name in names], "content": content(names, folder_of(data_dir))}


def check(names: Sequence[str], data_dir: Path | None, num_fewshot: int | None, trust_tasks: bool = False) -> None:
    """Raise UserError for an unknown name, a name asked for twice, or data behind a name that cannot be read.

    Also for a task YAML by path that would run code, unless these are trusted.
    """
    labels = []
    for name in names:
        path = task_yaml.find(name)
        if path:
            if task_yaml.is_path(name) and not trust_tasks:
                untrusted.check(path)
            for file in task_yaml.rows_files(path):
                read_rows(file)
            if task_yaml.is_path(name):
                task_yaml.tables(path)
        elif name not in lm_eval_names():
            raise UserError(f"tasks: no task {name!r}; {_nearest(name)}")
        labels.append(label(name))
    for twice in (one for one in labels if labels.count(one) > 1):
        raise UserError(f"tasks: two of them call themselves {twice!r}; change `task:` in one YAML")
    if data_dir:
        subjects = mmlu_subjects(names)
        if not subjects:
            raise UserError(f"data_dir: got {data_dir}, but none of the tasks reads MMLU's CSVs; leave data_dir out")
        mmlu.check(data_dir, subjects, num_fewshot or 0)


def content(names: Sequence[str], data_dir: Path | None) -> dict[str, str]:
    """Return the sha256 of every file behind the tasks, by a name that does not depend on where it lies.

    The version of lm-eval identifies what it ships; the questions in the record identify what comes from the hub.
    """
    files: dict[str, Path] = {}
    for name in names:
        if path := task_yaml.find(name):
            files |= {f"{label(name)}/{number}": file for number, file in enumerate(task_yaml.files(path))}
    if data_dir:
        for subject in mmlu_subjects(names):
            files |= {path.name: path for path in mmlu.files(data_dir, subject).values()}
    return {name: sha256_of(file) for name, file in files.items()}


def mmlu_subjects(names: Sequence[str]) -> list[str]:
    """List the subjects of MMLU that the tasks ask about, in order."""
    entries = (entry for name in names if not task_yaml.find(name) for _, entry in closure(name))
    return sorted({str(entry.dataset_name) for entry in entries if entry.dataset_path == mmlu.HUB})


def closure(name: str) -> Iterator[tuple[str, LmEvalName]]:
    """Yield a name of lm-eval's and all that it is made of, each once."""
    seen, waiting = set(), [name]
    while waiting:
        if (one := waiting.pop(0)) not in seen and one in lm_eval_names():
            seen.add(one)
            entry = lm_eval_names()[one]
            yield one, entry
            waiting += entry.members


@cache
def lm_eval_names() -> dict[str, LmEvalName]:
    """Read every task, group and tag name of the installed lm-eval. Takes seconds the first time.

    The list belongs to the installation and not to a sweep, so it lies in the one cache that conf/config.yaml names.
    """
    cache = Cache.default()
    kept = cache.lm_eval_names(version("lm-eval"))
    entries = _kept_names(kept)
    if entries is None:
        cache.create()
        command = [sys.executable, "-m", "bench.tasks.lm_eval_index", str(kept)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", **start())
        entries = _kept_names(kept) if done.returncode == 0 else None
        if entries is None:
            lines = done.stderr.strip().splitlines() or [f"the process that lists them exited with {done.returncode}"]
            raise UserError(f"tasks: lm-eval cannot list its tasks: {lines[-1]}")
    return {name: LmEvalName(*entry) for name, entry in entries.items()}


def _kept_names(kept: Path) -> dict[str, _Entry] | None:
    """Return the list of names that is kept in the cache, None where there is none or it is damaged."""
    try:
        return msgspec.json.decode(kept.read_bytes() if kept.is_file() else b"", type=dict[str, _Entry])
    except (OSError, msgspec.MsgspecError):
        return None


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, [*task_yaml.embedded(), *lm_eval_names()], n=5, cutoff=0.6)
    meant = f"did you mean {' or '.join(close)}?" if close else f"embedded are {', '.join(task_yaml.embedded())}"
    return f"{meant} (any task, group or tag of lm-eval, or the path of a task YAML)"
