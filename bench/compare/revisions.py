"""Find the records that stand for a git revision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from bench.machine import git
from bench.records.listing import labels_told
from bench.records.selection import Selection, select
from bench.records.store import LeftOut, read


class NoComparisonError(ValueError):
    """Say in one line which records are missing, and which there are."""


def _pick(
    folder: Path, revision: str | None, machines: Sequence[str | None], sweep: str | None
) -> tuple[Selection, list[LeftOut], list[str]]:
    """Return the records that stand for a revision, the unsound files beside them, and what a reader must be told."""
    sha, dirty = _commit(revision or "HEAD", folder)
    records, left_out = read(folder, f"{sha[:12]}*")
    records = [record for record in records if record.sha.startswith(sha)]
    clean = [record for record in records if not record.dirty]
    states = [records] if dirty is not None or revision is None else [clean, records]
    wanted_states = [sha] if dirty is None else [f"{sha}-dirty{dirty}"]
    wanted_states += [f"{sha}-dirty"] if revision == "worktree" else []
    for machine, wanted_state, state in product(machines, wanted_states, states):
        found = select(state, wanted_state, machine, sweep)
        if found is not None:
            return found, left_out, _notes(revision, found, folder)
    wanted = "".join(f", {what} {name}" for what, name in (("sweep", sweep), ("machine", machines[-1])) if name)
    unsound = f", {len(left_out)} left out ({left_out[0]})" if left_out else ""
    raise NoComparisonError(
        f"no records for {revision or 'HEAD'} ({sha[:12]}{wanted}) under {folder}{unsound}: "
        f"run `make bench` there, or choose one of: {labels_told(folder)}"
    )


def _commit(revision: str, folder: Path) -> tuple[str, str | None]:
    """Return the sha that a revision names, and which uncommitted state of it: None for none, empty for any."""
    if revision == "worktree":
        now = git.state(folder) if folder.exists() else None
        return (now.sha, f"-{now.tree}" if now.dirty else "") if now and now.sha else ("no-commit", "")
    name, dirty, tree = revision.partition("-dirty")
    for asked, state in ((revision, None), (name, tree)) if dirty else ((revision, None),):
        sha = git.commit_of(folder, asked)
        if sha:
            return sha, state
        # Records travel further than commits: a shallow clone has not the history that they name.
        is_sha = re.fullmatch("[0-9a-f]{7,40}", asked)
        recorded = {path.name.partition("-dirty")[0] for path in folder.glob(f"*/{asked[:12]}*") if is_sha}
        if len(recorded) == 1:
            return recorded.pop(), state
    raise NoComparisonError(f"unknown revision {revision!r}: choose one of: {labels_told(folder)}")


def _notes(revision: str | None, found: Selection, folder: Path) -> list[str]:
    """Tell where the records are of another state than the revision's own."""
    if revision is None or not found.dirty or "-dirty" in revision:
        return []
    if revision != "worktree":
        return [f"{revision}: its commit was not measured, {found.label} with uncommitted changes stands for it"]
    if found.records[0].data["commit"].get("tree") == git.state(folder).tree:
        return []
    return [f"worktree: the checkout has changed since {found.label} was measured, which is the newest there is"]
