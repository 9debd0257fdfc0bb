"""Load tasks before anything is built, in a process of its own: `python -m bench.tasks.fetch DATA_DIR TRUST NAME…`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from bench.tasks import catalogue, mmlu, task_yaml
from variants.child import start
from variants.errors import UserError
from variants.paths import ROOT, resolve
from variants.process import take_at_most_half

KEY = "accuracy.tasks: "
"""How the line begins that says why a task cannot be loaded."""


def unsure(names: Sequence[str], data_dir: str | None) -> list[str]:
    """List the tasks that may fail to load: those with questions from the hub, and YAMLs by path."""
    local = {None, *([mmlu.HUB] if data_dir else [])}
    return [
        name
        for name in names
        if task_yaml.is_path(name)
        or (not task_yaml.find(name) and {entry.dataset_path for _, entry in catalogue.closure(name)} - local)
    ]


def fetch(names: Sequence[str], data_dir: str | None, trust_tasks: bool) -> None:
    """Load the tasks that may fail to once, in a process of its own; questions stay in the hub's local cache.

    Raises UserError, in one line, where one is unavailable or cannot be asked.
    """
    if listed := unsure(names, data_dir):
        _fetch(tuple(listed), data_dir, trust_tasks)


@cache
def _fetch(names: tuple[str, ...], data_dir: str | None, trust_tasks: bool) -> None:
    command = [sys.executable, "-m", "bench.tasks.fetch", data_dir or "", "trust" if trust_tasks else "", *names]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    done = subprocess.run(command, cwd=ROOT, stdout=nowhere, stderr=pipe, text=True, errors="replace", **start())
    if done.returncode != 0:
        why = [line for line in done.stderr.splitlines() if line.startswith(KEY)]  # a library's last words are others
        died = f"{KEY}the process that loads {', '.join(names)} ended with {done.returncode}, perhaps out of memory"
        raise UserError(why[-1] if why else died)


def main(data_dir: str, trust: str, *names: str) -> int:
    """Load each task; return 0, or 1 with the reason as the last line of standard error."""
    from bench.tasks.columns import check_kinds
    from bench.tasks.load import check_questions, load

    take_at_most_half()  # a template of a few letters can ask for all there is
    try:
        for name in names:
            loaded = load(name, resolve(data_dir) if data_dir else None, None, 0, bool(trust))
            check_kinds(name, loaded.leaves)
            if path := task_yaml.is_path(name) and task_yaml.find(name):
                check_questions(path, loaded)
    except Exception as error:
        plain = isinstance(error, RuntimeError | UserError)
        what = "" if plain else f"task {name} cannot be loaded: {type(error).__name__}: "
        print(f"{KEY}{what}{' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
