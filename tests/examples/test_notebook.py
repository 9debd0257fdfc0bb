"""bench/examples/notebook.py and the README's Python, run on the shipped records."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from bench.records.selection import Wanted, select
from bench.records.store import read
from variants.paths import ROOT


def python(code: str) -> list[str]:
    """Run code in the project's folder and return the lines that it prints; a warning is a failure too."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_notebook_reads_the_sweep_that_the_report_shows() -> None:
    notebook = (ROOT / "bench/examples/notebook.py").read_text()
    check = "print(set(zip(newest.commit, newest.sweep)), len(raw.groupby(['commit', 'tree', 'sweep'])))"
    lines = python(f"{notebook}\n{check}")
    selection = select(read(ROOT / "results")[0], Wanted(), ROOT / "results")
    assert selection is not None
    assert lines[-1] == f"{ {(selection.sha, selection.sweep)} } 1"
    for heading in ("size_mb", "round", "picked"):
        assert any(heading in line for line in lines)


def test_every_cell_of_the_notebook_has_a_title() -> None:
    titles = re.findall(r"^# %%(.*)$", (ROOT / "bench/examples/notebook.py").read_text(), re.MULTILINE)
    assert len(titles) >= 4
    assert all(title.strip() for title in titles)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
def test_the_readme_s_python_prints_right_answers_by_task(block: str) -> None:
    lines = python(block)
    assert lines[0].split() == ["task", "general", "hr"]
    assert any(line.startswith("finetuned-q4 ") for line in lines)
