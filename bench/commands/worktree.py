"""Make a worktree of this repository for a bisection, and remove it whatever happens."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.machine.git import run_git
from variants.errors import UserError
from variants.paths import ROOT

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")


@contextmanager
def worktree(place: Path, sha: str) -> Iterator[Path]:
    """Make a worktree of a commit in `place`/tree and yield `place`. Raises UserError where another bisection runs."""
    from filelock import FileLock, Timeout

    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=0), _terminated_like_interrupted():
            _remove(place)  # what a kill left behind
            try:
                if run_git(ROOT, *NO_HOOKS, "worktree", "add", "--force", "--detach", str(place / "tree"), sha) is None:
                    raise UserError(f"git could not make a worktree of {sha[:12]} in {place}")
                yield place
            finally:
                _remove(place)
    except Timeout:
        raise UserError(f"another bisection of this checkout runs in {place}: wait for it, or end it") from None


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _remove(place: Path) -> None:
    run_git(ROOT, "worktree", "remove", "--force", "--force", str(place / "tree"))
    for name in ("tree", "artifacts"):
        shutil.rmtree(place / name, ignore_errors=True)
    common = ROOT / (run_git(ROOT, "rev-parse", "--git-common-dir") or ".git").strip()
    for known in common.glob("worktrees/*/gitdir"):  # git keeps one that was interrupted while it was made
        if Path(known.read_text().strip()) == place / "tree" / ".git":
            shutil.rmtree(known.parent)
    for name in ("job.json", "evidence.jsonl"):
        (place / name).unlink(missing_ok=True)
