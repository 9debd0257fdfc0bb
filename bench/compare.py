"""Compare two revisions: which records stand for each, and the verdicts between them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.read import Record, Selection, read, select
from bench.report.table import build_rows
from bench.verdict import COMPARED, REGRESSIONS, Line, compare_rows


class NoComparisonError(ValueError):
    """Say in one line which records are missing, and which there are."""


@dataclass(frozen=True)
class Comparison:
    """Two sweeps and the verdicts between them; `family` is how many accuracy tests Holm's p stands for."""

    base: Selection
    head: Selection
    lines: tuple[Line, ...]
    family: int
    left_out: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Return 1 for a regression, 2 where not one metric could be compared, else 0."""
        verdicts = {line.verdict for line in self.lines}
        return 1 if verdicts & REGRESSIONS else 0 if verdicts & COMPARED else 2


def compare(
    records_dir: Path, base: str, head: str | None = None, machine: str | None = None, sweep: str | None = None
) -> Comparison:
    """Compare the sweeps of two revisions. Raises NoComparisonError where one of them has no records.

    `head` None is HEAD in the state measured last, uncommitted or not. A revision that is named means its commit,
    and `<rev>-dirty` the uncommitted state beside it. The base is taken from the head's sweep, and from its
    machine where that has measured the base too.
    """
    records, unread = read(records_dir)
    left_out = [str(file) for file in unread]
    if not records:
        broken = f", {len(left_out)} unreadable ({left_out[0]})" if left_out else ""
        raise NoComparisonError(f"no records under {records_dir}{broken}: run `make bench`")
    after = _pick(records, records_dir, head, [machine], sweep)
    before = _pick(records, records_dir, base, [machine] if machine else [after.machine, None], after.sweep)
    if before.records == after.records:
        choices = _choices(records)
        raise NoComparisonError(f"both sides are the records of {after.label}: choose two of: {choices}")
    family, lines = compare_rows(build_rows(before.records), build_rows(after.records))
    return Comparison(before, after, tuple(lines), family, tuple(left_out))


def _pick(
    records: Sequence[Record], folder: Path, revision: str | None, machines: Sequence[str | None], sweep: str | None
) -> Selection:
    sha, dirty = _commit(revision or "HEAD", folder, records)
    clean = [record for record in records if not record.dirty]
    states = [records] if dirty or revision is None else [clean, records]
    for machine, state in product(machines, states):
        found = select(state, f"{sha}-dirty" if dirty else sha, machine, sweep)
        if found is not None:
            return found
    wanted = "".join(f", {what} {name}" for what, name in (("sweep", sweep), ("machine", machines[-1])) if name)
    raise NoComparisonError(
        f"no records for {revision or 'HEAD'} ({sha[:12]}{wanted}) under {folder}: "
        f"run `make bench` there, or choose one of: {_choices(records)}"
    )


def _commit(revision: str, folder: Path, records: Sequence[Record]) -> tuple[str, bool]:
    """Return the sha that a revision names, and whether it asks for the uncommitted state."""
    for name in dict.fromkeys([revision, revision.removesuffix("-dirty")]):
        command = ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip(), name != revision
        # Records travel further than commits: a shallow clone has not the history that they name.
        recorded = {record.sha for record in records if len(name) >= 7 and record.sha.startswith(name)}
        if len(recorded) == 1:
            return recorded.pop(), name != revision
    raise NoComparisonError(f"unknown revision {revision!r}: choose one of: {_choices(records)}")


def _choices(records: Sequence[Record]) -> str:
    newest_first = sorted(records, key=lambda record: record.started_at, reverse=True)
    labels = list(dict.fromkeys(f"{r.sha[:12]}{'-dirty' if r.dirty else ''} ({r.sweep})" for r in newest_first))
    return ", ".join(labels[:6]) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
