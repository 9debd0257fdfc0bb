"""Check in a process of its own that steps can use a model: `python -m variants.steps.check_process STEPS.JSON …`.

The checks need torch, and the process that plans a sweep has llama.cpp in it: some builds do not survive both
(bench/scoring/lm_eval_process.py). What a check took of the memory is given back, too, before anything is measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from variants.cache import Cache
from variants.child import start
from variants.configure import configure
from variants.errors import UserError
from variants.paths import ROOT
from variants.step import ChecksModel, Planned
from variants.storage import checksum, largest_weights

REFUSED = 3
"""The exit status where a step cannot use the model; the last line of standard output is then why."""


def check_steps(planned: Iterable[Planned], source: str, folder: Path, device: str, kept: Cache) -> None:
    """Raise UserError where one of some steps cannot use the model in a folder.

    `source` identifies its content: what was checked is not checked again in this process. What the weights are is
    kept in a cache.
    """
    steps = {one.name: dict(one.node) for one in planned if isinstance(one.step, ChecksModel)}
    if steps:
        checksum.keep(kept.checksums)
        _check(json.dumps(steps), source, folder, device, kept.root)


@cache
def _check(steps: str, source: str, folder: Path, device: str, kept: Path) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:  # a command line may be too short
        file.write(steps)
        file.flush()
        command = [sys.executable, "-m", "variants.steps.check_process", file.name, str(folder), device, str(kept)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", cwd=ROOT, **start(offline=True)
        )
    if done.returncode == REFUSED:
        raise UserError(json.loads(done.stdout.splitlines()[-1]))
    if done.returncode != 0:
        last_line = next(reversed(done.stderr.strip().splitlines()), "it printed nothing")
        raise UserError(f"{folder}: the process that checks the model failed ({done.returncode}): {last_line.strip()}")


def main(steps: str, folder: str, device: str, kept: str) -> int:
    """Check each step of a file, {name: node}, in its order; return 0, or REFUSED where it printed the reason."""
    cache = Cache(Path(kept))
    checksum.recall(cache.checksums)
    largest_weights.recall(cache.largest_weights)
    try:
        return _first_refusal(steps, folder, device)
    finally:
        largest_weights.keep(cache.largest_weights)


def _first_refusal(steps: str, folder: str, device: str) -> int:
    for name, node in json.loads(Path(steps).read_text(encoding="utf-8")).items():
        try:
            configure(node, f"steps.{name}").check(Path(folder), device)
        except UserError as error:
            is_of_a_field = str(error).partition(":")[0] in node
            print(json.dumps(f"steps.{name}.{error}" if is_of_a_field else str(error)))
            return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
