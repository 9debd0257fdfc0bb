"""bench/examples/github-workflow.yml: its steps run here, `gh` alone is replaced by a script that notes its calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.report.comparison_text import MARKER
from bench.sweep.plan.conf import names
from tests.examples.conftest import Project, executable, run_block
from variants.paths import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / "bench/examples/github-workflow.yml").read_text())
GH = '#!/bin/sh\necho "$*" >> "$CALLS"\n[ -n "$COMMENT_ID" ] && [ "$3" = --paginate ] && echo "$COMMENT_ID"\nexit 0\n'


def filled_in(values: Mapping[str, str], context: Mapping[str, str]) -> dict[str, str]:
    """Return variables with their `${{ … }}` replaced; an expression that GitHub would not know is a KeyError."""
    return {key: re.sub(r"\$\{\{ (.*?) \}\}", lambda match: context[match[1]], text) for key, text in values.items()}


def run_workflow(project: Project, tmp_path: Path, comment_id: str = "") -> tuple[int, list[str]]:
    """Run every shell step until one fails; return the last exit code and the calls of `gh`."""
    executable(tmp_path / "bin/gh", GH)
    (tmp_path / "calls").touch()
    context = {
        "github.event.pull_request.base.sha": project.main,
        "github.event.pull_request.head.sha": project.checkout.head,
        "github.event.pull_request.number": "7",
        "github.token": "none",
    }
    path = project.shell("sh", "-c", "echo $PATH").stdout.strip()
    runner = {
        "PATH": f"{tmp_path / 'bin'}:{path}",
        "CALLS": str(tmp_path / "calls"),
        "COMMENT_ID": comment_id,
        "GITHUB_REPOSITORY": "org/name",
    }
    job = WORKFLOW["jobs"]["compare"]
    code = 0
    for step in (step for step in job["steps"] if "run" in step):
        variables = {**runner, **filled_in(job["env"], context), **filled_in(step.get("env", {}), context)}
        code = run_block(project, step["run"], variables).returncode
        if code:
            break
    return code, (tmp_path / "calls").read_text().splitlines()


def test_it_runs_for_pull_requests_and_may_write_no_more_than_comments() -> None:
    assert WORKFLOW[True] == "pull_request"  # YAML 1.1 reads the key `on` as true
    assert WORKFLOW["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert WORKFLOW["jobs"]["compare"]["env"]["SUITE"] in names("suite")
    assert MARKER in WORKFLOW["jobs"]["compare"]["steps"][-1]["run"]
    assert WORKFLOW["jobs"]["compare"]["steps"][0]["with"]["fetch-depth"] == 0  # else there is no merge base


def test_it_measures_the_commit_where_the_branch_began_and_then_the_head(project: Project, tmp_path: Path) -> None:
    project.measure()
    run_workflow(project, tmp_path)
    runs = (project.folder / "runs").read_text().splitlines()
    assert runs == [f"{sha}: run --open suite=smoke" for sha in (project.checkout.base, project.checkout.head)]


@pytest.mark.parametrize(
    ("slower", "comment_id", "code", "call"),
    [
        (1.0, "", 0, "pr comment 7 --body-file comment.md"),
        (1.2, "", 1, "pr comment 7 --body-file comment.md"),
        (1.2, "41", 1, "api -X PATCH repos/org/name/issues/comments/41 -F body=@comment.md"),
    ],
)
def test_it_writes_one_comment_and_fails_where_something_is_worse(
    project: Project, tmp_path: Path, slower: float, comment_id: str, code: int, call: str
) -> None:
    project.measure(slower)
    done, calls = run_workflow(project, tmp_path, comment_id)
    assert done == code
    assert calls[0].startswith("api repos/org/name/issues/7/comments --paginate")
    assert calls[1:] == [call]
    assert (project.folder / "comment.md").read_text().startswith(MARKER)


def test_without_records_it_fails_and_comments_nothing(project: Project, tmp_path: Path) -> None:
    code, calls = run_workflow(project, tmp_path)
    assert code == 2
    assert len(calls) == 1
