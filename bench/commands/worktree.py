"""Make a worktree of this repository for a bisection, and remove it whatever happens."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.machine.git import run_git
from variants.errors import UserError
from variants.paths import ROOT

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""An interruption, an end that is asked for, a terminal that closes."""


@contextmanager
def worktree(place: Path, sha: str) -> Iterator[Path]:
    """Make a worktree of a commit in `place`/tree and yield `place`. Raises UserError where another bisection runs."""
    from filelock import FileLock, Timeout

    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=0), _ended_like_interrupted():
            _remove(place)  # what a kill left behind
            try:
                if run_git(ROOT, "worktree", "add", "--force", "--detach", str(place / "tree"), sha) is None:
                    raise UserError(f"git could not make a worktree of {sha[:12]} in {place}")
                yield place
            finally:
                with _uninterrupted():  # a closing terminal sends more than one signal
                    _remove(place)
    except Timeout:
        raise UserError(f"another bisection of this checkout runs in {place}: wait for it, or end it") from None


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Let each ending raise KeyboardInterrupt; one that is ignored, as under nohup, stays ignored."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    with _handled(stop):
        yield


@contextmanager
def _uninterrupted() -> Iterator[None]:
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], NoReturn] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDINGS}
    heeded = [number for number in ENDINGS if before[number] != signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def _remove(place: Path) -> None:
    """Remove the worktree, also one that git had not finished, and what was built in it."""
    for name in ("tree", "artifacts"):
        shutil.rmtree(place / name, ignore_errors=True)
    with suppress(UserError):  # where git refuses there is no worktree of ours
        common = ROOT / (run_git(ROOT, "rev-parse", "--git-common-dir") or ".git").strip()
        for known in common.glob("worktrees/*/gitdir"):
            if (known.parent / known.read_text().strip()).resolve() == place / "tree" / ".git":
                shutil.rmtree(known.parent)
