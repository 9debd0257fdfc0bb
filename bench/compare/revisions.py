"""Find the records that stand for a git revision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from bench.machine import git
from bench.records.file import record_path
from bench.records.listing import choices
from bench.records.selection import Selection, Wanted, select
from bench.records.store import LeftOut, read
from variants.errors import UserError


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its records, the unsound files that may be some of them, and notes for the reader.

    `left_out` has the unsound files by variant: such a variant cannot be compared.
    """

    selection: Selection
    left_out: dict[str, list[LeftOut]]
    notes: tuple[str, ...]


def find_side(results: Path, revision: str | None, wanted: Sequence[Wanted]) -> Side:
    """Return the records that stand for a revision, of the first of `wanted` (machine and sweep) that has any.

    Raises UserError where there are none.
    """
    sha, dirty = _commit(revision or "HEAD", results)
    records, left_out = read(results, f"{sha[:12]}*")
    records = [record for record in records if record.sha.startswith(sha)]
    clean = [record for record in records if not record.commit.dirty]
    states = [records] if dirty is not None or revision is None else [clean, records]
    commits = [sha] if dirty is None else [f"{sha}-dirty{dirty}"]
    commits += [f"{sha}-dirty"] if revision == "worktree" else []
    for one, commit, state in product(wanted, commits, states):
        selection = select(state, replace(one, commit=commit), results)
        if selection is not None:
            return Side(selection, _beside(selection, left_out, results), tuple(_notes(revision, selection, results)))
    where = "".join(f", {name} {value}" for name in ("sweep", "machine") if (value := getattr(wanted[-1], name)))
    unsound = f", {len(left_out)} left out ({left_out[0]})" if left_out else ""
    raise UserError(
        f"no records for {revision or 'HEAD'} ({sha[:12]}{where}) under {results}{unsound}: "
        f"run `make bench` there, or choose one of: {choices(results)}"
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
    raise UserError(f"unknown revision {revision!r}: choose one of: {choices(folder)}")


def _beside(selection: Selection, left_out: Sequence[LeftOut], results: Path) -> dict[str, list[LeftOut]]:
    """Return, by variant, the unsound files that lie where the records of a side lie: they may be some of them."""
    first = selection.records[0]
    stock = record_path(results, first.machine.id, first.commit, "", first.variant, first.round)
    folders = {stock.parent}
    if selection.dirty:  # older versions kept all dirty states of a commit in one folder
        folders.add(stock.parent.with_name(f"{first.sha[:12]}-dirty"))
    sweep = "" if any((folder / stock.name).exists() for folder in folders) else selection.sweep
    files: dict[str, list[LeftOut]] = {}
    for file in left_out:
        variant, _, named = file.path.name.removesuffix(".json").rpartition(".r")[0].partition("~")
        if file.path.parent in folders and named == sweep:
            files.setdefault(variant, []).append(file)
    return files


def _notes(revision: str | None, selection: Selection, folder: Path) -> list[str]:
    """Say where the records are of another state than the revision's own."""
    if revision is None or not selection.dirty or "-dirty" in revision:
        return []
    if revision != "worktree":
        return [f"{revision}: its commit was not measured, {selection.label} with uncommitted changes stands for it"]
    if selection.records[0].commit.tree == git.state(folder).tree:
        return []
    return [f"worktree: the checkout has changed since {selection.label} was measured, which is the newest there is"]
