"""Compare two revisions: which records stand for each, and the verdicts between them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.compare.lines import Asked, compare_rows
from bench.compare.revisions import NoComparisonError, _pick
from bench.compare.verdict import JUDGED, REGRESSIONS, Line, Verdict
from bench.records.listing import RECORDS, labels_told
from bench.records.selection import Selection
from bench.records.store import LeftOut, Record
from bench.summary.rows import rows_alone

NORMALIZED_BY = "copy_gb_s"
"""The canary that latencies are normalized by: decoding is bound by how fast memory is read."""


@dataclass(frozen=True)
class Drift:
    """What a canary of the machine gave beside the cells of each side, as medians."""

    name: str
    base: float
    head: float

    @property
    def change(self) -> float:
        """Return head / base - 1: how much quicker the machine itself was."""
        return self.head / self.base - 1


@dataclass(frozen=True)
class Comparison:
    """Two sweeps and the verdicts between them; `families` are the sizes that Holm's p stand for, by kind of test.

    `left_out` names the files of either side that are no sound records: their variants could not be compared.
    """

    base: Selection
    head: Selection
    lines: tuple[Line, ...]
    families: dict[str, int]
    drift: tuple[Drift, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    asked: Asked
    fail_on: frozenset[Verdict] = REGRESSIONS

    @property
    def exit_code(self) -> int:
        """Return 1 for a verdict of `fail_on`, 2 where nothing, or not everything on file, was compared, else 0."""
        verdicts = {line.verdict for line in self.lines}
        judged = {line.verdict for line in self.lines if line.metric != "artifact"} & JUDGED
        return 1 if verdicts & self.fail_on else 2 if self.left_out or not judged else 0


def compare(
    records_dir: Path,
    base: str,
    head: str | None = None,
    machine: str | None = None,
    sweep: str | None = None,
    asked: Asked | None = None,
    normalize: bool = False,
    fail_on: Iterable[Verdict] = REGRESSIONS,
) -> Comparison:
    """Compare the sweeps of two revisions. Raises NoComparisonError where one of them has no records.

    A revision is what git takes it for; `worktree` means the uncommitted state of HEAD, `<rev>-dirty` that of another
    commit. `head` None is HEAD in the state measured last. The base is taken from the head's sweep, and from its
    machine where that has measured the base too. Only the records of the two commits are read.
    """
    if not any(records_dir.glob(f"*/*/{RECORDS}")):
        raise NoComparisonError(f"no records under {records_dir}: run `make bench`")
    asked = asked or Asked()
    after, after_left_out, notes = _pick(records_dir, head, [machine], sweep)
    machines = [machine] if machine else [after.machine, None]
    before, before_left_out, more = _pick(records_dir, base, machines, after.sweep)
    if (before.label, before.machine) == (after.label, after.machine):
        raise NoComparisonError(
            f"both sides are the records of {after.label}: choose two of: {labels_told(records_dir)}"
        )
    drift = _drift(before.records, after.records)
    if normalize:
        asked, said = _normalized(asked, drift)
        notes.append(said)
    unread = [*_of_selection(before, before_left_out), *_of_selection(after, after_left_out)]
    unread = [file for file in unread if not asked.variants or _name(file.path)[0] in asked.variants]
    broken = {_name(file.path)[0]: f"left out: {file}" for file in unread}
    rows = [[row for row in rows_alone(side.records) if row.variant not in broken] for side in (before, after)]
    known = {row.variant for side in rows for row in side} | broken.keys()
    if unknown := [name for name in asked.variants if name not in known]:
        raise NoComparisonError(f"--variant: no records of {', '.join(unknown)}; choose of: {', '.join(sorted(known))}")
    families, lines = compare_rows(rows[0], rows[1], asked)
    lines += [Line(name, "", "record", "not comparable", why=why) for name, why in broken.items()]
    left_out, told = tuple(map(str, unread)), tuple(dict.fromkeys([*more, *notes]))
    return Comparison(before, after, tuple(lines), families, drift, left_out, told, asked, frozenset(fail_on))


def _drift(before: Sequence[Record], after: Sequence[Record]) -> tuple[Drift, ...]:
    sides = [_canaries(side) for side in (before, after)]
    return tuple(Drift(name, sides[0][name], sides[1][name]) for name in sides[0] if name in sides[1])


def _canaries(records: Sequence[Record]) -> dict[str, float]:
    readings: dict[str, list[float]] = {}
    for record in records:
        for reading in (record.data.get("canary") or {}).values():
            for name, value in (reading or {}).items():
                readings.setdefault(name, []).append(float(value))
    return {name: statistics.median(found) for name, found in readings.items()}


def _normalized(asked: Asked, drift: Sequence[Drift]) -> tuple[Asked, str]:
    """Have the head's latencies divided by how much slower the machine itself was."""
    found = next((canary for canary in drift if canary.name == NORMALIZED_BY), None)
    if found is None:
        raise NoComparisonError(f"--normalize: no {NORMALIZED_BY} beside the records of both sides")
    slowdown = found.base / found.head
    return replace(asked, slowdown=slowdown), f"normalized: latencies of the head are divided by {slowdown:.3f}"


def _of_selection(side: Selection, left_out: Sequence[LeftOut]) -> list[LeftOut]:
    """Return the unsound files that lie where the records of a side lie: they may be some of them."""
    folders = {record.path.parent for record in side.records}
    sweeps = {_name(record.path)[1] for record in side.records}
    return [file for file in left_out if file.path.parent in folders and _name(file.path)[1] in sweeps]


def _name(path: Path) -> tuple[str, str]:
    """Return the variant and the sweep that a file's name tells of."""
    variant, _, sweep = path.name.removesuffix(".json").rpartition(".r")[0].partition("~")
    return variant, sweep
