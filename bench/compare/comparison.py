"""Compare two revisions: find the records of each, and give the verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.compare.lines import Asked, compare_records
from bench.compare.revisions import Side, find_side
from bench.compare.verdict import JUDGED, REGRESSIONS, Verdict, VerdictLine
from bench.metrics import canary
from bench.metrics.catalogue import metrics_of
from bench.metrics.metric import Records
from bench.records.listing import choices
from bench.records.selection import Selection, Wanted
from bench.records.store import RECORDS
from variants.errors import UserError

ANY, EVERYTHING = Wanted(), Asked()
"""The defaults of `compare`: any machine and sweep; all variants and metrics."""


@dataclass(frozen=True)
class Drift:
    """A reading of the machine check (canary) on each side: the median over its cells."""

    name: str
    base: float
    head: float

    @property
    def change(self) -> float:
        """Return head / base - 1: how much faster the machine itself was."""
        return self.head / self.base - 1


@dataclass(frozen=True)
class Comparison:
    """Two sweeps and the verdicts between them; `families` has how many tests Holm's correction counted, by family.

    `left_out` names the files of either side that are no sound records: their variants could not be compared.
    """

    base: Selection
    head: Selection
    lines: tuple[VerdictLine, ...]
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
        judged = any(
            line.verdict in JUDGED or line.change is not None for line in self.lines if line.metric != "artifact"
        )
        return 1 if verdicts & self.fail_on else 2 if self.left_out or not judged else 0


def compare(
    results: Path,
    base: str,
    head: str | None = None,
    wanted: Wanted = ANY,
    asked: Asked = EVERYTHING,
    normalize: bool = False,
    fail_on: Iterable[Verdict] = REGRESSIONS,
) -> Comparison:
    """Compare the sweeps of two revisions. Raises UserError where one of them has no records.

    A revision is what git takes it for; `worktree` means the uncommitted state of HEAD, `<rev>-dirty` that of another
    commit. `head` None is HEAD in the state measured last; then the nearest commit before it that was measured stands
    for a side that was not, which `notes` says, unless a sha or a state was typed. `wanted` has the head's machine and
    sweep. The base is taken from the head's sweep, and from its machine where that has measured the base too. Only the
    records of the commits in question are read.
    """
    if not any(results.glob(f"*/*/{RECORDS}")):
        raise UserError(f"no records under {results}: run `make bench`")
    after = find_side(results, head, [wanted], nearest=head is None)
    before = find_side(results, base, _base_of(after.selection, wanted), head is None, after.selection)
    sides = before.selection, after.selection
    if (sides[0].label, sides[0].machine) == (sides[1].label, sides[1].machine):
        both = f"both sides are the records of {sides[1].label}: choose two of: {choices(results)}"
        raise UserError(after.missing or both)
    drift = _drift(sides[0].records, sides[1].records)
    notes = [*before.notes, *after.notes]
    if normalize:
        asked, note = _normalized(asked, sides[0].records, sides[1].records)
        notes.append(note)
    broken = _left_out(before, after, asked)
    kept = [[record for record in side.records if record.variant not in broken] for side in sides]
    _check_variants(asked, {record.variant for side in kept for record in side} | broken.keys())
    _check_metrics(asked, [record for side in kept for record in side])
    families, lines = compare_records(kept[0], kept[1], asked)
    lines += [
        VerdictLine(name, "", "record", "not comparable", why=f"left out: {files[-1]}")
        for name, files in broken.items()
    ]
    left_out = tuple(file for files in broken.values() for file in files)
    return Comparison(
        *sides, tuple(lines), families, drift, left_out, tuple(dict.fromkeys(notes)), asked, frozenset(fail_on)
    )


def _base_of(head: Selection, wanted: Wanted) -> list[Wanted]:
    machines = [wanted.machine] if wanted.machine else [head.machine, None]
    return [Wanted(machine=machine, sweep=head.sweep) for machine in machines]


def _left_out(before: Side, after: Side, asked: Asked) -> dict[str, list[str]]:
    """Return the unsound files of both sides by their variant, as far as it was asked for."""
    files: dict[str, list[str]] = {}
    for side in (before, after):
        for variant, unsound in side.left_out.items():
            if not asked.variants or variant in asked.variants:
                files.setdefault(variant, []).extend(map(str, unsound))
    return files


def _check_variants(asked: Asked, known: set[str]) -> None:
    if unknown := [name for name in asked.variants if name not in known]:
        raise UserError(f"--variant: no records of {', '.join(unknown)}; choose of: {', '.join(sorted(known))}")


def _check_metrics(asked: Asked, records: Records) -> None:
    """Raise UserError for a metric of a task that neither side was asked."""
    known = [metric.name for metric in metrics_of(records) if metric.test and metric.task]
    if unknown := [name for name in asked.metrics if " " in name and name not in known]:
        raise UserError(f"--metric: no records of {', '.join(unknown)}; choose of: {', '.join(known) or 'no task'}")


def _drift(before: Records, after: Records) -> tuple[Drift, ...]:
    sides = canary.medians(before), canary.medians(after)
    return tuple(Drift(name, sides[0][name], sides[1][name]) for name in sides[0] if name in sides[1])


def _normalized(asked: Asked, before: Records, after: Records) -> tuple[Asked, str]:
    """Make the head's latencies be divided by how much slower the memory was that the models were read from.

    Raises UserError where the canary did not measure that beside the timed records of both sides.
    """
    slowdown: dict[str, float] = {}
    for name in dict.fromkeys(canary.bandwidth_of(record) for record in (*before, *after) if record.latency):
        beside = [[one for one in side if one.latency and canary.bandwidth_of(one) == name] for side in (before, after)]
        drift = next((reading for reading in _drift(beside[0], beside[1]) if reading.name == name), None)
        if drift is None:
            of_card = " (the bandwidth of the GPU itself)" if name == canary.DEVICE_BANDWIDTH else ""
            raise UserError(
                f"--normalize: no {name}{of_card} beside the records of both sides; measure both again, or leave it out"
            )
        slowdown[name] = drift.base / drift.head
    by = " and ".join(f"{value:.3f} ({name})" for name, value in slowdown.items())
    return replace(asked, slowdown=slowdown), f"normalized: latencies of the head are divided by {by or 'nothing'}"
