"""Choose the records of one sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.machine.git import ancestors

if TYPE_CHECKING:
    pass
from bench.records.store import Record


@dataclass(frozen=True)
class Selection:
    """The records of one sweep: one commit in one state, on one machine, and why it is this one."""

    records: tuple[Record, ...]
    sha: str
    label: str
    machine: str
    sweep: str
    why: str

    @property
    def dirty(self) -> bool:
        """Say whether the working tree differed from the commit."""
        return self.records[0].dirty


def select(
    records: Sequence[Record], commit: str | None = None, machine: str | None = None, sweep: str | None = None
) -> Selection | None:
    """Pick the records of one sweep; None where nothing matches.

    `commit` is the start of a sha, with `-dirty` for the states beside it, or `-dirty-<tree>` for one of them;
    without one it is the newest commit of this checkout that has records: HEAD, else the nearest in `git log`,
    else the newest in time. Where that leaves several machines, sweeps or states of the working tree, the one
    measured last is taken.
    """
    fitting = [r for r in records if machine in (None, r.machine) and sweep in (None, r.sweep)]
    if commit is not None:
        sha, dirty, tree = commit.partition("-dirty")
        wanted = tree.removeprefix("-")
        fitting = [r for r in fitting if r.sha.startswith(sha) and (r.dirty or not dirty)]
        fitting = [r for r in fitting if str(r.data["commit"].get("tree")).startswith(wanted)]
    if not fitting:
        return None
    if commit is None:
        sha, why = _newest_commit(fitting)
        fitting = [record for record in fitting if record.sha == sha]
    else:
        why = "asked for"
    newest = max(fitting, key=lambda record: record.started_at)
    state = (newest.sha, newest.label, newest.machine, newest.sweep)
    chosen = [r for r in fitting if (r.sha, r.label, r.machine, r.sweep) == state]
    chosen.sort(key=lambda record: (record.round, record.variant))
    return Selection(tuple(chosen), *state, why)


def _newest_commit(records: Sequence[Record]) -> tuple[str, str]:
    measured = {record.sha for record in records}
    for age, sha in enumerate(ancestors(records[0].path.parent)):
        if sha in measured:
            return sha, "HEAD of this checkout" if age == 0 else f"the nearest commit with records, {age} before HEAD"
    newest = max(records, key=lambda record: record.started_at)
    return newest.sha, "the newest records; their commit is not in the history of this checkout"
