"""What git knows of a checkout: its commit and state, what a revision names, and the order of the commits."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any


def git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints in a folder, or None where it fails or there is no git."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def state(root: Path) -> dict[str, Any]:
    """Describe a checkout: its commit, whether it is dirty, and `tree`, a digest of what makes it so.

    `results/` is left out: what a sweep writes does not change what the next one measures.
    """
    sha = (git(root, "rev-parse", "HEAD") or "").strip()
    if not sha:
        return {"sha": None, "dirty": True, "tree": _tree_without_git(root)}
    top = Path((git(root, "rev-parse", "--show-toplevel") or str(root)).strip())
    scope = ["--", ".", ":!results"]
    diff = git(top, "diff", "HEAD", "--binary", *scope) or ""
    untracked = (git(top, "ls-files", "-o", "--exclude-standard", "-z", *scope) or "").split("\0")
    names = sorted(name for name in untracked if name and (top / name).is_file())
    digest = hashlib.sha256(diff.encode())
    for name in names:
        digest.update(name.encode() + b"\0" + (top / name).read_bytes())
    dirty = bool(diff or names)
    return {"sha": sha, "dirty": dirty, "tree": digest.hexdigest()[:12] if dirty else "clean"}


def _tree_without_git(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for folder in ("bench", "conf", "variants") for p in (root / folder).rglob("*.[py]*")):
        if path.suffix in (".py", ".yaml"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def commit_of(folder: Path, revision: str) -> str | None:
    """Return the sha of the commit that a revision names, None where git knows no such revision."""
    found = git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return found.strip() if found else None


def history(folder: Path, *of: str) -> list[str]:
    """List the commits that HEAD (or `of`, as `git log` takes it) descends from, newest first."""
    return (git(folder, "log", "--format=%H", "--topo-order", *of) or "").split()
