"""Git is asked about the project, in its own words, whatever calls and whatever is configured."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.history.branch import branch_commits
from bench.machine import git
from bench.selftest import records, scratch
from tests.machine.project import edit, make_project
from variants.errors import UserError


def test_a_submodule_counts_with_its_commit_and_its_files(project: Path) -> None:
    vendor = make_project(project / "vendor")
    scratch.git(project, "add", "vendor")
    scratch.git(project, "commit", "-q", "-m", "vendor")
    assert git.state(project).tree == "clean"
    edit(vendor)
    changed = git.state(project)
    assert changed.dirty
    scratch.git(vendor, "commit", "-q", "-a", "-m", "second")
    assert git.state(project).dirty
    assert git.state(project) != changed


def test_the_state_of_a_project_in_a_larger_repository_is_that_of_its_folder(tmp_path: Path) -> None:
    scratch.git(tmp_path, "init", "-q", "-b", "main")
    project = make_project(tmp_path / "team" / "project")
    clean = git.state(project)
    assert clean.tree == "clean"
    records.write(project / "results", records.record("q4", 0))
    (tmp_path / "team" / "neighbour.py").write_text("")
    (tmp_path / "results").mkdir()
    assert git.state(project) == git.state(project / "results") == clean
    edit(project)
    assert git.state(project).dirty
    assert git.state(project) == git.state(project / "results")


def test_a_larger_repository_that_does_not_hold_the_project_has_no_commit_of_it(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    scratch.git(tmp_path, "init", "-q")
    scratch.git(tmp_path, "commit", "-q", "--allow-empty", "-m", "settings of a home")
    project = tmp_path / "project"
    for folder in ("bench", "conf", "variants"):
        (project / folder).mkdir(parents=True)
    assert (git.state(project).sha, git.state(project).dirty) == (None, True)


def test_the_repository_of_a_calling_hook_is_not_asked(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_project(tmp_path / "other")
    scratch.git(other, "commit", "-q", "--allow-empty", "-m", "elsewhere")
    own = git.state(project)
    for name, value in {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_INDEX_FILE": other / ".git" / "index",
        "GIT_OBJECT_DIRECTORY": tmp_path,
        "GIT_NAMESPACE": "other",
        "GIT_CEILING_DIRECTORIES": project.parent,
        "GIT_EXTERNAL_DIFF": "true",
    }.items():
        monkeypatch.setenv(name, str(value))
    assert git.state(project) == own
    assert git.commit_of(project, "HEAD") == own.sha
    assert git.ancestors(project) == [own.sha]


def test_nothing_that_a_repository_configures_is_run(project: Path) -> None:
    trap = project.parent / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {project.parent}/sprung\n")
    trap.chmod(0o755)
    keys = (
        *("core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "diff.external", "gpg.program"),
        *("filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "diff.trap.textconv", "diff.trap.command"),
        *("alias.rev-parse", "alias.ls-files", "alias.rev-list", "credential.helper", "uploadpack.packObjectsHook"),
    )
    for key in keys:
        scratch.git(project, "config", key, f"!{trap}" if key.startswith("alias") else str(trap))
    scratch.git(project, "config", "log.showSignature", "true")
    (project / ".git" / "info" / "attributes").write_text("* filter=trap diff=trap\n")
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        shutil.copy(trap, project / ".git" / "hooks" / hook)
    edit(project)
    (project.parent / "sprung").unlink(missing_ok=True)  # git ran some of it while it was set up
    assert git.state(project).dirty
    assert git.commit_of(project, "HEAD~0")
    assert len(git.ancestors(project)) == 1
    assert [commit.subject for commit in branch_commits(project, "main")] == ["first"]
    assert git.shallow_note(project) == ""
    assert not (project.parent / "sprung").exists()


def test_what_git_refuses_is_an_error_in_its_words_and_never_clean(project: Path) -> None:
    index = project / ".git" / "index"
    whole = index.read_bytes()
    edit(project)
    for broken in (b"x", b"DIRC" + bytes(40), whole[: len(whole) // 2]):
        index.write_bytes(broken)
        with pytest.raises(UserError, match=r"git ls-files: (fatal|error): |is damaged") as caught:
            git.state(project)
        assert "\n" not in str(caught.value)
    index.write_bytes(whole[:-20] + bytes(20))  # a wrong checksum, which git does not look at
    assert git.state(project).dirty
    index.write_bytes(whole)
    sha = scratch.git(project, "rev-parse", "HEAD")
    commit = project / ".git" / "objects" / sha[:2] / sha[2:]
    commit.chmod(0o644)
    commit.write_bytes(b"x")
    with pytest.raises(UserError, match="git "):
        git.state(project)
    commit.unlink()
    with pytest.raises(UserError, match="git "):
        git.state(project)


def test_a_checkout_of_somebody_else_is_refused_in_gits_words(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    command = ["git", "config", "--system", "--get-all", "safe.directory"]
    if "*" in subprocess.run(command, capture_output=True, text=True).stdout.split():
        pytest.skip("safe.directory=* in git's system configuration: it refuses no checkout")
    for home in ("HOME", "XDG_CONFIG_HOME"):  # a user may have called every folder safe
        monkeypatch.setenv(home, str(project.parent))
    for path in (project, project / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(UserError, match=r"dubious ownership.*safe\.directory"):
        git.state(project)


def test_without_git_or_a_commit_the_state_is_a_digest_of_the_code(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(project))
    without_git = git.state(project)
    assert (without_git.sha, without_git.dirty) == (None, True)
    monkeypatch.undo()
    shutil.rmtree(project / ".git")
    assert git.state(project) == without_git
    subprocess.run(["git", "init", "-q", str(project)], check=True, env=git.git_environment())
    assert git.state(project) == without_git
    (project / "bench" / ".#cli.py").symlink_to("somebody@host.1:2")  # Emacs, while a file is edited
    assert git.state(project) == without_git
    edit(project)
    assert git.state(project).tree != without_git.tree


def test_a_linked_worktree_has_a_state_of_its_own(project: Path) -> None:
    linked = project.parent / "linked"
    hook = project / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\necho from a hook > README\n")
    hook.chmod(0o755)
    assert git.run_git(project, "worktree", "add", "--detach", str(linked)) is not None
    edit(project)
    assert git.state(linked).tree == "clean"
    assert git.state(linked).sha == git.state(project).sha
    assert git.state(project).dirty


def test_a_clone_without_its_whole_history_says_so(project: Path) -> None:
    scratch.git(project, "commit", "-q", "--allow-empty", "-m", "second")
    clone = project.parent / "clone"
    scratch.git(project.parent, "clone", "-q", "--depth", "1", f"file://{project}", str(clone))
    assert "git fetch --unshallow" in git.shallow_note(clone)
    assert git.state(clone).tree == "clean"
    assert git.commit_of(clone, "HEAD~1") is None
