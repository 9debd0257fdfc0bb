"""Find the records that stand for a git revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from bench.machine import git
from bench.records.file import record_path
from bench.records.listing import choices
from bench.records.revision import resolve_revision
from bench.records.selection import Selection, Wanted, select
from bench.records.store import LeftOut, read
from bench.records.types import Record
from variants.errors import UserError


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its records, the unsound files that may be some of them, and notes for the reader.

    `left_out` has the unsound files by variant: such a variant cannot be compared. Where the records are those of an
    older commit, `missing` says that the revision itself has none.
    """

    selection: Selection
    left_out: dict[str, list[LeftOut]]
    notes: tuple[str, ...]
    missing: str = ""


def find_side(
    results: Path, revision: str | None, wanted: Sequence[Wanted], nearest: bool = False, other: Selection | None = None
) -> Side:
    """Return the records that stand for a revision, of the first of `wanted` (machine and sweep) that has any.

    With `nearest` these may be those of the nearest commit before it, but not those of the `other` side. Raises
    UserError where there are none.
    """
    name = revision or "HEAD"
    sha, dirty = resolve_revision(name, results)
    records, left_out = _read(results, sha)
    clean = [record for record in records if not record.commit.dirty]
    states = [records] if dirty is not None or revision is None else [clean, records]
    commits = [sha] if dirty is None else [f"{sha}-dirty{dirty}"]
    commits += [f"{sha}-dirty"] if revision == "worktree" else []
    for one, commit, state in product(wanted, commits, states):
        selection = select(state, replace(one, commit=commit), results)
        if selection is not None:
            return Side(selection, _beside(selection, left_out, results), tuple(_notes(revision, selection, results)))
    where = "".join(f", {key} {value}" for key in ("sweep", "machine") if (value := getattr(wanted[-1], key)))
    unsound = f", {len(left_out)} left out ({left_out[0]})" if left_out else ""
    older = f" ({note})" if (note := git.shallow_note(results)) else ""
    missing = (
        f"no records for {name} ({sha[:12]}{where}) under {results}{unsound}{older}: "
        f"run `make bench` there, or choose one of: {choices(results)}"
    )
    # A sha or a state that was typed in full is meant as it stands.
    may_stand_in = nearest and dirty is None and not sha.startswith(name)
    side = _nearest_side(results, name, sha, wanted, other) if may_stand_in else None
    if side is None:
        raise UserError(missing)
    return replace(side, missing=missing)


def _read(results: Path, sha: str) -> tuple[list[Record], list[LeftOut]]:
    records, left_out = read(results, f"{sha[:12]}*")
    return [record for record in records if record.sha.startswith(sha)], left_out


def _nearest_side(results: Path, name: str, sha: str, wanted: Sequence[Wanted], other: Selection | None) -> Side | None:
    """Return the records of the nearest commit before one that was not measured, in the order of `git log`."""
    measured = {folder.name[:12] for folder in results.glob("*/*/")}
    older = [(age, one) for age, one in enumerate(git.ancestors(results, sha)) if age and one[:12] in measured]
    for one, (age, commit) in product(wanted, older):
        records, left_out = _read(results, commit)
        clean = [record for record in records if not record.commit.dirty]
        for state in (clean, records):
            selection = select(state, replace(one, commit=commit), results)
            if selection is None or (other and _place(selection) == _place(other)):
                continue
            before = f"{age:,} commit{'' if age == 1 else 's'} before it"
            note = f"{name} ({sha[:12]}) was not measured: {selection.label}, {before}, stands for it"
            return Side(selection, _beside(selection, left_out, results), (note,))
    return None


def _place(selection: Selection) -> tuple[str, str]:
    return selection.label, selection.machine


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
