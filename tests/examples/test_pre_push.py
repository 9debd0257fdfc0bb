"""bench/examples/pre-push, run by a real `git push`."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.examples.conftest import Project
from variants.paths import ROOT


def install(project: Project) -> None:
    """Install the hook by the command that the documents print."""
    (command,) = re.findall(r"^ *(ln -s .*pre-push)$", (ROOT / "bench/compare/README.md").read_text(), re.MULTILINE)
    assert command in (ROOT / "bench/examples/pre-push").read_text()
    assert project.shell("sh", "-c", command).returncode == 0


def push(project: Project) -> subprocess.CompletedProcess[str]:
    install(project)
    return project.shell("git", "push", "origin", "HEAD:refs/heads/feature")


def pushed(project: Project) -> str:
    """Return the commit of the branch in the repository that was pushed to, nothing where it is not there."""
    return project.checkout.git("ls-remote", "origin", "refs/heads/feature").partition("\t")[0]


def test_a_push_is_stopped_where_something_is_worse(project: Project) -> None:
    project.measure(slower=1.2)
    done = push(project)
    assert done.returncode != 0
    assert "pre-push: something is worse" in done.stdout + done.stderr
    assert f"{project.checkout.base[:12]} → {project.checkout.head[:12]}" in done.stdout + done.stderr
    assert pushed(project) == ""


@pytest.mark.parametrize(("measured", "said"), [(True, ""), (False, "pre-push: not compared")])
def test_a_push_passes_where_nothing_is_worse_or_nothing_was_measured(
    project: Project, measured: bool, said: str
) -> None:
    if measured:
        project.measure()
    done = push(project)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr
    assert ("not compared" in done.stdout + done.stderr) != measured
    assert pushed(project) == project.checkout.head
