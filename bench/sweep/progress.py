"""What a person sees while a sweep runs: the plan, live progress with time left, the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import Progress as Bar
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bench.measures.measure import Progress
from bench.sweep.plan.cell import Cell, to_build
from bench.sweep.time_left import Costs, SweepTime, costs_of, learned, measured_parts, parts_of, records_of
from bench.terminal import console, printable, say, shown
from variants.step import Planned

LOG_SECONDS = 120.0
"""How often a log gets a line about a cell that is still running; a terminal is redrawn instead."""
PACE_SECONDS = 300.0
"""The pace of work is that of the last so many seconds: what an earlier run kept passes at once and sets no pace."""
BAR_COLUMNS = 40


@dataclass
class _Sweep:
    """How far the sweep is; kept here because Hydra calls the cells one by one."""

    total: int
    time: SweepTime
    costs: Costs
    done: int = 0

    @property
    def count(self) -> str:
        return f"{self.done}/{self.total}"


_sweep: _Sweep | None = None


class Stage:
    """What a cell is doing at present: one task of rich's progress, whose speed gives the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._bar = Bar(disable=True, get_time=clock, speed_estimate_period=PACE_SECONDS)
        self._task = self._bar.add_task("")
        self._work = ("", 0)

    def report(self, what: str, done: int, total: int) -> str:
        """Take a report; return what is being done, how far it is, and the time left at the recent pace."""
        task = self._bar.tasks[0]
        if (what, total) != self._work or done < task.completed:
            self._work = (what, total)
            self._bar.reset(self._task, total=total)
        self._bar.update(self._task, completed=done)
        text = f"{what} {done:,}/{total:,}" if total > 1 else what
        seconds = task.time_remaining
        return f"{text}, {about(seconds)} left" if seconds is not None and 0 < done < total else text


class Screen:
    """The lines that a terminal is redrawn with: what the cell is doing, and a bar for the whole sweep."""

    def __init__(self, sweep: SweepTime | None, out: Console) -> None:
        self.line = ""
        self._sweep = sweep
        self._spinner = Spinner("dots")
        # A faster refresh would show in the child's latency.
        self.live = Live(get_renderable=self.draw, console=out, refresh_per_second=1, transient=True)

    def draw(self) -> RenderableType:
        """Return the lines as they are now."""
        grid = Table.grid(padding=(0, 1))
        grid.add_row(self._spinner, Text(printable(self.line)))
        if self._sweep is not None:
            left, share = self._sweep.left(), self._sweep.share()
            bar = Table.grid(padding=(0, 1))
            known = left is not None and share is not None
            text = f"{share:.0%} of this run, {about(left or 0.0)} left" if known else "the time left is not known yet"
            bar.add_row(ProgressBar(1.0, share or 0.0, width=BAR_COLUMNS), Text(text))
            grid.add_row("", bar)
        return grid


def show_plan(cells: Sequence[Cell], needed_bytes: int) -> None:
    """Print what will be built and measured, what is there already, the disk it needs and the time it takes."""
    global _sweep
    first = cells[0]
    todo = [cell for cell in cells if cell.finished() is None]
    needed = {p.fingerprint for cell in todo for p in cell.builds}
    missing = to_build(todo)
    costs = costs_of(cells)
    work = {label_of(cell): parts_of(cell, new, costs) for cell, new in _new_steps(todo, missing)}
    left = SweepTime(work, learned(records_of(first) if todo else (), costs))
    _sweep = _Sweep(len(cells), left, costs)
    variants = list(dict.fromkeys(cell.variant for cell in cells))
    grid = f"{_n(len(variants), 'variant')} x {_n(len(cells) // len(variants), 'round')}"
    under = " " * 13
    say(f" on {first.machine.id}, device {first.device}", lead=first.settings.sweep)
    say(f"  variants   {', '.join(variants)}", under=under)
    say(f"  cells      {len(cells)} = {grid}; {len(cells) - len(todo)} finished, {len(todo)} to run", under=under)
    disk = f", about {needed_bytes / 1e6:,.0f} MB of disk" if missing else ""
    there = f"{len(needed)} needed; {len(needed) - len(missing)} in the cache, " if needed else ""
    say(f"  artifacts  {there}{len(missing)} to build{disk}", under=under)
    if todo:
        seconds = left.left()
        known = "not known, this machine has no records of this sweep" if seconds is None else about(seconds)
        say(f"  time       {known}", under=under)
    say(f"  records    {shown(first.record_path.parent)}", under=under)


def _new_steps(todo: Sequence[Cell], missing: dict[str, Planned]) -> Iterator[tuple[Cell, list[Planned]]]:
    """Yield each cell with the steps that it is the first one to build."""
    built: set[str] = set()
    for cell in todo:
        new = [p for p in cell.builds if p.fingerprint in missing and p.fingerprint not in built]
        built.update(p.fingerprint for p in new)
        yield cell, new


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@contextmanager
def cell_progress(cell: Cell) -> Iterator[Progress]:
    """Show one cell's progress while it runs, and a line with its outcome after it."""
    if _sweep is not None:
        _sweep.done += 1
    if cell.finished() is not None:
        yield lambda *_: None
        return
    out, label, stage = console(), label_of(cell), Stage()
    count = f"{_sweep.count} " if _sweep else ""
    missing = {planned.fingerprint for planned in cell.cache.missing(cell.builds)}
    if _sweep is not None:
        _sweep.time.begin(label)
    screen = Screen(_sweep.time if _sweep else None, out)
    started = logged = time.monotonic()
    waited_for = ""

    def report(what: str, done: int, total: int) -> None:
        nonlocal logged, waited_for
        screen.line = f"{count}{label}: {stage.report(what, done, total)}"
        now, waits = time.monotonic(), what if what.startswith("waiting") else ""
        if not out.is_terminal and (now - logged >= LOG_SECONDS or waits not in ("", waited_for)):
            logged = now
            say(f"{screen.line}{_left()}")
        waited_for = waits
        if waits and _sweep is not None:
            _sweep.time.begin(label)  # waiting is no work: it sets no pace

    report("starting", 0, 1)
    if out.is_terminal:
        with screen.live:
            yield report
    else:
        yield report
    record = cell.finished()
    if _sweep is not None:
        _sweep.time.finish(label, measured_parts(record, _sweep.costs, missing) if record else ())
    outcome = Text.assemble(f"{count}{label:<30} ", ("ok", "") if record else ("failed", "bold red"))
    out.print(outcome.append(f" {time.monotonic() - started:6.1f} s{_left()}"), soft_wrap=True)


def _left() -> str:
    left = _sweep.time.left() if _sweep else None
    return f"; sweep {about(left)} left" if left else ""


def about(seconds: float) -> str:
    """Return in words how long something takes, in whole minutes or seconds."""
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"


def label_of(cell: Cell) -> str:
    """Return a cell's name on the screen; rounds are counted from 1 there, and from 0 in files."""
    return f"{cell.variant}, round {cell.round + 1} of {cell.settings.suite.rounds}"
