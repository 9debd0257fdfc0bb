"""Ask git about a checkout: its commit and state, what a revision names, and the order of the commits."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class State:
    """The commit of a checkout (None without git) and whether files differ from it.

    `tree` is `clean`, or a digest of what differs; without git it is a digest of the project's code.
    """

    sha: str | None
    dirty: bool
    tree: str


def run_git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints in a folder, or None where it fails or there is no git."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def state(folder: Path) -> State:
    """Return the state of the checkout that a folder lies in.

    `results/` is left out: what a sweep writes does not change what the next one measures.
    """
    sha = (run_git(folder, "rev-parse", "HEAD") or "").strip()
    if not sha:
        return State(None, True, _tree_without_git(folder))
    top = Path((run_git(folder, "rev-parse", "--show-toplevel") or str(folder)).strip())
    scope = ["--", ".", ":!results"]
    diff = run_git(top, "diff", "HEAD", "--binary", *scope) or ""
    untracked = (run_git(top, "ls-files", "-o", "--exclude-standard", "-z", *scope) or "").split("\0")
    names = sorted(name for name in untracked if name and (top / name).is_file())
    digest = hashlib.sha256(diff.encode())
    for name in names:
        digest.update(name.encode() + b"\0" + (top / name).read_bytes())
    dirty = bool(diff or names)
    return State(sha, dirty, digest.hexdigest()[:12] if dirty else "clean")


def _tree_without_git(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for folder in ("bench", "conf", "variants") for p in (root / folder).rglob("*.[py]*")):
        if path.suffix in (".py", ".yaml"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def commit_of(folder: Path, revision: str) -> str | None:
    """Return the sha of the commit that a revision names, None where git knows no such revision."""
    sha = run_git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return sha.strip() if sha else None


def ancestors(folder: Path, *of: str) -> list[str]:
    """List HEAD (or `of`, as `git log` takes it) and the commits that it descends from, newest first."""
    return (run_git(folder, "log", "--format=%H", "--topo-order", *of) or "").split()
