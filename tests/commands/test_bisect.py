"""A bisection finds a planted regression in a scratch repository, and leaves everything else of it as it was."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.commands.bisect import BAD, GOOD, Bisection, _compared
from bench.commands.worktree import ENDINGS
from bench.machine.git import run_git
from bench.selftest import scratch
from tests.checkout import SIZE, Checkout, q4
from variants.paths import ROOT

COMMITS, PLANTED = 16, 11
FEW = ("latency.requests=4", "latency.warmup_requests=1", "latency.output_tokens=4", "accuracy.limit=6")


class Project:
    """A scratch repository: this project's files, and 16 commits of which one makes q4 larger."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout"
        names = run_git(ROOT, "ls-files", "-coz", "--exclude-standard") or ""
        for name in names.split("\0"):
            if name and not name.startswith(("results/", "tests/")) and (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.root / name)
        self.git("init", "-q", "-b", "main")
        self.shas = [self._commit(number) for number in range(COMMITS)]

    def git(self, *arguments: str) -> str:
        return scratch.git(self.root, *arguments)

    def _commit(self, number: int) -> str:
        steps = self.root / "conf" / "steps" / "default.yaml"
        if number == PLANTED:
            before = steps.read_text()
            steps.write_text(before.replace("type: Q4_K_M", "type: Q5_K_M"))
            assert steps.read_text() != before
        (self.root / "NOTES").write_text(f"{number}\n")
        if number in (5, 12):  # neither can run at all
            (self.root / "conf" / "config.yaml").rename(self.root / "conf" / "config.yml")
        if number in (6, 13):
            (self.root / "conf" / "config.yml").rename(self.root / "conf" / "config.yaml")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"change {number}")
        return self.git("rev-parse", "HEAD")

    def start(
        self, *arguments: str, terminal: int | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        def as_typed() -> None:
            # In the background of a shell tests inherit that an ending is ignored; a command that is typed does not.
            for number in ENDINGS:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            if terminal is not None:
                fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        stream = subprocess.PIPE if terminal is None else terminal
        return subprocess.Popen(
            [sys.executable, "-m", "bench.cli", "bisect", *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root), **(variables or {})},
            stdout=stream,
            stderr=stream,
            text=True,
            start_new_session=terminal is not None,
            preexec_fn=as_typed,
        )

    def processes(self) -> list[int]:
        """List the processes that measure in the worktree."""
        mark = str(self.root / ".cache" / "bisect").encode()
        running = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "cmdline").read_bytes():
                    running.append(int(folder.name))
        return running

    def bisect(self, *arguments: str) -> tuple[int, str, str]:
        child = self.start(*arguments)
        out, err = child.communicate()
        return child.returncode, out, err

    def state(self) -> tuple[str, ...]:
        """Everything of the user's that a bisection might touch: checkout, index, references, worktrees, bisections."""
        asked = (("status", "--porcelain", "--branch"), ("for-each-ref",), ("worktree", "list"), ("ls-files", "-s"))
        head = (self.root / ".git" / "HEAD").read_text()
        bisecting = sorted(path.name for path in (self.root / ".git").glob("BISECT*"))
        return (head, *bisecting, *(self.git(*arguments) for arguments in asked))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def test_the_planted_commit_is_found_and_nothing_else_is_touched(project: Project, tiny_model: Path) -> None:
    (project.root / "NOTES").write_text("uncommitted work of the user\n")
    project.git("add", "NOTES")
    (project.root / "NOTES").write_text("and more of it\n")
    before = project.state()
    code, out, err = project.bisect("size_bytes", "q4", "HEAD~15", "HEAD", "--", f"model={tiny_model}", *FEW)
    assert code == 0, out + err
    planted = project.shas[PLANTED]
    assert f"first bad commit: {planted[:12]} change {PLANTED}" in out
    evidence = [line for line in err.splitlines() if line.startswith(planted[:12])]
    assert len(evidence) == 1
    assert "bad  worse" in evidence[0]
    assert " B → " in evidence[0]
    assert project.state() == before
    assert (project.root / "NOTES").read_text() == "and more of it\n"
    assert not (project.root / "results").exists()
    kept = project.root / ".cache" / "bisect"
    assert not (kept / "tree").exists()
    assert not (kept / "artifacts").exists()


