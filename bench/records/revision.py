"""Resolve a git revision to the commit that records name."""

from __future__ import annotations

import re
from pathlib import Path

from bench.machine import git
from bench.records.listing import choices
from variants.errors import UserError

LONGEST = 120
"""So many characters of what was typed are repeated in an error."""


def resolve_revision(revision: str, results: Path) -> tuple[str, str | None]:
    """Return the sha that a revision names, and which uncommitted state of it: None for none, empty for any.

    A revision is what git takes it for in the checkout around `results`, or the sha of a commit that has records;
    `worktree` is the uncommitted state of HEAD, `<rev>-dirty` that of another commit. Raises UserError for any other.
    """
    if revision == "worktree":
        now = git.state(results) if results.exists() else None
        return (now.sha, f"-{now.tree}" if now.dirty else "") if now and now.sha else ("no-commit", "")
    name, dirty, tree = revision.partition("-dirty")
    dirty = dirty if re.fullmatch(r"(-\w{0,64})?", tree, re.ASCII) else ""
    for asked, state in ((revision, None), (name, tree)) if dirty else ((revision, None),):
        sha = git.commit_of(results, asked)
        if sha:
            return sha, state
        # Records travel further than commits: a shallow clone has not the history that they name.
        if re.fullmatch("[0-9a-f]{4,40}|no-commit", asked):
            recorded = {path.name.partition("-dirty")[0] for path in results.glob(f"*/{asked[:12]}*")}
            if len(recorded) == 1:
                return recorded.pop(), state
    note = git.shallow_note(results)
    why = f" ({note})" if note else ""
    raise UserError(f"unknown revision {short(repr(revision))}{why}: choose one of: {choices(results)}")


def short(text: str) -> str:
    """Cut a text that is too long for an error of one line."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def wanted_commit(revision: str, results: Path) -> str:
    """Return a revision as `Wanted.commit` takes it. Raises UserError for an unknown one."""
    sha, state = resolve_revision(revision, results)
    return sha if state is None else f"{sha}-dirty{state}"
