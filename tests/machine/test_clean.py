"""A checkout is clean where its files are those of the commit, and only there, whatever git's index or settings say."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.machine import git
from bench.selftest import records, scratch
from tests.machine.project import CODE, edit

Change = Callable[[Path], object]


def assume_unchanged(project: Path) -> None:
    scratch.git(project, "update-index", "--assume-unchanged", CODE)
    edit(project)


def skip_worktree(project: Path) -> None:
    scratch.git(project, "update-index", "--skip-worktree", CODE)
    edit(project)


def remove_and_skip(project: Path) -> None:
    scratch.git(project, "update-index", "--skip-worktree", CODE)
    (project / CODE).unlink()


def a_monitor_that_saw_nothing(project: Path) -> None:
    monitor = project.parent / "monitor"
    monitor.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    monitor.chmod(0o755)
    scratch.git(project, "config", "core.fsmonitor", str(monitor))
    scratch.git(project, "status")
    edit(project)


def same_size_and_time(project: Path) -> None:
    scratch.git(project, "config", "core.checkStat", "minimal")
    path = project / CODE
    before = path.stat()
    path.write_text(path.read_text().replace("second", "SECOND"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def a_diff_driver_that_shows_nothing(project: Path) -> None:
    scratch.git(project, "config", "diff.quiet.textconv", "true")
    (project / ".git" / "info" / "attributes").write_text("* diff=quiet\n")
    scratch.git(project, "config", "diff.external", "true")
    edit(project)


def a_filter_that_restores(project: Path) -> None:
    scratch.git(project, "config", "filter.restore.clean", f"printf '{CODE}\\nsecond line\\n'")
    (project / ".git" / "info" / "attributes").write_text("bench/* filter=restore\n")
    edit(project)


def a_replaced_commit(project: Path) -> None:
    first = scratch.git(project, "rev-parse", "HEAD")
    edit(project)
    scratch.git(project, "commit", "-q", "-a", "-m", "other")
    other = scratch.git(project, "rev-parse", "HEAD")
    scratch.git(project, "update-ref", "refs/heads/main", first)
    scratch.git(project, "replace", first, other)


def new_code_ignored_by_the_user(project: Path) -> None:
    (project / ".git" / "info" / "exclude").write_text("*.py\n")
    (project / "variants" / "new.py").write_text("import os\n")


def new_code_of_a_name_that_is_no_text(project: Path) -> None:
    (project / os.fsdecode(b"bench/\xff\n.py")).write_text("import os\n")


def a_module_that_shadows_a_library(project: Path) -> None:
    (project / ".git" / "info" / "exclude").write_text("torch.py\n")
    (project / "torch.py").write_text("")


def a_nested_repository(project: Path) -> None:
    (project / "bench" / "plugin").mkdir()
    scratch.git(project / "bench" / "plugin", "init", "-q")


def a_link_in_place_of_a_file(project: Path) -> None:
    shutil.copy(project / CODE, project.parent / "copy.py")
    (project / CODE).unlink()
    (project / CODE).symlink_to(project.parent / "copy.py")


def a_pipe_in_place_of_a_file(project: Path) -> None:
    (project / CODE).unlink()
    os.mkfifo(project / CODE)


def a_link_to_the_project_itself(project: Path) -> None:
    (project / "bench" / "self").symlink_to(project)


def code_that_looks_like_a_record(project: Path) -> None:
    folder = project / "bench" / "0123456789ab"
    folder.mkdir()
    (folder / "q4.r0.json.py").write_text("")


CHANGES = (
    edit, assume_unchanged, skip_worktree, remove_and_skip, a_monitor_that_saw_nothing, same_size_and_time,
    a_diff_driver_that_shows_nothing, a_filter_that_restores, a_replaced_commit, new_code_ignored_by_the_user,
    new_code_of_a_name_that_is_no_text, a_module_that_shadows_a_library, a_nested_repository,
    a_link_in_place_of_a_file, a_pipe_in_place_of_a_file, a_link_to_the_project_itself, code_that_looks_like_a_record,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_reads_as_clean(project: Path, change: Change) -> None:
    before = git.state(project)
    assert (before.dirty, before.tree) == (False, "clean")
    change(project)
    now = git.state(project)
    assert now.sha == before.sha
    assert now.dirty
    assert now.tree != "clean"


def test_two_changes_are_two_states_and_undoing_both_is_clean(project: Path) -> None:
    clean = git.state(project)
    states = [clean]
    for text in ("one", "two"):
        (project / "new").write_text(text)
        states.append(git.state(project))
    (project / "new").rename(project / "other")
    states.append(git.state(project))
    assert len({state.tree for state in states}) == 4
    (project / "other").unlink()
    assert git.state(project) == clean


def line_ends(project: Path) -> None:
    (project / CODE).write_bytes((project / CODE).read_bytes().replace(b"\n", b"\r\n"))


def git_lfs(project: Path) -> None:
    """Commit what Git LFS would: a digest of the file in its place."""
    weights = project / "weights.bin"
    content = b"\0\1\2\3"
    digest = hashlib.sha256(content).hexdigest()
    weights.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n")
    scratch.git(project, "add", "-A")
    scratch.git(project, "commit", "-q", "-m", "weights")
    weights.write_bytes(content)


def a_sparse_checkout(project: Path) -> None:
    (project / "docs").mkdir()
    (project / "docs" / "text").write_text("")
    scratch.git(project, "add", "-A")
    scratch.git(project, "commit", "-q", "-m", "docs")
    scratch.git(project, "sparse-checkout", "set", "bench", "conf", "variants")
    assert not (project / "docs").exists()


def a_submodule_not_asked_for(project: Path) -> None:
    sha = scratch.git(project, "rev-parse", "HEAD")
    scratch.git(project, "update-index", "--add", "--cacheinfo", f"160000,{sha},vendor")
    scratch.git(project, "commit", "-q", "-m", "vendor")
    (project / "vendor").mkdir()


def a_detached_head(project: Path) -> None:
    scratch.git(project, "checkout", "-q", "--detach")


def an_executable_bit(project: Path) -> None:
    (project / CODE).chmod(0o755)


def records_reports_and_caches(project: Path) -> None:
    """What sweeps leave behind that ran with another `results_dir` and `cache_dir`."""
    for folder in ("results", "myresults", "deep/er", "."):
        records.write(project / folder, records.record("q4", 0))
        (project / folder / "report").mkdir(parents=True, exist_ok=True)
        (project / folder / "report" / "index.html").write_text("")
    (project / "mycache" / "artifacts").mkdir(parents=True)
    (project / "mycache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    (project / "mycache" / "artifacts" / "model.gguf").write_text("")


SAME = (
    line_ends, git_lfs, a_sparse_checkout, a_submodule_not_asked_for, a_detached_head, an_executable_bit,
    records_reports_and_caches,
)  # fmt: skip


@pytest.mark.parametrize("same", SAME)
def test_what_changes_nothing_that_is_measured_is_clean(project: Path, same: Change) -> None:
    same(project)
    assert git.state(project).tree == "clean"
    edit(project)
    assert git.state(project).dirty
