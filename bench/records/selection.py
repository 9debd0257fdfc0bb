"""Choose the records of one sweep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine.git import ancestors
from bench.records.store import read
from bench.records.types import Record


@dataclass(frozen=True)
class Wanted:
    """What a user asked for; None leaves the choice to `select`.

    `commit` is the start of a sha, with `-dirty` for all uncommitted changes on it, or `-dirty-<tree>` for one state.
    """

    commit: str | None = None
    machine: str | None = None
    sweep: str | None = None

    @property
    def label(self) -> str:
        """Return the pattern of the folders that such records lie in, as `store.read` takes it."""
        return f"{self.commit.partition('-dirty')[0][:12]}*" if self.commit else "*"

    def fits(self, record: Record) -> bool:
        """Say whether a record fits."""
        if self.machine not in (None, record.machine.id) or self.sweep not in (None, record.sweep):
            return False
        if self.commit is None:
            return True
        sha, dirty, tree = self.commit.partition("-dirty")
        state = record.commit.tree.startswith(tree.removeprefix("-"))
        return record.sha.startswith(sha) and (record.commit.dirty or not dirty) and state

    def __str__(self) -> str:
        """Write it as options of the command line."""
        return ", ".join(f"--{name} {value}" for name, value in vars(self).items() if value)


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
    def newest(self) -> Record:
        """Return the record measured last."""
        return max(self.records, key=lambda record: record.started_at)

    @property
    def dirty(self) -> bool:
        """Say whether the working tree differed from the commit."""
        return self.records[0].commit.dirty

    @property
    def mixed(self) -> dict[str, int]:
        """Return in what the records differ, though all of one run have the same, and how many of it there are."""
        seen: dict[str, Collection[object]] = {
            "working trees": {record.commit.tree for record in self.records},
            "models": {record.source for record in self.records if record.source},
            "suites": {record.config.suite for record in self.records},
            "processors": {f"{record.machine.cpu}, {record.machine.cores} cores" for record in self.records},
        }
        packages = sorted({package for record in self.records for package in record.versions})
        differ = [name for name in packages if len({record.versions.get(name) for record in self.records}) > 1]
        versions = {str([record.versions.get(name) for name in differ]) for record in self.records}
        threads: dict[str, set[str]] = {}
        for record in self.records:
            if record.session:
                key = f"numbers of threads of {record.runtime}"
                threads.setdefault(key, set()).add(str(record.session.get("threads")))
        seen |= {f"versions of {', '.join(differ)}": versions, **threads}
        return {kind: len(values) for kind, values in seen.items() if len(values) > 1}


def find(results: Path, wanted: Wanted) -> tuple[Selection | None, list[str]]:
    """Read the records under a folder and pick those of one sweep, as `select` does; a line says each file left out."""
    records, left_out = read(results, wanted.label)
    return select(records, wanted, results), [str(file) for file in left_out]


def select(records: Sequence[Record], wanted: Wanted, results: Path) -> Selection | None:
    """Pick the records of one sweep; None where nothing matches.

    Without a commit it is the newest commit of the checkout around `results` that has records: HEAD, else the nearest
    in `git log`, else the newest in time. Where that leaves several machines, sweeps or states of the working tree,
    the one measured last is taken.
    """
    fitting = [record for record in records if wanted.fits(record)]
    if not fitting:
        return None
    why = "asked for"
    if wanted.commit is None:
        sha, why = _newest_commit(fitting, results)
        fitting = [record for record in fitting if record.sha == sha]
    newest = max(fitting, key=lambda record: record.started_at)
    chosen = [record for record in fitting if _state(record) == _state(newest)]
    chosen.sort(key=lambda record: (record.round, record.variant))
    return Selection(tuple(chosen), *_state(newest), why)


def _state(record: Record) -> tuple[str, str, str, str]:
    return record.sha, record.label, record.machine.id, record.sweep


def _newest_commit(records: Sequence[Record], results: Path) -> tuple[str, str]:
    measured = {record.sha for record in records}
    for age, sha in enumerate(ancestors(results)):
        if sha in measured:
            return sha, "HEAD of this checkout" if age == 0 else f"the nearest commit with records, {age} before HEAD"
    newest = max(records, key=lambda record: record.started_at)
    return newest.sha, "the newest records; their commit is not in the history of this checkout"
