"""How long the rest of a sweep will take: from this machine's records of it, and from what this run has done so far.

For a person who waits, never for a result. Work whose seconds nobody has measured yet is weighed by `expected_cost`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.measures.measure import cost_of
from bench.records.listing import folders, stored
from bench.records.store import read
from bench.records.types import Record
from bench.sweep.plan.cell import Cell, Pass
from variants.step import Planned

COMMITS, NEWEST = 20, 3
"""The records of the NEWEST latest commits that measured this sweep here are read; COMMITS are looked through."""
Costs = Mapping[str, float]
"""What the steps, measures and runtimes of a plan are expected to cost, by their names, in units of one round."""


@dataclass(frozen=True)
class Part:
    """A piece of a cell's work: its weight, what its pace is known by (the most specific first), if it needs a GPU."""

    weight: float
    known_by: tuple[tuple[str, ...], ...]
    on_card: bool = False


@dataclass
class Paces:
    """Seconds and weights that were measured, summed up by what a pace is known by."""

    seen: dict[tuple[str, ...], tuple[float, float]] = field(default_factory=dict)

    def add(self, part: Part, seconds: float) -> None:
        """Take how long a part took."""
        for name in part.known_by:
            before = self.seen.get(name, (0.0, 0.0))
            self.seen[name] = before[0] + seconds, before[1] + part.weight

    def of(self, name: tuple[str, ...]) -> float | None:
        """Return the seconds of a unit of weight, None where nothing of that name was measured."""
        seconds, weight = self.seen.get(name, (0.0, 0.0))
        return seconds / weight if weight else None


class SweepTime:
    """The time of one pass: what is done, what is left. Each job is named by its label; several may run at once.

    `own` are the paces of this run, which its passes share; `cards` is how many jobs can use a GPU at once.
    """

    def __init__(
        self,
        todo: Mapping[str, Sequence[Part]],
        learned: Paces,
        clock: Callable[[], float] = time.monotonic,
        own: Paces | None = None,
        cards: int = 1,
    ) -> None:
        self._todo, self._learned, self._clock = dict(todo), learned, clock
        self._own = Paces() if own is None else own
        self._began, self._cards = clock(), cards
        self._running: dict[str, float] = {}
        self._worked: dict[str, float] = {}  # before they waited
        self._spent = self._expected = 0.0

    def begin(self, label: str) -> None:
        """Take that a job works from now on, unless it does already."""
        self._running.setdefault(label, self._clock())

    def wait(self, label: str) -> None:
        """Take that a job waits for what another one holds: waiting is no work, and sets no pace."""
        self._worked[label] = self._seconds_at_work(label)
        self._running.pop(label, None)

    def _seconds_at_work(self, label: str) -> float:
        """Return how long a job has worked, its waits left out."""
        now = self._clock()
        return self._worked.get(label, 0.0) + now - self._running.get(label, now)

    def finish(self, label: str, measured: Iterable[tuple[Part, float]]) -> None:
        """Take that a job has ended, and the seconds of its parts, as far as they are known."""
        expected = self._seconds(self._todo.pop(label, ()))
        # What is known by this run alone is as slow as the machine is today already.
        if label in self._running and expected and not expected[1]:
            self._spent += self._seconds_at_work(label)
            self._expected += expected[0]
        self._running.pop(label, None)
        for part, seconds in measured:
            self._own.add(part, seconds)

    def left(self) -> float | None:
        """Return the seconds that the rest will take, None if nothing is known yet.

        As many jobs work at once as now do, and of those that need a GPU no more than the cards take.
        """
        # The machine may be slower today than when its records were made, or busier.
        factor = self._spent / self._expected if self._expected else 1.0
        left = on_cards = 0.0
        for label, parts in self._todo.items():
            if (expected := self._seconds(parts)) is None:
                return None
            job = max(0.0, factor * expected[0] + expected[1] - self._seconds_at_work(label))
            by_records, by_run = self._seconds(part for part in parts if part.on_card) or (0.0, 0.0)
            left += job
            on_cards += min(job, factor * by_records + by_run)
        return max(left / max(1, len(self._running)), on_cards / max(1, self._cards))

    def share(self) -> float | None:
        """Return which share of this run's time has passed, None where it is not known yet."""
        left, passed = self.left(), self._clock() - self._began
        return None if left is None else passed / (passed + left) if passed + left else 1.0

    def _seconds(self, parts: Iterable[Part]) -> tuple[float, float] | None:
        """Return what parts will take by records and, for parts that records know less about, by this run's paces."""
        by_records = by_run = 0.0
        for part in parts:
            for name in part.known_by:
                if (pace := self._learned.of(name)) is not None:
                    by_records += part.weight * pace
                    break
                if (pace := self._own.of(name)) is not None:
                    by_run += part.weight * pace
                    break
            else:
                return None
        return by_records, by_run


