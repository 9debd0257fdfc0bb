"""Fetch the tasks' questions before anything is built: `python -m bench.tasks.fetch DATA_DIR NAME…`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from bench.tasks import catalogue, mmlu, task_yaml
from variants.child import start
from variants.errors import UserError
from variants.paths import ROOT, resolve


def from_hub(names: Sequence[str], data_dir: str | None) -> list[str]:
    """List the tasks whose questions lie neither in the project nor in a local folder."""
    local = {None, *([mmlu.HUB] if data_dir else [])}
    return [
        name
        for name in names
        if not task_yaml.find(name) and {entry.dataset_path for _, entry in catalogue.closure(name)} - local
    ]


def fetch(names: Sequence[str], data_dir: str | None) -> None:
    """Load tasks once in a process of its own, which leaves their questions in the hub's local cache.

    Raises UserError, in one line, where they are unavailable.
    """
    if names:
        _fetch(tuple(names), data_dir)


@cache
def _fetch(names: tuple[str, ...], data_dir: str | None) -> None:
    command = [sys.executable, "-m", "bench.tasks.fetch", data_dir or "", *names]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **start())
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"the process that fetches {', '.join(names)} died"]
        raise UserError(lines[-1])


def main(data_dir: str, *names: str) -> int:
    """Load each task; return 0, or 1 with the reason as the last line of standard error."""
    from bench.tasks.load import load

    try:
        for name in names:
            load(name, resolve(data_dir) if data_dir else None, num_fewshot=None, seed=0)
    except Exception as error:
        print(f"accuracy.tasks: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
