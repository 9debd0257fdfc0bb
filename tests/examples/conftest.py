"""A copy of the project with two commits, a `.venv/bin/bench` that runs its code, and a repository to push to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.selftest.scratch import copy_project
from tests.checkout import Checkout, scaled

BENCH = f"""#!/bin/sh
# `bench run` only notes what it was asked for: its records are made up, because a measurement takes minutes.
[ "$1" = run ] && {{ echo "$(git rev-parse HEAD): $*" >> runs; exit 0; }}
exec "{sys.executable}" -m bench.cli "$@"
"""
OF_THE_TEST_RUN = ("GIT_", "MAKE", "MFLAGS", "ARGS", "MODEL", "SUITE", "CUDA", "PYTHONPATH")
"""What `git` or `make` around the tests may have set."""


@dataclass(frozen=True)
class Project:
    """A copy of the project: `base`, on it the branch `head`, and `main`, which went on from `base`."""

    checkout: Checkout
    main: str

    @property
    def folder(self) -> Path:
        return self.checkout.root

    def measure(self, slower: float = 1.0) -> None:
        """Write records of the base and of the head, which is slower by that factor."""
        self.checkout.measure(self.checkout.base)
        self.checkout.measure(self.checkout.head, lambda content: scaled(content, slower))

    def shell(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder and return what it printed."""
        environment = {key: text for key, text in os.environ.items() if not key.startswith(OF_THE_TEST_RUN)}
        environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **variables}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)


def executable(file: Path, text: str) -> None:
    """Write a script that can be run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "checkout"
    copy_project(folder)
    executable(folder / ".venv/bin/bench", BENCH)
    (folder / ".venv/ready").touch()
    os.utime(folder / ".venv/ready", (2**32, 2**32))  # make takes it as set up, however long the copy took
    checkout = Checkout(folder)
    main = checkout.git("commit-tree", f"{checkout.base}^{{tree}}", "-p", checkout.base, "-m", "main went on")
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "origin")], check=True)
    checkout.git("remote", "add", "origin", str(tmp_path / "origin"))
    checkout.git("push", "-q", "origin", f"{main}:refs/heads/main")
    return Project(checkout, main)


def run_block(project: Project, text: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a step as a GitHub runner does: bash that stops at the first failure."""
    return project.shell("bash", "-e", "-c", text, **variables)