def costs_of(cells: Iterable[Cell]) -> Costs:
    """Return the expected costs of all that a plan runs."""
    costs: dict[str, float] = {}
    for cell in cells:
        costs[cell.settings.variant.runtime] = cell.runtime.expected_cost
        costs |= {name: cost_of(measure) for name, measure in cell.measures.items()}
        costs |= {planned.name: planned.step.expected_cost for planned in cell.builds}
    return costs


def parts_of(cell: Cell, pass_: Pass, new: Iterable[Planned], costs: Costs) -> list[Part]:
    """Return the work of a pass of a cell that builds the steps `new`."""
    names, on_gpu = cell.measures_of(pass_), cell.device == "cuda"
    steps = [replace(step_part(one.name, costs), on_card=on_gpu and one.step.on_device) for one in new]
    measuring = [measure_part(cell.variant, cell.settings.variant.runtime, names, costs)] if names else []
    return [*steps, *(replace(part, on_card=on_gpu) for part in measuring)]


def measure_part(variant: str, runtime: str, measures: Iterable[str], costs: Costs) -> Part:
    """Return the work of measuring a variant once."""
    names = sorted(measures)
    weight = costs.get(runtime, 1.0) + sum(costs.get(name, 0.0) for name in names)
    known_by = (("measure", variant, runtime, *names), ("measure", variant, runtime), ("measure", runtime, *names))
    return Part(weight, (*known_by, ("measure", runtime), ()))


def step_part(name: str, costs: Costs) -> Part:
    """Return the work of building one step."""
    return Part(costs.get(name, 1.0), (("step", name), ()))


def measured_parts(record: Record, costs: Costs, new: Iterable[str]) -> Iterator[tuple[Part, float]]:
    """Yield what a record says of how long its parts took; `new` are the fingerprints that its cell built."""
    built = set(new)
    for made in record.lineage:
        if made.build_seconds is not None and made.fingerprint in built:
            yield step_part(made.step, costs), made.build_seconds
    if record.failed:
        return
    passes = {name: company.measures for name, company in record.company.items() if name in record.seconds}
    for name, measures in (passes or {"measure": tuple(record.measures)}).items():  # older records have one pass
        if name in record.seconds:
            yield measure_part(record.variant, record.runtime, measures, costs), record.seconds[name]


def learned(records: Iterable[Record], costs: Costs) -> Paces:
    """Sum up what records say; an artifact that several of them share counts once."""
    paces, seen = Paces(), set[str]()
    for record in records:
        new = {made.fingerprint for made in record.lineage} - seen
        seen |= new
        for part, seconds in measured_parts(record, costs, new):
            paces.add(part, seconds)
    return paces


def records_of(cell: Cell) -> list[Record]:
    """Read this machine's newest records of the sweep that a cell belongs to."""
    of_machine = [folder for folder in folders(cell.settings.results) if folder.parent.name == cell.machine.id]
    sweep = cell.settings.sweep
    measured = [at for at in of_machine[:COMMITS] if any(one.sweep == sweep for one in stored(at)[0])]
    records = [record for at in measured[:NEWEST] for record in read(cell.settings.results, at.name)[0]]
    mine = [record for record in records if record.sweep == sweep and record.machine.id == cell.machine.id]
    return [record for record in mine if measures_alike(record, cell.settings.measures)]


def measures_alike(record: Record, measures: Mapping[str, object]) -> bool:
    """Say whether a record was measured with these settings: with others, such as more requests, it took other time."""
    return all(fields == measures.get(name) for name, fields in record.config.measures.items())