def test_ends_that_do_not_differ_are_nothing_to_bisect_and_a_calling_hooks_repository_is_not_touched(
    project: Project, checkout: Checkout, tiny_model: Path
) -> None:
    """Git sets these variables for a hook, which may be that of another repository."""
    git = checkout.root / ".git"
    before, head = project.state(), (git / "HEAD").read_text()
    hook = {"GIT_DIR": str(git), "GIT_WORK_TREE": str(checkout.root), "GIT_INDEX_FILE": str(git / "index")}
    child = project.start("size_bytes", "q4", "HEAD~15", "HEAD~8", f"model={tiny_model}", variables=hook)
    _, err = child.communicate()
    assert child.returncode == 2
    assert "size_bytes of q4 is not worse at BAD" in err.splitlines()[-1]
    assert (git / "HEAD").read_text() == head
    assert project.state() == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("speed", "q4", "HEAD~1", "HEAD"), "METRIC: got 'speed', allowed: "),
        (("size_bytes", "q4", "nonesuch", "HEAD"), "'nonesuch': no commit of this repository"),
        (("size_bytes", "q4", "HEAD", "HEAD~1"), "GOOD HEAD is no ancestor of BAD HEAD~1"),
        (("size_bytes", "q4", "HEAD", "HEAD"), "GOOD HEAD is no ancestor of BAD HEAD"),
        (("size_bytes", "q4", "HEAD~1", "HEAD", "cache_dir=x"), "cache_dir: not yours to set in a bisection"),
        (("size_bytes", "q9", "HEAD~1", "HEAD"), "GOOD "),
        (("accuracy hr", "q4", "HEAD~1", "HEAD", "accuracy.tasks=null"), "accuracy.tasks: got null, allowed: a list"),
        (("accuracy rh", "q4", "HEAD~1", "HEAD"), "METRIC: got 'accuracy rh', no such task is asked; allowed: "),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(project: Project, arguments: tuple[str, ...], complaint: str) -> None:
    before = project.state()
    code, out, err = project.bisect(*arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"bench: {complaint}")
    assert "Traceback" not in err
    assert project.state() == before


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2), /proc")
@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "a closed terminal"])
def test_whatever_ends_a_bisection_ends_what_measures_and_takes_the_worktree_away(
    project: Project, tiny_model: Path, ending: str
) -> None:
    before = project.state()
    kept = project.root / ".cache" / "bisect"
    shutil.rmtree(kept, ignore_errors=True)
    ours, theirs = pty.openpty()
    terminal = theirs if ending == "a closed terminal" else None
    child = project.start("size_bytes", "q4", "HEAD~15", "HEAD", f"model={tiny_model}", terminal=terminal)
    os.close(theirs)
    # It waits for the other processes to reach the moment, and times nothing: here a worker of the sweep runs.
    while child.poll() is None and len(project.processes()) < 2:
        time.sleep(0.02)
    assert child.poll() is None
    if terminal is None:
        child.send_signal(signal.Signals[ending])
    os.close(ours)
    child.communicate()
    assert project.processes() == []
    assert not (kept / "tree").exists()
    assert project.state() == before
    assert terminal is not None or child.returncode == 130


@pytest.mark.parametrize(("bytes_more", "judged"), [(1, BAD), (0, GOOD), (-1, GOOD)])
def test_any_byte_of_a_size_can_be_bisected_as_the_history_shows_it(
    checkout: Checkout, bytes_more: int, judged: str
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(size=SIZE + bytes_more))
    bisection = Bisection("size_bytes", "q4", checkout.base, (), str(checkout.root), str(checkout.results))
    assert _compared(bisection, checkout.head).judged == judged
