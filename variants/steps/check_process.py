"""Check that steps can use a model: `python -m variants.steps.check_process STEPS.JSON FOLDER DEVICE`, its own process.

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

from variants.child import start
from variants.configure import configure
from variants.errors import UserError
from variants.paths import ROOT
from variants.step import ChecksModel, Planned

REFUSED = 3
"""The exit status where a step cannot use the model; the last line of standard output is then why."""


def check_steps(planned: Iterable[Planned], source: str, folder: Path, device: str) -> None:
    """Raise UserError where one of some steps cannot use the model in a folder.

    `source` identifies its content: what was checked is not checked again in this process.
    """
    steps = {one.name: dict(one.node) for one in planned if isinstance(one.step, ChecksModel)}
    if steps:
        _check(json.dumps(steps), source, folder, device)


@cache
def _check(steps: str, source: str, folder: Path, device: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:  # a command line may be too short
        file.write(steps)
        file.flush()
        command = [sys.executable, "-m", "variants.steps.check_process", file.name, str(folder), device]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", cwd=ROOT, **start(offline=True)
        )
    if done.returncode == REFUSED:
        raise UserError(json.loads(done.stdout.splitlines()[-1]))
    if done.returncode != 0:
        last_line = next(reversed(done.stderr.strip().splitlines()), "it printed nothing")
        raise UserError(f"{folder}: the process that checks the model failed ({done.returncode}): {last_line.strip()}")


def main(steps: str, folder: str, device: str) -> int:
    """Check each step of a file, {name: node}, in its order; return 0, or REFUSED where it printed the reason."""
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
