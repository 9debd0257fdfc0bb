"""A scratch project: as large as it must be for git's state of it to be that of a project."""

from __future__ import annotations

from pathlib import Path

from bench.selftest import scratch

CODE = "bench/run.py"


def make_project(folder: Path) -> Path:
    """Commit a project of three files in a folder, whose repository may exist already."""
    for name in (CODE, "conf/config.yaml", "variants/step.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\nsecond line\n")
    (folder / ".gitignore").write_text(".cache/\n__pycache__/\n")
    if not (folder / ".git").exists():
        scratch.git(folder, "init", "-q", "-b", "main")
    scratch.git(folder, "add", "-A")
    scratch.git(folder, "commit", "-q", "-m", "first")
    return folder


def edit(project: Path) -> None:
    (project / CODE).write_text("changed\n")
