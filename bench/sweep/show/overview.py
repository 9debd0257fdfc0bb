"""What a sweep will do, before it does it: both passes with their jobs, time and disk."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.machine.cards import jobs_on_cards
from bench.machine.gpu import chosen_gpus
from bench.sweep import stage as stages
from bench.sweep.plan.cell import PASSES, Cell, Pass, to_build
from bench.sweep.show.time_left import Costs, Paces, SweepTime, costs_of, learned, parts_of, records_of
from bench.terminal import say, shown
from variants.process import gigabytes, usable_cores
from variants.step import Planned

UNDER = " " * 13
WORTH_SAYING_BYTES = 10**9
LINKED = "files of yours on the cache's disk that nobody may write to (chmod a-w) would be linked instead"
TITLES: Mapping[Pass, str] = {"deterministic": "pass 1", "timed": "pass 2"}


@dataclass(frozen=True)
class Jobs:
    """What a run does, by pass: the cells in order, and how long they take."""

    cells: Mapping[Pass, Sequence[Cell]]
    times: Mapping[Pass, SweepTime]
    costs: Costs


def jobs_of(cells: Sequence[Cell]) -> Jobs:
    """Return the jobs that a run of these cells has, and what is known of their time."""
    todo = [cell for cell in cells if cell.finished() is None]
    costs, new = costs_of(cells), {cell.key: steps for cell, steps in _new_steps(todo)}
    first = [cell for cell in todo if new[cell.key] or _has_first(cell)]
    by_pass: dict[Pass, list[Cell]] = {
        "deterministic": first,
        "timed": [cell for cell in todo if cell.measures_of("timed")],
    }
    by_records, own = learned(records_of(cells[0]) if todo else (), costs), Paces()
    work = {
        "deterministic": {label_of(c): parts_of(c, "deterministic", new[c.key], costs) for c in first},
        "timed": {label_of(c): parts_of(c, "timed", (), costs) for c in by_pass["timed"]},
    }
    times = {
        pass_: SweepTime(work[pass_], by_records, own=own, cards=_jobs_on_cards(cells[0], pass_)) for pass_ in PASSES
    }
    return Jobs(by_pass, times, costs)


def _jobs_on_cards(cell: Cell, pass_: Pass) -> int:
    """Return how many jobs can use a GPU at once; on a cluster that is not known, and sets no bound."""
    at = cell.settings
    if at.spans_machines:
        return sys.maxsize
    n_cards = 1 if at.spread == "layers" else len(chosen_gpus(at.device))
    return jobs_on_cards(n_cards, usable_cores(), at.spread) if pass_ == "deterministic" else n_cards


def _has_first(cell: Cell) -> bool:
    """Say whether the first pass measures something of a cell, or writes its record."""
    if not cell.measures_of("timed"):
        return True
    return bool(cell.measures_of("deterministic")) and stages.kept(cell) is None


def _new_steps(todo: Sequence[Cell]) -> Iterator[tuple[Cell, list[Planned]]]:
    """Yield each cell with the steps that it is the first one to build."""
    missing, built = to_build(todo), set[str]()
    for cell in todo:
        new = [p for p in cell.builds if p.fingerprint in missing and p.fingerprint not in built]
        built.update(p.fingerprint for p in new)
        yield cell, new


def show_plan(cells: Sequence[Cell], jobs: Jobs, needed_bytes: Counter[str], launchers: Mapping[Pass, str]) -> None:
    """Print what will be built and measured, what is there already, the disk it needs and the time it takes."""
    first = cells[0]
    todo = [cell for cell in cells if cell.finished() is None]
    missing = to_build(todo)
    needed = {p.fingerprint for cell in todo for p in cell.builds}
    variants = list(dict.fromkeys(cell.variant for cell in cells))
    grid = f"{_n(len(variants), 'variant')} x {_n(len(cells) // len(variants), 'round')}"
    say(f" on {first.machine.id}, device {first.device}", lead=first.settings.sweep)
    say(f"  variants   {', '.join(variants)}", under=UNDER)
    say(f"  cells      {len(cells)} = {grid}; {len(cells) - len(todo)} finished, {len(todo)} to run", under=UNDER)
    for line in first.not_measured:
        say(f"  left out   {line}", under=UNDER)
    disk = f", about {gigabytes(needed_bytes.total())} of disk" if missing else ""
    there = f"{len(needed)} needed; {len(needed) - len(missing)} in the cache, " if needed else ""
    say(f"  artifacts  {there}{len(missing)} to build{disk}", under=UNDER)
    if (copied := needed_bytes[first.chain[0].name]) >= WORTH_SAYING_BYTES:
        say(f"  source     copied, {gigabytes(copied)}: {LINKED}", under=UNDER)
    for pass_ in PASSES if todo else ():
        _show_pass(jobs, pass_, launchers[pass_], missing)
    say(f"  records    {shown(first.record_path.parent)}", under=UNDER)


def _show_pass(jobs: Jobs, pass_: Pass, launcher: str, missing: Mapping[str, Planned]) -> None:
    cells = jobs.cells[pass_]
    if not cells:
        say(f"  {TITLES[pass_]}     nothing to do", under=UNDER)
        return
    names = _each_once(name for cell in cells for name in cell.measures_of(pass_))
    what = ", ".join([*(["builds"] if missing and pass_ == "deterministic" else []), *names]) or "records"
    alone = pass_ == "timed" and cells[0].settings.timing == "alone"
    how = "each alone on the machine" if alone else "one job a GPU" if pass_ == "timed" else f"launcher={launcher}"
    seconds = jobs.times[pass_].left()
    known = "time not known, no records of this sweep here" if seconds is None else about(seconds)
    say(f"  {TITLES[pass_]}     {_n(len(cells), 'job')}: {what}; {how}; {known}", under=UNDER)


def _each_once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def about(seconds: float) -> str:
    """Return in words how long something takes, in whole minutes or seconds."""
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"


def label_of(cell: Cell) -> str:
    """Return a cell's name on the screen; rounds are counted from 1 there, and from 0 in files."""
    return f"{cell.variant}, round {cell.round + 1} of {cell.settings.suite.rounds}"
